//! The log lines behind a stored verdict.
//!
//! The store keeps the ids of the cited templates and a hash of what the model saw, never log text. Where the golden
//! dataset is at hand the case is digested once more, and its lines are shown only if the prompt that comes of it has
//! that very hash: evidence that the model did not see is none.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::analyze::Prepared;
use crate::digest::{Budget, Level, Shown};
use crate::frame::{Field, Frame, FrameType, Visualisation};
use crate::golden::Case;
use crate::http::Secret;
use crate::installation::Installation;
use crate::plugin::error::one_line;
use crate::plugin::query::count;
use crate::plugin::settings::ROOT_PATH;
use crate::run::{CaseResult, RunRecord};

/// The cited log lines, or the reason for which there are none.
pub(super) fn evidence(
    root: Option<&Path>,
    hash_key: Option<&Secret>,
    record: &RunRecord,
    result: &CaseResult,
) -> Result<Frame, String> {
    let Some(verdict) = &result.answer.verdict else { return Err("there is no verdict, hence no evidence".to_owned()) };
    let Some(root) = root else {
        return Err(format!("the store keeps no log lines: set `{ROOT_PATH}` in the settings to see the evidence"));
    };
    let away = |reason: String| format!("the evidence cannot be shown as log lines: {}", one_line(&reason));
    let mut installation = Installation::load(root).map_err(|problem| away(problem.to_string()))?;
    // The hash says which of the two it is; the key of the settings goes before the environment's.
    match hash_key {
        _ if result.answer.asked.rendered_hash.starts_with("sha256:") => installation.pipeline.hash_key = None,
        Some(key) => installation.pipeline.hash_key = Some(key.expose().as_bytes().to_vec()),
        None => {}
    }
    let case = find(root, &record.plan.dataset.name, &result.answer.case).map_err(away)?;
    let prepared = prepare(&installation, case, record).map_err(away)?;
    if prepared.rendered.hash != result.answer.asked.rendered_hash {
        return Err(away("prompt, digest or hash key are not those of the run".to_owned()));
    }
    let cited = prepared.digest.templates.iter().filter(|shown| verdict.evidence.contains(&shown.id));
    Ok(lines(&prepared, &cited.collect::<Vec<_>>()))
}

/// Finds one case without reading the others: a dataset can have thousands. What was done to the file since the run
/// shows in the prompt's hash.
fn find(root: &Path, dataset: &str, id: &str) -> Result<Case, String> {
    let name = format!("golden/{dataset}/cases.jsonl");
    let text = fs::read_to_string(root.join(&name)).map_err(|error| format!("{name}: {error}"))?;
    let mentions = |line: &str| line.contains(&format!("\"{id}\""));
    for (index, line) in text.lines().enumerate().filter(|(_, line)| mentions(line)) {
        let case = Case::parse(&name, index + 1, line).map_err(|problem| problem.to_string())?;
        if case.id == id {
            return Ok(case);
        }
    }
    Err(format!("{name} has no case {id}"))
}

fn prepare<'i>(installation: &'i Installation, case: Case, record: &RunRecord) -> Result<Prepared<'i>, String> {
    let (arm, spec) = (&record.plan.arm, &record.plan.model.spec);
    let budget = Budget { tokens: arm.digest_tokens, bytes_per_token: spec.bytes_per_token };
    installation.pipeline.prepare(case.window, &arm.choice, budget)
}

/// The exemplar of each cited template, redacted.
fn lines(prepared: &Prepared<'_>, cited: &[&Shown]) -> Frame {
    let line = |shown: &&Shown| {
        let entry = prepared.window.entries.get(shown.exemplar)?;
        Some(CitedLine {
            ts: entry.ts,
            line: entry.line.clone(),
            level: shown.level,
            id: shown.id.clone(),
            labels: json!(prepared.window.streams.get(entry.stream as usize)),
            count: shown.count,
        })
    };
    log_lines(&cited.iter().filter_map(line).collect::<Vec<_>>())
}

/// A log line that a verdict cites.
pub(super) struct CitedLine {
    /// Nanoseconds since the Unix epoch.
    pub(super) ts: i64,
    pub(super) line: String,
    pub(super) level: Level,
    /// The id of its template in the digest.
    pub(super) id: String,
    pub(super) labels: Value,
    /// How often its template occurs.
    pub(super) count: usize,
}

/// Log lines as the data plane contract has them.
pub(super) fn log_lines(cited: &[CitedLine]) -> Frame {
    let mut frame = Frame::new("evidence", FrameType::LogLines)
        .with(Field::time("timestamp", cited.iter().map(|cited| cited.ts)))
        .with(Field::text("body", cited.iter().map(|cited| &cited.line)))
        .with(Field::text("severity", cited.iter().map(|cited| level(cited.level))))
        .with(Field::text("id", cited.iter().map(|cited| &cited.id)))
        .with(Field::json("labels", cited.iter().map(|cited| cited.labels.clone())))
        .with(Field::int("count", cited.iter().map(|cited| count(cited.count))));
    frame.meta.visualisation = Some(Visualisation::Logs);
    frame
}

/// Grafana's word for a level.
fn level(level: Level) -> &'static str {
    match level {
        Level::Fatal => "critical",
        other => other.word(),
    }
}
