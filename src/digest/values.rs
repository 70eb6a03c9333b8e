//! The values that the variables of a template take, and the records that hold the rare ones.

use super::clock;
use super::members::Members;
use super::scan::Scanner;
use crate::stream::Window;

/// Values listed per variable.
const LISTED: usize = 3;

/// Variables listed per template.
const VARIABLES: usize = 4;

/// A longer value is no use in a list.
const MAX_VALUE: usize = 64;

/// A variable with more values than this identifies, it does not explain.
const MAX_DISTINCT: usize = 64;

/// Records shown per template beside its first one.
const FURTHER: usize = 2;

/// A number this many times the usual one is worth a line; one as rare as that is, too.
const DWARFED: f64 = 10.0;

/// Values of a variable with their counts, most frequent first. Counts are estimates in windows of more than 8,192
/// records.
pub type Values = Vec<(String, usize)>;

/// What stands at each token position of a template's records.
pub(super) struct Columns<'a> {
    columns: Vec<Column<'a>>,
    members: Members<'a>,
    /// Which of the members were looked at.
    seen: Vec<usize>,
}

impl<'a> Columns<'a> {
    /// Looks at up to `most` of the `members`.
    pub(super) fn new(window: &'a Window, members: Members<'a>, most: usize) -> Self {
        let (mut scanner, mut tokens) = (Scanner::default(), Vec::new());
        let mut columns: Vec<Column<'a>> = Vec::new();
        let seen: Vec<usize> = members.spread(most).collect();
        for (row, &n) in seen.iter().enumerate() {
            let line = &members.entry(window, n).line;
            scanner.tokens(line.as_bytes(), &mut tokens);
            if row == 0 {
                columns
                    .resize_with(tokens.len(), || Column { rows: Vec::with_capacity(seen.len()), ..Column::default() });
            }
            for (column, token) in columns.iter_mut().zip(&tokens) {
                column.add(row, line.get(token.start as usize..token.end as usize).unwrap_or_default());
            }
        }
        columns.retain(|column| column.rows.len() == seen.len());
        Self { columns, members, seen }
    }

