//! What goes wrong around a run: each fault ends in the taxonomy or in a message, never in a lost run.

use std::time::Duration;

use super::folder::{Folder, stderr};
use crate::gguf::Habit;
use crate::llama::{Act, Canned, captured_body, http};

/// Fault: a wrong file of the installation. Injected: fifteen edits of experiment, models, routes, prompts, ontology, dataset. Outcome: nothing is asked; file, place, value and the way out are named.
#[test]
fn files_that_are_wrong_name_place_value_and_way_out() {
    for (file, from, to, expected) in [
        ("experiment.toml", "primary = 'root_cause'", "primary = 'root_cuase'", "did you mean `root_cause`?"),
        ("experiment.toml", "margin = 0.05", "margin = -1", "`margin`: -1 is out of range"),
        ("experiment.toml", "dataset = 'small'", "dataset = 'smal'", "golden/smal: there is no dataset"),
        ("experiment.toml", "model = 'tiny'", "model = 'tyni'", "no model `tyni`"),
        ("experiment.toml", "'triage@1'\nmodel = 'tiny'", "'triage@9'\nmodel = 'tiny'", "no prompt `triage@9`"),
        ("models/models.toml", "kind = 'managed'", "kind = 'manged'", "unknown kind `manged`"),
        ("models/models.toml", "sha256 = '", "sha256 = '00", "models.toml says 00"),
        ("golden/small/cases.jsonl", "no space left", "no space", "the frozen dataset"),
        ("golden/small/dataset.toml", "total = 4", "total = 5", "state what cases.jsonl contains"),
        (
            "golden/small/cases.jsonl",
            "no space left",
            "disk-full: no space left",
            "entry 5 carries the label `disk_full`",
        ),
        ("golden/small/cases.jsonl", "\"container\":\"prometheus\"", "\"container\":\"disk-full\"", "stream 0 carries"),
        (
            "golden/small/cases.jsonl",
            "\"summary\"",
            "\"accept\":[\"disk_fool\"],\"summary\"",
            "`disk_fool` is not a label",
        ),
        ("prompts/routes.toml", "name = \"triage\"", "nmae = \"triage\"", "did you mean `name`?"),
        ("prompts/triage/1.md", "{{ digest }}", "{{ digets }}", "did you mean `digest`?"),
        ("prompts/ontology/1.toml", "name = \"none\"", "name = \"nothing\"", "`none` is missing"),
    ] {
        let folder = Folder::new(4, Habit::Brief);
        std::fs::remove_file(folder.path("prompts/prompts.lock")).ok();
        folder.edit(file, from, to);
        // What a case must not do is refused where its hash is right, and where nobody states one.
        if file.ends_with("cases.jsonl") && expected != "the frozen dataset" {
            folder.edit("golden/small/dataset.toml", "frozen = true", "frozen = false");
        }
        let output = folder.assay(&["eval", "run", "experiment.toml"]);
        let message = stderr(&output);
        assert!(!output.status.success(), "{file}: {to} was accepted");
        assert!(message.contains(expected) && !message.contains("panicked"), "{file} {to}: {message}");
        assert!(folder.journaled().is_empty());
    }
}

/// Fault: a released prompt is edited. Injected: two words of it. Outcome: refused; the way out is a new version.
#[test]
fn a_released_prompt_that_was_edited_stops_everything() {
    let folder = Folder::new(4, Habit::Brief);
    let released = folder.assay(&["prompt", "release", "triage@1"]);
    assert!(released.status.success(), "{}", stderr(&released));
    folder.edit("prompts/triage/1.md", "You read logs", "You study logs");
    let message = stderr(&folder.assay(&["prompt", "check"]));
    assert!(message.contains("`triage@1` was released as") && message.contains("new version"), "{message}");
}

/// Fault: an answer that runs into its limit. Injected: a model that never closes a string, on a real llama-server. Outcome: class `output_truncated`; it scores zero and stays in the denominator.
#[test]
fn output_that_is_cut_or_unreadable_scores_zero_and_stays_in_the_denominator() {
    let folder = Folder::new(4, Habit::Endless);
    folder.edit("experiment.toml", "timeout_s = 120", "timeout_s = 120\nsampling = { max_tokens = 24 }");
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let run = folder.json(&["eval", "show", "a", "--json"]);
    assert_eq!(run["classes"]["output_truncated"], 4, "{}", run["classes"]);
    assert_eq!(run["metrics"]["root_cause"]["value"], 0.0);
    assert_eq!(run["metrics"]["root_cause"]["n_cases"], 4);
    assert_eq!(run["metrics"]["failed"]["value"], 1.0);
}

/// An external model at `url` in place of the managed one.
pub(super) fn external(url: &str) -> Folder {
    let folder = Folder::new(4, Habit::Brief);
    let model = format!("[[model]]\nname = 'tiny'\ndescription = 'external'\nkind = 'external'\nurl = '{url}'\n");
    let rules = "[[model]]\nname = 'rules'\ndescription = 'rules'\nkind = 'rules'\n";
    folder.write("models/models.toml", &format!("{rules}{model}"));
    folder
}

