//! When a template bursts: most of its entries within a small share of the time from its first to its last.

use serde::Serialize;

use super::members::Members;
use crate::stream::Window;

/// Of more records, this many spread evenly stand for all.
const SAMPLED: usize = 4096;

/// Fewer records are no crowd.
const FEWEST: usize = 8;

/// In less time than this, nanoseconds, everything comes at once: a digest shows seconds.
const SHORTEST_SPAN: f64 = 10e9;

/// A burst holds more than half of the records in at most this share of their time.
const SHARE: f64 = 0.1;

/// The part of a template's time that holds most of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Burst {
    /// When it begins, nanoseconds since the epoch.
    pub first_ns: i64,
    /// When it ends, nanoseconds since the epoch.
    pub last_ns: i64,
    /// Records in it.
    pub count: usize,
}

/// The burst of a template, none if its records are spread over its time.
///
/// It is the interval whose share of the records exceeds its share of the time by most, as in Kuiper's statistic.
pub(super) fn burst(window: &Window, members: Members<'_>) -> Option<Burst> {
    let count = members.len();
    if count < FEWEST {
        return None;
    }
    let ts = |n: usize| members.entry(window, n).ts;
    let (begin, span) = (ts(0) as f64, ts(count - 1) as f64 - ts(0) as f64);
    if span < SHORTEST_SPAN {
        return None;
    }
    let mut opened = (f64::NEG_INFINITY, 0);
    let mut best = (f64::NEG_INFINITY, 0, 0);
    for n in members.spread(SAMPLED) {
        let (time, records) = ((ts(n) as f64 - begin) / span, n as f64 / count as f64);
        if time - records > opened.0 {
            opened = (time - records, n);
        }
        if opened.0 + records - time > best.0 {
            best = (opened.0 + records - time, opened.1, n);
        }
    }
    let (_, first, last) = best;
    let (first_ns, last_ns) = (ts(first), ts(last));
    let burst = Burst { first_ns, last_ns, count: members.between(window, first_ns, last_ns) };
    let short = burst.last_ns as f64 - burst.first_ns as f64 <= SHARE * span;
    (short && 2 * burst.count > count).then_some(burst)
}

#[cfg(test)]
mod tests {
    use super::super::members::Groups;
    use super::*;
    use crate::stream::{Entry, Labels};

    fn of(seconds: impl IntoIterator<Item = i64>) -> Option<(i64, i64, usize)> {
        const SECOND: i64 = 1_000_000_000;
        let line = "same".to_owned();
        let entries = seconds.into_iter().map(|s| Entry { ts: s * SECOND, stream: 0, line: line.clone() }).collect();
        let window = Window::new(vec![Labels::default()], entries);
        let records = super::super::record::of(&window);
        let groups = Groups::new(&records, &vec![0; records.all.len()], 1);
        burst(&window, groups.of(0)).map(|b| (b.first_ns / SECOND, b.last_ns / SECOND, b.count))
    }

    #[test]
    fn most_in_a_small_share_of_the_time_is_a_burst() {
        assert_eq!(of([0, 100, 300].into_iter().chain(500..520).chain([900, 1000])), Some((500, 519, 20)));
        assert_eq!(of([0; 20].into_iter().chain([1000])), Some((0, 0, 20)));
        assert_eq!(of((0..20_000).map(|n| if n < 100 { 0 } else { 5000 + n / 100 })), Some((5001, 5199, 19_900)));
    }

    #[test]
    fn what_is_spread_few_or_at_one_instant_is_none() {
        assert_eq!(of((0..100).map(|n| n * 30)), None);
        assert_eq!(of((0..20).map(|n| n / 10 * 1000)), None);
        assert_eq!(of([0, 1, 1, 1, 1, 1, 1000]), None);
        assert_eq!(of([7; 50].into_iter().chain([9])), None);
        assert_eq!(of([i64::MIN / 1_000_000_000, i64::MAX / 1_000_000_000].repeat(8)), None);
    }
}
