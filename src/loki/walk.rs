//! The way through more entries than Loki gives at once: which range to ask for next, and what of each answer to keep.
//!
//! Loki cuts an answer at a number of entries, not at a time: of the instant at which a full answer ends, some entries
//! may be missing. So that instant is left out and asked for again, whole. Nothing is compared by content: two equal
//! lines of one instant are two entries. Only an instant that alone fills an answer needs other means
//! ([`Progress::Crowded`]).

use crate::stream::TimeRange;

use super::answer::Page;
use super::logs::Direction;

/// One request of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) range: TimeRange,
    pub(super) limit: u32,
}

/// What an answer led to.
#[derive(Debug)]
pub(super) enum Progress {
    /// Entries to keep; the walk goes on, or is over, as [`Walk::next`] says.
    Keep(Page),
    /// Everything in a full answer is of this instant, which has to be read whole before the walk goes on.
    Crowded(i64),
    /// No entry of a full answer is in the range that was asked for.
    Astray,
}

/// Where a walk stands.
#[derive(Debug)]
pub(super) struct Walk {
    rest: TimeRange,
    direction: Direction,
    left: usize,
    complete: bool,
}

impl Walk {
    pub(super) fn new(range: TimeRange, direction: Direction, limit: usize) -> Self {
        Self { rest: range, direction, left: limit, complete: range.start >= range.end }
    }

    /// The next request, of at most `most` entries; `None` at the end.
    pub(super) fn next(&self, most: u32) -> Option<Step> {
        let limit = u32::try_from(self.left).unwrap_or(u32::MAX).min(most);
        (!self.complete && limit > 0).then_some(Step { range: self.rest, limit })
    }

    /// Whether every entry of the range was seen.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes the answer to `step`.
    pub(super) fn take(&mut self, step: Step, mut page: Page) -> Progress {
        let full = page.entries.len() >= step.limit as usize;
        page.entries.retain(|(entry, _)| (step.range.start..step.range.end).contains(&entry.ts));
        if !full {
            self.complete = true;
            self.count(&mut page);
            return Progress::Keep(page);
        }
        let times = page.entries.iter().map(|(entry, _)| entry.ts);
        let edge = match self.direction {
            Direction::Backward => times.min(),
            Direction::Forward => times.max(),
        };
        let Some(edge) = edge else { return Progress::Astray };
        if step.limit as usize >= self.left {
            self.count(&mut page);
            return Progress::Keep(page);
        }
        page.entries.retain(|(entry, _)| entry.ts != edge);
        if page.entries.is_empty() {
            return Progress::Crowded(edge);
        }
        self.go_to(edge, true);
        self.count(&mut page);
        Progress::Keep(page)
    }

    /// Takes all entries of the instant `ts`, which was crowded.
    pub(super) fn take_instant(&mut self, ts: i64, mut page: Page) -> Page {
        page.entries.retain(|(entry, _)| entry.ts == ts);
        self.go_to(ts, false);
        self.count(&mut page);
        page
    }

    /// The rest begins at `edge`, with it or after it.
    fn go_to(&mut self, edge: i64, inclusive: bool) {
        let step = i64::from(inclusive);
        match self.direction {
            Direction::Backward => self.rest.end = edge.saturating_add(step),
            Direction::Forward => self.rest.start = edge.saturating_add(1 - step),
        }
        self.complete = self.rest.start >= self.rest.end;
    }

