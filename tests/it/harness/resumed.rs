//! What a run that was interrupted is taken up with: another machine, other threads, a server that nobody recognised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use super::faults::external;
use super::folder::{Folder, stderr};
use crate::llama::{Canned, captured_body, http};

/// A server that fails some questions, counted from 1, and from the first of them on says who it is only if it
/// `knows_itself`.
async fn failing(fails: std::ops::Range<usize>, knows_itself: &Arc<AtomicBool>) -> Canned {
    let body = |name: &str| captured_body(&format!("debian-0.7.0/{name}.json"));
    let json = |body: String| http(200, "application/json", body.as_bytes());
    let (props, models, count) =
        (json(body("props")), json(body("v1_models")), json("{\"input_tokens\":287}".to_owned()));
    let answer = http(200, "text/event-stream", body("chat_stream").as_bytes());
    let (asked, knows_itself) = (AtomicUsize::new(0), Arc::clone(knows_itself));
    let broken = || http(503, "text/plain", b"broken");
    Canned::speaking(move |request| match request.target.as_str() {
        "/v1/chat/completions" if fails.contains(&(asked.fetch_add(1, Ordering::SeqCst) + 1)) => broken(),
        "/v1/chat/completions" => answer.clone(),
        "/props" if asked.load(Ordering::SeqCst) >= fails.start && !knows_itself.load(Ordering::SeqCst) => broken(),
        "/props" => props.clone(),
        "/v1/models" => models.clone(),
        _ => count.clone(),
    })
    .await
}

/// A command in a folder, away from the threads that serve.
async fn assay(folder: Folder, arguments: &'static [&'static str]) -> (Folder, std::process::Output) {
    let ran = tokio::task::spawn_blocking(move || {
        let output = folder.assay(arguments);
        (folder, output)
    });
    ran.await.unwrap()
}

const RUN: &[&str] = &["eval", "run", "experiment.toml", "--patience", "0"];
const RESUME: &[&str] = &["eval", "resume", "--patience", "0"];

/// Answers of the model that count.
fn answered(folder: &Folder) -> usize {
    folder.journaled().iter().filter(|line| line["attempts"] != 0 && line["class"] != "infra_error").count()
}

/// Fault: a run ends before the server of its last answers was recognised. Injected: a server found elsewhere that fails, and no longer says who it is, or still does. Outcome: `resume` asks again what was answered since it was last recognised, and nothing if it was recognised at the end.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_server_that_was_not_recognised_since_are_asked_again() {
    for (knows_itself, again) in [(false, 10), (true, 0)] {
        let knows = Arc::new(AtomicBool::new(knows_itself));
        let server = failing(11..14, &knows).await;
        let folder = external(server.url());
        folder.write_dataset(10);
        let (folder, output) = assay(folder, RUN).await;
        let message = stderr(&output);
        assert!(message.contains("stopped after 3 infrastructure errors"), "{message}");
        assert_eq!(answered(&folder), 10);
        knows.store(true, Ordering::SeqCst);
        let (folder, output) = assay(folder, RESUME).await;
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(answered(&folder), 20 + again, "it said who it is: {knows_itself}");
        assert_eq!(stderr(&output).contains("asking 10 questions again"), again > 0, "{}", stderr(&output));
        assert_eq!(folder.json(&["eval", "show", "a", "--json"])["metrics"]["root_cause"]["n_cases"], 10);
    }
}

/// The folder of a run of the failing server's that was left behind, by its arm.
async fn left_behind() -> (Canned, Folder, String) {
    let server = failing(3..6, &Arc::new(AtomicBool::new(true))).await;
    let (folder, output) = assay(external(server.url()), RUN).await;
    assert!(stderr(&output).contains("stopped after"), "{}", stderr(&output));
    let runs = std::fs::read_dir(folder.path("store/runs")).unwrap().flatten();
    let names = runs.map(|run| run.file_name().into_string().unwrap());
    let plan = format!("store/runs/{}/plan.json", names.into_iter().find(|name| name.ends_with("-a")).unwrap());
    (server, folder, plan)
}

fn edit(folder: &Folder, file: &str, change: impl FnOnce(&mut Value)) {
    let mut plan: Value = serde_json::from_str(&std::fs::read_to_string(folder.path(file)).unwrap()).unwrap();
    change(&mut plan);
    folder.write(file, &plan.to_string());
}

