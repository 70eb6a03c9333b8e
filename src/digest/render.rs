//! Writes a digest's text, and decides under the budget which templates are in it and how long their lines may be.

use std::fmt::Write;

use super::level::Level;
use super::mine::Mined;
use super::record::Records;
use super::scan::Scanner;
use super::select::Claim;
use super::shorten::{self, Short};
use super::{Budget, Digest, Omitted, Shown, clock, scan, values};
use crate::stream::Window;

/// Bytes kept free for the OMITTED line while choosing; the final text is measured again.
const OMITTED_ROOM: usize = 80;

/// Longest shown line of a failure and of any other template, and the shortest worth showing.
const FAILURE_LINE: usize = 700;
const OTHER_LINE: usize = 280;
const SHORTEST_LINE: usize = 48;

/// Longest component word.
const MAX_COMPONENT: usize = 48;

/// What the steps before found out about a window.
pub(super) struct Findings<'a> {
    pub(super) window: &'a Window,
    pub(super) records: &'a Records,
    pub(super) mined: &'a Mined,
    pub(super) claims: &'a [Claim],
    pub(super) components: &'a [String],
}

/// A template as it would stand in the text, without its id.
struct Block {
    template: u32,
    head: String,
    line: Short,
    values: Vec<(String, usize)>,
}

impl Block {
    fn write(&self, id: usize, text: &mut String) {
        let _ = write!(text, "\nT{id} {} | {}", self.head, self.line.text);
        for (n, (value, count)) in self.values.iter().enumerate() {
            let _ = write!(text, "{} {value} x{count}", if n == 0 { "\n  varies:" } else { "," });
        }
    }

    fn len(&self) -> usize {
        let values: usize = self.values.iter().map(|(value, count)| value.len() + count.to_string().len() + 4).sum();
        self.head.len() + self.line.text.len() + 12 + values + if self.values.is_empty() { 0 } else { 10 }
    }
}

/// The digest of a window.
pub(super) fn render(findings: &Findings<'_>, budget: Budget) -> Digest {
    let max = budget.bytes();
    let header = header(findings.window);
    let mut blocks = choose(findings, max.saturating_sub(header.len()));
    loop {
        let digest = write(findings, &header, &blocks, budget);
        if digest.text.len() <= max {
            return digest;
        }
        let score = |i: &usize| findings.claims[blocks[*i].template as usize].score;
        let weakest = |with_values: bool| {
            let candidates = (0..blocks.len()).filter(|&i| !with_values || !blocks[i].values.is_empty());
            candidates.min_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a)))
        };
        if let Some(at) = weakest(true) {
            blocks[at].values.clear();
            continue;
        }
        let weakest = weakest(false);
        match weakest {
            Some(weakest) => drop(blocks.remove(weakest)),
            None => return nothing(findings, &header, budget),
        }
    }
}

fn header(window: &Window) -> String {
    let mut used = vec![false; window.streams.len()];
    for entry in &window.entries {
        if let Some(used) = used.get_mut(entry.stream as usize) {
            *used = true;
        }
    }
    let streams = used.iter().filter(|used| **used).count();
    let lines = window.entries.len();
    match (window.entries.first(), window.entries.last()) {
        (Some(first), Some(last)) => {
            let dated = clock::spans_days(first.ts, last.ts);
            let (from, to) = (clock::time(first.ts, dated), clock::time(last.ts, dated));
            format!("LOGS {lines} lines, {from} to {to}, {streams} streams")
        }
        _ => "LOGS 0 lines".to_owned(),
    }
}

/// The templates that fit in `room` bytes, in order of first appearance.
fn choose(findings: &Findings<'_>, room: usize) -> Vec<Block> {
    let mut order: Vec<u32> = (0..findings.mined.templates.len() as u32).collect();
    let score = |t: u32| findings.claims[t as usize].score;
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    let mut left = room;
    let mut chosen = Vec::new();
    let mut misses = 0;
    for (n, &t) in order.iter().enumerate() {
        // The line that counts what was dropped needs its place, unless this is the last template and nothing is.
        let reserve = if n + 1 == order.len() && misses == 0 { 0 } else { OMITTED_ROOM };
        let mut block = block(findings, t, room);
        // Of a failure rather half a line than none.
        if block.len() + reserve > left && (findings.claims[t as usize].failure || chosen.is_empty()) {
            squeeze(findings, &mut block, left.saturating_sub(reserve));
        }
        if block.len() + reserve <= left {
            left -= block.len();
            chosen.push(block);
        } else {
            misses += 1;
            if misses > 20 || left < SHORTEST_LINE + reserve {
                break;
            }
        }
    }
    chosen.sort_by_key(|block| findings.mined.templates[block.template as usize].first);
    with_values(findings, &mut chosen);
    chosen
}

/// Shortens the line of a block so that it fits in `room`, if enough of it remains.
fn squeeze(findings: &Findings<'_>, block: &mut Block, room: usize) {
    let line = room.saturating_sub(block.len() - block.line.text.len());
    if line >= SHORTEST_LINE {
        let first = findings.mined.templates[block.template as usize].first;
        block.line = shorten::record(findings.window, findings.records, first, line);
    }
}

