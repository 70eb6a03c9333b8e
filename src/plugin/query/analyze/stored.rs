//! A stored verdict with its evidence. No model is asked.
//!
//! The verdict is the newest of a run, or that of a named case. The evidence is shown as log lines where the golden
//! dataset is at hand and its digest is still, to the hash, the one that the model saw; else by its ids, with a notice.

use std::path::Path;

use chrono::Utc;

use super::evidence::evidence;
use super::{Ask, Query};
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::plugin::error::QueryError;
use crate::plugin::query::{severity_colours, shown};
use crate::problem::did_you_mean;
use crate::run::{CaseResult, Run, RunRecord};
use crate::store::Cache;

/// Answers a query without `expr` and `question`.
pub(super) async fn answer(ask: Ask, query: Query) -> Result<Vec<Frame>, QueryError> {
    let store = ask.instance.store()?;
    let run = store.run(&wanted_run(&store, &query).await?).await?;
    let result = wanted_result(&run, &query)?.clone();
    let verdict = verdict_frame(&run.record, &result);
    let root = ask.instance.root()?.map(Path::to_owned);
    let hash_key = ask.instance.live().ok().and_then(|live| live.hash_key.clone());
    // Reading a dataset and digesting a window takes milliseconds to tenths of a second of one core.
    let evidence =
        tokio::task::spawn_blocking(move || evidence(root.as_deref(), hash_key.as_ref(), &run.record, &result)).await;
    let evidence = evidence.map_err(|_| QueryError::Defect("the evidence could not be prepared".to_owned()))?;
    Ok(match evidence {
        Ok(lines) => vec![verdict, lines],
        Err(reason) => vec![verdict.notice(Severity::Info, reason)],
    })
}

async fn wanted_run(store: &Cache, query: &Query) -> Result<String, QueryError> {
    if !query.run.trim().is_empty() {
        return Ok(store.find(query.run.trim()).await?);
    }
    // A damaged run is not the newest: there may be a sound one before it.
    let newest = store.records(1, |_| true).await?;
    if let Some(record) = newest.records.first() {
        return Ok(record.plan.id.clone());
    }
    Err(QueryError::Missing(format!("no run is published in {}: `assay eval run` makes one", store.store().url())))
}

fn wanted_result<'r>(run: &'r Run, query: &Query) -> Result<&'r CaseResult, QueryError> {
    let id = &run.record.plan.id;
    let case = query.case.trim();
    if case.is_empty() {
        let newest = run.results.iter().max_by_key(|result| result.answer.at);
        return newest.ok_or_else(|| QueryError::Missing(format!("run {id} has no answers")));
    }
    let of_case = || run.results.iter().filter(|result| result.answer.case == case);
    if let Some(result) = of_case().find(|result| result.answer.repeat == query.repeat) {
        return Ok(result);
    }
    Err(QueryError::Missing(match of_case().count() {
        0 => {
            let hint = did_you_mean(case, run.results.iter().map(|result| result.answer.case.as_str()));
            format!("run {id} has no case `{case}`{}", hint.map(|hint| format!(": {hint}")).unwrap_or_default())
        }
        repeats => {
            format!("run {id} has {repeats} repeats of case `{case}`, counted from 0: there is no {}", query.repeat)
        }
    }))
}

fn verdict_frame(record: &RunRecord, result: &CaseResult) -> Frame {
    let (answer, plan) = (&result.answer, &record.plan);
    let age = (Utc::now() - answer.at).to_std().ok().map(|age| age.as_secs_f64());
    let one = |name: &str, text: Option<String>| Field::text_or_null(name, [text]);
    let mut frame = Frame::new("verdict", FrameType::Table);
    frame.fields.extend(shown::verdict(answer.verdict.as_ref()));
    let mut frame = frame
        .with(one("outcome", Some(answer.class.to_string())))
        .with(Field::time_or_null("asked", [answer.at.timestamp_nanos_opt()]).shown(|config| shown::wide(config, 170)))
        .with(Field::float_or_null("age", [age]).shown(|config| config.unit("s").decimals(0)))
        .with(one("reason", answer.reason.clone()))
        .with(one("case", Some(answer.case.clone())))
        .with(one("true_root_cause", Some(result.target_root_cause.clone())))
        .with(one("true_severity", Some(result.target_severity.to_string())).shown(severity_colours))
        .with(Field::int("lines", [i64::from(answer.asked.lines)]))
        .with(Field::float("latency", [answer.latency_ms]).shown(|config| config.unit("ms").decimals(0)))
        .with(Field::int("tokens", [i64::from(answer.usage.prompt_tokens) + i64::from(answer.usage.completion_tokens)]))
        .with(one("prompt", Some(answer.asked.prompt.clone())))
        .with(one("model", Some(plan.arm.model.clone())))
        .with(one("run", Some(plan.id.clone())));
    if plan.sample {
        frame = frame.notice(Severity::Warning, "sample data: resampled from another run, no model was asked");
    }
    if plan.model.spec.demo {
        frame = frame.notice(Severity::Warning, "this is a demo model's verdict: expect it to be weak");
    }
    frame
}
