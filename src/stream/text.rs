//! A log file as a window: its lines, each at the time that it carries.

use chrono::{DateTime, Utc};

use super::stamp::{Stamp, stamp};
use super::{Entry, Labels, Window};

/// A window made of one file, and which line of the file each entry was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextLog {
    /// The entries in chronological order; lines of equal time keep their order.
    pub window: Window,
    /// 1-based line number of each entry.
    pub lines: Vec<usize>,
    /// Lines that carry a time of their own; the others take that of the line before.
    pub timed: usize,
}

impl TextLog {
    /// Reads the lines of `text` as one stream. `now` gives a year to times that have none: the moment of reading, or
    /// better the file's last change. Without a single time in it, lines are one nanosecond apart from 1970 on.
    pub fn parse(labels: Labels, text: &str, now: DateTime<Utc>) -> Self {
        let stamps: Vec<Option<Stamp>> = text.lines().map(|line| stamp(line, now)).collect();
        let timed = stamps.iter().flatten().count();
        let times = if timed == 0 { (0..).take(stamps.len()).collect() } else { times(&stamps) };
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|&index| times[index]);
        let lines: Vec<&str> = text.lines().collect();
        let entry = |&index: &usize| Entry { ts: times[index], stream: 0, line: lines[index].to_owned() };
        let window = Window { streams: vec![labels], entries: order.iter().map(entry).collect() };
        Self { window, lines: order.into_iter().map(|index| index + 1).collect(), timed }
    }

    /// The entry that is line `line` (from 1) of the file.
    pub fn entry_of(&self, line: usize) -> Option<usize> {
        self.lines.iter().position(|known| *known == line)
    }
}

/// One time for each line. Times of a program's own clock count only where no line knows the date; they never go
/// back, because a program that starts again counts from zero again.
fn times(stamps: &[Option<Stamp>]) -> Vec<i64> {
    let dated = stamps.iter().flatten().any(|stamp| matches!(stamp, Stamp::At(_)));
    let (mut offset, mut last) = (0_i64, None);
    let known: Vec<Option<i64>> = stamps
        .iter()
        .map(|stamp| match *stamp {
            Some(Stamp::At(ns)) => Some(ns),
            Some(Stamp::Since(ns)) if !dated => {
                let ns = ns.saturating_add(offset);
                let monotone = last.map_or(ns, |last| ns.max(last));
                offset = offset.saturating_add(monotone - ns);
                last = Some(monotone);
                last
            }
            _ => None,
        })
        .collect();
    let mut current = known.iter().flatten().next().copied().unwrap_or_default();
    let inherit = |time: &Option<i64>| {
        current = time.unwrap_or(current);
        current
    };
    known.iter().map(inherit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> TextLog {
        TextLog::parse(Labels::default(), text, "2026-11-24T06:00:00Z".parse().unwrap())
    }

    fn texts(log: &TextLog) -> Vec<&str> {
        log.window.entries.iter().map(|entry| entry.line.as_str()).collect()
    }

    #[test]
    fn lines_without_a_time_stay_with_the_line_before() {
        let log = parse("head\n2026-11-23T10:00:05Z b\n\tat b\n2026-11-23T10:00:01Z a\n  at a");
        assert_eq!(texts(&log)[..2], ["2026-11-23T10:00:01Z a", "  at a"]);
        assert_eq!(log.lines, [4, 5, 1, 2, 3]);
        assert_eq!((log.timed, log.entry_of(2), log.entry_of(6)), (2, Some(3), None));
    }

    #[test]
    fn a_clock_that_starts_again_does_not_mix_two_lives() {
        let log = parse("0.00.000.000 a\n0.05.000.000 b\n0.00.000.000 c\n0.01.000.000 d");
        let seconds: Vec<i64> = log.window.entries.iter().map(|entry| entry.ts / 1_000_000_000).collect();
        assert_eq!((seconds, log.lines), (vec![0, 5, 5, 6], vec![1, 2, 3, 4]));
    }

    #[test]
    fn a_file_without_times_keeps_its_order() {
        let log = parse("b\na\n\nc");
        assert_eq!((texts(&log), log.timed), (vec!["b", "a", "", "c"], 0));
        assert_eq!(parse("").window.entries.len(), 0);
    }
}