fn block(findings: &Findings<'_>, template: u32, room: usize) -> Block {
    let Findings { window, records, mined, claims, components } = findings;
    let found = &mined.templates[template as usize];
    let failure = claims[template as usize].failure;
    let max = if failure { FAILURE_LINE.min(room / 4) } else { OTHER_LINE.min(room / 8) }.max(SHORTEST_LINE);
    let line = shorten::record(window, records, found.first, max);
    let ts = |record: u32| window.entries[records.all[record as usize].head as usize].ts;
    let dated = match (window.entries.first(), window.entries.last()) {
        (Some(first), Some(last)) => clock::spans_days(first.ts, last.ts),
        _ => false,
    };
    let (first, last) = (clock::time(ts(found.first), dated), clock::time(ts(found.last), dated));
    let when = if first == last { first } else { format!("{first}..{last}") };
    let component = components.get(found.component as usize).map_or("-", String::as_str);
    let head = format!("{when} x{} {}", found.count, word(component));
    Block { template, head, line, values: Vec::new() }
}

/// A component as one short word, whatever its label holds.
fn word(component: &str) -> String {
    let safe = |c: char| if c.is_control() || c.is_whitespace() || c == '|' { '_' } else { c };
    shorten::clean(shorten::prefix(component, MAX_COMPONENT)).chars().map(safe).collect()
}

/// Looks up the values of the chosen templates in one pass over the records.
fn with_values(findings: &Findings<'_>, chosen: &mut [Block]) {
    let Findings { window, records, mined, .. } = findings;
    let mut place = vec![u32::MAX; mined.templates.len()];
    let mut heads: Vec<Vec<u32>> = Vec::with_capacity(chosen.len());
    for block in chosen.iter() {
        let count = mined.templates[block.template as usize].count;
        if count > 1 {
            place[block.template as usize] = heads.len() as u32;
        }
        heads.push(Vec::with_capacity(if count > 1 { count as usize } else { 0 }));
    }
    for (record, &template) in records.all.iter().zip(&mined.of) {
        if let Some(heads) = heads.get_mut(place[template as usize] as usize) {
            heads.push(record.head);
        }
    }
    for (block, heads) in chosen.iter_mut().zip(&heads).filter(|(_, heads)| !heads.is_empty()) {
        block.values = values::telling(window, heads);
        for (value, _) in &mut block.values {
            *value = shorten::clean(value);
        }
    }
}

fn write(findings: &Findings<'_>, header: &str, blocks: &[Block], budget: Budget) -> Digest {
    let mut text = header.to_owned();
    for (id, block) in (1..).zip(blocks) {
        block.write(id, &mut text);
    }
    let mut templates: Vec<Shown> = (1..).zip(blocks).map(|(id, block)| shown(findings, id, block)).collect();
    let omitted = collect(findings, blocks, &mut templates);
    if omitted.templates > 0 {
        let mut levels: Vec<(Level, usize)> = omitted.by_level.iter().map(|(level, lines)| (*level, *lines)).collect();
        levels.sort_by(|a, b| b.1.cmp(&a.1).then(b.0.cmp(&a.0)));
        let levels: Vec<String> = levels.iter().map(|(level, lines)| format!("{lines} {level}")).collect();
        let _ =
            write!(text, "\nOMITTED {} templates, {} lines: {}", omitted.templates, omitted.lines, levels.join(", "));
    }
    let lines = findings.window.entries.len();
    Digest { estimated_tokens: budget.estimate(&text), text, templates, omitted, lines }
}

/// Deals the entries out to the shown templates and counts those of the others.
fn collect(findings: &Findings<'_>, blocks: &[Block], templates: &mut [Shown]) -> Omitted {
    let Findings { records, mined, .. } = findings;
    let mut place = vec![None; mined.templates.len()];
    for (n, block) in blocks.iter().enumerate() {
        place[block.template as usize] = Some(n);
    }
    let mut omitted = Omitted {
        templates: place.iter().filter(|place| place.is_none()).count(),
        truncated_lines: blocks.iter().filter(|block| block.line.cut).count(),
        ..Omitted::default()
    };
    for (entry, &record) in (0u32..).zip(&records.of) {
        let template = mined.of[record as usize] as usize;
        match place[template] {
            Some(n) => templates[n].entries.push(entry),
            None => {
                omitted.lines += 1;
                *omitted.by_level.entry(mined.templates[template].level).or_default() += 1;
            }
        }
    }
    omitted
}

fn shown(findings: &Findings<'_>, id: usize, block: &Block) -> Shown {
    let Findings { window, records, mined, claims, components } = findings;
    let found = &mined.templates[block.template as usize];
    let claim = &claims[block.template as usize];
    let head = records.all[found.first as usize].head;
    let ts = |record: u32| window.entries[records.all[record as usize].head as usize].ts;
    Shown {
        id: format!("T{id}"),
        count: found.count as usize,
        first_ns: ts(found.first),
        last_ns: ts(found.last),
        component: components.get(found.component as usize).cloned().unwrap_or_else(|| "-".to_owned()),
        level: found.level,
        exemplar: head as usize,
        template: pattern(&window.entries[head as usize].line, &found.tokens),
        values: block.values.clone(),
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
    shorten::fit(&shorten::clean(&text), FAILURE_LINE)
}

/// What remains when not even one template fits: the header, or not even that.
fn nothing(findings: &Findings<'_>, header: &str, budget: Budget) -> Digest {
    let mut digest = write(findings, header, &[], budget);
    digest.text = if header.len() <= budget.bytes() { header.to_owned() } else { String::new() };
    digest.estimated_tokens = budget.estimate(&digest.text);
    digest
}
