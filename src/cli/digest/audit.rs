//! All templates of a log in order of their claim, kept or dropped.
//!
//! The digest tells only of what it shows. Scores do not depend on the budget, so a second digest, with room for
//! everything, knows the rest.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::digest::{self, Budget, Burst, Digest, Level, Shown, Values};
use crate::stream::TextLog;

/// A template and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ranked {
    /// 1 for the strongest claim.
    pub(super) rank: usize,
    /// Its id in the digest; `None` if it was dropped.
    pub(super) id: Option<String>,
    /// Higher went in first.
    pub(super) score: f64,
    /// What raised the score.
    pub(super) why: Vec<&'static str>,
    /// The level that its lines state.
    pub(super) level: Level,
    /// Records, so a stack trace counts once.
    pub(super) count: usize,
    /// The component of its streams.
    pub(super) component: String,
    /// Its first line with `<_>` where lines differ.
    pub(super) template: String,
    /// The part of its time that holds most of its lines, if that is short.
    pub(super) burst: Option<Burst>,
    /// Top values of each variable, the most telling first.
    pub(super) values: Vec<Values>,
    /// Times of the first and the last occurrence, nanoseconds since the epoch.
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    /// Number of the line that is shown for all.
    pub(super) exemplar_line: usize,
    /// Numbers of the lines that the digest shows beside it.
    pub(super) further_lines: Vec<usize>,
    /// Numbers of all its lines in the file, continuation lines included.
    pub(super) lines: Vec<usize>,
}

/// What a digest kept and what it dropped.
#[derive(Debug)]
pub(super) struct Audit {
    /// By rank.
    pub(super) templates: Vec<Ranked>,
    /// Line of the digest's text that holds each id, with what is indented below it.
    blocks: Vec<String>,
}

impl Audit {
    pub(super) fn new(log: &TextLog, kept: &Digest, threads: NonZeroUsize) -> Self {
        let room = Budget { tokens: usize::MAX / 2, bytes_per_token: 1.0 };
        let mut all = digest::digest_on(&log.window, room, threads).templates;
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.exemplar.cmp(&b.exemplar)));
        let templates = (1..).zip(&all).map(|(rank, shown)| ranked(log, kept, rank, shown)).collect();
        Self { templates, blocks: blocks(kept) }
    }

    /// The template that holds line `line` of the file.
    pub(super) fn of_line(&self, line: usize) -> Option<&Ranked> {
        self.templates.iter().find(|ranked| ranked.lines.binary_search(&line).is_ok())
    }

    /// The kept template with the weakest claim.
    pub(super) fn last_kept(&self) -> Option<&Ranked> {
        self.templates.iter().rfind(|ranked| ranked.id.is_some())
    }

    /// How a kept template stands in the text.
    pub(super) fn block(&self, id: &str) -> Option<&str> {
        let start = format!("{id} ");
        self.blocks.iter().find(|block| block.starts_with(&start)).map(String::as_str)
    }
}

fn ranked(log: &TextLog, kept: &Digest, rank: usize, shown: &Shown) -> Ranked {
    let line = |entry: usize| log.lines.get(entry).copied().unwrap_or_default();
    let mut lines: Vec<usize> = shown.entries.iter().map(|&entry| line(entry as usize)).collect();
    lines.sort_unstable();
    let kept = kept.templates.iter().find(|kept| kept.exemplar == shown.exemplar);
    Ranked {
        rank,
        id: kept.map(|kept| kept.id.clone()),
        score: shown.score,
        why: shown.why.clone(),
        level: shown.level,
        count: shown.count,
        component: shown.component.clone(),
        template: shown.template.clone(),
        burst: shown.burst,
        values: shown.values.clone(),
        first_ns: shown.first_ns,
        last_ns: shown.last_ns,
        exemplar_line: line(shown.exemplar),
        further_lines: kept.map_or_else(Vec::new, |kept| kept.further.iter().map(|&entry| line(entry)).collect()),
        lines,
    }
}

/// The text by template: a `T` line and what is indented below it.
fn blocks(digest: &Digest) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in digest.text.lines() {
        match blocks.last_mut().filter(|_| line.starts_with(' ')) {
            Some(block) => *block += &format!("\n{line}"),
            None => blocks.push(line.to_owned()),
        }
    }
    blocks
}
