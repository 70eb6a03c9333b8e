//! Servers that misbehave during a run: one that never ends an answer, one that reads half the prompt.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use super::faults::external;
use super::folder::{Folder, experiment, stderr};
use crate::gguf::Habit;
use crate::llama::{Act, Canned, captured_body, http};

type Routes = Vec<(&'static str, Vec<u8>)>;

fn routes(chat: Vec<u8>, input_tokens: &str) -> Routes {
    let body = |name: &str| captured_body(&format!("debian-0.7.0/{name}.json"));
    let json = |body: String| http(200, "application/json", body.as_bytes());
    vec![
        ("/props", json(body("props"))),
        ("/v1/models", json(body("v1_models"))),
        ("/v1/chat/completions/input_tokens", json(input_tokens.to_owned())),
        ("/v1/chat/completions", chat),
    ]
}

fn answer() -> Vec<u8> {
    http(200, "text/event-stream", captured_body("debian-0.7.0/chat_stream.json").as_bytes())
}

/// The experiment on a server of the given acts, and what the arm `a` came to.
async fn run(acts: Vec<Act>, edits: &'static [(&'static str, &'static str, &'static str)]) -> (Output, Value, Folder) {
    let server = Canned::acting(acts).await;
    let folder = external(server.url());
    for (file, from, to) in edits {
        folder.edit(file, from, to);
    }
    let ran = tokio::task::spawn_blocking(move || {
        let output = folder.assay(&["eval", "run", "experiment.toml", "--patience", "0.2"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let shown = folder.json(&["eval", "show", "a", "--json"]);
        (output, shown, folder)
    });
    tokio::time::timeout(Duration::from_secs(120), ran).await.unwrap().unwrap()
}

/// Fault: a server that never ends its answer. Injected: an event stream that stays open. Outcome: class `timeout` after the case's own budget; the other cases are asked, the run is published.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_costs_its_case_and_not_the_run() {
    let open = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: ping\n\n".to_vec();
    let acts = vec![Act::Route(routes(open, "{\"input_tokens\":287}")), Act::AwaitClose];
    let (_, shown, folder) = run(acts, &[("experiment.toml", "timeout_s = 120", "timeout_s = 0.2")]).await;
    assert_eq!(shown["classes"]["timeout"], 4, "{}", shown["classes"]);
    assert_eq!(shown["metrics"]["failed"]["value"], 1.0);
    assert_eq!(shown["metrics"]["root_cause"]["n_cases"], 4, "they stay in the denominator");
    let asked = folder.journaled().iter().filter(|line| line["attempts"] == 1).count();
    assert_eq!(asked, 8, "a slow answer is the case's result and is not asked again");
}

const DENSE: (&str, &str, &str) =
    ("models/models.toml", "kind = 'external'", "bytes_per_token = 1.2\nkind = 'external'");

/// Fault: a server that cuts the prompt and answers about the rest. Injected: an answer that counts 287 prompt tokens where the server counts 900 for the question. Outcome: class `context_overflow`; the verdict is not used.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_part_of_the_prompt_is_not_trusted() {
    let acts = vec![Act::Route(routes(answer(), "{\"input_tokens\":900}"))];
    let (_, shown, folder) = run(acts, &[DENSE]).await;
    assert_eq!(shown["classes"]["context_overflow"], 4, "{}", shown["classes"]);
    let lines = folder.journaled();
    let reasons: Vec<&str> = lines.iter().filter_map(|line| line["reason"].as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("read 287 prompt tokens of about 900")), "{reasons:?}");
    assert!(lines.iter().filter(|line| line["attempts"] != 0).all(|line| line["verdict"].is_null()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_counts_the_same_twice_is_believed_over_an_estimate() {
    let acts = vec![Act::Route(routes(answer(), "{\"input_tokens\":287}"))];
    let (_, shown, _) = run(acts, &[DENSE]).await;
    assert_eq!(shown["classes"]["context_overflow"], Value::Null, "{}", shown["classes"]);
}

/// Fault: the dataset changes while it is asked about. Injected: a case's line is edited between two questions. Outcome: the run stops and names case and line; restored, `resume` completes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_changes_under_the_run_stops_it() {
    let folder = Folder::new(6, Habit::Brief);
    let sound = std::fs::read_to_string(folder.path("golden/small/cases.jsonl")).unwrap();
    let mut child =
        folder.command(&["eval", "run", "experiment.toml"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    while folder.journaled().len() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the dataset changed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    folder.write("golden/small/cases.jsonl", &sound.replace("no space left", "no spice left"));
    let output = child.wait_with_output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("cases.jsonl:") && message.contains("has changed while the run was under way"),
        "{message}"
    );
    folder.write("golden/small/cases.jsonl", &sound);
    let resumed = folder.assay(&["eval", "resume"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(folder.journaled().len(), 18, "each question has one answer");
}

/// The processes that a process started.
#[cfg(target_os = "linux")]
fn children(of: u32) -> Vec<u32> {
    let parent = format!("PPid:\t{of}\n");
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|s| s.contains(&parent)))
        .collect()
}

/// Fault: a managed server dies. Injected: SIGKILL of a real llama-server with questions under way, in each profile, with the usual patience and with none. Outcome: it is started again; every question gets its answer in the same session.
#[cfg(target_os = "linux")]
#[test]
fn a_managed_server_that_dies_costs_no_answer() {
    for (profile, patience) in [("reproducible", "60"), ("throughput", "60"), ("reproducible", "0")] {
        let folder = Folder::new(24, Habit::Brief);
        folder.write("experiment.toml", &experiment(profile));
        let mut command = folder.command(&["eval", "run", "experiment.toml", "--patience", patience]);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        while folder.journaled().len() < 12 {
            assert!(child.try_wait().unwrap().is_none(), "it ended before its server died");
            std::thread::sleep(Duration::from_millis(10));
        }
        let servers = children(child.id());
        assert!(!servers.is_empty(), "it has no server");
        for server in servers {
            assert!(std::process::Command::new("kill").args(["-9", &server.to_string()]).status().unwrap().success());
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{profile}, {patience} s: {}", stderr(&output));
        let answered = folder.journaled().iter().filter(|line| line["class"] != "infra_error").count();
        assert_eq!(answered, 72, "{profile}, {patience} s: each question has one answer");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_knows_the_cpu_seconds_of_its_own_server() {
    let folder = Folder::new(8, Habit::Brief);
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let seconds = |arm: &str| folder.json(&["eval", "show", arm, "--json"])["cpu_seconds"].as_f64();
    assert!(seconds("a").unwrap() > 0.0 && seconds("b").unwrap() > 0.0);
    assert_eq!(seconds("rules"), None, "rules have no server");
    let shown = folder.assay(&["eval", "show", "a"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("CPU seconds of the server"));
    folder.json(&["eval", "score", "a", "--write", "--json"]);
    assert!(seconds("a").is_some(), "scoring again keeps what the run cost");
}