/// Fault: a run is resumed on another machine. Injected: a plan that says it was made on another processor. Outcome: it goes on, and says so in its record, in comparisons and in its provenance.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_resumed_elsewhere_says_so() {
    let (_server, folder, plan) = left_behind().await;
    edit(&folder, &plan, |plan| {
        plan["environment"]["cpu"] = "Another Processor".into();
        plan["environment"]["cpus"] = 640.into();
    });
    let (folder, output) = assay(folder, RESUME).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let moved = "resumed elsewhere (cpu: Another Processor → ";
    let shown = folder.json(&["eval", "show", "a", "--json"]);
    assert_eq!(shown["resumed_in"].as_array().map(Vec::len), Some(1), "{shown}");
    assert!(shown["resumed_in"][0]["cpus"].as_u64().is_some_and(|cpus| cpus < 640), "{shown}");
    assert!(folder.json(&["eval", "show", "b", "--json"])["resumed_in"].is_null(), "it went on where it was");
    for (arguments, lines) in [
        (&["eval", "show", "a"][..], 1),
        (&["eval", "compare", "a", "b"], 1),
        (&["eval", "report", "a", "b", "--format", "markdown"], 1),
        (&["eval", "show", "b"], 0),
    ] {
        let output = folder.assay(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.matches(moved).count(), lines, "{arguments:?}: {text}");
    }
}

/// Fault: a run is resumed with a server of another context or other slots. Injected: a plan that says it had others. Outcome: refused; the field and both values are named.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_not_resumed_with_a_server_of_another_size() {
    let (_server, mut folder, plan) = left_behind().await;
    for field in ["slots", "context_tokens"] {
        let mut planned = Value::Null;
        edit(&folder, &plan, |plan| planned = std::mem::replace(&mut plan["model"][field], 77.into()));
        let (back, output) = assay(folder, RESUME).await;
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(&format!("`model.{field}` was 77 and is now ")), "{message}");
        edit(&back, &plan, |plan| plan["model"][field] = planned);
        folder = back;
    }
}

/// Fault: a managed run is resumed where there are more processors. Injected: a plan that says its server had three threads. Outcome: the server gets three threads again.
#[cfg(target_os = "linux")]
#[test]
fn a_server_is_started_with_the_threads_that_the_run_began_with() {
    let folder = Folder::new(20, crate::gguf::Habit::Brief);
    let mut child = folder.run_until(9);
    child.kill().unwrap();
    child.wait().unwrap();
    for run in std::fs::read_dir(folder.path("store/runs")).unwrap().flatten() {
        let plan = format!("store/runs/{}/plan.json", run.file_name().to_string_lossy());
        edit(&folder, &plan, |plan| {
            if plan["model"]["threads"].is_number() {
                plan["model"]["threads"] = 3.into();
            }
        });
    }
    // A llama-server that leaves its arguments behind.
    let (real, seen) = (crate::llama::program(), folder.path("seen"));
    let script = format!("#!/bin/sh\necho \"$@\" >'{}'\nexec '{}' \"$@\"\n", seen.display(), real.display());
    folder.write("llama-server", &script);
    std::fs::set_permissions(folder.path("llama-server"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = folder.command(&["eval", "resume"]);
    let output = command.env("ASSAY_LLAMA_SERVER", folder.path("llama-server")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains(" -t 3 -tb 3 "), "{seen}");
    assert_eq!(folder.json(&["eval", "show", "a", "--json"])["model"]["threads"], 3);
}

/// Fault: a server that is away for a moment. Injected: four failures of one question, then answers. Outcome: the question is answered at the fifth attempt; its latency is that attempt's, without the others and the pauses.
#[tokio::test(flavor = "multi_thread")]
async fn a_latency_is_that_of_the_attempt_that_was_answered() {
    let server = failing(3..7, &Arc::new(AtomicBool::new(true))).await;
    let (folder, output) = assay(external(server.url()), &["eval", "run", "experiment.toml", "--patience", "60"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let mut lines: Vec<Value> = folder.journaled().into_iter().filter(|line| line["attempts"] != 0).collect();
    let at = |line: &Value| line["at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    lines.sort_by_key(at);
    let patient = lines.iter().position(|line| line["attempts"] == 5).expect("one question was asked five times");
    // No pause is shorter than half its bound, and the next question waited for all of them.
    let pauses: f64 = [125.0, 250.0, 500.0, 1000.0].iter().sum();
    let took = (at(&lines[patient + 1]) - at(&lines[patient])).num_microseconds().unwrap() as f64 / 1e3;
    let latency = lines[patient]["latency_ms"].as_f64().unwrap();
    assert!(latency + pauses / 2.0 < took, "{latency} ms of {took} ms, of which {pauses} ms were pauses at least");
    assert!(lines.iter().filter(|line| line["attempts"] == 1).count() == 7, "the others were asked once");
}
