//! What is shown of a template beside its line, as far as the budget goes: when it bursts, the values of its variables,
//! and further lines that differ from the first.
//!
//! Extras come after every template that fits: no template gives way to them.

use std::fmt::Write;
use std::ops::RangeInclusive;

use super::burst::Burst;
use super::render::{Block, Findings};
use super::scan::Scanner;
use super::shorten::{self, Short};
use super::values::{Columns, Values};

/// Further lines per template.
const LINES: usize = 2;

/// Up to this many records of all shown templates together, all are looked at for their values: a window from Loki
/// rarely has as many.
const ALL: usize = 8192;

/// Of more, an equal share of each template stands for all, within these bounds.
const SHARE: RangeInclusive<usize> = 256..=1024;

/// One of the things that are shown of a template beside its line.
#[derive(Clone)]
pub(super) enum Extra {
    Burst { burst: Burst, when: String },
    Line { record: u32, when: String, line: Short },
    Values(Values),
}

/// Which extras go in first, whatever their template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    MostTelling,
    Burst,
    LineOfFailure,
    OtherVariable(usize),
    Line,
}

/// Writes the extras of one template below it: each on a line of its own, but all values on one.
pub(super) fn write(extras: &[Extra], text: &mut String) {
    let mut variables = Vec::new();
    for extra in extras {
        let _ = match extra {
            Extra::Burst { burst, when } => write!(text, "\n  burst {when} x{}", burst.count),
            Extra::Line { when, line, .. } => write!(text, "\n  also {when} | {}", line.text),
            Extra::Values(values) => {
                variables.push(values);
                Ok(())
            }
        };
    }
    for (n, values) in variables.iter().enumerate() {
        text.push_str(if n == 0 { "\n  varies:" } else { ";" });
        for (n, (value, count)) in values.iter().enumerate() {
            let _ = write!(text, "{} {value} x{count}", if n == 0 { "" } else { "," });
        }
    }
}

fn len(extras: &[Extra]) -> usize {
    let mut text = String::new();
    write(extras, &mut text);
    text.len()
}

/// Adds to `blocks` what of their extras fits in `left` bytes, `room` being those of the whole text.
pub(super) fn fill(findings: &Findings<'_>, blocks: &mut [Block], room: usize, mut left: usize) {
    let mut wanted: Vec<(Rank, f64, usize, Extra)> = Vec::new();
    let records: usize = blocks.iter().map(|block| findings.groups.of(block.template).len()).sum();
    let most = if records <= ALL { ALL } else { (ALL / blocks.len()).clamp(*SHARE.start(), *SHARE.end()) };
    for (n, block) in blocks.iter().enumerate() {
        let score = findings.claims[block.template as usize].score;
        let extras = of_template(findings, block.template, room, most);
        wanted.extend(extras.into_iter().map(|(rank, extra)| (rank, score, n, extra)));
    }
    wanted.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    for (_, _, n, extra) in wanted {
        let extras = &mut blocks[n].extras;
        let before = len(extras);
        extras.push(extra);
        let more = len(extras) - before;
        if more <= left {
            left -= more;
        } else {
            extras.pop();
        }
    }
}

/// All extras of a template, of which up to `most` records are looked at.
fn of_template(findings: &Findings<'_>, template: u32, room: usize, most: usize) -> Vec<(Rank, Extra)> {
    let Findings { window, groups, bursts, claims, .. } = findings;
    let members = groups.of(template);
    if members.len() < 2 {
        return Vec::new();
    }
    let mut extras = Vec::new();
    if let Some(burst) = bursts[template as usize] {
        let when = findings.when(burst.first_ns, burst.last_ns);
        extras.push((Rank::Burst, Extra::Burst { burst, when }));
    }
    let columns = Columns::new(window, members, most);
    let variables = columns.variables();
    let rare = columns.rare(variables.get(..1).unwrap_or_default());
    for record in further(findings, template, &rare) {
        let when = findings.when(findings.ts(record), findings.ts(record));
        let rank = if claims[template as usize].failure { Rank::LineOfFailure } else { Rank::Line };
        extras.push((rank, Extra::Line { record, when, line: findings.line(template, record, room) }));
    }
    for (n, mut values) in variables.into_iter().enumerate() {
        for (value, _) in &mut values {
            *value = shorten::clean(value);
        }
        let rank = if n == 0 { Rank::MostTelling } else { Rank::OtherVariable(n) };
        extras.push((rank, Extra::Values(values)));
    }
    extras
}

/// The records worth a line beside the first: of a failure its rare ones before those that stand near something, of all
/// else the other way round; what differs from a line before in numbers alone only if it is rare.
fn further(findings: &Findings<'_>, template: u32, rare: &[u32]) -> Vec<u32> {
    let (members, claim) = (findings.groups.of(template), &findings.claims[template as usize]);
    let mut scanner = Scanner::default();
    let mut key = |record: u32| scanner.key(findings.head(record).line.as_bytes());
    let mut keys: Vec<u64> = [members.record(0)].iter().chain(rare).map(|&record| key(record)).collect();
    let mut near = claim.context.clone();
    near.retain(|&record| {
        let key = key(record);
        let new = !keys.contains(&key);
        keys.push(key);
        new
    });
    let mut further = if claim.failure { [rare, &near].concat() } else { [&near, rare].concat() };
    further.truncate(LINES);
    further.sort_unstable();
    further
}
