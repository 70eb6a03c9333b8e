//! What is done with finished runs: scored again, held against baselines, reproduced; and that altered ones are refused.

use std::process::Output;

use assay::score::Metric;
use assay::store::Store;
use serde_json::{Value, json};

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
        std::fs::remove_file(folder.path("store/runs").join(&run.record.plan.id).join("run.json")).unwrap();
        store.commit(&mut run).await.unwrap();
    });
}

#[test]
fn a_gate_decides_an_exit_code_and_keeps_what_it_said() {
    let folder = Folder::new(8, Habit::Brief);
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    // The rules know every case; random weights do not.
    let passed = ends(&folder, 0, &["eval", "gate", "rules", "--baseline", "a", "--format", "json"]);
    let record: Value = serde_json::from_slice(&passed.stdout).unwrap();
    assert_eq!((&record["outcome"], &record["metric"]), (&json!("non-inferior"), &json!("root_cause")), "{record}");
    let kept = folder.path(&format!("store/gates/{}.json", record["id"].as_str().unwrap()));
    let kept: Value = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(kept, record);

    let failed = stdout(&ends(&folder, 3, &["eval", "gate", "a", "--baseline", "rules", "--format", "junit"]));
    assert!(failed.starts_with("<?xml") && failed.contains("failures=\"1\""), "{failed}");
    assert!(failed.contains("<failure type=\"failed\"") && failed.ends_with("</testsuites>\n"), "{failed}");
    // Eight clusters without a difference leave room for a loss of more than five points.
    let unsure = stdout(&ends(&folder, 4, &["eval", "gate", "rules", "--baseline", "rules", "--format", "markdown"]));
    assert!(unsure.starts_with("### Gate cannot tell") && unsure.contains("| margin | 5.0 pp |"), "{unsure}");
    let text = stdout(&ends(&folder, 0, &["eval", "gate", "rules", "--baseline", "rules", "--margin", "0.5"]));
    assert!(text.starts_with("gate passed:") && text.contains("margin          50.0 pp"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path("store/gates")).unwrap().count(), 4);

    for (arguments, expected) in [
        (vec!["rules", "--baseline", "rulse"], "no run `rulse`"),
        (vec!["rules", "--baseline", "a", "--metric", "severity"], "give --margin"),
        (vec!["rules", "--baseline", "a", "--margin", "5"], "0.05 is 5 percentage points"),
    ] {
        let arguments = [&["eval", "gate"], &arguments[..]].concat();
        let message = stderr(&ends(&folder, 1, &arguments));
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    // A mistake in the arguments must not look like a run that is worse.
    let usage = stderr(&ends(&folder, 2, &["eval", "gate", "rules", "--baselin", "a"]));
    assert!(usage.contains("--baseline"), "{usage}");
    let usage = stderr(&ends(&folder, 2, &["eval", "gate", "rules", "--baseline", "a", "--margin", "-1"]));
    assert!(usage.contains("give 0 or more"), "{usage}");
}

#[test]
fn a_baseline_is_pinned_and_refused_once_its_run_was_altered() {
    let folder = rules_only(6);
    ends(&folder, 0, &["eval", "baseline", "set", "main", "rules"]);
    let listed = folder.json(&["eval", "baseline", "list", "--json"]);
    assert_eq!((&listed[0]["baseline"]["name"], &listed[0]["fault"]), (&json!("main"), &Value::Null));
    let shown = folder.json(&["eval", "baseline", "show", "main", "--json"]);
    assert_eq!(shown["baseline"]["results_sha256"], shown["run"]["results_sha256"]);
    let gate =
        ends(&folder, 0, &["eval", "gate", "rules", "--baseline", "main", "--margin", "0.9", "--format", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&gate.stdout).unwrap()["baseline_name"], "main");

    let message = stderr(&ends(&folder, 1, &["eval", "baseline", "set", "../main", "rules"]));
    assert!(message.contains("cannot name a baseline"), "{message}");
    let message = stderr(&ends(&folder, 1, &["eval", "baseline", "show", "mian"]));
    assert!(message.contains("did you mean `main`?"), "{message}");

    rewrite(&folder, "rules", |run| {
        run.results[0].scores.insert(Metric::RootCause, 0.0);
    });
    let message = stderr(&ends(&folder, 1, &["eval", "gate", "rules", "--baseline", "main"]));
    assert!(message.contains("results.parquet") && message.contains("altered"), "{message}");
    assert!(folder.json(&["eval", "baseline", "list", "--json"])[0]["fault"].is_string());
    let moved = stderr(&ends(&folder, 0, &["eval", "baseline", "set", "main", "rules"]));
    assert!(moved.contains("it was"), "{moved}");
    // Figures alone, the results untouched.
    folder.edit(&format!("{}/run.json", run_of(&folder, "rules")), "\"resumed\": 0", "\"resumed\": 7");
    let message = stderr(&ends(&folder, 1, &["eval", "gate", "rules", "--baseline", "main"]));
    assert!(message.contains("run.json") && message.contains("altered"), "{message}");
}

#[test]
fn a_saved_run_is_scored_again_without_a_model() {
    let folder = rules_only(6);
    let first = ends(&folder, 0, &["eval", "score", "rules"]);
    assert!(stdout(&first).contains("No figure differs"), "{}", stdout(&first));
    assert!(stdout(&first).contains("severity_kappa"), "{}", stdout(&first));
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
    assert!(written.contains("scorer 0 -> 2, 3 figures and 1 answers changed"), "{written}");
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

#[test]
fn a_run_is_reproduced_answer_by_answer() {
    let folder = Folder::new(6, Habit::Brief);
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let same = ends(&folder, 0, &["eval", "reproduce", "a", "--json"]);
    let same: Value = serde_json::from_slice(&same.stdout).unwrap();
    assert_eq!((&same["identical"], &same["fields"]), (&json!(true), &json!([])), "{same}");
    assert_eq!(same["shares"][0], json!({ "field": "verdict", "same": 6, "of": 6 }));
    assert_eq!(folder.json(&["eval", "list", "--json"]).as_array().unwrap().len(), 4);

    rewrite(&folder, "rules", |run| {
        run.results[1].answer.verdict.as_mut().unwrap().summary = "Something else.".to_owned();
        run.record.plan.environment.cpu = Some("abacus".to_owned());
    });
    let differs = stdout(&ends(&folder, 6, &["eval", "reproduce", "rules"]));
    assert!(differs.contains("1 of 6 answers differ.") && differs.contains("s-001 #0: verdict"), "{differs}");
    assert!(differs.contains("same class              6 of 6 (100.0 %)"), "{differs}");
    assert!(differs.contains("environment.cpu: abacus -> "), "{differs}");

    std::fs::remove_file(folder.path("prompts/prompts.lock")).unwrap();
    folder.edit("prompts/triage/1.md", "You read logs", "You study logs");
    let message = stderr(&ends(&folder, 1, &["eval", "reproduce", "rules"]));
    assert!(message.contains("cannot be reproduced: `pipeline.prompts`"), "{message}");
    folder.edit("prompts/triage/1.md", "You study logs", "You read logs");
    folder.write_dataset(7);
    let message = stderr(&ends(&folder, 1, &["eval", "reproduce", "rules"]));
    assert!(message.contains("cannot be reproduced: `dataset.sha256`"), "{message}");
}

#[test]
fn power_says_how_many_clusters_an_effect_needs() {
    let folder = Folder::new(8, Habit::Brief);
    let assumed = ["eval", "power", "--clusters", "86", "--discordant", "0.2", "--effect", "0.1,0.2", "--json"];
    let assumed = folder.json(&assumed);
    // (1.959964 + 0.841621)^2 * 0.2 / 0.1^2 = 156.98
    assert_eq!(assumed["effects"][0]["clusters_needed"], 157, "{assumed}");
    assert_eq!(assumed["effects"][1]["clusters_needed"], 40);
    assert!(assumed["effects"][1]["power_now"].as_f64().unwrap() > 0.98, "{assumed}");

    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let observed = ["eval", "power", "a", "--against", "rules", "--metric", "latency_ms", "--effect", "5"];
    let observed = stdout(&ends(&folder, 0, &observed));
    assert!(observed.contains("8 clusters") && observed.contains("CLUSTERS NEEDED"), "{observed}");
    // Two runs that answer alike show no spread, but no more than so many captures can differ that were not seen.
    let alike = folder.json(&["eval", "power", "rules", "--against", "rules", "--json"]);
    let compared = folder.json(&["eval", "compare", "rules", "rules", "--json"]);
    let (promised, found) = (&alike["basis"]["minimum_detectable_effect"], &compared["rows"][0]["mde"]);
    assert!((promised.as_f64().unwrap() - found.as_f64().unwrap()).abs() < 1e-9, "{promised} {found}");
    let alike = ["eval", "power", "rules", "--against", "rules", "--metric", "latency_ms", "--effect", "5"];
    let alike = stderr(&ends(&folder, 1, &alike));
    assert!(alike.contains("--discordant"), "{alike}");
    ends(&folder, 0, &["eval", "power", "rules", "--effect", "0.3"]);
    for (code, arguments, expected) in [
        (2, vec!["--clusters", "1"], "1 is not in 2.."),
        (2, vec!["--clusters", "9", "--discordant", "2"], "above 0 and at most 1"),
        (1, vec!["--clusters", "9", "--effect", "0"], "--effect 0 is out of range"),
        (1, vec!["rules", "--metric", "latency_ms"], "--against"),
    ] {
        let message = stderr(&ends(&folder, code, &[&["eval", "power"], &arguments[..]].concat()));
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

/// Fault: files of a run are cut or altered. Injected: a truncated Parquet file, an edited record. Outcome: refused, and the file is named; other runs are unaffected.
#[test]
fn files_of_a_run_that_were_cut_or_altered_are_refused_by_name() {
    let folder = rules_only(6);
    let run = run_of(&folder, "rules");
    let (results, record) = (folder.path(&format!("{run}/results.parquet")), folder.path(&format!("{run}/run.json")));
    let (whole, text) = (std::fs::read(&results).unwrap(), std::fs::read(&record).unwrap());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &whole[..0], &flipped] {
        std::fs::write(&results, damaged).unwrap();
        for command in ["show", "score", "reproduce", "power"] {
            let message = stderr(&ends(&folder, 1, &["eval", command, "rules"]));
            let named = message.contains("results.parquet") && message.contains("damaged");
            assert!(named && !message.contains("panicked"), "{command}: {message}");
        }
    }
    std::fs::remove_file(&results).unwrap();
    assert!(stderr(&ends(&folder, 1, &["eval", "show", "rules"])).contains("the file is gone"));
    std::fs::write(&results, &whole).unwrap();
    let id = run.rsplit('/').next().unwrap();
    for cut in [0, 1, text.len() / 2, text.len() - 3] {
        std::fs::write(&record, &text[..cut]).unwrap();
        let message = stderr(&ends(&folder, 1, &["eval", "show", id]));
        assert!(message.contains("run.json") && message.contains("damaged"), "{cut}: {message}");
    }
    std::fs::write(&record, &text).unwrap();
    ends(&folder, 0, &["eval", "show", id]);
}
