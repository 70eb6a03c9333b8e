//! `prompts`: every prompt version with its release, hash and intent, and the quality that its newest run measured.
//!
//! Versions come from the installation, where one is set, and from the runs. A run that measured another text than the
//! file now holds (a draft that went on changing) does not count for it, and a notice says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::select::{self, MAX_RUNS};
use super::{Ask, QueryType, shown};
use crate::experiment::Choice;
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::installation::load_prompts;
use crate::plugin::error::{QueryError, one_line};
use crate::plugin::settings::ROOT_PATH;
use crate::prompt::{PromptId, Prompts};
use crate::run::RunRecord;
use crate::score::Metric;

/// `prompts` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "prompts", answer: |ask| Box::pin(answer(ask)) };

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The quality that is shown.
    #[serde(default = "select::default_metric")]
    metric: Metric,
}

/// A version, from the installation, from runs, or both.
#[derive(Default)]
struct Row {
    intent: Option<String>,
    description: Option<String>,
    sha256: Option<String>,
    released: Option<DateTime<Utc>>,
    /// Whether the installation has it.
    here: bool,
    /// Its newest run alone, of this very text.
    run: Option<Arc<RunRecord>>,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (query, filter) = ask.filtered::<Query>()?;
    let (prompts, missing) = installed(&ask).await?;
    let cache = ask.instance.store()?;
    // The prompt filter is for the rows, not for the runs: a routed run names several.
    let found = cache.records(MAX_RUNS, |record| {
        let plan = &record.plan;
        filter.allows("experiment", &plan.experiment.name)
            && filter.allows("model", &plan.arm.model)
            && filter.allows("quantization", &plan.model.spec.quantization)
            && filter.allows("dataset", &plan.dataset.name)
    });
    let found = found.await?;
    let (mut rows, stale) = rows(prompts.as_ref(), &found.records);
    rows.retain(|id, _| filter.allows("prompt", &id.to_string()));
    let mut frame =
        select::with_damage(select::with_marks(frame(&ask, query.metric, &rows), &found.records), &found.damaged);
    for text in missing.into_iter().chain(stale) {
        frame = frame.notice(Severity::Info, text);
    }
    Ok(vec![frame])
}

/// The installation's prompts, or why there are none.
async fn installed(ask: &Ask) -> Result<(Option<Prompts>, Option<String>), QueryError> {
    let Some(root) = ask.instance.root()?.map(Path::to_owned) else {
        let text = format!("only prompts that runs name are shown: set `{ROOT_PATH}` to see all, with their releases");
        return Ok((None, Some(text)));
    };
    let loaded = tokio::task::spawn_blocking(move || load_prompts(&root)).await;
    match loaded.map_err(|_| QueryError::Defect("the prompts could not be read".to_owned()))? {
        Ok(prompts) => Ok((Some(prompts), None)),
        Err(problem) => Err(QueryError::Store(one_line(&problem))),
    }
}

/// The rows, and notices about runs that measured another text.
fn rows(prompts: Option<&Prompts>, records: &[Arc<RunRecord>]) -> (BTreeMap<PromptId, Row>, BTreeSet<String>) {
    let mut rows: BTreeMap<PromptId, Row> = BTreeMap::new();
    for prompt in prompts.into_iter().flat_map(Prompts::iter) {
        let row = Row {
            intent: Some(prompt.intent.clone()),
            description: Some(prompt.description.clone()),
            sha256: Some(prompt.sha256.clone()),
            released: prompts.and_then(|prompts| prompts.lock.released(&prompt.id.to_string())),
            here: true,
            run: None,
        };
        rows.insert(prompt.id.clone(), row);
    }
    let mut stale = BTreeSet::new();
    for record in records {
        for (name, sha256) in &record.plan.pipeline.prompts {
            let Ok(id) = name.parse::<PromptId>() else { continue };
            let alone = matches!(&record.plan.arm.choice, Choice::Prompt(chosen) if *chosen == id);
            let row = rows.entry(id).or_insert_with(|| Row { sha256: Some(sha256.clone()), ..Row::default() });
            match &row.sha256 {
                Some(known) if known != sha256 => {
                    stale.insert(format!("runs of {name} with another text than it has now do not count"));
                }
                // Newest first: the first that counts is the newest.
                _ if alone && row.run.is_none() => row.run = Some(Arc::clone(record)),
                _ => {}
            }
        }
    }
    (rows, stale)
}

fn frame(ask: &Ask, metric: Metric, rows: &BTreeMap<PromptId, Row>) -> Frame {
    let estimate = |row: &Row| row.run.as_ref().and_then(|run| run.metrics.get(&metric).cloned());
    let status = |row: &Row| match (row.released.is_some(), row.here) {
        (true, _) => "released",
        (false, true) => "draft",
        (false, false) => "only in runs",
    };
    let quality = |name: &str, of: &dyn Fn(&Row) -> Option<f64>| {
        Field::float_or_null(name, rows.values().map(of)).shown(|config| shown::metric(config, metric))
    };
    let of_run = |name: &str, of: &dyn Fn(&RunRecord) -> String| {
        Field::text_or_null(name, rows.values().map(|row| row.run.as_ref().map(|run| of(run))))
    };
    let nanos = |time: DateTime<Utc>| time.timestamp_nanos_opt();
    let mut frame =
        Frame::new("prompts", FrameType::Table)
            .with(Field::text("prompt", rows.keys().map(PromptId::to_string)))
            .with(Field::text_or_null("intent", rows.values().map(|row| row.intent.clone())))
            .with(Field::text("status", rows.values().map(status)).shown(|config| {
                config.colours(&[("released", "green"), ("draft", "orange"), ("only in runs", "blue")])
            }))
            .with(Field::time_or_null("released", rows.values().map(|row| row.released.and_then(nanos))))
            .with(quality(metric.as_str(), &|row| estimate(row).map(|estimate| estimate.value)))
            .with(quality("ci_low", &|row| estimate(row)?.ci_low))
            .with(quality("ci_high", &|row| estimate(row)?.ci_high))
            .with(of_run("model", &|run| run.plan.arm.model.clone()))
            .with(of_run("dataset", &|run| run.plan.dataset.name.clone()))
            .with(Field::time_or_null(
                "measured",
                rows.values().map(|row| row.run.as_ref().and_then(|run| nanos(run.plan.started))),
            ))
            .with(of_run("run", &|run| run.plan.id.clone()).shown(|config| config.link(shown::to_cases(&ask.instance))))
            .with(Field::text_or_null("description", rows.values().map(|row| row.description.clone())))
            .with(Field::text_or_null("sha256", rows.values().map(|row| row.sha256.clone())));
    frame.meta.row_id_fields = vec![0];
    frame
}
