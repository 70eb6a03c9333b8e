//! Whether a query is too expensive to run, from its time range and from what Loki's index says it would read.
//!
//! The index counts whole chunks and leaves out what is not flushed yet, so that a cost is an estimate and zero is no
//! promise. The guard only compares; asking Loki is the adapter's part ([`crate::loki::Client::guard`]).

use std::ops::AddAssign;
use std::time::Duration;

use serde::Deserialize;

/// What a query would read, as Loki's index estimates it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Cost {
    /// Streams that the selectors match.
    pub streams: u64,
    /// Chunks to fetch.
    pub chunks: u64,
    /// Bytes of log lines in them, uncompressed.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.streams = self.streams.saturating_add(other.streams);
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.entries = self.entries.saturating_add(other.entries);
    }
}

/// What happens to a query over a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing; Loki is not even asked.
    #[default]
    Off,
    /// It runs, with a notice.
    Warn,
    /// It does not run.
    Enforce,
}

impl Mode {
    /// The word used in settings and telemetry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}

/// Limits for one query; one that is not set does not bind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Guard {
    /// What happens over a limit.
    pub mode: Mode,
    /// Most bytes of log lines to read.
    pub max_bytes: Option<u64>,
    /// Most entries to read.
    pub max_entries: Option<u64>,
    /// Longest time range, in seconds.
    pub max_range_s: Option<u64>,
}

/// What the guard says about one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It may run.
    Pass,
    /// It may run, with this notice.
    Warn(String),
    /// It may not run; the text says what to narrow.
    Refuse(String),
}

impl Ruling {
    /// The word used in telemetry.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn(_) => "warn",
            Self::Refuse(_) => "refuse",
        }
    }
}

impl Guard {
    /// Rules on a query over `range` that would cost `cost`. The time range comes first: it is the plainest fix.
    pub fn rule(&self, range: Duration, cost: Cost) -> Ruling {
        let bytes = self.over(cost.bytes, self.max_bytes, |by| self.too_much("reads", by, range, cost, bytes_text));
        let entries = || {
            self.over(cost.entries, self.max_entries, |by| {
                self.too_much("reads", by, range, cost, |count| format!("{count} entries"))
            })
        };
        self.rule_range(range).or(bytes).or_else(entries).unwrap_or(Ruling::Pass)
    }

    /// Rules on the time range alone, which costs no request. `None`: the range is no reason against the query.
    pub fn rule_range(&self, range: Duration) -> Option<Ruling> {
        self.over(range.as_secs(), self.max_range_s, |(got, limit)| {
            let (got, limit) = (duration_text(got), duration_text(limit));
            format!(
                "the query looks at {got}, more than the limit of {limit}: narrow the time range to {limit} or less"
            )
        })
    }

    fn over(&self, got: u64, limit: Option<u64>, text: impl FnOnce((u64, u64)) -> String) -> Option<Ruling> {
        let limit = limit.filter(|limit| got > *limit)?;
        match self.mode {
            Mode::Off => None,
            Mode::Warn => Some(Ruling::Warn(text((got, limit)))),
            Mode::Enforce => Some(Ruling::Refuse(text((got, limit)))),
        }
    }

    fn too_much(
        &self,
        verb: &str,
        (got, limit): (u64, u64),
        range: Duration,
        cost: Cost,
        show: impl Fn(u64) -> String,
    ) -> String {
        let streams = if cost.streams == 1 { "1 stream".to_owned() } else { format!("{} streams", cost.streams) };
        format!(
            "the query {verb} about {} of {streams} in {}, more than the limit of {}: {}",
            show(got),
            duration_text(range.as_secs()),
            show(limit),
            narrower(range, got, limit, cost.streams)
        )
    }
}

/// What to narrow: the range in proportion to the excess, as long as that leaves a range worth asking for.
fn narrower(range: Duration, got: u64, limit: u64, streams: u64) -> String {
    let share = u128::from(range.as_secs()) * u128::from(limit) / u128::from(got.max(1));
    let seconds = u64::try_from(share).unwrap_or(u64::MAX);
    let select = if streams == 1 { "" } else { ", or add label matchers that select fewer streams" };
    match seconds {
        0..60 if streams == 1 => "narrow the time range".to_owned(),
        0..60 => "add label matchers that select fewer streams".to_owned(),
        _ => format!("narrow the time range to about {}{select}", duration_text(seconds)),
    }
}

fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = "bytes";
    let mut value = bytes as f64;
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

/// A length of time in its two largest units.
fn duration_text(seconds: u64) -> String {
    let parts = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut text = Vec::new();
    for (size, unit) in parts {
        let count = left / size;
        left %= size;
        if count > 0 && text.len() < 2 {
            text.push(format!("{count} {unit}"));
        } else if !text.is_empty() {
            break;
        }
    }
    if text.is_empty() { "less than a second".to_owned() } else { text.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn guard(mode: Mode) -> Guard {
        Guard { mode, max_bytes: Some(1 << 30), max_entries: Some(1_000_000), max_range_s: Some(7 * 86_400) }
    }

    fn cost(bytes: u64, entries: u64) -> Cost {
        Cost { streams: 12, chunks: 40, bytes, entries }
    }

    #[test]
    fn within_the_limits_a_query_passes() {
        for mode in [Mode::Off, Mode::Warn, Mode::Enforce] {
            assert_eq!(guard(mode).rule(7 * DAY, cost(1 << 30, 1_000_000)), Ruling::Pass);
        }
        let unlimited = Guard { mode: Mode::Enforce, ..Guard::default() };
        assert_eq!(unlimited.rule(1000 * DAY, cost(u64::MAX, u64::MAX)), Ruling::Pass);
    }

    #[test]
    fn the_mode_decides_what_happens_over_a_limit() {
        let text = "the query reads about 3.0 GiB of 12 streams in 1 d, more than the limit of 1.0 GiB: narrow the time \
                    range to about 8 h, or add label matchers that select fewer streams";
        assert_eq!(guard(Mode::Enforce).rule(DAY, cost(3 << 30, 0)), Ruling::Refuse(text.to_owned()));
        assert_eq!(guard(Mode::Warn).rule(DAY, cost(3 << 30, 0)), Ruling::Warn(text.to_owned()));
        assert_eq!(guard(Mode::Off).rule(DAY, cost(3 << 30, 0)), Ruling::Pass);
    }

    #[test]
    fn the_text_says_what_to_narrow() {
        let refused = |range, cost| match guard(Mode::Enforce).rule(range, cost) {
            Ruling::Refuse(text) => text,
            other => panic!("{other:?}"),
        };
        let long = refused(8 * DAY, cost(u64::MAX, 0));
        assert!(long.contains("looks at 8 d") && long.ends_with("narrow the time range to 7 d or less"), "{long}");
        let entries = refused(DAY, cost(0, 2_500_000));
        assert!(entries.contains("about 2500000 entries") && entries.contains("about 9 h 36 min"), "{entries}");
        let short = refused(Duration::from_secs(90), cost(3 << 30, 0));
        assert!(short.ends_with("1.0 GiB: add label matchers that select fewer streams"), "{short}");
        let one = refused(DAY, Cost { streams: 1, ..cost(2 << 30, 0) });
        assert!(one.contains("of 1 stream in") && one.ends_with("narrow the time range to about 12 h"), "{one}");
        assert!(refused(Duration::MAX, cost(u64::MAX, u64::MAX)).contains("narrow"));
    }

    #[test]
    fn units_are_those_a_person_would_choose() {
        assert_eq!([bytes_text(900), bytes_text(1536), bytes_text(u64::MAX)], ["900 bytes", "1.5 KiB", "16384.0 PiB"]);
        assert_eq!(duration_text(90_061), "1 d 1 h");
        assert_eq!(duration_text(86_460), "1 d");
        assert_eq!(duration_text(0), "less than a second");
    }

    #[test]
    fn a_misspelt_limit_is_refused() {
        let read = |text: &str| serde_json::from_str::<Guard>(text);
        let expected = Guard { mode: Mode::Warn, max_bytes: Some(5), ..Guard::default() };
        assert_eq!(read(r#"{"mode": "warn", "maxBytes": 5}"#).unwrap(), expected);
        assert!(read(r#"{"maxByte": 5}"#).is_err());
    }
}