/// Fault: a server that answers garbage. Injected: an event that is no answer. Outcome: asked again with backoff, then class `infra_error`; the run stops unpublished and names `resume`.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_garbage_leaves_a_run_that_can_be_resumed() {
    let garbage = vec![
        ("/props", http(200, "application/json", captured_body("debian-0.7.0/props.json").as_bytes())),
        ("/v1/models", http(200, "application/json", captured_body("debian-0.7.0/v1_models.json").as_bytes())),
        ("/v1/chat/completions", http(200, "text/event-stream", b"data: {\"choices\": 7}\n\n")),
    ];
    let server = Canned::acting(vec![Act::Route(garbage)]).await;
    let folder = external(server.url());
    let output = tokio::task::spawn_blocking(move || {
        let output = folder.assay(&["eval", "run", "experiment.toml", "--patience", "0.2"]);
        (folder, output)
    });
    let (folder, output) = tokio::time::timeout(Duration::from_secs(120), output).await.unwrap().unwrap();
    let message = stderr(&output);
    assert!(!output.status.success() && message.contains("assay eval resume"), "{message}");
    let lines = folder.journaled();
    assert!(lines.iter().any(|line| line["class"] == "infra_error"), "{lines:?}");
    let list = folder.json(&["eval", "list", "--json"]);
    assert!(list.as_array().unwrap().iter().all(|row| row["status"] == "unfinished"), "partial is never published");
}

/// Whose third answer about itself, after 20 questions, is another model's.
async fn swapped_server() -> Canned {
    let body = |name: &str| captured_body(&format!("debian-0.7.0/{name}.json"));
    let route = |path, name: &str| (path, http(200, "application/json", body(name).as_bytes()));
    let routes = vec![
        route("/props", "props"),
        route("/v1/models", "v1_models"),
        route("/v1/chat/completions/input_tokens", "chat_input_tokens"),
        ("/v1/chat/completions", http(200, "text/event-stream", body("chat_stream").as_bytes())),
    ];
    let other = body("props").replace("b11669-Debian", "b9999-other");
    let with = http(200, "application/json", other.as_bytes());
    Canned::acting(vec![Act::Swap { path: "/props", nth: 3, with, routes }]).await
}

/// Fault: a server is swapped for another model during a run. Injected: its third answer about itself is another one's. Outcome: the run stops and names both; only answers since it was last recognised are asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_swapped_stops_the_run_and_doubtful_answers_are_asked_again() {
    let server = swapped_server().await;
    let folder = external(server.url());
    folder.write_dataset(10);
    let ran = tokio::task::spawn_blocking(move || {
        let output = folder.assay(&["eval", "run", "experiment.toml", "--patience", "0.2"]);
        (folder, output)
    });
    let (folder, output) = tokio::time::timeout(Duration::from_secs(120), ran).await.unwrap().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("was swapped") && message.contains("assay eval resume"), "{message}");
    assert_eq!(message.matches("not-a-file-hash:").count(), 2, "both are named: {message}");
    // It was recognised after 16 answers; the four since are in doubt, the others stay.
    let model = |lines: &[serde_json::Value]| {
        let asked = lines.iter().filter(|line| line["attempts"] != 0);
        let (bad, good): (Vec<_>, Vec<_>) = asked.partition(|line| line["class"] == "infra_error");
        (good.len(), bad.len())
    };
    assert_eq!(model(&folder.journaled()), (20, 4));
    let list = folder.json(&["eval", "list", "--json"]);
    assert!(list.as_array().unwrap().iter().all(|row| row["status"] == "unfinished"), "{list}");

    let resumed = tokio::task::spawn_blocking(move || {
        let output = folder.assay(&["eval", "resume", "--patience", "0.2"]);
        (folder, output)
    });
    let (folder, output) = tokio::time::timeout(Duration::from_secs(120), resumed).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(model(&folder.journaled()), (24, 4));
    let asked = server.requests().iter().filter(|r| r.head.starts_with("post /v1/chat/completions ")).count();
    assert_eq!(asked, 24, "no other question is asked again");
}

/// Fault: no server at the URL. Injected: a closed port. Outcome: nothing is asked; the URL and the way out are named.
#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = external(&url).assay(&["eval", "run", "experiment.toml", "--patience", "0.1"]);
    let message = stderr(&output);
    assert!(!output.status.success() && message.contains(&url) && message.contains("start the server"), "{message}");
}

/// Fault: no llama-server installed. Injected: an empty search path. Outcome: refused; the packages that have it are named.
#[test]
fn without_a_llama_server_the_way_to_one_is_shown() {
    let folder = Folder::new(4, Habit::Brief);
    let mut command = folder.command(&["eval", "run", "experiment.toml"]);
    let output = command.env_remove("ASSAY_LLAMA_SERVER").env("PATH", "/nonexistent").output().unwrap();
    let message = stderr(&output);
    assert!(!output.status.success() && message.contains("llama.cpp-tools"), "{message}");
}
