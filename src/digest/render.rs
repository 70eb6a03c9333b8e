//! Writes a digest's text, and decides under the budget which templates are in it and how long their lines may be.

use std::fmt::Write;

use super::burst::Burst;
use super::extras::{self, Extra};
use super::level::Level;
use super::members::Groups;
use super::mine::Mined;
use super::record::Records;
use super::select::Claim;
use super::shorten::{self, Short};
use super::{Budget, Digest, Omitted, account, clock};
use crate::stream::{Entry, Window};

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
    pub(super) groups: &'a Groups<'a>,
    pub(super) bursts: &'a [Option<Burst>],
    pub(super) claims: &'a [Claim],
    pub(super) components: &'a [String],
}

impl Findings<'_> {
    /// Whether the window ends on another day than it begins.
    fn dated(&self) -> bool {
        match (self.window.entries.first(), self.window.entries.last()) {
            (Some(first), Some(last)) => clock::spans_days(first.ts, last.ts),
            _ => false,
        }
    }

    /// A time or, if they are not the same second, two.
    pub(super) fn when(&self, first_ns: i64, last_ns: i64) -> String {
        let dated = self.dated();
        let (first, last) = (clock::time(first_ns, dated), clock::time(last_ns, dated));
        if first == last { first } else { format!("{first}..{last}") }
    }

    /// The entry that opens a record.
    pub(super) fn head(&self, record: u32) -> &Entry {
        &self.window.entries[self.records.all[record as usize].head as usize]
    }

    pub(super) fn ts(&self, record: u32) -> i64 {
        self.head(record).ts
    }

    /// Record `record` of a template, as long as a line of its kind may be when there are `room` bytes for all.
    pub(super) fn line(&self, template: u32, record: u32, room: usize) -> Short {
        let failure = self.claims[template as usize].failure;
        let max = if failure { FAILURE_LINE.min(room / 4) } else { OTHER_LINE.min(room / 8) };
        shorten::record(self.window, self.records, record, max.max(SHORTEST_LINE))
    }
}

/// A template as it stands in the text, without its id.
pub(super) struct Block {
    pub(super) template: u32,
    head: String,
    pub(super) line: Short,
    pub(super) extras: Vec<Extra>,
}

impl Block {
    fn write(&self, id: usize, text: &mut String) {
        let _ = write!(text, "\nT{id} {} | {}", self.head, self.line.text);
        extras::write(&self.extras, text);
    }

    /// How many of its lines are not whole.
    fn truncated(&self) -> usize {
        let further = self.extras.iter().filter(|extra| matches!(extra, Extra::Line { line, .. } if line.cut));
        usize::from(self.line.cut) + further.count()
    }

    fn len(&self) -> usize {
        self.head.len() + self.line.text.len() + 12
    }
}

/// The digest of a window.
pub(super) fn render(findings: &Findings<'_>, budget: Budget) -> Digest {
    let max = budget.bytes();
    let header = header(findings);
    let lines = account::lines(findings);
    let mut blocks = choose(findings, max.saturating_sub(header.len()));
    loop {
        let mut omitted = account::omitted(findings, &blocks, &lines);
        let len = text(&header, &blocks, &omitted).len();
        if len <= max {
            extras::fill(findings, &mut blocks, max - header.len(), max - len);
            omitted.truncated_lines = blocks.iter().map(Block::truncated).sum();
            let text = text(&header, &blocks, &omitted);
            return account::digest(findings, &blocks, &lines, text, omitted, budget);
        }
        let score = |i: &usize| findings.claims[blocks[*i].template as usize].score;
        let Some(weakest) = (0..blocks.len()).min_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a))) else {
            let text = if header.len() <= max { header } else { String::new() };
            return account::digest(findings, &blocks, &lines, text, omitted, budget);
        };
        blocks.remove(weakest);
    }
}

fn header(findings: &Findings<'_>) -> String {
    let window = findings.window;
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
            let dated = findings.dated();
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
    let found = &findings.mined.templates[template as usize];
    let line = findings.line(template, found.first, room);
    let when = findings.when(findings.ts(found.first), findings.ts(found.last));
    let component = findings.components.get(found.component as usize).map_or("-", String::as_str);
    let head = format!("{when} x{} {}", found.count, word(component));
    Block { template, head, line, extras: Vec::new() }
}

/// A component as one short word, whatever its label holds.
fn word(component: &str) -> String {
    let safe = |c: char| if c.is_control() || c.is_whitespace() || c == '|' { '_' } else { c };
    shorten::clean(shorten::prefix(component, MAX_COMPONENT)).chars().map(safe).collect()
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
