//! Stores for the plugin's tests, written by the library itself: two published runs of 40 cases and one unfinished.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use assay::digest::Budget;
use assay::golden::Split;
use assay::installation::Installation;
use assay::model::{Timings, Usage};
use assay::ontology::Severity;
use assay::run::{Answer, Asked, CaseResult, Plan, Run};
use assay::score::Metric;
use assay::store::Store;
use assay::summary::summarise;
use assay::verdict::{Class, Verdict};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

const CASES: usize = 40;

/// An empty store and the settings that point at it.
pub(super) fn empty_store() -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    (folder, settings)
}

pub(super) fn settings(folder: &Path) -> Value {
    json!({"storeUrl": format!("file://{}", folder.display())})
}

/// Runs `r1-weak` (right on 10 of 40 cases), `r2-strong` (right on 30) and the unfinished `r3-cut`.
pub(super) async fn store_of_two_runs() -> (tempfile::TempDir, Value) {
    let (folder, settings) = empty_store();
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    for (id, arm, right) in [("r1-weak", "weak", 10), ("r2-strong", "strong", 30)] {
        let plan = plan(id, arm);
        store.put_plan(&plan).await.unwrap();
        store.commit(&mut run(plan, right)).await.unwrap();
    }
    store.put_plan(&plan("r3-cut", "strong")).await.unwrap();
    (folder, settings)
}

/// A store with one run whose only verdict cites template `T1` of a golden case, and the line that T1 shows.
pub(super) async fn store_with_evidence() -> (tempfile::TempDir, Value, String) {
    let (folder, mut settings) = empty_store();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    settings["rootPath"] = json!(root);
    let installation = Installation::load(root).unwrap();
    let case = installation.dataset("golden-v1").unwrap().cases.remove(0);
    let plan = plan("r1", "real");
    let budget = Budget { tokens: plan.arm.digest_tokens, bytes_per_token: plan.model.spec.bytes_per_token };
    let prepared = installation.pipeline.prepare(case.window, &plan.arm.choice, budget).unwrap();
    let line = prepared.window.entries[prepared.digest.templates[0].exemplar].line.clone();
    let mut result = result(0, true);
    result.answer.case = case.id;
    result.answer.asked.rendered_hash = prepared.rendered.hash;
    result.answer.verdict.as_mut().unwrap().evidence = vec!["T1".to_owned()];
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    store.commit(&mut run_of(plan, vec![result])).await.unwrap();
    (folder, settings, line)
}

pub(super) fn plan(id: &str, arm: &str) -> Plan {
    let sampling = json!({"temperature": 0.0, "top_p": 1.0, "seed": 1, "max_tokens": 200});
    let arm = json!({
        "name": arm, "choice": {"prompt": "triage@1"}, "model": "rules", "sampling": sampling, "digest_tokens": 1000
    });
    let plan = json!({
        "format": 1, "id": id, "session": "s1",
        "experiment": {
            "name": "demo", "question": "is it better?", "dataset": "golden-v1", "primary": "root_cause", "margin": 0.05,
            "profile": "reproducible", "repeats": 1, "seed": 7, "timeout_s": 30.0, "arms": [arm], "contrasts": []
        },
        "arm": arm,
        "dataset": {"name": "golden-v1", "version": 1, "sha256": "d", "cases": CASES},
        "model": {"spec": {
            "name": "rules", "description": "rule baseline", "quantization": "-", "bytes_per_token": 3.0, "demo": false,
            "kind": {"kind": "rules"}
        }},
        "pipeline": {
            "redaction": "1", "digest": "1", "scorer": "1", "ontology": 1, "ontology_sha256": "o", "prompts": {},
            "drafts": []
        },
        "environment": {"assay_version": "0.1.0", "cpus": 2, "os": "linux"},
        "started": "2026-11-24T10:00:00Z",
    });
    serde_json::from_value(plan).unwrap()
}

pub(super) fn run(plan: Plan, right: usize) -> Run {
    run_of(plan, (0..CASES).map(|case| result(case, case < right)).collect())
}

pub(super) fn run_of(plan: Plan, results: Vec<CaseResult>) -> Run {
    let finished = plan.started + chrono::Duration::seconds(90);
    let record = summarise(&results, plan.experiment.seed).into_record(plan, finished, 0);
    Run { record, results }
}

pub(super) fn result(case: usize, right: bool) -> CaseResult {
    let at: DateTime<Utc> = "2026-11-24T10:00:00Z".parse().unwrap();
    let verdict = Verdict {
        evidence: vec!["T3".to_owned()],
        components: vec!["prometheus".to_owned()],
        root_cause: if right { "disk_full" } else { "memory_exhausted" }.to_owned(),
        severity: Severity::Critical,
        summary: "the disk is full".to_owned(),
    };
    let asked = Asked {
        prompt: "triage@1".to_owned(),
        route: None,
        rendered_hash: "sha256:0".to_owned(),
        lines: 100,
        templates: 7,
        omitted_templates: 0,
        omitted_lines: 0,
        digest_tokens: 400,
        redactions: 0,
        decisive_ids: vec!["T3".to_owned()],
    };
    let answer = Answer {
        case: format!("g1-{case:03}"),
        repeat: 0,
        at: at + chrono::Duration::seconds(case as i64),
        asked,
        class: Class::Ok,
        reason: None,
        verdict: Some(verdict),
        usage: Usage { prompt_tokens: 500, cached_tokens: 0, completion_tokens: 60 },
        timings: Timings::default(),
        latency_ms: 1000.0 + case as f64,
        attempts: 1,
        trace_id: None,
    };
    CaseResult {
        answer,
        cluster: format!("c-{case:03}"),
        family: "monitoring".to_owned(),
        split: Split::Standard,
        target_root_cause: "disk_full".to_owned(),
        target_severity: Severity::Critical,
        scores: BTreeMap::from([(Metric::RootCause, if right { 1.0 } else { 0.0 }), (Metric::Severity, 1.0)]),
    }
}

/// The texts of a column; nulls are left out.
pub(super) fn text(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let columns = batches.iter().map(|batch| batch.column_by_name(column).unwrap_or_else(|| panic!("no {column}")));
    columns
        .flat_map(|column| column.as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The number in a row of a column; `None` for null.
pub(super) fn value(batches: &[RecordBatch], column: &str, row: usize) -> Option<f64> {
    let column = batches[0].column_by_name(column).unwrap_or_else(|| panic!("no {column}"));
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
        _ => column.as_primitive::<Float64Type>().value(row),
    })
}
