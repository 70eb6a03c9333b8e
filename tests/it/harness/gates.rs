//! What is done with finished runs.

use std::process::Output;

use assay::score::Metric;
use assay::store::Store;
use serde_json::Value;

use super::folder::{Folder, stderr};
use crate::gguf::Habit;

/// One arm that needs no server.
const RULES: &str = "name = 'small'\nquestion = 'does it run?'\ndataset = 'small'\nprimary = 'root_cause'\n\
                     margin = 0.05\n[[arm]]\nname = 'rules'\nprompt = 'triage@1'\nmodel = 'rules'\n";

fn rules_only(cases: usize) -> Folder {
    let folder = Folder::new(cases, Habit::Brief);
    folder.write("experiment.toml", RULES);
    let output = folder.assay(&["eval", "run", "experiment.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    folder
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs a command that must end with `code`.
fn ends(folder: &Folder, code: i32, arguments: &[&str]) -> Output {
    let output = folder.assay(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {} {}", stdout(&output), stderr(&output));
    output
}

/// Folder of the only run of `arm`.
fn run_of(folder: &Folder, arm: &str) -> String {
    let runs = std::fs::read_dir(folder.path("store/runs")).unwrap();
    let names: Vec<String> = runs.map(|run| run.unwrap().file_name().into_string().unwrap()).collect();
    let name = names.iter().find(|name| name.ends_with(&format!("-{arm}"))).unwrap();
    format!("store/runs/{name}")
}

/// Changes a stored run as an older or a foreign program might have written it, hashes included.
fn rewrite(folder: &Folder, arm: &str, change: impl FnOnce(&mut assay::run::Run)) {
    let store = Store::open(folder.path("store").to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut run = store.run(&store.find(arm).await.unwrap()).await.unwrap();
        change(&mut run);
        store.commit(&mut run).await.unwrap();
    });
}

#[test]
fn a_saved_run_is_scored_again_without_a_model() {
    let folder = rules_only(6);
    let first = ends(&folder, 0, &["eval", "score", "rules"]);
    assert!(stdout(&first).contains("No figure differs"), "{}", stdout(&first));
    assert!(stdout(&first).contains("severity kappa, quadratic"), "{}", stdout(&first));
    assert_eq!(first.stdout, ends(&folder, 0, &["eval", "score", "rules"]).stdout, "a repetition prints other bytes");
    assert!(stderr(&ends(&folder, 0, &["eval", "score", "rules", "--write"])).contains("nothing to write"));

    let file = format!("{}/results.parquet", run_of(&folder, "rules"));
    let right = folder.json(&["eval", "show", "rules", "--json"]);
    rewrite(&folder, "rules", |run| {
        // As a version before these figures would have left it, with a scorer that saw one case otherwise.
        run.record.plan.pipeline.scorer = "0".to_owned();
        (run.record.severity_kappa, run.record.component_micro_f1) = (None, None);
        run.record.metrics.get_mut(&Metric::RootCause).unwrap().value = 0.5;
        run.results[0].scores.insert(Metric::RootCause, 0.0);
    });
    let record = format!("{}/run.json", run_of(&folder, "rules"));
    folder.edit(&record, "\"severity_kappa\": null,", "");
    folder.edit(&record, "\"component_micro_f1\": null,", "");
    let before = std::fs::read(folder.path(&file)).unwrap();
    ends(&folder, 0, &["eval", "show", "rules"]);
    let changes = folder.json(&["eval", "score", "rules", "--json"]);
    assert_eq!(changes["rows_changed"], 1);
    let figures: Vec<&Value> = changes["changes"].as_array().unwrap().iter().map(|c| &c["figure"]).collect();
    assert_eq!(figures, ["root_cause", "severity_kappa", "component_micro_f1"]);
    assert_eq!(std::fs::read(folder.path(&file)).unwrap(), before, "without --write nothing is written");

    let written = stderr(&ends(&folder, 0, &["eval", "score", "rules", "--write"]));
    assert!(written.contains("scorer 0 -> 1, 3 figures and 1 answers changed"), "{written}");
    assert_eq!(folder.json(&["eval", "show", "rules", "--json"]), right, "it is what a run of today would be");
    assert!(!folder.path(&file.replace("results", "results.next")).exists());

    // Cut off after the record was replaced: the new results still lie under their first name.
    std::fs::rename(folder.path(&file), folder.path(&file.replace("results", "results.next"))).unwrap();
    std::fs::write(folder.path(&file), &before).unwrap();
    assert_eq!(folder.json(&["eval", "show", "rules", "--json"]), right);

    folder.write_dataset(7);
    let message = stderr(&ends(&folder, 1, &["eval", "score", "rules", "--write"]));
    assert!(message.contains("cannot be scored again: `dataset.sha256`"), "{message}");
}
