//! The bounded excerpt of a window of logs that a model sees: templates with counts, exemplars, times and values.
//!
//! `digest` joins continuation lines into records ([`record`]), masks what varies by nature ([`scan`]), groups records
//! into templates ([`mine`]), ranks them ([`select`]) and writes as many as the budget holds ([`render`]). The same
//! window and budget always give the same bytes. It refuses to interpret: no line is dropped for what it says, and
//! whatever is left out is counted.

mod account;
mod burst;
mod classes;
mod clock;
mod extras;
mod hash;
mod level;
mod lines;
mod members;
mod mine;
mod pairs;
mod record;
mod render;
mod scan;
mod select;
mod shape;
mod shorten;
mod templates;
mod values;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Serialize;

pub use burst::Burst;
pub use level::Level;
pub use shape::Shape;
pub use values::Values;

use crate::stream::Window;

/// Version of what `digest` returns for a given window and budget; changes whenever that changes.
pub const VERSION: &str = "3";

/// Bytes per token where nothing better is known: log text is dense in digits and punctuation.
pub const DEFAULT_BYTES_PER_TOKEN: f64 = 3.0;

/// How long a digest may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Most tokens, as estimated.
    pub tokens: usize,
    /// Average bytes per token of the model's tokenizer on logs. What is no positive number counts as
    /// [`DEFAULT_BYTES_PER_TOKEN`].
    pub bytes_per_token: f64,
}

impl Budget {
    /// A budget of `tokens` at [`DEFAULT_BYTES_PER_TOKEN`].
    pub fn new(tokens: usize) -> Self {
        Self { tokens, bytes_per_token: DEFAULT_BYTES_PER_TOKEN }
    }

    fn rate(&self) -> f64 {
        let rate = self.bytes_per_token;
        if rate.is_finite() && rate > 0.0 { rate } else { DEFAULT_BYTES_PER_TOKEN }
    }

    /// Most bytes whose estimate is within the budget.
    fn bytes(&self) -> usize {
        // Floats round: one byte less is always safe where the product is not exact.
        let bytes = (self.tokens as f64 * self.rate()).floor() as usize;
        if self.of_bytes(bytes) <= self.tokens { bytes } else { bytes.saturating_sub(1) }
    }

    fn of_bytes(&self, bytes: usize) -> usize {
        (bytes as f64 / self.rate()).ceil() as usize
    }

    /// Estimated tokens of `text`.
    pub fn estimate(&self, text: &str) -> usize {
        self.of_bytes(text.len())
    }
}

/// What a model sees of a window, and the account of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Digest {
    /// The text, lines separated by `\n`; empty if not even its first line fits the budget.
    pub text: String,
    /// Tokens of `text` as the budget estimates them; never more than the budget.
    pub estimated_tokens: usize,
    /// The templates in the text, in its order.
    pub templates: Vec<Shown>,
    /// What is not in the text.
    pub omitted: Omitted,
    /// Lines in the window.
    pub lines: usize,
}

/// A template that stands in the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// `T1`, `T2`, … in order of appearance.
    pub id: String,
    /// How often it occurred: records, so a stack trace counts once.
    pub count: usize,
    /// Time of its first occurrence, nanoseconds since the epoch.
    pub first_ns: i64,
    /// Time of its last occurrence, nanoseconds since the epoch.
    pub last_ns: i64,
    /// The component of its streams, as their labels have it.
    pub component: String,
    /// The level that its lines state.
    pub level: Level,
    /// Index of the entry that is shown for all.
    pub exemplar: usize,
    /// Indices of entries that are shown because they differ from it, ascending.
    pub further: Vec<usize>,
    /// The exemplar with `<_>` where lines differ.
    pub template: String,
    /// The part of its time that holds most of its entries, if that is short; absent also where it did not fit.
    pub burst: Option<Burst>,
    /// Top values of each variable, the most telling first, as far as they fit.
    pub values: Vec<Values>,
    /// Its rank: higher went in first. Comparable within one digest only.
    pub score: f64,
    /// What raised its score.
    pub why: Vec<&'static str>,
    /// Indices of its entries in the window, continuation lines included.
    pub entries: Vec<u32>,
}

/// What was left out, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Omitted {
    /// Templates without a line in the text.
    pub templates: usize,
    /// Entries of those templates.
    pub lines: usize,
    /// The same entries by level.
    pub by_level: BTreeMap<Level, usize>,
    /// Shown lines whose middle was elided.
    pub truncated_lines: usize,
}

/// Makes the digest of `window`, of a few thousand lines in milliseconds. On one thread: where a model keeps the other
/// cores busy, as it does, waiting for a second one to be let in costs more than it saves.
pub fn digest(window: &Window, budget: Budget) -> Digest {
    digest_on(window, budget, NonZeroUsize::MIN)
}

/// Makes the same digest on up to `threads` threads, for windows of hundreds of thousands of lines and more.
pub fn digest_on(window: &Window, budget: Budget, threads: NonZeroUsize) -> Digest {
    let (components, component_of) = mine::components(window);
    let (records, mined) = mined(window, &component_of, threads);
    let groups = members::Groups::new(&records, &mined.of, mined.templates.len());
    let bursts: Vec<Option<Burst>> =
        (0..mined.templates.len() as u32).map(|template| burst::burst(window, groups.of(template))).collect();
    let claims = select::claims(window, &records, &mined, &bursts, threads);
    let findings = render::Findings {
        window,
        records: &records,
        mined: &mined,
        groups: &groups,
        bursts: &bursts,
        claims: &claims,
        components: &components,
    };
    render::render(&findings, budget)
}

/// The records of a window and their templates.
fn mined(window: &Window, component_of: &[u32], threads: NonZeroUsize) -> (record::Records, mine::Mined) {
    let lines = lines::read(window, component_of, threads);
    let records = record::split(window, &lines.starts);
    let mined = mine::mine(&mine::Source { window, lines: &lines, records: &records, component_of }, threads);
    (records, mined)
}

impl Digest {
    /// Id of the shown template that holds entry `entry` of the window, none if that entry was omitted.
    pub fn template_of(&self, entry: usize) -> Option<&str> {
        let entry = u32::try_from(entry).ok()?;
        let shown = self.templates.iter().find(|shown| shown.entries.binary_search(&entry).is_ok());
        shown.map(|shown| shown.id.as_str())
    }

    /// Whether a template with this id stands in the text.
    pub fn has(&self, id: &str) -> bool {
        self.templates.iter().any(|shown| shown.id == id)
    }
}

#[cfg(test)]
mod tests;
