//! Why a line is or is not in a digest.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::audit::{Audit, Ranked};
use crate::cli::output::quote;
use crate::digest::{self, Budget};
use crate::prompt::harmless;
use crate::stream::TextLog;

/// Above so many lines, no larger budget is tried out: each try reads them all again.
const TRIED_LINES: usize = 200_000;
/// Characters of a line that are shown.
const SHOWN: usize = 200;

/// A line that somebody asks about.
#[derive(Debug, Clone)]
pub(super) struct Found {
    entry: usize,
    line: usize,
    /// Entries that hold the text, if it was looked for by text.
    matches: Option<Vec<usize>>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    line: usize,
    text: String,
    /// Lines that hold the text that was asked for; this is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    matching_lines: Option<usize>,
    /// The templates of the digest in which those lines stand, with how many of them do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matching_shown: Vec<(String, usize)>,
    shown_in: Option<String>,
    #[serde(skip)]
    block: Option<String>,
    template: Ranked,
    templates: usize,
    last_kept: Option<Ranked>,
    /// The smallest budget that was tried and that shows the line.
    shown_at_tokens: Option<usize>,
    #[serde(skip)]
    budget: usize,
}

/// The line `wanted`: a number counts from 1, anything else is looked for in the lines.
pub(super) fn find(log: &TextLog, wanted: &str) -> Result<Found> {
    let lines = log.lines.len();
    if let Ok(line) = wanted.parse::<usize>() {
        let Some(entry) = log.entry_of(line) else { bail!("there is no line {line}: the log has {lines}") };
        return Ok(Found { entry, line, matches: None });
    }
    let holds = |entry: &usize| log.window.entries[*entry].line.contains(wanted);
    let matches: Vec<usize> = (0..lines).filter(holds).collect();
    let Some(&entry) = matches.iter().min_by_key(|entry| log.lines[**entry]) else {
        bail!("no line contains `{wanted}`: give a piece of a line as it stands in the file, or its number");
    };
    Ok(Found { entry, line: log.lines[entry], matches: Some(matches) })
}

pub(super) fn explain(log: &TextLog, audit: &Audit, found: &Found, budget: Budget) -> Explanation {
    let template = audit.of_line(found.line).expect("a digest with room for everything shows every line").clone();
    let shown_in = template.id.clone();
    Explanation {
        line: found.line,
        text: log.window.entries[found.entry].line.clone(),
        matching_lines: found.matches.as_ref().map(Vec::len),
        matching_shown: shown(log, audit, found.matches.as_deref().unwrap_or_default()),
        block: shown_in.as_deref().and_then(|id| audit.block(id)).map(|block| harmless(block).into_owned()),
        shown_at_tokens: if shown_in.is_some() { Some(budget.tokens) } else { enough(log, found.entry, budget) },
        shown_in,
        template,
        templates: audit.templates.len(),
        last_kept: audit.last_kept().cloned(),
        budget: budget.tokens,
    }
}

/// The shown templates that hold `entries`, in the digest's order, and how many they hold.
fn shown(log: &TextLog, audit: &Audit, entries: &[usize]) -> Vec<(String, usize)> {
    let lines: BTreeSet<usize> = entries.iter().map(|entry| log.lines[*entry]).collect();
    let holds = |ranked: &Ranked| Some((ranked.id.clone()?, ranked.lines.iter().filter(|l| lines.contains(l)).count()));
    let mut shown: Vec<(String, usize)> = audit.templates.iter().filter_map(holds).filter(|(_, n)| *n > 0).collect();
    shown.sort_by_key(|(id, _)| id.strip_prefix('T').and_then(|n| n.parse::<usize>().ok()));
    shown
}

/// The first of the doubled budgets that shows the entry.
fn enough(log: &TextLog, entry: usize, budget: Budget) -> Option<usize> {
    if log.lines.len() > TRIED_LINES {
        return None;
    }
    let budgets = (1..=10).map(|n| Budget { tokens: budget.tokens << n, ..budget });
    budgets
        .into_iter()
        .find(|budget| digest::digest(&log.window, *budget).template_of(entry).is_some())
        .map(|b| b.tokens)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, ranked) = (self.line, &self.template);
        writeln!(f, "line {line}: {}", quote(&self.text, SHOWN))?;
        if let Some(more) = self.matching_lines.filter(|lines| *lines > 1) {
            write!(f, "({more} lines hold this text; this is the first")?;
            match self.matching_shown.as_slice() {
                [] => writeln!(f, "; the digest has none of them)")?,
                shown => {
                    let shown: Vec<String> = shown.iter().map(|(id, lines)| format!("{id} ({lines})")).collect();
                    writeln!(f, "; the digest has them in {})", shown.join(", "))?;
                }
            }
        }
        match &self.shown_in {
            Some(id) => writeln!(f, "\nshown in {id}{}", self.place())?,
            None if self.last_kept.is_none() => {
                writeln!(f, "\nomitted: the budget of {} tokens has no room for any template", self.budget)?;
            }
            None => writeln!(f, "\nomitted: the budget of {} tokens was used up by others", self.budget)?,
        }
        if let Some(block) = &self.block {
            writeln!(f, "{}", indent(block))?;
        }
        writeln!(f, "\ntemplate: {}", quote(&ranked.template, SHOWN))?;
        let occurs = if ranked.count == 1 { "once".to_owned() } else { format!("{} times", ranked.count) };
        writeln!(f, "occurs {occurs}, level {}, component {}", ranked.level, ranked.component)?;
        write!(f, "rank {} of {}, score {:.2} ({})", ranked.rank, self.templates, ranked.score, ranked.why.join(", "))?;
        self.against_the_last(f)
    }
}

impl Explanation {
    fn place(&self) -> String {
        let ranked = &self.template;
        if self.line == ranked.exemplar_line {
            return match ranked.count {
                1 => ": the line itself".to_owned(),
                count => format!(", as the example for its {count} occurrences"),
            };
        }
        if ranked.further_lines.contains(&self.line) {
            return format!(
                ": the line itself, beside line {} of its {} occurrences",
                ranked.exemplar_line, ranked.count
            );
        }
        format!(", which shows line {} for its {} occurrences", ranked.exemplar_line, ranked.count)
    }

    /// How it compares with the weakest template that was kept, and what would change it.
    fn against_the_last(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.last_kept {
            None => write!(f, "\nno template was kept")?,
            Some(last) if last.rank == self.template.rank => write!(f, "\nit is the last one kept")?,
            Some(last) => {
                let id = last.id.as_deref().unwrap_or("-");
                write!(f, "\nthe last one kept is {id}: rank {}, score {:.2}", last.rank, last.score)?;
                if self.shown_in.is_none() && self.template.rank < last.rank {
                    write!(f, "; this one ranks higher, but its line did not fit in what was left")?;
                }
            }
        }
        match self.shown_at_tokens {
            Some(tokens) if self.shown_in.is_none() => write!(f, "\nit would be shown at --budget {tokens}"),
            _ => Ok(()),
        }
    }
}

fn indent(block: &str) -> String {
    block.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
