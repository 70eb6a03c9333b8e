//! `annotations`: what happened to the system, as marks on a time axis: a prompt was released, a dataset was first
//! measured with, a model changed, a gate spoke.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::select::{self, MAX_RUNS};
use super::{Ask, QueryType};
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::installation::load_prompts;
use crate::plugin::error::{QueryError, one_line};
use crate::run::{ModelId, RunRecord};

/// `annotations` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "annotations", answer: |ask| Box::pin(answer(ask)) };

/// A kind of mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Prompt,
    Dataset,
    Model,
    Gate,
}

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Which marks; none for all.
    #[serde(default)]
    kinds: Vec<Kind>,
}

struct Mark {
    at: DateTime<Utc>,
    title: String,
    text: String,
    tags: &'static str,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (query, filter) = ask.filtered::<Query>()?;
    let wants = |kind| query.kinds.is_empty() || query.kinds.contains(&kind);
    let cache = ask.instance.store()?;
    let found = select::records(&cache, &filter, MAX_RUNS).await?;
    let (mut marks, mut notices) = (Vec::new(), Vec::new());
    if wants(Kind::Prompt) {
        match releases(&ask).await? {
            Ok(releases) => marks.extend(releases),
            Err(reason) => notices.push(reason),
        }
    }
    if wants(Kind::Dataset) {
        marks.extend(datasets(&found.records));
    }
    if wants(Kind::Model) {
        marks.extend(models(&found.records));
    }
    if wants(Kind::Gate) {
        let (gates, unreadable) = cache.store().gate_files().await?;
        marks.extend(gates.iter().filter_map(gate));
        notices.extend(unreadable.iter().map(one_line));
    }
    marks.retain(|mark| {
        let at = mark.at.timestamp_nanos_opt().unwrap_or_default();
        ask.range.is_none_or(|(from, to)| at >= from && at <= to)
    });
    marks.sort_by(|a, b| (a.at, &a.title).cmp(&(b.at, &b.title)));
    let mut frame = select::with_damage(frame(&marks), &found.damaged);
    for notice in notices {
        frame = frame.notice(Severity::Warning, notice);
    }
    Ok(vec![frame])
}

/// What the lock says was released, or why it cannot be read. No installation, no releases.
async fn releases(ask: &Ask) -> Result<Result<Vec<Mark>, String>, QueryError> {
    let Some(root) = ask.instance.root()?.map(Path::to_owned) else { return Ok(Ok(Vec::new())) };
    let loaded = tokio::task::spawn_blocking(move || load_prompts(&root)).await;
    let loaded = loaded.map_err(|_| QueryError::Defect("the prompts could not be read".to_owned()))?;
    let marks = loaded.map(|prompts| {
        let mark = |(name, release): (&String, &crate::prompt::Release)| Mark {
            at: release.released,
            title: format!("{name} released"),
            text: format!("sha256 {}", release.sha256),
            tags: "prompt",
        };
        prompts.lock.0.iter().map(mark).collect()
    });
    Ok(marks.map_err(|problem| one_line(&problem)))
}

/// The first run over each state of a dataset; a dataset is frozen when it is first measured with.
fn datasets(records: &[Arc<RunRecord>]) -> Vec<Mark> {
    let mut first: BTreeMap<&str, &RunRecord> = BTreeMap::new();
    for record in records {
        let earliest = first.entry(&record.plan.dataset.sha256).or_insert(record);
        if record.plan.started < earliest.plan.started {
            *earliest = record;
        }
    }
    let mark = |record: &RunRecord| {
        let dataset = &record.plan.dataset;
        Mark {
            at: record.plan.started,
            title: format!("{} first measured with", dataset.name),
            text: format!("{} cases, sha256 {}, run {}", dataset.cases, dataset.sha256, record.plan.id),
            tags: "dataset",
        }
    };
    first.into_values().map(mark).collect()
}

/// Where two runs of one series that follow each other have different models.
fn models(records: &[Arc<RunRecord>]) -> Vec<Mark> {
    let mut by_arm: BTreeMap<(&str, &str), Vec<&RunRecord>> = BTreeMap::new();
    for record in records {
        let plan = &record.plan;
        by_arm.entry((&plan.experiment.name, &plan.arm.name)).or_default().push(record);
    }
    let mut marks = Vec::new();
    for runs in by_arm.values_mut() {
        runs.sort_by_key(|record| record.plan.started);
        for pair in runs.windows(2) {
            let changed = changed(&pair[0].plan.model, &pair[1].plan.model);
            if !changed.is_empty() {
                let plan = &pair[1].plan;
                marks.push(Mark {
                    at: plan.started,
                    title: format!("{}: model changed", plan.arm.name),
                    text: format!("{} in run {}", changed.join("; "), plan.id),
                    tags: "model",
                });
            }
        }
    }
    marks
}

fn changed(before: &ModelId, after: &ModelId) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let fields = [
        ("model", before.spec.name.clone(), after.spec.name.clone()),
        ("quantization", before.spec.quantization.clone(), after.spec.quantization.clone()),
        ("file", text(&before.gguf_sha256), text(&after.gguf_sha256)),
        ("fingerprint", text(&before.fingerprint), text(&after.fingerprint)),
        ("llama.cpp", text(&before.build_info), text(&after.build_info)),
    ];
    let differ = fields.into_iter().filter(|(_, before, after)| before != after);
    differ.map(|(name, before, after)| format!("{name} {before} to {after}")).collect()
}

/// A gate's result, as far as its record says when it spoke and what.
fn gate(record: &serde_json::Value) -> Option<Mark> {
    let text = |name: &str| record.get(name).and_then(serde_json::Value::as_str);
    let at = text("at")?.parse().ok()?;
    let outcome = text("outcome")?;
    let metric = text("metric").unwrap_or("the metric");
    let failed = outcome != "non-inferior";
    Some(Mark {
        at,
        title: format!("gate {}: {outcome}", if failed { "closed" } else { "open" }),
        text: format!("{metric}, run {} against {}", text("run").unwrap_or("-"), text("baseline").unwrap_or("-")),
        tags: if failed { "gate,failed" } else { "gate,passed" },
    })
}

fn frame(marks: &[Mark]) -> Frame {
    let colour = |mark: &Mark| match mark.tags {
        "prompt" => "blue",
        "dataset" => "purple",
        "model" => "orange",
        "gate,passed" => "green",
        _ => "red",
    };
    // A time beyond the calendar of nanoseconds would leave the columns of unequal length.
    let marks: Vec<&Mark> = marks.iter().filter(|mark| mark.at.timestamp_nanos_opt().is_some()).collect();
    Frame::new("annotations", FrameType::Table)
        .with(Field::time("time", marks.iter().filter_map(|mark| mark.at.timestamp_nanos_opt())))
        .with(Field::text("title", marks.iter().map(|mark| &mark.title)))
        .with(Field::text("text", marks.iter().map(|mark| &mark.text)))
        .with(Field::text("tags", marks.iter().map(|mark| mark.tags)))
        .with(Field::text("color", marks.iter().map(|mark| colour(mark))))
}
