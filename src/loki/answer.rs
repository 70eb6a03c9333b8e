//! What Loki's answers mean, without their wire format.

use std::collections::HashMap;

use crate::stream::{Entry, Labels, Window};

/// The entries that a log query gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logs {
    /// Streams and entries, oldest first.
    pub window: Window,
    /// Structured metadata of each entry, in the order of the entries; empty unless it was asked for.
    pub metadata: Vec<Labels>,
    /// Whether these are all entries of the range. If not, the limit was reached and there may be more.
    pub complete: bool,
    /// What Loki remarked, such as parts that it could not read.
    pub warnings: Vec<String>,
}

/// A labelled series of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels that tell it from the others.
    pub labels: Labels,
    /// Nanoseconds since the Unix epoch and value, oldest first. A value may be infinite or not a number.
    pub samples: Vec<(i64, f64)>,
}

/// A pattern that Loki found in the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The pattern, `<_>` where lines differ.
    pub pattern: String,
    /// Level of its lines, if Loki knows one.
    pub level: Option<String>,
    /// Start of each step, in nanoseconds since the Unix epoch, and the number of lines in it.
    pub samples: Vec<(i64, u64)>,
}

/// An entry with its structured metadata, empty where it was not asked for.
pub(super) type Tagged = (Entry, Labels);

/// One response, stream after stream, each in the order in which its entries were written.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) streams: Vec<Labels>,
    pub(super) entries: Vec<Tagged>,
    pub(super) with_metadata: bool,
    pub(super) warnings: Vec<String>,
}

impl Page {
    /// Puts the entries in order of time; those of equal time keep the order of their streams.
    pub(super) fn into_logs(mut self, complete: bool) -> Logs {
        self.entries.sort_by_key(|(entry, _)| entry.ts);
        let (entries, metadata) = match self.with_metadata {
            true => self.entries.into_iter().unzip(),
            false => (self.entries.into_iter().map(|(entry, _)| entry).collect(), Vec::new()),
        };
        Logs { window: Window { streams: self.streams, entries }, metadata, complete, warnings: self.warnings }
    }
}

/// Pages put together, with each stream once.
#[derive(Debug, Default)]
pub(super) struct Collected {
    page: Page,
    numbers: HashMap<Labels, u32>,
}

impl Collected {
    /// Adds a page.
    pub(super) fn add(&mut self, page: Page) {
        let numbers: Vec<u32> = page.streams.into_iter().map(|labels| self.number(labels)).collect();
        self.page.with_metadata |= page.with_metadata;
        for warning in page.warnings {
            if !self.page.warnings.contains(&warning) {
                self.page.warnings.push(warning);
            }
        }
        self.page.entries.extend(page.entries.into_iter().map(|(mut entry, metadata)| {
            entry.stream = numbers.get(entry.stream as usize).copied().unwrap_or(entry.stream);
            (entry, metadata)
        }));
    }

    fn number(&mut self, labels: Labels) -> u32 {
        if let Some(number) = self.numbers.get(&labels) {
            return *number;
        }
        let number = u32::try_from(self.page.streams.len()).unwrap_or(u32::MAX);
        self.page.streams.push(labels.clone());
        self.numbers.insert(labels, number);
        number
    }

    pub(super) fn into_page(self) -> Page {
        self.page
    }

    pub(super) fn into_logs(self, complete: bool) -> Logs {
        self.page.into_logs(complete)
    }
}
