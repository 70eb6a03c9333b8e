//! `assay store sample`: months of nights from one real session, the same each time and marked wherever they show.

use std::collections::BTreeSet;

use assay::run::RunRecord;
use assay::store::Store;
use serde_json::Value;

use super::folder::{Folder, stderr};
use crate::gguf::Habit;

const UNTIL: &str = "2026-11-24T09:00:00Z";

fn records(folder: &Folder, store: &str) -> Vec<RunRecord> {
    let store = Store::open(folder.path(store).to_str().unwrap()).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut records = Vec::new();
        for id in store.ids().await.unwrap() {
            records.push(store.record(&id).await.unwrap().expect("every sample run is published"));
        }
        records
    })
}

#[test]
fn nights_are_resampled_scored_gated_and_marked() {
    let folder = Folder::new(8, Habit::Brief);
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let sample = |to: &str, changed: &str| {
        let arguments = ["store", "sample", to, "--nights", "4", "--changed", changed, "--until", UNTIL];
        let output = folder.assay(&arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(sample("one", "2").contains("12 sample runs, 3 gates"), "three arms over four nights");
    sample("again", "2");
    sample("calm", "0");

    let runs = records(&folder, "one");
    assert_eq!(runs, records(&folder, "again"), "the same runs and seed give the same history");
    let nights: BTreeSet<_> = runs.iter().map(|run| run.plan.started.to_rfc3339()).collect();
    assert_eq!(nights.len(), 4);
    assert_eq!(nights.last().unwrap(), "2026-11-24T02:00:00+00:00");
    for run in &runs {
        assert!(run.plan.sample && run.plan.id.contains("-sample-") && run.plan.title().contains("sample data"));
        assert!(run.plan.experiment.name.ends_with("(sample)"));
    }
    let late = |runs: &[RunRecord]| -> usize {
        let of = |run: &RunRecord| run.classes.get(&assay::verdict::Class::Timeout).copied().unwrap_or_default();
        runs.iter().map(of).sum()
    };
    assert!(late(&runs) > 0, "a change shows");
    assert_eq!(late(&records(&folder, "calm")), 0, "without one nothing happens");

    let baselines = folder.json(&["eval", "baseline", "list", "--json", "--store", "one"]);
    assert_eq!(baselines.as_array().unwrap().len(), 3);
    assert!(baselines.as_array().unwrap().iter().all(|row| row["fault"] == Value::Null), "{baselines}");
    let refused = folder.assay(&["store", "sample", "one"]);
    assert!(stderr(&refused).contains("has runs already"), "{}", stderr(&refused));
    let id = &runs.last().unwrap().plan.id;
    copy_run(&folder, "one", id);
    let compared = folder.assay(&["eval", "compare", id, "rules", "--store", "store"]);
    assert!(stderr(&compared).contains("`sample`: true against false"), "{}", stderr(&compared));
}

/// Puts a run of the store `from` beside the real ones.
fn copy_run(folder: &Folder, from: &str, id: &str) {
    let target = folder.path("store/runs").join(id);
    std::fs::create_dir_all(&target).unwrap();
    for file in ["plan.json", "results.parquet", "run.json"] {
        std::fs::copy(folder.path(from).join("runs").join(id).join(file), target.join(file)).unwrap();
    }
}

#[test]
fn a_store_without_runs_says_how_to_make_some() {
    let folder = Folder::new(2, Habit::Brief);
    std::fs::create_dir_all(folder.path("store")).unwrap();
    let output = folder.assay(&["store", "sample", "one"]);
    assert!(!output.status.success() && stderr(&output).contains("just demo"), "{}", stderr(&output));
    assert!(!folder.path("one").exists(), "nothing is made of nothing");
}