    /// Counts what is kept; what is over the limit goes, the entries farthest along first.
    fn count(&mut self, page: &mut Page) {
        if page.entries.len() > self.left {
            self.complete = false;
            match self.direction {
                Direction::Backward => page.entries.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.ts)),
                Direction::Forward => page.entries.sort_by_key(|(entry, _)| entry.ts),
            }
            page.entries.truncate(self.left);
        }
        self.left -= page.entries.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::stream::{Entry, Labels};

    use super::super::answer::Collected;
    use super::*;

    /// What Loki does: the first `limit` entries in the direction, any of those that share the last instant.
    fn answer(all: &[Entry], step: Step, direction: Direction) -> Page {
        let mut entries: Vec<Entry> =
            all.iter().filter(|entry| (step.range.start..step.range.end).contains(&entry.ts)).cloned().collect();
        match direction {
            Direction::Backward => entries.sort_by_key(|entry| std::cmp::Reverse((entry.ts, entry.line.clone()))),
            Direction::Forward => entries.sort_by_key(|entry| entry.ts),
        }
        entries.truncate(step.limit as usize);
        let entries = entries.into_iter().map(|entry| (entry, Labels::default())).collect();
        Page { streams: vec![Labels::default()], entries, ..Page::default() }
    }

    fn walk(all: &[Entry], range: TimeRange, direction: Direction, limit: usize, most: u32) -> (Vec<Entry>, bool) {
        let mut walk = Walk::new(range, direction, limit);
        let mut kept = Collected::default();
        let mut steps = 0;
        while let Some(step) = walk.next(most) {
            steps += 1;
            assert!(steps <= 2 * all.len() + 2, "no end in sight");
            match walk.take(step, answer(all, step, direction)) {
                Progress::Keep(page) => kept.add(page),
                Progress::Crowded(ts) => {
                    let whole = Step { range: TimeRange { start: ts, end: ts + 1 }, limit: u32::MAX };
                    kept.add(walk.take_instant(ts, answer(all, whole, direction)));
                }
                Progress::Astray => panic!("astray at {step:?}"),
            }
        }
        let complete = walk.is_complete();
        (kept.into_logs(complete).window.entries, complete)
    }

    fn sorted(mut entries: Vec<Entry>) -> Vec<(i64, String)> {
        entries.sort_by(|a, b| (a.ts, &a.line).cmp(&(b.ts, &b.line)));
        entries.into_iter().map(|entry| (entry.ts, entry.line)).collect()
    }

    proptest! {
        #[test]
        fn every_entry_comes_once_whatever_shares_its_instant(
            times in prop::collection::vec(0i64..12, 0..60),
            start in -1i64..6, length in 0i64..14, most in 1u32..9, backward in any::<bool>(),
        ) {
            // Lines repeat on purpose: equal entries count as often as they were written.
            let all: Vec<Entry> =
                times.iter().enumerate().map(|(i, ts)| Entry { ts: *ts, stream: 0, line: (i % 3).to_string() }).collect();
            let range = TimeRange { start, end: start + length };
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let inside = all.iter().filter(|entry| (start..start + length).contains(&entry.ts)).cloned().collect();
            let (found, complete) = walk(&all, range, direction, usize::MAX, most);
            prop_assert!(complete);
            prop_assert_eq!(sorted(found), sorted(inside));
        }

        #[test]
        fn a_limit_keeps_the_entries_nearest_to_the_start_of_the_walk(
            times in prop::collection::vec(0i64..12, 0..40), limit in 0usize..40, most in 1u32..9, backward in any::<bool>(),
        ) {
            let all: Vec<Entry> = times.iter().map(|ts| Entry { ts: *ts, stream: 0, line: String::new() }).collect();
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let (found, complete) = walk(&all, TimeRange { start: 0, end: 12 }, direction, limit, most);
            let mut expected = times;
            expected.sort_unstable();
            let cut = expected.len().saturating_sub(limit);
            if backward { expected.drain(..cut); } else { expected.truncate(limit); }
            prop_assert_eq!(found.iter().map(|entry| entry.ts).collect::<Vec<_>>(), expected);
            prop_assert!(complete || found.len() == limit);
            prop_assert!(!complete || cut == 0);
        }
    }

    #[test]
    fn a_server_that_answers_something_else_does_not_lead_the_walk_astray() {
        let range = TimeRange { start: 10, end: 20 };
        let mut walk = Walk::new(range, Direction::Backward, 100);
        let step = walk.next(2).unwrap();
        let elsewhere = [1, 2].map(|ts| (Entry { ts, stream: 0, line: String::new() }, Labels::default()));
        let page = Page { entries: elsewhere.into(), ..Page::default() };
        assert!(matches!(walk.take(step, page), Progress::Astray));
    }
}