    /// The top values of each variable that tells something, the most telling first; of variables that hold the same
    /// values, one.
    pub(super) fn variables(&self) -> Vec<Values> {
        let rows = self.seen.len();
        let mut telling: Vec<(f64, &Column<'_>)> =
            self.columns.iter().filter_map(|column| Some((column.telling(rows)?, column))).collect();
        telling.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut listed: Vec<Values> = Vec::new();
        for (_, column) in telling {
            let mut top = column.top();
            if listed.len() < VARIABLES && !top.iter().any(|(value, _)| lists(&listed, value)) {
                for (_, count) in &mut top {
                    *count = *count * self.members.len() / rows;
                }
                listed.push(top);
            }
        }
        listed
    }

    /// Records with values that neither the first record has nor any of `listed`, those with the rarest first.
    pub(super) fn rare(&self, listed: &[Values]) -> Vec<u32> {
        let varying = self.columns.iter().filter(|column| column.counts.len() > 1);
        let mut news: Vec<(&Column<'_>, Vec<f64>)> =
            varying.map(|column| (column, column.news(self.seen.len(), listed))).collect();
        let mut shown = vec![0];
        while shown.len() <= FURTHER {
            for (column, news) in &mut news {
                news[column.rows[shown[shown.len() - 1]] as usize] = 0.0;
            }
            let sum = |row: usize| news.iter().map(|(column, news)| news[column.rows[row] as usize]).sum::<f64>();
            let all = (0..self.seen.len()).map(|row| (sum(row), row));
            let best = all.fold((0.0, 0), |best, next| if next.0 > best.0 { next } else { best });
            if best.0 <= 0.0 {
                break;
            }
            shown.push(best.1);
        }
        shown[1..].iter().map(|&row| self.members.record(self.seen[row])).collect()
    }
}

fn lists(listed: &[Values], value: &str) -> bool {
    listed.iter().flatten().any(|(known, _)| known == value)
}

/// Whether a value names something: a word, an address, a path.
fn names(value: &str) -> bool {
    let duration =
        value.starts_with(|c: char| c.is_ascii_digit()) && value.len() < 12 && !value.contains([':', '/', '-']);
    let address = value.contains(':') || value.matches('.').count() == 3;
    !time(value) && !duration && (address || letters(value))
}

/// Whether it is a time: the time of a line is news to nobody.
fn time(value: &str) -> bool {
    clock::leading(value.as_bytes()).1 > 0
}

/// A number, in the smallest of its units if it has one: durations and sizes compare only then.
fn magnitude(value: &str) -> Option<f64> {
    let digits = value.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let number: f64 = value[..digits].parse().ok()?;
    let scale = match value[digits..].trim_start() {
        "" | "ns" | "B" => 1.0,
        "us" | "µs" | "kB" | "KB" | "KiB" => 1e3,
        "ms" | "MB" | "MiB" => 1e6,
        "s" | "GB" | "GiB" => 1e9,
        _ => return None,
    };
    Some(number * scale)
}

fn letters(value: &str) -> bool {
    value.bytes().any(|b| b.is_ascii_alphabetic())
}

/// The values seen at one token position: few, so a list is faster than a map.
#[derive(Default)]
struct Column<'a> {
    counts: Vec<(&'a str, usize)>,
    /// The value of each row, as a place in `counts`.
    rows: Vec<u8>,
    dropped: bool,
}

impl<'a> Column<'a> {
    fn add(&mut self, row: usize, value: &'a str) {
        if self.dropped {
            return;
        }
        let value = value.trim_start_matches([':', '-']).trim_end_matches([':', '.', '-']);
        let known = self.counts.iter().position(|(known, _)| *known == value);
        let place = known.unwrap_or(self.counts.len());
        // A row without this token leaves the column behind: it cannot be told any more which value is whose.
        if place == MAX_DISTINCT || row != self.rows.len() {
            *self = Self { dropped: true, ..Self::default() };
            return;
        }
        if known.is_none() {
            self.counts.push((value, 0));
        }
        self.counts[place].1 += 1;
        self.rows.push(place as u8);
    }

    /// How much the column tells, none if nothing: the share of records its listed values cover, more for words and
    /// addresses than for bare numbers.
    fn telling(&self, records: usize) -> Option<f64> {
        let distinct = self.counts.len();
        if distinct < 2 || distinct * 2 > records.max(4) {
            return None;
        }
        // Bare numbers and times differ from line to line without telling why.
        if !self.counts.iter().all(|(value, _)| value.len() <= MAX_VALUE && names(value)) {
            return None;
        }
        let covered: usize = self.top().iter().map(|(_, count)| count).sum();
        let lettered = self.counts.iter().filter(|(value, _)| letters(value)).count();
        let dotted = self.counts.iter().filter(|(v, _)| v.contains(['.', ':', '/', '-'])).count();
        let words = (lettered as f64 + 0.5 * dotted as f64) / distinct as f64;
        Some(covered as f64 / records as f64 + words)
    }

    /// What showing each value would tell: the rarer the more. Nothing for ids, of which most records have their own;
    /// of numbers only those count that few records have, or that dwarf the others.
    fn news(&self, records: usize, listed: &[Values]) -> Vec<f64> {
        let few = self.counts.len() * 2 <= records.max(4);
        let usual = self.usual();
        let of = |&(value, count): &(&str, usize)| {
            if lists(listed, value) || time(value) {
                return 0.0;
            }
            let share = records as f64 / count as f64;
            let large = magnitude(value).zip(usual).map_or(0.0, |(number, usual)| number / usual);
            let digits = value.bytes().any(|b| b.is_ascii_digit());
            let tells = if !digits { letters(value) } else { few && (names(value) || share >= DWARFED) };
            let rarity = if tells { share.ln() } else { 0.0 };
            if large >= DWARFED { rarity.max(large.ln()) } else { rarity }
        };
        self.counts.iter().map(of).collect()
    }

    /// The middle of the numbers in it, none if there are none or they are not above zero.
    fn usual(&self) -> Option<f64> {
        let mut numbers: Vec<(f64, usize)> = Vec::new();
        for &(value, count) in &self.counts {
            numbers.push((magnitude(value)?, count));
        }
        numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let half = numbers.iter().map(|(_, count)| count).sum::<usize>() / 2;
        let mut seen = 0;
        let middle = numbers.iter().find(|(_, count)| {
            seen += count;
            seen > half
        });
        middle.map(|(number, _)| *number).filter(|number| *number > 0.0)
    }

    fn top(&self) -> Values {
        let mut all = self.counts.clone();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.into_iter().take(LISTED).map(|(value, count)| (value.to_owned(), count)).collect()
    }
}
