//! `attribution`: from a trace, the hash of a rendered prompt or of an answer, a question, or a run and a case, to
//! everything that made the answer: of the harness, from its runs, and online, from the ledger.
//!
//! A trace id or a hash may be given whole or by its first digits, at least eight. The store keeps hashes only: no log or
//! prompt text comes out of it.

mod row;

use std::sync::Arc;

use row::Row;
use serde::Deserialize;

use super::select::MAX_RUNS;
use super::{Ask, QueryType, shown};
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::ledger::is_trace;
use crate::plugin::error::QueryError;
use crate::run::{CaseResult, Run};
use crate::store::{Cache, Listed, StoreError, beginning};

/// `attribution` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "attribution", answer: |ask| Box::pin(answer(ask)) };

/// The fewest digits of a hash that are taken.
const FEWEST_DIGITS: usize = 8;
/// Digits of a whole trace id; Tempo shows them without zeros at the beginning.
const TRACE_DIGITS: usize = 32;
/// The most answers that are shown.
const MOST: usize = 100;

/// The query's own fields: a hash, or a run with or without a case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// A trace id, the hash of a rendered prompt or of an answer, the key of a question, or the first digits of one.
    #[serde(default)]
    hash: Option<String>,
    /// The run: its id, a unique beginning of it, or an arm's name for its newest.
    #[serde(default)]
    run: Option<String>,
    /// The case.
    #[serde(default)]
    case: Option<String>,
}

/// An answer of a run.
struct Found {
    run: Arc<Run>,
    row: usize,
}

impl Found {
    fn result(&self) -> &CaseResult {
        &self.run.results[self.row]
    }
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let query: Query = ask.fields()?;
    let cache = ask.instance.store()?;
    let set = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (hash, run, case) = (set(query.hash), set(query.run), set(query.case));
    let mut losses = Vec::new();
    let mut rows = Vec::new();
    let mut found = match (hash, run) {
        (Some(hash), None) => {
            let (found, unread) = by_hash(&cache, &hash).await?;
            if unread > 0 {
                losses.push(format!("{unread} runs are damaged and were not looked into"));
            }
            let lines = ask.instance.ledger()?.find(&hash).await?;
            if lines.unreadable + lines.left_out > 0 {
                losses.push("parts of the ledger could not be looked into".to_owned());
            }
            rows.extend(lines.records.iter().filter(|_| case.is_none()).map(|record| Row::of_record(record)));
            found
        }
        (hash, Some(run)) => {
            let run = cache.run(&cache.find(&run).await?).await?;
            of_run(&run, |row| hash.as_deref().is_none_or(|hash| has_hash(row, hash)))
        }
        (None, None) => {
            return Err(QueryError::Invalid("nothing to look for: give `hash`, or `run` and `case`".to_owned()));
        }
    };
    found.retain(|found| case.as_ref().is_none_or(|case| found.result().answer.case == *case));
    rows.extend(found.iter().map(|found| Row::of_run(&found.run.record.plan, found.result())));
    if rows.is_empty() {
        let hint =
            "published runs and the ledger were looked into; a hash is a trace id, or of a rendered prompt or answer";
        return Err(QueryError::Missing(format!("no such answer is in {}: {hint}", cache.store().url())));
    }
    let more = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    let mut frame = frame(&ask, &rows);
    if more > 0 {
        frame = frame.notice(Severity::Info, format!("{more} further answers: name a case, or more digits"));
    }
    Ok(vec![losses.into_iter().fold(frame, |frame, loss| frame.notice(Severity::Warning, loss))])
}

/// Answers whose rendered prompt has a hash, newest run first, and the number of runs that could not be read.
async fn by_hash(cache: &Cache, hash: &str) -> Result<(Vec<Found>, usize), QueryError> {
    let digits = hash.rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
    let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    if !is_hex || digits.len() < FEWEST_DIGITS {
        let message = format!("field `hash`: give at least {FEWEST_DIGITS} hexadecimal digits of a trace id or a hash");
        return Err(QueryError::Invalid(message));
    }
    let wanted = [range(&digits), range(&format!("{digits:0>TRACE_DIGITS$}"))];
    let (mut found, mut unread) = (Vec::new(), 0);
    let listing = cache.listing().await?;
    let published: Vec<&Listed> =
        listing.iter().rev().filter(|listed| listed.record.is_some()).take(MAX_RUNS).collect();
    for listed in published {
        match cache.hashes(listed).await {
            Ok(hashes) => {
                let is_within = |(first, last): &(u64, u64)| {
                    let from = hashes.partition_point(|hash| hash < first);
                    hashes.get(from).is_some_and(|hash| hash <= last)
                };
                if wanted.iter().any(is_within) {
                    found.extend(of_run(&cache.run(&listed.id).await?, |row| has_hash(row, hash)));
                }
            }
            Err(StoreError::Damaged { .. }) => unread += 1,
            Err(error) => return Err(error.into()),
        }
        if found.len() > MOST {
            break;
        }
    }
    Ok((found, unread))
}

