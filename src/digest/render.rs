//! Writes a digest's text, and decides under the budget which templates are in it and how long their lines may be.

use std::fmt::Write;

use super::level::Level;
use super::mine::Mined;
use super::record::Records;
use super::select::Claim;
use super::shorten::{self, Short};
use super::{Budget, Digest, Omitted, account, clock, values};
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
pub(super) struct Block {
    pub(super) template: u32,
    head: String,
    pub(super) line: Short,
    pub(super) values: Vec<(String, usize)>,
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
    let lines = account::lines(findings);
    let mut blocks = choose(findings, max.saturating_sub(header.len()));
    loop {
        let omitted = account::omitted(findings, &blocks, &lines);
        let text = text(&header, &blocks, &omitted);
        if text.len() <= max {
            return account::digest(findings, &blocks, text, omitted, budget);
        }
        if !give_way(findings, &mut blocks) {
            let text = if header.len() <= max { header } else { String::new() };
            return account::digest(findings, &blocks, text, omitted, budget);
        }
    }
}

/// Takes the values from the weakest block that has any, else the weakest block itself; false if there is none.
fn give_way(findings: &Findings<'_>, blocks: &mut Vec<Block>) -> bool {
    let score = |i: &usize| findings.claims[blocks[*i].template as usize].score;
    let weakest = |with_values: bool| {
        let candidates = (0..blocks.len()).filter(|&i| !with_values || !blocks[i].values.is_empty());
        candidates.min_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a)))
    };
    match (weakest(true), weakest(false)) {
        (Some(at), _) => blocks[at].values.clear(),
        (None, Some(at)) => drop(blocks.remove(at)),
        (None, None) => return false,
    }
    true
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

fn text(header: &str, blocks: &[Block], omitted: &Omitted) -> String {
    let mut text = header.to_owned();
    for (id, block) in (1..).zip(blocks) {
        block.write(id, &mut text);
    }
    if omitted.templates > 0 {
        let mut levels: Vec<(Level, usize)> = omitted.by_level.iter().map(|(level, lines)| (*level, *lines)).collect();
        levels.sort_by(|a, b| b.1.cmp(&a.1).then(b.0.cmp(&a.0)));
        let levels: Vec<String> = levels.iter().map(|(level, lines)| format!("{lines} {level}")).collect();
        let Omitted { templates, lines, .. } = omitted;
        let _ = write!(text, "\nOMITTED {templates} templates, {lines} lines: {}", levels.join(", "));
    }
    text
}
