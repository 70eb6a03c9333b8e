//! How much a template deserves its place: severe, rare, new, the first failure and what stands beside it.

use std::num::NonZeroUsize;

use super::burst::Burst;
use super::hash::mix;
use super::level::Level;
use super::mine::{HashedMap, Mined};
use super::record::Records;
use super::scan;
use super::templates::Template;
use crate::stream::Window;
use crate::threads;

/// Bytes of a line that are searched for words of failure.
const SEARCHED: usize = 2048;

/// Templates that a thread takes at a time.
const PART: usize = 512;

/// Each further template of one kind counts for this much of the one before it.
const FAMILY_DISCOUNT: f64 = 0.8;

/// What a burst counts for: less than a level, more than coming late.
const BURST: f64 = 0.6;

/// Records before and after a failure, in its stream, that count as its neighbours.
const NEIGHBOURS: usize = 2;

/// A template's claim to be shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Claim {
    pub(super) score: f64,
    pub(super) why: Vec<&'static str>,
    /// It tells of a failure, so it is shown at greater length.
    pub(super) failure: bool,
    /// Its records that stand beside a first failure or end their stream.
    pub(super) context: Vec<u32>,
}

/// The claims of all templates.
pub(super) fn claims(
    window: &Window,
    records: &Records,
    mined: &Mined,
    bursts: &[Option<Burst>],
    threads: NonZeroUsize,
) -> Vec<Claim> {
    let total = records.all.len().max(1) as f64;
    let statuses = statuses();
    let claim = |template: &Template| claim(template, failing(window, records, template, &statuses), total);
    let parts: Vec<&[Template]> = mined.templates.chunks(PART).collect();
    let of_part = |n: usize, (): &mut ()| parts[n].iter().map(claim).collect::<Vec<Claim>>();
    let mut claims: Vec<Claim> = threads::map(parts.len(), threads.get(), of_part).into_iter().flatten().collect();
    for (claim, _) in claims.iter_mut().zip(bursts).filter(|(_, burst)| burst.is_some()) {
        claim.score += BURST;
        claim.why.push("bursting");
    }
    favour_first_failures(window, records, mined, &mut claims);
    discount_families(mined, &mut claims);
    for claim in &mut claims {
        if claim.why.is_empty() {
            claim.why.push("frequent");
        }
    }
    claims
}

/// What a template can claim by itself, `words` telling how much it speaks of failure.
fn claim(template: &Template, words: f64, total: f64) -> Claim {
    let (stated, credit) = severity(template.level);
    let severity = stated + credit * words;
    let failure = match template.level {
        Level::Fatal | Level::Error => true,
        Level::Warning | Level::Unknown => words >= 1.0,
        Level::Info | Level::Debug => false,
    };
    let count = f64::from(template.count);
    let rarity = (total / count).ln() / total.ln().max(1.0);
    let late = f64::from(template.first) / total;
    // What fails again and again matters no less than what failed once; of the rest, only the rare is news.
    let (often, rare) = if failure { (0.6 * (count.ln() / 100f64.ln()).min(1.0), 0.4) } else { (0.0, 1.0) };
    let reasons = [(severity >= 2.0, "severe"), (rarity > 0.7, "rare"), (late > 0.5, "new"), (often > 0.3, "repeated")];
    let why = reasons.iter().filter(|(holds, _)| *holds).map(|(_, reason)| *reason).collect();
    Claim { score: severity + rare * rarity + often + 0.5 * late, why, failure, context: Vec::new() }
}

/// What a level counts for, and what each word of failure adds to it: little where the level already says so.
fn severity(level: Level) -> (f64, f64) {
    match level {
        Level::Fatal => (4.5, 0.3),
        Level::Error => (4.0, 0.3),
        Level::Warning => (2.6, 0.6),
        Level::Unknown => (0.6, 1.5),
        Level::Info => (0.5, 0.7),
        Level::Debug => (0.0, 0.5),
    }
}

/// How much the words of a record speak of failure: 0 not at all, 1 clearly, 2 beyond doubt.
fn failing(window: &Window, records: &Records, template: &Template, statuses: &HashedMap<f64>) -> f64 {
    let line = window.entries[records.all[template.first as usize].head as usize].line.as_bytes();
    let words = line[..line.len().min(SEARCHED)].split(|b| !b.is_ascii_alphabetic());
    let (best, sum) = words.map(weight).fold((0.0, 0.0), |(best, sum): (f64, f64), w| (best.max(w), sum + w));
    let status = template.tokens.iter().filter_map(|token| statuses.get(token)).fold(0.0, |a: f64, b| a.max(*b));
    (best + 0.3 * (sum - best)).max(status).min(2.0)
}

/// What the HTTP statuses of failed and of refused requests say of failure, by the hash of their token.
fn statuses() -> HashedMap<f64> {
    let failed = scan::statuses(500..600).map(|hash| (hash, 1.5));
    failed.chain(scan::statuses(400..500).map(|hash| (hash, 0.6))).collect()
}

