//! The account of a digest: which entries stand behind what it shows, and what it left out.

use super::extras::Extra;
use super::render::{Block, Findings};
use super::scan::{self, Scanner};
use super::{Budget, Digest, Omitted, Shown, shorten};

/// Longest template text.
const MAX_PATTERN: usize = 700;

/// The digest with `text`, in which `blocks` stand, given the entries of each template.
pub(super) fn digest(
    findings: &Findings<'_>,
    blocks: &[Block],
    lines: &[usize],
    text: String,
    omitted: Omitted,
    budget: Budget,
) -> Digest {
    let mut templates: Vec<Shown> = (1..).zip(blocks).map(|(id, block)| shown(findings, id, block)).collect();
    let place = places(findings, blocks);
    for (block, shown) in blocks.iter().zip(&mut templates) {
        shown.entries.reserve_exact(lines[block.template as usize]);
    }
    for (entry, &record) in (0u32..).zip(&findings.records.of) {
        if let Some(shown) = templates.get_mut(place[findings.mined.of[record as usize] as usize]) {
            shown.entries.push(entry);
        }
    }
    let lines = findings.window.entries.len();
    Digest { estimated_tokens: budget.estimate(&text), text, templates, omitted, lines }
}

/// Entries of each template.
pub(super) fn lines(findings: &Findings<'_>) -> Vec<usize> {
    let mut lines = vec![0; findings.mined.templates.len()];
    for (record, &template) in findings.records.all.iter().zip(&findings.mined.of) {
        lines[template as usize] += record.lines as usize;
    }
    lines
}

/// The templates that are left out when `blocks` are shown, given the entries of each.
pub(super) fn omitted(findings: &Findings<'_>, blocks: &[Block], lines: &[usize]) -> Omitted {
    let mut omitted = Omitted::default();
    let templates = findings.mined.templates.iter().zip(lines).zip(places(findings, blocks));
    for ((template, lines), _) in templates.filter(|(_, place)| *place == usize::MAX) {
        omitted.templates += 1;
        omitted.lines += lines;
        *omitted.by_level.entry(template.level).or_default() += lines;
    }
    omitted
}

/// The place of each template among `blocks`, `usize::MAX` for those that are not there.
fn places(findings: &Findings<'_>, blocks: &[Block]) -> Vec<usize> {
    let mut place = vec![usize::MAX; findings.mined.templates.len()];
    for (n, block) in blocks.iter().enumerate() {
        place[block.template as usize] = n;
    }
    place
}

fn shown(findings: &Findings<'_>, id: usize, block: &Block) -> Shown {
    let Findings { window, records, mined, claims, components, .. } = findings;
    let found = &mined.templates[block.template as usize];
    let claim = &claims[block.template as usize];
    let head = records.all[found.first as usize].head;
    let (mut burst, mut further, mut values) = (None, Vec::new(), Vec::new());
    for extra in &block.extras {
        match extra {
            Extra::Burst { burst: found, .. } => burst = Some(*found),
            Extra::Line { record, .. } => further.push(records.all[*record as usize].head as usize),
            Extra::Values(found) => values.push(found.clone()),
        }
    }
    Shown {
        id: format!("T{id}"),
        count: found.count as usize,
        first_ns: findings.ts(found.first),
        last_ns: findings.ts(found.last),
        component: components.get(found.component as usize).cloned().unwrap_or_else(|| "-".to_owned()),
        level: found.level,
        exemplar: head as usize,
        further,
        template: pattern(&window.entries[head as usize].line, &found.tokens),
        burst,
        values,
        score: claim.score,
        why: claim.why.clone(),
        entries: Vec::new(),
    }
}

/// The exemplar with its variables as `<_>`.
fn pattern(line: &str, tokens: &[u64]) -> String {
    let mut found = Vec::new();
    Scanner::default().tokens(line.as_bytes(), &mut found);
    let mut text = String::new();
    let mut from = 0;
    for (token, &hash) in found.iter().zip(tokens) {
        let (start, end) = (token.start as usize, token.end as usize);
        text += line.get(from..start).unwrap_or_default();
        let raw = line.get(start..end).unwrap_or_default();
        text += &if hash == scan::MASK { "<_>".to_owned() } else { scan::masked(raw) };
        from = end;
    }
    text += line.get(from..).unwrap_or_default();
    shorten::fit(&shorten::clean(&text), MAX_PATTERN)
}
