//! Values of dashboard variables: whatever runs exist with, newest runs first, all else in alphabetical order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Answer, Call, Refusal};
use crate::plugin::error::QueryError;
use crate::problem::did_you_mean;
use crate::run::RunRecord;
use crate::score::Metric;

/// Runs that are looked at, newest first.
const RUNS: usize = 1_000;

const NAMES: [&str; 10] =
    ["arms", "datasets", "experiments", "families", "metrics", "models", "prompts", "quantizations", "runs", "splits"];

pub(super) async fn answer(call: &Call, name: &str) -> Answer {
    if !NAMES.contains(&name) {
        let hint = did_you_mean(name, NAMES.into_iter()).unwrap_or_else(|| format!("there are {}", NAMES.join(", ")));
        return Err(Refusal::new(404, format!("no variable `{}`: {hint}", crate::problem::excerpt(name))));
    }
    if name == "metrics" {
        let metrics = Metric::ALL.into_iter().filter(|metric| !metric.is_part());
        return Ok((200, metrics.map(|metric| option(metric.as_str(), &spelled(metric.as_str()))).collect()));
    }
    let cache = call.instance.store()?;
    let found = cache.records(RUNS, |_| true).await.map_err(QueryError::from)?;
    if name == "runs" {
        let runs = found.records.iter().map(|record| option(&record.plan.id, &run(record)));
        return Ok((200, runs.collect()));
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
