//! The values that a template's most telling variable takes.

use super::clock;
use super::scan::Scanner;
use crate::stream::Window;

/// Values listed per template.
const LISTED: usize = 3;

/// A longer value is no use in a list.
const MAX_VALUE: usize = 64;

/// A variable with more values than this identifies, it does not explain.
const MAX_DISTINCT: usize = 64;

/// Up to this many records of one template are all looked at: a window from Loki rarely has as many lines.
const EXACT: usize = 4096;

/// Of more, this many spread evenly stand for all, and counts are estimates.
const SAMPLED: usize = 1024;

/// The top values of the variable that tells most about `heads` (entries of one template): few values, unevenly spread.
pub(super) fn telling(window: &Window, heads: &[u32]) -> Vec<(String, usize)> {
    let (mut scanner, mut tokens) = (Scanner::default(), Vec::new());
    let mut columns: Vec<Column<'_>> = Vec::new();
    let sampled = if heads.len() > EXACT { SAMPLED } else { heads.len() };
    for n in 0..sampled {
        let line = &window.entries[heads[n * heads.len() / sampled] as usize].line;
        scanner.tokens(line.as_bytes(), &mut tokens);
        if n == 0 {
            columns.resize_with(tokens.len(), Column::default);
        }
        for (column, token) in columns.iter_mut().zip(&tokens) {
            column.add(line.get(token.start as usize..token.end as usize));
        }
    }
    let telling = columns.iter().filter_map(|column| Some((column.telling(sampled)?, column)));
    // On a tie the first column wins: `max_by` keeps the last, hence the reversal.
    let best = telling.collect::<Vec<_>>().into_iter().rev().max_by(|a, b| a.0.total_cmp(&b.0));
    let mut top = best.map(|(_, column)| column.top()).unwrap_or_default();
    for (_, count) in &mut top {
        *count = *count * heads.len() / sampled;
    }
    top
}

/// Whether a value names something: a word, an address, a path.
fn names(value: &str) -> bool {
    let time = clock::leading(value.as_bytes()).1 > 0;
    let duration =
        value.starts_with(|c: char| c.is_ascii_digit()) && value.len() < 12 && !value.contains([':', '/', '-']);
    let address = value.contains(':') || value.matches('.').count() == 3;
    !time && !duration && (address || value.bytes().any(|b| b.is_ascii_alphabetic()))
}

/// The values seen at one token position: few, so a list is faster than a map.
#[derive(Default)]
struct Column<'a> {
    counts: Vec<(&'a str, usize)>,
    dropped: bool,
}

impl<'a> Column<'a> {
    fn add(&mut self, value: Option<&'a str>) {
        if self.dropped {
            return;
        }
        let Some(value) = value.filter(|value| value.len() <= MAX_VALUE) else { return self.drop_all() };
        let value = value.trim_start_matches([':', '-']).trim_end_matches([':', '.', '-']);
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == value) {
            *count += 1;
        } else if self.counts.len() == MAX_DISTINCT {
            self.drop_all();
        } else {
            self.counts.push((value, 1));
        }
    }

    fn drop_all(&mut self) {
        self.dropped = true;
        self.counts = Vec::new();
    }

    /// How much the column tells, none if nothing: the share of records its listed values cover, more for words and
    /// addresses than for bare numbers.
    fn telling(&self, records: usize) -> Option<f64> {
        let distinct = self.counts.len();
        if self.dropped || distinct < 2 || distinct * 2 > records.max(4) {
            return None;
        }
        // Bare numbers and times differ from line to line without telling why.
        if !self.counts.iter().all(|(value, _)| names(value)) {
            return None;
        }
        let covered: usize = self.top().iter().map(|(_, count)| count).sum();
        let letters = self.counts.iter().filter(|(v, _)| v.bytes().any(|b| b.is_ascii_alphabetic())).count();
        let dotted = self.counts.iter().filter(|(v, _)| v.contains(['.', ':', '/', '-'])).count();
        let words = (letters as f64 + 0.5 * dotted as f64) / distinct as f64;
        Some(covered as f64 / records as f64 + words)
    }

    fn top(&self) -> Vec<(String, usize)> {
        let mut all = self.counts.clone();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.into_iter().take(LISTED).map(|(value, count)| (value.to_owned(), count)).collect()
    }
}
