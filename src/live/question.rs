//! What is asked: the question, the window it looks at, and the key by which the same question is recognised.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::ledger::Purpose;
use crate::prompt::PromptId;
use crate::stream::TimeRange;

/// How far the end of a range may lie behind now for the range to follow the clock.
const NOW: TimeDelta = TimeDelta::seconds(60);

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
    /// So long back from now: its verdict gets old.
    Latest(Duration),
    /// From one time to another, both past: its verdict does not.
    Fixed(TimeRange),
}

impl Span {
    /// The span that a panel's range stands for. One that ends now, give or take a minute, follows the clock; its
    /// length is rounded up to a full ten seconds below an hour, five minutes below a day and hours beyond, so that a
    /// panel that is refreshed asks the same question, also one that looks at "today so far".
    pub fn of(range: TimeRange, now: DateTime<Utc>) -> Self {
        let recent = (now - NOW).timestamp_nanos_opt().is_some_and(|recent| range.end >= recent);
        if !recent {
            return Self::Fixed(range);
        }
        let seconds = range.length().as_millis().div_ceil(1000) as u64;
        let unit = match seconds {
            0..3600 => 10,
            3600..86_400 => 300,
            _ => 3600,
        };
        Self::Latest(Duration::from_secs(seconds.div_ceil(unit).max(1) * unit))
    }

    /// The window that is looked at now.
    pub fn range(self, now: DateTime<Utc>) -> TimeRange {
        match self {
            Self::Fixed(range) => range,
            Self::Latest(length) => {
                let end = now.timestamp_nanos_opt().unwrap_or(i64::MAX);
                TimeRange { start: end.saturating_sub(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)), end }
            }
        }
    }

    /// How long the window is.
    pub fn length(self) -> Duration {
        match self {
            Self::Latest(length) => length,
            Self::Fixed(range) => range.length(),
        }
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

    fn span(back_from: i64, back_to: i64) -> Span {
        let now = now().timestamp_nanos_opt().unwrap();
        Span::of(TimeRange { start: now - back_from * S, end: now - back_to * S }, super::tests::now())
    }

    #[test]
    fn a_refreshed_panel_asks_the_same_question() {
        let latest = |seconds| Span::Latest(Duration::from_secs(seconds));
        assert_eq!(
            [span(900, 0), span(899, 0), span(930, 30), span(900, -5)].map(|s| s == latest(900)),
            [true, true, true, false]
        );
        assert_eq!(span(900, -5), latest(910));
        assert_eq!([span(36_100, 0), span(36_299, 0)], [latest(36_300); 2]);
        assert_eq!(span(7 * 86_400, 0), latest(7 * 86_400));
        assert_eq!(span(0, 0), latest(10));
    }

    #[test]
    fn yesterday_is_another_question() {
        assert!(matches!(span(900, 61), Span::Fixed(_)));
        let odd = TimeRange { start: i64::MAX, end: i64::MIN };
        assert_eq!(Span::of(odd, now()), Span::Fixed(odd));
        let range = Span::Latest(Duration::from_secs(60)).range(now());
        assert_eq!((range.length().as_secs(), range.end), (60, now().timestamp_nanos_opt().unwrap()));
        Span::Latest(Duration::MAX).range(DateTime::<Utc>::MAX_UTC);
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
