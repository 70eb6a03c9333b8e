//! `assay analyze` with a real llama-server behind it: managed, external, and one whose model does not end.

use std::time::Duration;

use assay::llama::{Launch, Profile, Server};
use serde_json::json;

use super::folder::{Folder, stderr};
use crate::canned::Canned;
use crate::gguf::Habit;
use crate::llama::program;

/// A folder with a log of a full disk.
fn folder(habit: Habit) -> Folder {
    let folder = Folder::new(1, habit);
    let line = |n: u32| format!("ts=2026-11-23T22:02:{n:02}Z level=error msg=\"write: no space left on device\"\n");
    folder.write("app.log", &(1..9).map(line).collect::<String>());
    folder
}

/// What is printed of an answer. Random weights may well give no verdict; that is not what is tested here.
fn answer(folder: &Folder, arguments: &[&str]) -> serde_json::Value {
    let output = folder.assay(arguments);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{arguments:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_managed_model_is_started_asked_and_stopped() {
    let folder = folder(Habit::Brief);
    let arguments = ["analyze", "--file", "app.log", "--budget", "300", "--json"];
    let answer = answer(&folder, &arguments);
    // The only model that is none for demonstrations: nobody has to name it.
    let model = &answer["model"];
    assert_eq!(model["spec"]["name"], "tiny");
    assert_eq!(model["gguf_sha256"], model["spec"]["kind"]["sha256"]);
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 100, "{answer}");
    // Greedy and seeded: the same words again.
    let named = ["analyze", "--file", "app.log", "--budget", "300", "--model", "tiny", "--json"];
    let again = self::answer(&folder, &named);
    assert_eq!((&again["class"], &again["verdict"]), (&answer["class"], &answer["verdict"]));
    assert_eq!(again["asked"]["rendered_hash"], answer["asked"]["rendered_hash"]);
}

#[test]
fn a_model_that_gives_no_verdict_ends_with_its_class() {
    let folder = folder(Habit::Endless);
    let output = folder.assay(&["analyze", "--file", "app.log", "--budget", "300", "--json"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{message}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let class = answer["class"].as_str().unwrap();
    assert!(["output_truncated", "schema_violation"].contains(&class), "{answer}");
    assert!(answer["verdict"].is_null() && message.contains(&format!("tiny gave no verdict: {class}: ")), "{message}");
    assert!(!message.contains("no space left"), "log text in an error: {message}");
    let late = folder.assay(&["analyze", "--file", "app.log", "--budget", "300", "--timeout", "1"]);
    assert_eq!(late.status.code(), Some(5), "{}", stderr(&late));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_server_is_asked_and_left_running() {
    let folder = folder(Habit::Brief);
    let models = std::fs::read_dir(folder.path("models")).unwrap().flatten().map(|entry| entry.path());
    let launch = Launch {
        program: program(),
        model: models.into_iter().find(|path| path.extension().is_some_and(|end| end == "gguf")).unwrap(),
        profile: Profile::Reproducible,
        context: 8192,
        threads: 1,
        log: folder.path("llama-server.log"),
        api_key: None,
        ready_within: Duration::from_secs(60),
    };
    let (server, _) = Server::start(&launch).await.unwrap();
    let url = server.client().url().to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        answer(&folder, &["analyze", "--file", "app.log", "--budget", "300", "--url", &url, "--json"])
    });
    let answer = asked.await.unwrap();
    assert!(answer["model"]["fingerprint"].is_string(), "{answer}");
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 100, "{answer}");
    assert!(server.check().is_ok(), "it was not ours to stop");
    server.stop().await.unwrap();
}

#[test]
fn without_a_llama_server_the_rules_are_offered() {
    let folder = folder(Habit::Brief);
    let mut command = folder.command(&["analyze", "--file", "app.log"]);
    let output = command.env_remove("ASSAY_LLAMA_SERVER").env("PATH", "/nonexistent").output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("--model rules"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_comes_from_loki_by_its_query() {
    let lines = [
        (1_700_000_000_000_000_000_i64, "level=info msg=started"),
        (1_700_000_060_000_000_000, "level=error msg=\"write wal: no space left on device\""),
    ];
    let values: Vec<_> = lines.iter().rev().map(|(ts, line)| json!([ts.to_string(), line])).collect();
    let stream = json!({ "stream": { "namespace": "monitoring", "container": "prometheus" }, "values": values });
    let answer = json!({ "status": "success", "data": { "resultType": "streams", "result": [stream], "stats": {} } });
    let loki = Canned::answering(crate::canned::json(200, &answer)).await;
    let url = loki.url().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let folder = Folder::new(2, Habit::Brief);
        let query = "{namespace=\"monitoring\"}";
        let window = ["--from", "2023-11-14T22:00:00Z", "--to", "2023-11-14T23:00:00Z"];
        let arguments = [&["analyze", "--loki", &url, query, "--model", "rules", "--json"], &window[..]].concat();
        folder.assay(&arguments)
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["verdict"]["root_cause"], "disk_full", "{verdict}");
    let asked = &loki.requests()[0].target;
    assert!(asked.contains("query_range") && asked.contains("namespace"), "{asked}");
}

#[test]
fn a_source_of_lines_must_be_named_once() {
    let folder = Folder::new(2, Habit::Brief);
    for (arguments, expected) in [
        (vec!["analyze"], "--file"),
        (vec!["analyze", "--loki", "http://127.0.0.1:9"], "QUERY"),
        (vec!["analyze", "--file", "x", "--loki", "http://127.0.0.1:9", "{a=\"b\"}"], "cannot be used"),
        (vec!["analyze", "--loki", "http://127.0.0.1:9", "{a=\"b\"}", "--since", "soon"], "15m, 6h or 2d"),
    ] {
        let output = folder.assay(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}
