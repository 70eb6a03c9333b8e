//! What a session leaves behind, and that a killed one goes on where it stood.

use std::collections::BTreeMap;

use serde_json::Value;

use super::folder::{Folder, experiment, stderr};
use crate::gguf::Habit;

fn ids(list: &Value, status: &str) -> Vec<String> {
    let rows = list.as_array().unwrap().iter().filter(|row| row["status"] == status);
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_publishes_runs_that_can_be_listed_shown_and_compared() {
    let folder = Folder::new(8, Habit::Brief);
    let report = folder.json(&["eval", "run", "experiment.toml", "--json"]);
    assert_eq!(report["runs"].as_array().unwrap().len(), 3);
    assert_eq!(report["comparisons"][0]["rows"][0]["metric"], "root_cause");

    let list = folder.json(&["eval", "list", "--json"]);
    assert_eq!(ids(&list, "published").len(), 3);
    let shown = folder.json(&["eval", "show", "rules", "--json"]);
    // The rules know a full disk when they see one, and a healthy log.
    assert_eq!(shown["metrics"]["root_cause"]["value"], 1.0, "{shown}");
    assert_eq!(shown["classes"]["ok"], 8);
    let model = folder.json(&["eval", "show", "a", "--json"]);
    assert_eq!(model["model"]["gguf_sha256"], model["model"]["spec"]["kind"]["sha256"]);
    assert!(model["model"]["build_info"].as_str().is_some_and(|build| !build.is_empty()));
    assert!(model["metrics"]["prompt_tokens"]["value"].as_f64().unwrap() > 300.0);

    let compared = folder.json(&["eval", "compare", "a", "rules", "--json"]);
    let row = &compared["rows"][0];
    for field in ["metric", "a", "b", "delta", "ci_low", "ci_high", "p_value", "mde", "conclusion"] {
        assert!(row.get(field).is_some(), "{field} is missing in {row}");
    }
    assert_eq!(row["b"], 1.0);
}

#[test]
fn the_reproducible_profile_repeats_itself_and_an_a_a_comparison_claims_nothing() {
    let folder = Folder::new(6, Habit::Brief);
    let first = folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let second = folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let id = |report: &Value| report["runs"][1]["id"].as_str().unwrap().to_owned();
    let (a, b) = (id(&first), id(&second));
    let answers = |id: &str| -> BTreeMap<String, Value> {
        let text = std::fs::read_to_string(folder.path("store/runs").join(id).join("journal.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line["case"].to_string(), line["verdict"].clone())).collect()
    };
    assert_eq!(answers(&a), answers(&b));
    let compared = folder.json(&["eval", "compare", &a, &b, "--json"]);
    for row in compared["rows"].as_array().unwrap() {
        let claims = ["better", "worse"].iter().any(|word| row["conclusion"] == *word);
        // Latency is measured, not decided by the seed.
        assert!(!claims || row["metric"].as_str().unwrap().ends_with("_ms"), "{row}");
    }
}

/// Fault: the harness is killed. Injected: SIGKILL in the middle of a run on a real llama-server. Outcome: `resume` completes it; no answered question is asked again.
#[test]
fn a_killed_session_resumes_and_asks_no_finished_question_again() {
    let folder = Folder::new(20, Habit::Brief);
    let mut child = folder.run_until(9);
    child.kill().unwrap();
    child.wait().unwrap();

    let before = folder.journaled();
    let list = folder.json(&["eval", "list", "--json"]);
    assert_eq!(ids(&list, "unfinished").len(), 3);
    let resumed = folder.assay(&["eval", "resume"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(ids(&folder.json(&["eval", "list", "--json"]), "published").len(), 3);

    let after = folder.journaled();
    assert_eq!(after.len(), 60, "each question has one answer");
    assert_eq!(folder.json(&["eval", "show", "a", "--json"])["resumed"], 1);
    // What stood in the journals before the kill still stands there, with the time at which it was asked.
    for line in before {
        assert!(after.contains(&line), "{line} is gone");
    }
    let again = folder.assay(&["eval", "resume"]);
    assert!(again.status.success(), "a scheduled job resumes before each run: {}", stderr(&again));
    assert!(stderr(&again).contains("nothing to resume"), "{}", stderr(&again));
}

/// Fault: the harness is told to end. Injected: SIGINT and SIGTERM in the middle of a run. Outcome: exit code 130 with every answer on disk; `resume` completes it.
#[cfg(unix)]
#[test]
fn a_session_that_is_told_to_end_says_so_and_is_resumed() {
    for signal in ["-INT", "-TERM"] {
        let folder = Folder::new(20, Habit::Brief);
        let mut child = folder.run_until(6);
        let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        let resumed = folder.assay(&["eval", "resume"]);
        assert!(resumed.status.success(), "{}", stderr(&resumed));
        assert_eq!(folder.journaled().len(), 60, "each question has one answer");
    }
}

#[test]
fn a_model_given_by_hand_takes_no_other_ones_name() {
    let folder = Folder::new(4, Habit::Brief);
    let file = std::fs::read_dir(folder.path("models")).unwrap().flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "gguf")).unwrap();
    std::fs::copy(file, folder.path("rules.gguf")).unwrap();
    let refused = folder.assay(&["eval", "run", "experiment.toml", "--model", "rules.gguf"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("has a model `rules` already"), "{}", stderr(&refused));
    assert!(folder.journaled().is_empty());
}

/// Fault: two harnesses on one run. Injected: `resume` while the run is under way. Outcome: the second is turned away before it starts a server.
#[test]
fn a_second_harness_on_the_same_runs_is_turned_away() {
    let folder = Folder::new(12, Habit::Brief);
    let mut first = folder.run_until(3);
    let second = folder.assay(&["eval", "resume"]);
    assert!(first.try_wait().unwrap().is_none(), "the first ended before the second came");
    let message = stderr(&second);
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(message.contains("journal.jsonl is in use: another assay"), "{message}");
    assert!(first.wait().unwrap().success());
    assert_eq!(folder.journaled().len(), 36, "each question has one answer");
}

#[test]
fn a_dry_run_starts_nothing_and_knows_times_from_earlier_runs() {
    let folder = Folder::new(4, Habit::Brief);
    let matrix = "name = 'm'\nquestion = '?'\ndataset = 'small'\nprimary = 'root_cause'\nmargin = 0.05\n\
                  [matrix]\nprompt = ['triage@1', 'triage@2']\nmodel = ['rules']\n";
    folder.write("matrix.toml", matrix);
    folder.write("tiny.toml", &matrix.replace("['rules']", "['tiny']"));
    let look = |file: &str| {
        let mut command = folder.command(&["eval", "run", file, "--dry-run", "--json"]);
        let output = command.env_remove("ASSAY_LLAMA_SERVER").env("PATH", "/nonexistent").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let before = look("matrix.toml");
    assert_eq!((&before["questions"], &before["seconds"]), (&8.into(), &Value::Null), "{before}");
    assert_eq!(before["arms"][1]["arm"], "triage@2/rules");
    assert!(before["arms"][0]["prompt_tokens_mean"].as_f64().unwrap() > 300.0, "{before}");
    assert!(folder.json(&["eval", "list", "--json"]).as_array().unwrap().is_empty(), "a dry run leaves no run");

    folder.json(&["eval", "run", "matrix.toml", "--json"]);
    let run = folder.json(&["eval", "show", "triage@2/rules", "--json"]);
    let after = look("matrix.toml");
    assert!(after["seconds"].as_f64().unwrap() > 0.0, "{after}");
    assert_eq!((&after["arms"][1]["from"], &after["arms"][1]["same_questions"]), (&run["id"], &true.into()));
    folder.edit("matrix.toml", "margin = 0.05", "margin = 0.05\ndigest_tokens = 200");
    assert_eq!(look("matrix.toml")["arms"][1]["same_questions"], false);
    assert_eq!(look("tiny.toml")["seconds"], Value::Null, "another model's time is no time");
    // Nights that nobody waited for tell nothing either.
    folder.assay(&["store", "sample", "nights", "--nights", "2"]);
    let made_up = folder.json(&["eval", "run", "matrix.toml", "--dry-run", "--json", "--store", "nights"]);
    assert_eq!(made_up["seconds"], Value::Null, "{made_up}");
    let text = folder.assay(&["eval", "run", "tiny.toml", "--dry-run"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("no earlier run") && text.contains("time: unknown"), "{text}");
}

#[test]
fn the_throughput_profile_reuses_the_prefix() {
    let folder = Folder::new(8, Habit::Brief);
    folder.write("experiment.toml", &experiment("throughput"));
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let model = folder.json(&["eval", "show", "a", "--json"]);
    assert!(model["metrics"]["cached_tokens"]["value"].as_f64().unwrap() > 100.0, "{}", model["metrics"]);
    assert_eq!(model["model"]["slots"], 4);

    folder.write("other.toml", &experiment("reproducible"));
    folder.json(&["eval", "run", "other.toml", "--json"]);
    let runs = folder.json(&["eval", "list", "--json"]);
    let old = runs.as_array().unwrap().iter().find(|row| row["arm"] == "a" && row["profile"] == "throughput").unwrap();
    let refused = folder.assay(&["eval", "compare", "a", old["id"].as_str().unwrap()]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("`experiment.profile`: reproducible against throughput"), "{}", stderr(&refused));
}

#[test]
fn no_log_text_and_no_secret_is_in_the_store() {
    let folder = Folder::new(4, Habit::Brief);
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let mut folders = vec![folder.path("store")];
    let mut files = 0;
    while let Some(path) = folders.pop() {
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = std::fs::read(entry.path()).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("no space left"), "{} holds a log line", entry.path().display());
            assert!(!text.contains("You read logs"), "{} holds a prompt", entry.path().display());
        }
    }
    assert!(files > 10);
}
