//! The records of each template, side by side.

use super::record::{Record, Records};
use crate::stream::{Entry, Window};

/// The records of every template, in order.
pub(super) struct Groups<'a> {
    records: &'a Records,
    /// Where the records of each template begin in `by_template`, and where the last ends.
    starts: Vec<u32>,
    by_template: Vec<u32>,
}

impl<'a> Groups<'a> {
    /// Groups `records` by their templates `of`, which are numbers below `templates`.
    pub(super) fn new(records: &'a Records, of: &[u32], templates: usize) -> Self {
        let mut starts = vec![0; templates + 1];
        for &template in of {
            starts[template as usize + 1] += 1;
        }
        for template in 0..templates {
            starts[template + 1] += starts[template];
        }
        let mut next = starts.clone();
        let mut by_template = vec![0; of.len()];
        for (record, &template) in (0u32..).zip(of) {
            let at = &mut next[template as usize];
            by_template[*at as usize] = record;
            *at += 1;
        }
        Self { records, starts, by_template }
    }

    /// The records of one template.
    pub(super) fn of(&self, template: u32) -> Members<'_> {
        let template = template as usize;
        let range = self.starts[template] as usize..self.starts[template + 1] as usize;
        Members { records: &self.records.all, numbers: &self.by_template[range] }
    }
}

/// The records of one template, in order.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    records: &'a [Record],
    numbers: &'a [u32],
}

impl Members<'_> {
    /// How many they are.
    pub(super) fn len(self) -> usize {
        self.numbers.len()
    }

    /// At most `most` of them, from the first to the last, as evenly as can be.
    pub(super) fn spread(self, most: usize) -> impl Iterator<Item = usize> {
        let (count, sampled) = (self.len(), self.len().min(most));
        (0..sampled).map(move |n| if n + 1 == sampled { count - 1 } else { n * count / sampled })
    }

    /// The number of its `n`th record among all records.
    pub(super) fn record(self, n: usize) -> u32 {
        self.numbers[n]
    }

    /// The entry that opens its `n`th record.
    pub(super) fn entry(self, window: &Window, n: usize) -> &Entry {
        &window.entries[self.records[self.numbers[n] as usize].head as usize]
    }

    /// How many begin from `first_ns` to `last_ns`.
    pub(super) fn between(self, window: &Window, first_ns: i64, last_ns: i64) -> usize {
        let ts = |record: &u32| window.entries[self.records[*record as usize].head as usize].ts;
        let before = self.numbers.partition_point(|record| ts(record) < first_ns);
        self.numbers.partition_point(|record| ts(record) <= last_ns).saturating_sub(before)
    }
}
