//! Log data as Loki means it: labelled streams of timestamped lines, and the window of them that one query returns.
//!
//! Lines are untrusted bytes made text once, at the door; of what they say, only their time is read, where a file has
//! nothing else ([`TextLog`]).

mod stamp;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use stamp::{Stamp, stamp};
pub use text::TextLog;

/// Labels that tell a person which component wrote a stream, most telling first.
const COMPONENT_LABELS: [&str; 8] =
    ["container", "app", "app_kubernetes_io_name", "service_name", "component", "job", "unit", "pod"];

/// The label set of one stream, ordered by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    /// The value of label `name`, if the stream has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The word a person would use for the program behind this stream: the first of `container`, `app`, … `pod`
    /// that is set, else `-`.
    pub fn component(&self) -> &str {
        COMPONENT_LABELS.iter().find_map(|name| self.get(name)).filter(|value| !value.is_empty()).unwrap_or("-")
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Writes the set as a LogQL stream selector, `{app="x", pod="y"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// One timestamped line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since the Unix epoch, as in Loki.
    pub ts: i64,
    /// Index into [`Window::streams`].
    pub stream: u32,
    /// The line without its line ending.
    pub line: String,
}

/// The time that a query looks at, in nanoseconds since the Unix epoch: from `start` on, up to but without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First instant that belongs to it.
    pub start: i64,
    /// First instant after it.
    pub end: i64,
}

impl TimeRange {
    /// How long it is; zero if it ends before it starts.
    pub fn length(&self) -> Duration {
        let nanos = i128::from(self.end) - i128::from(self.start);
        Duration::from_nanos(u64::try_from(nanos.max(0)).expect("the difference of two i64 fits a u64"))
    }
}

/// The entries of one query result, oldest first, across all its streams. An entry's index is its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// Label sets, referred to by [`Entry::stream`].
    pub streams: Vec<Labels>,
    /// Entries in chronological order; entries of equal time keep the order in which they arrived.
    pub entries: Vec<Entry>,
}

impl Window {
    /// Builds a window from streams and entries in any order; the sort is stable.
    pub fn new(streams: Vec<Labels>, mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.ts);
        Self { streams, entries }
    }

    /// A window of one stream from the lines of a file, one nanosecond apart from `start`, for logs without a Loki.
    pub fn from_text(labels: Labels, start: i64, text: &str) -> Self {
        let entries = (start..).zip(text.lines()).map(|(ts, line)| Entry { ts, stream: 0, line: line.to_owned() });
        Self { streams: vec![labels], entries: entries.collect() }
    }

    /// Adds the entries of another window, each stream once.
    pub fn append(&mut self, other: Self) {
        let streams: Vec<u32> = other.streams.into_iter().map(|labels| self.stream(labels)).collect();
        self.entries.extend(other.entries.into_iter().map(|entry| {
            let stream = streams.get(entry.stream as usize).copied().unwrap_or(entry.stream);
            Entry { stream, ..entry }
        }));
        self.entries.sort_by_key(|entry| entry.ts);
    }

    fn stream(&mut self, labels: Labels) -> u32 {
        let at = self.streams.iter().position(|known| *known == labels).unwrap_or_else(|| {
            self.streams.push(labels);
            self.streams.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Keeps what was written at `since` or later, and of that the newest `most` entries.
    pub fn keep_newest(&mut self, since: i64, most: usize) {
        let old = self.entries.partition_point(|entry| entry.ts < since);
        self.entries.drain(..old.max(self.entries.len().saturating_sub(most)));
    }

    /// The component word of an entry's stream, `-` when it has none.
    pub fn component(&self, entry: &Entry) -> &str {
        self.streams.get(entry.stream as usize).map_or("-", Labels::component)
    }

    /// Sum of the line lengths, in bytes.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.line.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_prefers_the_container_and_survives_an_empty_set() {
        let labels: Labels = [("pod", "etcd-0"), ("container", "etcd")].into_iter().collect();
        assert_eq!(labels.component(), "etcd");
        assert_eq!(Labels::default().component(), "-");
        assert_eq!(labels.to_string(), r#"{container="etcd", pod="etcd-0"}"#);
    }

    #[test]
    fn a_window_moves_on_with_what_is_added() {
        let entry = |ts, stream, line: &str| Entry { ts, stream, line: line.to_owned() };
        let labels = |app: &str| Labels::from_iter([("app", app)]);
        let mut window = Window::new(vec![labels("a")], vec![entry(1, 0, "a1"), entry(3, 0, "a3")]);
        window.append(Window::new(vec![labels("b"), labels("a")], vec![entry(2, 0, "b2"), entry(4, 1, "a4")]));
        let all: Vec<_> = window.entries.iter().map(|e| (e.ts, e.stream)).collect();
        assert_eq!((all, window.streams.len()), (vec![(1, 0), (2, 1), (3, 0), (4, 0)], 2));
        window.keep_newest(2, 2);
        let kept: Vec<_> = window.entries.iter().map(|e| e.line.as_str()).collect();
        assert_eq!(kept, ["a3", "a4"]);
    }

    #[test]
    fn entries_of_equal_time_keep_their_order() {
        let entry = |ts, line: &str| Entry { ts, stream: 0, line: line.to_owned() };
        let window = Window::new(vec![Labels::default()], vec![entry(2, "b"), entry(1, "a"), entry(2, "c")]);
        let lines: Vec<_> = window.entries.iter().map(|e| e.line.as_str()).collect();
        assert_eq!(lines, ["a", "b", "c"]);
    }
}