/// The first and the last of the numbers that begin with these digits.
fn range(digits: &str) -> (u64, u64) {
    let first = beginning(&format!("{digits:0<16}")).unwrap_or_default();
    let last = beginning(&format!("{digits:f<16}")).unwrap_or(u64::MAX);
    (first, last)
}

fn has_hash(row: &CaseResult, wanted: &str) -> bool {
    let digits = |hash: &str| hash.rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
    let (wanted, trace) = (digits(wanted), row.answer.trace_id.as_ref());
    let mut named = [Some(&row.answer.asked.rendered_hash), trace].into_iter().flatten();
    named.any(|name| digits(name).starts_with(&wanted)) || trace.is_some_and(|id| is_trace(id, &wanted))
}

fn of_run(run: &Arc<Run>, wanted: impl Fn(&CaseResult) -> bool) -> Vec<Found> {
    let rows = run.results.iter().enumerate().filter(|(_, row)| wanted(row));
    rows.map(|(row, _)| Found { run: Arc::clone(run), row }).collect()
}

fn frame(ask: &Ask, rows: &[Row]) -> Frame {
    let text =
        |name: &str, of: fn(&Row) -> &Option<String>| Field::text_or_null(name, rows.iter().map(|row| of(row).clone()));
    let mut frame = Frame::new("attribution", FrameType::Table)
        .with(Field::time_or_null("asked", rows.iter().map(|row| row.at.timestamp_nanos_opt())))
        .with(text("run", |row| &row.run).shown(|config| config.link(shown::to_cases(&ask.instance))))
        .with(text("case", |row| &row.case).shown(|config| config.link(shown::to_verdict(&ask.instance))))
        .with(Field::int_or_null("repeat", rows.iter().map(|row| row.repeat)))
        .with(text("question", |row| &row.question))
        .with(Field::text("outcome", rows.iter().map(|row| row.class.as_str())).shown(shown::outcome_colours))
        .with(Field::text("prompt", rows.iter().map(|row| &row.asked.prompt)))
        .with(text("prompt_sha256", |row| &row.prompt_sha256))
        .with(text("route", |row| &row.asked.route))
        .with(Field::text("rendered_hash", rows.iter().map(|row| &row.asked.rendered_hash)))
        .with(text("output_hash", |row| &row.output_hash))
        .with(text("trace_id", |row| &row.trace_id).shown(|config| shown::to_trace(config, &ask.instance)))
        .with(Field::text("model", rows.iter().map(|row| &row.model)))
        .with(Field::text("quantization", rows.iter().map(|row| &row.quantization)))
        .with(text("gguf_sha256", |row| &row.gguf_sha256))
        .with(text("fingerprint", |row| &row.fingerprint))
        .with(text("llama_cpp", |row| &row.build_info))
        .with(text("dataset", |row| &row.dataset))
        .with(text("dataset_sha256", |row| &row.dataset_sha256))
        .with(text("assay", |row| &row.assay))
        .with(text("commit", |row| &row.commit))
        .with(Field::bool_or_null("dirty", rows.iter().map(|row| row.dirty)))
        .with(Field::json("settings", rows.iter().map(|row| row.settings.clone())));
    frame.meta.row_id_fields = vec![0, 1, 2, 3, 4];
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_of_a_hash_is_a_range_of_numbers() {
        assert_eq!(range("0123456789abcdef"), (0x0123_4567_89ab_cdef, 0x0123_4567_89ab_cdef));
        assert_eq!(range("ff000000"), (0xff00_0000_0000_0000, 0xff00_0000_ffff_ffff));
        assert_eq!(range(&"ab".repeat(32)), (0xabab_abab_abab_abab, 0xabab_abab_abab_abab));
    }
}
