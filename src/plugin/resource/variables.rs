//! Values of dashboard variables: whatever runs exist with, newest runs first, all else in alphabetical order.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Answer, Call, Refusal};
use crate::plugin::error::QueryError;
use crate::problem::did_you_mean;
use crate::run::RunRecord;
use crate::score::Metric;

/// Runs that are looked at, newest first.
const RUNS: usize = 1_000;

const NAMES: [&str; 13] = [
    "arms",
    "banner",
    "baselines",
    "datasets",
    "experiments",
    "families",
    "metrics",
    "models",
    "prompts",
    "quantizations",
    "questions",
    "runs",
    "splits",
];

pub(super) async fn answer(call: &Call, name: &str) -> Answer {
    if !NAMES.contains(&name) {
        let hint = did_you_mean(name, NAMES.into_iter()).unwrap_or_else(|| format!("there are {}", NAMES.join(", ")));
        return Err(Refusal::new(404, format!("no variable `{}`: {hint}", crate::problem::excerpt(name))));
    }
    if name == "metrics" {
        let metrics = Metric::ALL.into_iter().filter(|metric| !metric.is_part());
        return Ok((200, metrics.map(|metric| option(metric.as_str(), &spelled(metric.as_str()))).collect()));
    }
    if name == "questions" {
        // Whatever is listed here can be asked for by its name.
        let live = call.instance.live()?;
        return Ok((200, live.standing.iter().map(|question| option(&question.name, &question.name)).collect()));
    }
    let cache = call.instance.store()?;
    if name == "baselines" {
        let baselines = cache.store().baselines().await.map_err(QueryError::from)?;
        return Ok((200, baselines.iter().map(|baseline| option(&baseline.name, &baseline.name)).collect()));
    }
    let found = cache.records(RUNS, |_| true).await.map_err(QueryError::from)?;
    if name == "runs" {
        let runs = found.records.iter().map(|record| option(&record.plan.id, &run(record)));
        return Ok((200, runs.collect()));
    }
    if name == "banner" {
        let banner = banner(&found.records, Utc::now());
        return Ok((200, json!([option(&banner, &banner)])));
    }
    let values: BTreeSet<String> = found.records.iter().flat_map(|record| values(name, record)).collect();
    Ok((200, values.iter().map(|value| option(value, value)).collect()))
}

fn values(name: &str, record: &RunRecord) -> Vec<String> {
    let plan = &record.plan;
    match name {
        "arms" => vec![plan.arm.name.clone()],
        "datasets" => vec![plan.dataset.name.clone()],
        "experiments" => vec![plan.experiment.name.clone()],
        "families" => record.by_family.keys().cloned().collect(),
        "models" => vec![plan.arm.model.clone()],
        // What the filter of that name compares with.
        "prompts" => vec![plan.arm.choice.to_string()],
        "quantizations" => vec![plan.model.spec.quantization.clone()],
        _ => record.by_split.keys().cloned().collect(),
    }
}

/// The line at the head of a dashboard, in Markdown: what its figures are, or how to come by some.
fn banner(records: &[Arc<RunRecord>], now: DateTime<Utc>) -> String {
    let Some(newest) = records.first() else {
        return "**No runs yet.** Make some with `just demo`, or `assay eval run experiments/demo.toml`, in the store that \
                this data source points at. To see the dashboards full first: `assay store sample`."
            .to_owned();
    };
    let any = |is: fn(&RunRecord) -> bool| records.iter().any(|record| is(record));
    let mut parts = Vec::new();
    if any(|record| record.plan.sample) {
        parts.push("**Sample data**: resampled from other runs; no figure here is a measurement.".to_owned());
    }
    if any(|record| record.plan.model.spec.demo) {
        parts.push("**Demo model**: its figures show the machinery and say nothing about real models.".to_owned());
    }
    let hours = (now - newest.plan.started).num_hours();
    let age = if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) };
    let runs =
        if records.len() >= RUNS { format!("the newest {RUNS} runs") } else { format!("{} runs", records.len()) };
    parts.push(format!("{runs}, the newest {age} old."));
    parts.join(" ")
}

/// Grafana's form of a variable's value.
fn option(value: &str, text: &str) -> Value {
    json!({"value": value, "text": text})
}

fn run(record: &RunRecord) -> String {
    format!("{} ({})", record.plan.title(), record.plan.started.format("%Y-%m-%d %H:%M"))
}

fn spelled(word: &str) -> String {
    word.replace('_', " ")
}