fn weight(word: &[u8]) -> f64 {
    if !(3..=14).contains(&word.len()) {
        return 0.0;
    }
    let mut lower = [0; 14];
    lower[..word.len()].copy_from_slice(word);
    lower.make_ascii_lowercase();
    match &lower[..word.len()] {
        b"panic" | b"fatal" | b"killed" | b"oom" | b"corrupt" | b"corrupted" | b"corruption" | b"denied"
        | b"refused" | b"cannot" | b"unable" | b"failed" | b"failure" | b"abort" | b"aborted" | b"crash"
        | b"segfault" | b"sigsegv" | b"unauthorized" | b"forbidden" | b"expired" | b"unreachable" | b"exhausted"
        | b"emerg" => 1.5,
        b"error" | b"errors" | b"err" | b"fail" | b"fails" | b"invalid" | b"timeout" | b"exceeded" | b"exceeds"
        | b"rejected" | b"unsupported" | b"unknown" | b"mismatch" | b"conflict" | b"missing" | b"lost"
        | b"exception" | b"traceback" | b"unexpected" | b"deadline" | b"broken" | b"insufficient" | b"down"
        | b"exited" => 1.0,
        b"limit" | b"warning" | b"retry" | b"retrying" | b"dropped" | b"dropping" | b"slow" | b"reset" | b"closed"
        | b"terminated" | b"unavailable" | b"unhealthy" | b"too" | b"not" | b"without" | b"skipping" => 0.5,
        _ => 0.0,
    }
}

/// The first failure of each component, what stands beside it, and the last words of each stream.
fn favour_first_failures(window: &Window, records: &Records, mined: &Mined, claims: &mut [Claim]) {
    let streams = window.streams.len().max(1);
    let mut marks = vec![Marks::default(); streams];
    for (index, record) in (0u32..).zip(&records.all) {
        let stream = window.entries[record.head as usize].stream as usize;
        marks[stream.min(streams - 1)].pass(index, || claims[mined.of[index as usize] as usize].failure);
    }
    let mut favoured: HashedMap<()> = HashedMap::default();
    let mut favour = |claims: &mut [Claim], record: u32, by: f64, why: &'static str| {
        let template = mined.of[record as usize];
        let claim = &mut claims[template as usize];
        if favoured.insert(mix(u64::from(template), by.to_bits()), ()).is_none() {
            claim.score += by;
            claim.why.push(why);
        }
        // The same failure once more is no news.
        if why == "last words" || !claim.failure {
            claim.context.push(record);
        }
    };
    for marks in &marks {
        if let Some(failure) = marks.failure {
            favour(claims, failure, 2.0, "first failure");
            for &beside in marks.before.iter().flatten().chain(&marks.after) {
                favour(claims, beside, 0.9, "beside the first failure");
            }
        }
        if let Some(last) = marks.last {
            favour(claims, last, 0.8, "last words");
        }
    }
}

/// The records of a stream that stand where it tells most.
#[derive(Debug, Clone, Default)]
struct Marks {
    /// The last ones before its first failure, or so far.
    before: [Option<u32>; NEIGHBOURS],
    failure: Option<u32>,
    after: Vec<u32>,
    last: Option<u32>,
}

impl Marks {
    /// Takes note of the next record of the stream.
    fn pass(&mut self, record: u32, fails: impl FnOnce() -> bool) {
        self.last = Some(record);
        match self.failure {
            Some(_) if self.after.len() < NEIGHBOURS => self.after.push(record),
            Some(_) => {}
            None if fails() => self.failure = Some(record),
            None => {
                self.before.rotate_left(1);
                self.before[NEIGHBOURS - 1] = Some(record);
            }
        }
    }
}

/// Templates of one kind (component, level and first words) must not crowd out all others.
fn discount_families(mined: &Mined, claims: &mut [Claim]) {
    let mut order: Vec<u32> = (0..claims.len() as u32).collect();
    order.sort_by(|&a, &b| claims[b as usize].score.total_cmp(&claims[a as usize].score).then(a.cmp(&b)));
    let mut members: HashedMap<i32> = HashedMap::default();
    for t in order {
        let template = &mined.templates[t as usize];
        let words = template.tokens.iter().take(6).fold(u64::from(template.component), |h, &w| mix(h, w));
        let earlier = members.entry(mix(words, template.level as u64)).or_insert(0);
        claims[t as usize].score *= FAMILY_DISCOUNT.powi((*earlier).min(40));
        *earlier += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Labels;

    #[test]
    fn the_one_failure_outranks_a_thousand_routine_lines() {
        let text = format!(
            "{}bind: permission denied\n{}",
            "level=info msg=tick n=1\n".repeat(500),
            "level=info msg=tick n=2\n".repeat(500)
        );
        let window = Window::from_text(Labels::default(), 0, &text);
        let (records, mined) = super::super::mined(&window, &[0], std::num::NonZeroUsize::MIN);
        let claims = claims(&window, &records, &mined, &[], NonZeroUsize::MIN);
        assert_eq!(claims.len(), 2);
        assert!(claims[1].score > claims[0].score + 2.0, "{claims:?}");
        assert!(claims[1].why.contains(&"first failure"), "{claims:?}");
    }
}
