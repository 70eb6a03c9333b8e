//! What is asked: the question, the window it looks at, and the key by which the same question is recognised.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ledger::Purpose;
use crate::prompt::PromptId;
use crate::stream::TimeRange;

/// How far the end of a range may lie behind now for the range to follow the clock.
const NOW: Duration = Duration::from_secs(60);
/// The unit of how far a range that follows the clock stays behind it.
const LAG: Duration = Duration::from_secs(60);

/// Digits of a key.
const DIGITS: usize = 32;

/// A question about logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// LogQL, every variable expanded.
    pub expr: String,
    /// The window that it looks at.
    pub span: Span,
    /// The prompt version; `None`: the routing rules choose.
    pub prompt: Option<PromptId>,
    /// The model; `None`: what the route says, else the default.
    pub model: Option<String>,
}

/// The window that a question looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// It follows the clock: its verdict gets old.
    Latest {
        /// How long it is.
        length: Duration,
        /// How far its end stays behind now.
        lag: Duration,
    },
    /// From one time to another, both past: its verdict does not.
    Fixed(TimeRange),
}

impl Span {
    /// The window of this length that ends now.
    pub fn latest(length: Duration) -> Self {
        Self::Latest { length, lag: Duration::ZERO }
    }

    /// The span that a time range stands for; `None` if nothing of it has passed. What lies in the future is left out.
    ///
    /// A range that ends now, give or take a minute, follows the clock. One that ended earlier does so if it is known to
    /// be `relative` to now, as an alert rule's is, staying behind by full minutes. The length of either is rounded up to
    /// a full ten seconds below an hour, five minutes below a day and hours beyond, so that a panel that is refreshed asks
    /// the same question, also one that looks at "today so far".
    pub fn of(range: TimeRange, now: DateTime<Utc>, relative: bool) -> Option<Self> {
        let now = now.timestamp_nanos_opt().unwrap_or(i64::MAX);
        let range = TimeRange { end: range.end.min(now), ..range };
        if range.start >= range.end {
            return None;
        }
        let behind = TimeRange { start: range.end, end: now }.length();
        let lag = match relative {
            _ if behind <= NOW => Duration::ZERO,
            true => LAG * u32::try_from((behind + LAG / 2).as_secs() / LAG.as_secs()).unwrap_or(u32::MAX),
            false => return Some(Self::Fixed(range)),
        };
        let seconds = range.length().as_millis().div_ceil(1000) as u64;
        let unit = match seconds {
            0..3600 => 10,
            3600..86_400 => 300,
            _ => 3600,
        };
        Some(Self::Latest { length: Duration::from_secs(seconds.div_ceil(unit) * unit), lag })
    }

    /// The window that is looked at now.
    pub fn range(self, now: DateTime<Utc>) -> TimeRange {
        match self {
            Self::Fixed(range) => range,
            Self::Latest { length, lag } => {
                let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
                let end = now.timestamp_nanos_opt().unwrap_or(i64::MAX).saturating_sub(nanos(lag));
                TimeRange { start: end.saturating_sub(nanos(length)), end }
            }
        }
    }

    /// How long the window is.
    pub fn length(self) -> Duration {
        match self {
            Self::Latest { length, .. } => length,
            Self::Fixed(range) => range.length(),
        }
    }

    /// Whether it follows the clock.
    pub fn is_latest(self) -> bool {
        matches!(self, Self::Latest { .. })
    }
}

/// Who asks, as far as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who wants to know.
    pub purpose: Purpose,
    /// The trace that the question belongs to, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

impl Origin {
    /// An origin without a trace.
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, trace_id: None }
    }
}

/// The identity of a question: equal questions under equal settings have equal keys. Written as 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key made of a hash, which is longer than it.
    pub(super) fn of_hash(hash: &str) -> Self {
        let digits = hash.rsplit(':').next().unwrap_or_default();
        Self(digits.chars().take(DIGITS).collect())
    }

    /// A number that differs between keys, from 0 up to but without 1.
    pub(super) fn fraction(&self) -> f64 {
        f64::from(u32::from_str_radix(self.0.get(..8).unwrap_or_default(), 16).unwrap_or_default()) / 4_294_967_296.0
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        match text.len() == DIGITS && text.chars().all(digit) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("`{}` is not the key of a question", crate::problem::excerpt(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn span(back_from: i64, back_to: i64, relative: bool) -> Option<Span> {
        let now = now().timestamp_nanos_opt().unwrap();
        let range = TimeRange { start: now - back_from * S, end: now - back_to * S };
        Span::of(range, super::tests::now(), relative)
    }

    fn latest(length: u64, lag: u64) -> Option<Span> {
        let [length, lag] = [length, lag].map(Duration::from_secs);
        Some(Span::Latest { length, lag })
    }

    #[test]
    fn a_refreshed_panel_asks_the_same_question() {
        for (back_from, back_to) in [(900, 0), (899, 0), (930, 30), (960, 60)] {
            assert_eq!([true, false].map(|relative| span(back_from, back_to, relative)), [latest(900, 0); 2]);
        }
        assert_eq!([36_100, 36_299].map(|back| span(back, 0, false)), [latest(36_300, 0); 2]);
        assert_eq!(span(7 * 86_400, 0, false), latest(7 * 86_400, 0));
        assert_eq!(Span::of(TimeRange { start: 0, end: 1 }, DateTime::UNIX_EPOCH, false), None);
    }

    #[test]
    fn today_is_what_has_passed_of_it() {
        assert_eq!(span(36_000, -50_400, false), latest(36_000, 0), "at ten o'clock");
        assert_eq!(span(895, -5, false), latest(900, 0), "a browser's clock that goes before ours");
        assert_eq!([span(0, -900, false), span(-1, -900, true), span(10, 20, true)], [None; 3]);
    }

    #[test]
    fn a_range_that_stays_behind_the_clock_is_known_by_how_far() {
        for back_to in [271, 300, 300, 329] {
            assert_eq!(span(900 + back_to, back_to, true), latest(900, 300), "{back_to}");
        }
        let range = span(1200, 300, true).unwrap().range(now());
        let end = now().timestamp_nanos_opt().unwrap() - 300 * S;
        assert_eq!((range.length().as_secs(), range.end), (900, end));
    }

    #[test]
    fn yesterday_is_another_question() {
        assert!(matches!(span(900, 61, false), Some(Span::Fixed(_))));
        let ever = TimeRange { start: i64::MIN, end: i64::MIN + 1 };
        assert_eq!(Span::of(ever, now(), false), Some(Span::Fixed(ever)));
        assert!(Span::of(ever, now(), true).is_some_and(Span::is_latest));
        Span::latest(Duration::MAX).range(DateTime::<Utc>::MAX_UTC);
        Span::Latest { length: Duration::MAX, lag: Duration::MAX }.range(DateTime::<Utc>::MIN_UTC);
    }

    #[test]
    fn a_key_is_read_back_and_nothing_else_is() {
        let key = Key::of_hash(&crate::hash::of_text("x", None));
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        for bad in ["", "../../etc/passwd", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde/"] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
        assert!((0.0..1.0).contains(&key.fraction()));
    }
}
