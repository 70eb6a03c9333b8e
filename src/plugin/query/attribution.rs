//! `attribution`: from a rendered prompt's hash, or a run and a case, to everything that made the answer.
//!
//! A hash may be given whole or by its first digits, at least eight. The store keeps hashes only: no log or prompt text
//! comes out of it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::select::MAX_RUNS;
use super::{Ask, QueryType, shown};
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::plugin::error::QueryError;
use crate::run::{CaseResult, Plan, Run};
use crate::store::{Cache, Listed, StoreError, beginning};

/// `attribution` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "attribution", answer: |ask| Box::pin(answer(ask)) };

/// The fewest digits of a hash that are taken.
const FEWEST_DIGITS: usize = 8;
/// The most answers that are shown.
const MOST: usize = 100;

/// The query's own fields: a hash, or a run with or without a case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Hash of the rendered prompt, or its first digits.
    #[serde(default)]
    hash: Option<String>,
    /// The run: its id, a unique beginning of it, or an arm's name for its newest.
    #[serde(default)]
    run: Option<String>,
    /// The case.
    #[serde(default)]
    case: Option<String>,
}

/// An answer that was asked for.
struct Found {
    run: Arc<Run>,
    row: usize,
}

impl Found {
    fn result(&self) -> &CaseResult {
        &self.run.results[self.row]
    }

    fn plan(&self) -> &Plan {
        &self.run.record.plan
    }
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let query: Query = ask.fields()?;
    let cache = ask.instance.store()?;
    let set = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (hash, run, case) = (set(query.hash), set(query.run), set(query.case));
    let (mut found, unread) = match (hash, run) {
        (Some(hash), None) => by_hash(&cache, &hash).await?,
        (hash, Some(run)) => {
            let run = cache.run(&cache.find(&run).await?).await?;
            (of_run(&run, |row| hash.as_deref().is_none_or(|hash| has_hash(row, hash))), 0)
        }
        (None, None) => {
            return Err(QueryError::Invalid("nothing to look for: give `hash`, or `run` and `case`".to_owned()));
        }
    };
    found.retain(|found| case.as_ref().is_none_or(|case| found.result().answer.case == *case));
    if found.is_empty() {
        let hint = "only answers of published runs are known; a hash is of the rendered prompt";
        return Err(QueryError::Missing(format!("no such answer is in {}: {hint}", cache.store().url())));
    }
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    let mut frame = frame(&ask, &found);
    if more > 0 {
        frame = frame.notice(Severity::Info, format!("{more} further answers: name a case, or more digits"));
    }
    if unread > 0 {
        frame = frame.notice(Severity::Warning, format!("{unread} runs are damaged and were not looked into"));
    }
    Ok(vec![frame])
}

/// Answers whose rendered prompt has a hash, newest run first, and the number of runs that could not be read.
async fn by_hash(cache: &Cache, hash: &str) -> Result<(Vec<Found>, usize), QueryError> {
    let digits = hash.rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
    let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    if !is_hex || digits.len() < FEWEST_DIGITS {
        let message =
            format!("field `hash`: give at least {FEWEST_DIGITS} hexadecimal digits of a rendered prompt's hash");
        return Err(QueryError::Invalid(message));
    }
    let wanted = range(&digits);
    let (mut found, mut unread) = (Vec::new(), 0);
    let listing = cache.listing().await?;
    let published: Vec<&Listed> =
        listing.iter().rev().filter(|listed| listed.record.is_some()).take(MAX_RUNS).collect();
    for listed in published {
        match cache.hashes(listed).await {
            Ok(hashes) => {
                let from = hashes.partition_point(|hash| *hash < wanted.0);
                if hashes.get(from).is_some_and(|hash| *hash <= wanted.1) {
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
    digits(&row.answer.asked.rendered_hash).starts_with(&digits(wanted))
}

fn of_run(run: &Arc<Run>, wanted: impl Fn(&CaseResult) -> bool) -> Vec<Found> {
    let rows = run.results.iter().enumerate().filter(|(_, row)| wanted(row));
    rows.map(|(row, _)| Found { run: Arc::clone(run), row }).collect()
}

fn frame(ask: &Ask, found: &[Found]) -> Frame {
    let text = |name: &str, of: &dyn Fn(&Found) -> Option<String>| Field::text_or_null(name, found.iter().map(of));
    let plan = |name: &str, of: &dyn Fn(&Plan) -> Option<String>| text(name, &|found| of(found.plan()));
    let answers = Field::text("case", found.iter().map(|found| &found.result().answer.case));
    let mut frame = Frame::new("attribution", FrameType::Table)
        .with(Field::time_or_null("asked", found.iter().map(|found| found.result().answer.at.timestamp_nanos_opt())))
        .with(plan("run", &|plan| Some(plan.id.clone())).shown(|config| config.link(shown::to_cases(&ask.instance))))
        .with(answers.shown(|config| config.link(shown::to_verdict(&ask.instance))))
        .with(Field::int("repeat", found.iter().map(|found| i64::from(found.result().answer.repeat))))
        .with(text("outcome", &|found| Some(found.result().answer.class.to_string())))
        .with(text("prompt", &|found| Some(found.result().answer.asked.prompt.clone())))
        .with(text("prompt_sha256", &|found| {
            found.plan().pipeline.prompts.get(&found.result().answer.asked.prompt).cloned()
        }))
        .with(text("route", &|found| found.result().answer.asked.route.clone()))
        .with(text("rendered_hash", &|found| Some(found.result().answer.asked.rendered_hash.clone())))
        .with(plan("model", &|plan| Some(plan.arm.model.clone())))
        .with(plan("quantization", &|plan| Some(plan.model.spec.quantization.clone())))
        .with(plan("gguf_sha256", &|plan| plan.model.gguf_sha256.clone()))
        .with(plan("fingerprint", &|plan| plan.model.fingerprint.clone()))
        .with(plan("llama_cpp", &|plan| plan.model.build_info.clone()))
        .with(plan("dataset", &|plan| Some(plan.dataset.name.clone())))
        .with(plan("dataset_sha256", &|plan| Some(plan.dataset.sha256.clone())))
        .with(plan("assay", &|plan| Some(plan.environment.assay_version.clone())))
        .with(plan("commit", &|plan| plan.environment.commit.clone()))
        .with(Field::bool_or_null("dirty", found.iter().map(|found| found.plan().environment.dirty)))
        .with(Field::json("settings", found.iter().map(|found| settings(found.plan()))));
    frame.meta.row_id_fields = vec![1, 2, 3];
    frame
}

/// Everything else that shaped the answer.
fn settings(plan: &Plan) -> serde_json::Value {
    json!({
        "sampling": plan.arm.sampling, "digest_tokens": plan.arm.digest_tokens,
        "profile": plan.experiment.profile, "timeout_s": plan.experiment.timeout_s, "seed": plan.experiment.seed,
        "context_tokens": plan.model.context_tokens, "slots": plan.model.slots, "threads": plan.model.threads,
        "chat_template_sha256": plan.model.chat_template_sha256,
        "redaction": plan.pipeline.redaction, "digest": plan.pipeline.digest, "scorer": plan.pipeline.scorer,
        "ontology": plan.pipeline.ontology, "routes_sha256": plan.pipeline.routes_sha256,
        "cpu": plan.environment.cpu, "os": plan.environment.os,
    })
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
