//! What the harness tells of its work over OTLP: every stage a span, every score an event, and no text of any.

mod tls;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Output;

use assay::store::Store;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use super::faults::external;
use super::folder::{Folder, stderr};
use crate::canned::{Canned, Request, http};
use crate::llama::captured_body;
use crate::otlp::{Arrived, Manner, Receiver, attribute, attributes};
use crate::prometheus::{self, Prometheus};

/// Stands in log lines.
const IN_LOGS: &str = "canary-line-7d1c";
/// Stands in the template of the prompt.
const IN_PROMPT: &str = "canary-prompt-40aa";
/// Stands in what the model answers.
const IN_ANSWER: &str = "canary-answer-93be";

/// A server that blames the full disk, in words with a canary.
pub(super) async fn model() -> Canned {
    Canned::speaking(|request: &Request| {
        let body = |name: &str| captured_body(&format!("debian-0.7.0/{name}.json"));
        let json = |body: String| http(200, "application/json", body.as_bytes());
        match request.target.as_str() {
            "/props" => json(body("props")),
            "/v1/models" => json(body("v1_models")),
            "/v1/chat/completions/input_tokens" => json("{\"input_tokens\":287}".to_owned()),
            _ => http(200, "text/event-stream", chat().as_bytes()),
        }
    })
    .await
}

fn chat() -> String {
    let verdict = json!({
        "evidence": ["T1"], "components": [IN_ANSWER], "root_cause": "disk_full", "severity": "error",
        "summary": format!("The disk is full, {IN_ANSWER}."),
    });
    let events = [
        json!({"id": "chatcmpl-7", "model": "/models/of-ann/random-tiny.gguf",
            "choices": [{"finish_reason": null, "index": 0, "delta": {"content": verdict.to_string()}}]}),
        json!({"choices": [{"finish_reason": "stop", "index": 0, "delta": {}}]}),
        json!({"choices": [], "usage": {"completion_tokens": 40, "prompt_tokens": 1400,
            "prompt_tokens_details": {"cached_tokens": 286}},
            "timings": {"cache_n": 286, "prompt_ms": 12.5, "predicted_ms": 80.25}}),
    ];
    events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

/// An installation with canaries in its logs and its prompt, on a model at `url`.
fn planted(url: &str) -> Folder {
    let folder = external(url);
    std::fs::remove_file(folder.path("prompts/prompts.lock")).ok();
    folder.edit("prompts/triage/1.md", "You read logs", &format!("You read logs {IN_PROMPT}"));
    let cases = std::fs::read_to_string(folder.path("golden/small/cases.jsonl")).unwrap();
    let planted = cases.replace("no space left on device", &format!("no space left on device {IN_LOGS}"));
    folder.write("golden/small/cases.jsonl", &planted);
    folder.edit("golden/small/dataset.toml", &assay::hash::sha256(cases), &assay::hash::sha256(&planted));
    folder
}

/// Runs the experiment with these variables.
async fn run(folder: Folder, variables: Vec<(&'static str, String)>) -> (Output, Folder) {
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = folder.command(&["eval", "run", "experiment.toml", "--patience", "0.2"]);
        let output = command.envs(variables).output().unwrap();
        (output, folder)
    });
    ran.await.unwrap()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The case span of a run's arm, and all of its trace.
fn trace_of<'a>(arrived: &'a Arrived, arm: &str, case: &str) -> (&'a Span, Vec<&'a Span>) {
    let is_wanted = |span: &&&Span| {
        attribute(span, "assay.arm.name").as_deref() == Some(arm)
            && attribute(span, "assay.case.id").as_deref() == Some(case)
    };
    let root = *arrived.named("case").iter().find(is_wanted).unwrap();
    (root, arrived.spans.iter().filter(|span| span.trace_id == root.trace_id).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_case_is_a_trace_from_its_lines_to_its_verdict() {
    let (model, receiver) = (model().await, Receiver::http(Manner::Takes).await);
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=team-a".to_owned()),
    ];
    let (output, folder) = run(external(model.url()), variables).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let arrived = receiver.arrived();
    assert_eq!(arrived.resources[0]["service.name"], "assay");
    assert!(arrived.headers.iter().all(|head| head.contains("x-tenant: team-a")), "{:?}", arrived.headers);

    // A session is a trace, with a run for each of the three arms.
    let experiment = arrived.one("experiment");
    let runs = arrived.named("run");
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run.parent_span_id == experiment.span_id));

    // A case is one of its own that leads there.
    let (case, trace) = trace_of(&arrived, "b", "s-000");
    assert!(case.parent_span_id.is_empty() && case.trace_id != experiment.trace_id);
    let run = runs.iter().find(|run| attribute(run, "assay.arm.name").as_deref() == Some("b")).unwrap();
    assert_eq!(case.links[0].span_id, run.span_id);
    let names: BTreeSet<&str> = trace.iter().map(|span| span.name.as_str()).collect();
    let expected =
        ["case", "analyze", "redact", "digest", "route", "render", "chat tiny", "POST /v1/chat/completions", "verdict"];
    assert_eq!(names, BTreeSet::from(expected));
    let one = |name: &str| *trace.iter().find(|span| span.name == name).unwrap();
    for (child, parent) in [
        ("analyze", "case"),
        ("redact", "analyze"),
        ("digest", "analyze"),
        ("route", "analyze"),
        ("render", "analyze"),
        ("chat tiny", "analyze"),
        ("POST /v1/chat/completions", "chat tiny"),
        ("verdict", "analyze"),
    ] {
        assert_eq!(one(child).parent_span_id, one(parent).span_id, "{child} is not below {parent}");
    }

    // The model call as the conventions have it, and what made it.
    let chat = one("chat tiny");
    assert_eq!(chat.kind, 3, "a client");
    let said = attributes(&chat.attributes);
    let url = model.url().rsplit_once(':').unwrap();
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "llama.cpp"),
        ("gen_ai.request.model", "tiny"),
        ("gen_ai.output.type", "json"),
        ("gen_ai.prompt.name", "monitoring"),
        ("gen_ai.request.seed", "1"),
        ("gen_ai.request.max_tokens", "256"),
        ("gen_ai.request.stream", "true"),
        ("gen_ai.response.id", "chatcmpl-7"),
        ("gen_ai.response.model", "random-tiny.gguf"),
        ("gen_ai.response.finish_reasons", "[\"stop\"]"),
        ("gen_ai.usage.input_tokens", "1400"),
        ("gen_ai.usage.cache_read.input_tokens", "286"),
        ("gen_ai.usage.output_tokens", "40"),
        ("assay.llama.prompt_ms", "12.5"),
        ("assay.llama.decode_ms", "80.25"),
        ("server.address", "127.0.0.1"),
        ("server.port", url.1),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(said["gen_ai.response.time_to_first_chunk"].parse::<f64>().unwrap() > 0.0);
    assert_eq!(said["assay.model.config.sha256"].len(), 64);
    let verdict = attributes(&one("analyze").attributes);
    assert_eq!((&*verdict["assay.verdict.class"], &*verdict["assay.verdict.root_cause"]), ("ok", "disk_full"));
    assert_eq!(verdict["assay.prompt.rendered.hash"], said["assay.prompt.rendered.hash"]);

    // The server was told the trace, and the span that asked it.
    let http = one("POST /v1/chat/completions");
    let traceparent = format!("traceparent: 00-{}-{}-01", hex(&http.trace_id), hex(&http.span_id));
    assert!(model.requests().iter().any(|request| request.head.contains(&traceparent)), "{traceparent}");

    // The record has the trace, and the attribution leads back.
    let store = Store::open(&folder.path("store").to_string_lossy()).unwrap();
    let id = store.find("b").await.unwrap();
    let row = store.run(&id).await.unwrap().results.into_iter().find(|row| row.answer.case == "s-000").unwrap();
    assert_eq!(row.answer.trace_id.as_deref(), Some(&*hex(&case.trace_id)));
    assert_eq!(row.answer.asked.rendered_hash, said["assay.prompt.rendered.hash"]);
    assert_scores(&arrived, case, chat);
    assert_metrics(&arrived);
}

/// Each score of a case is an event of the model call that it judges.
fn assert_scores(arrived: &Arrived, case: &Span, chat: &Span) {
    let events: Vec<_> = arrived.logs.iter().filter(|log| log.event_name == "gen_ai.evaluation.result").collect();
    let of_case: Vec<_> = events.iter().filter(|log| log.trace_id == case.trace_id).collect();
    assert!(of_case.iter().all(|log| log.span_id == chat.span_id));
    // The rules are no model: what judges them stands on their case.
    let of_rules: Vec<_> = arrived
        .named("case")
        .into_iter()
        .filter(|case| attribute(case, "assay.arm.name").as_deref() == Some("rules"))
        .collect();
    assert!(events.iter().any(|log| of_rules.iter().any(|case| log.span_id == case.span_id)));
    let root_cause = of_case
        .iter()
        .map(|log| attributes(&log.attributes))
        .find(|said| said["gen_ai.evaluation.name"] == "root_cause")
        .unwrap();
    assert_eq!(root_cause["gen_ai.evaluation.score.value"], "1");
    assert_eq!(root_cause["gen_ai.evaluation.score.label"], "pass");
    assert_eq!(root_cause["assay.case.id"], "s-000");
    let mut abstained = events.iter().map(|log| attributes(&log.attributes));
    let abstained = abstained.find(|said| said["gen_ai.evaluation.name"] == "abstained").unwrap();
    assert!(!abstained.contains_key("gen_ai.evaluation.score.label"), "to abstain is neither right nor wrong");
}

fn assert_metrics(arrived: &Arrived) {
    let metric = |name: &str| {
        arrived.metrics.iter().rev().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}"))
    };
    let Some(Data::Histogram(duration)) = &metric("gen_ai.client.inference.duration").data else {
        panic!("no histogram")
    };
    let of_model = &duration.data_points[0];
    assert_eq!(of_model.count, 8);
    assert_eq!(of_model.explicit_bounds.last(), Some(&600.0));
    assert_eq!(metric("gen_ai.client.inference.duration").unit, "s");
    let Some(Data::Sum(tokens)) = &metric("gen_ai.client.inference.usage.input_tokens").data else { panic!("no sum") };
    assert!(tokens.is_monotonic && tokens.aggregation_temporality == 2, "cumulative");
    let Some(Data::Gauge(figures)) = &metric("assay.run.metric").data else { panic!("no gauge") };
    let labels: Vec<_> = figures.data_points.iter().map(|point| attributes(&point.attributes)).collect();
    let wanted = |of: &&std::collections::BTreeMap<String, String>| {
        of["assay.metric.name"] == "root_cause" && of["assay.arm.name"] == "a" && of["assay.estimate"] == "value"
    };
    let of_run = labels.iter().find(wanted).unwrap();
    assert_eq!((&*of_run["gen_ai.prompt.name"], &*of_run["gen_ai.prompt.version"]), ("triage", "1"));
    assert_eq!((&*of_run["gen_ai.request.model"], &*of_run["assay.dataset.name"]), ("tiny", "small"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_goes_over_grpc_as_well() {
    let (model, receiver) = (model().await, Receiver::grpc(Manner::Takes).await);
    let variables =
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned())];
    let (output, _folder) = run(external(model.url()), variables).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let arrived = receiver.arrived();
    assert_eq!(arrived.named("case").len(), 12);
    assert!(arrived.logs.iter().any(|log| log.event_name == "gen_ai.evaluation.result"));
    assert!(arrived.metrics.iter().any(|metric| metric.name == "assay.verdicts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_takes_the_figures_of_a_run() {
    let Some(program) = prometheus::program().filter(prometheus::takes_otlp_or_is_skipped) else { return };
    let (model, prometheus) = (model().await, Prometheus::start(&program, None));
    prometheus.ask("/api/v1/status/buildinfo", &[]).await;
    let variables = vec![("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", prometheus.otlp())];
    let (output, folder) = run(external(model.url()), variables).await;
    assert!(output.status.success() && !stderr(&output).contains("OTLP"), "{}", stderr(&output));
    let figure = "assay_run_metric{assay_metric_name=\"root_cause\",assay_estimate=\"value\",assay_arm_name=\"a\"}";
    let found = prometheus.ask("/api/v1/query", &[("query", figure)]).await;
    let shown = folder.json(&["eval", "show", "a", "--json"]);
    let value: f64 = found[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert_eq!(Some(value), shown["metrics"]["root_cause"]["value"].as_f64());
    assert_eq!(
        (&found[0]["metric"]["gen_ai_prompt_name"], &found[0]["metric"]["job"]),
        (&json!("triage"), &json!("assay"))
    );
    // It is told who sent it, as the platform's configuration has it.
    assert_eq!(found[0]["metric"]["service_name"], "assay");
    // Every name is one that is documented, and so one of the scrape and of the dashboards.
    let stored = prometheus.ask("/api/v1/label/__name__/values", &[]).await;
    let ours: BTreeSet<&str> =
        stored.iter().filter_map(Value::as_str).filter(|name| !name.starts_with("target_info")).collect();
    let documented: BTreeSet<String> = prometheus::documented().into_iter().map(|(name, _)| name).collect();
    assert!(ours.iter().all(|name| documented.contains(*name)), "{ours:?}");
    for name in ["assay_digest_ratio_bucket", "assay_run_metric", "assay_verdicts_total"] {
        assert!(ours.contains(name), "{ours:?}");
    }
    let count = "gen_ai_client_inference_duration_seconds_count{gen_ai_request_model=\"tiny\"}";
    assert_eq!(prometheus.ask("/api/v1/query", &[("query", count)]).await[0]["value"][1], "8");
    let tokens = "gen_ai_client_inference_usage_input_tokens_total";
    assert_eq!(prometheus.ask("/api/v1/query", &[("query", tokens)]).await[0]["value"][1], (8 * 1400).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_logs_prompts_or_answers_is_sent_or_kept() {
    let (model, receiver) = (model().await, Receiver::http(Manner::Takes).await);
    let variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()), ("RUST_LOG", "trace".to_owned())];
    let (output, folder) = run(planted(model.url()), variables).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let asked = model.requests();
    let asked = asked.iter().find(|request| request.target == "/v1/chat/completions").unwrap();
    assert!(asked.body.contains(IN_LOGS) && asked.body.contains(IN_PROMPT), "the canaries were not planted");
    let told = stderr(&output);
    assert!(told.contains("\"trace_id\""), "nothing was logged: {told}");
    let arrived = receiver.arrived();
    assert!(!arrived.spans.is_empty() && !arrived.logs.is_empty() && !arrived.metrics.is_empty());
    for canary in [IN_LOGS, IN_PROMPT, IN_ANSWER] {
        assert!(!holds(&arrived.bytes, canary), "{canary} was sent");
        assert!(!told.contains(canary), "{canary} is on standard error");
    }
    // A verdict is the product and is kept; what was read and what was asked are not.
    for file in files(&folder.path("store")) {
        let bytes = std::fs::read(&file).unwrap();
        for canary in [IN_LOGS, IN_PROMPT] {
            assert!(!holds(&bytes, canary), "{canary} is in {}", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_sent_only_where_it_was_asked_for_and_redacted() {
    let (model, receiver) = (model().await, Receiver::http(Manner::Takes).await);
    let folder = planted(model.url());
    let key = "password=hunter2-canary-secret";
    let cases = std::fs::read_to_string(folder.path("golden/small/cases.jsonl")).unwrap();
    let planted = cases.replace(IN_LOGS, &format!("{IN_LOGS} {key}"));
    folder.write("golden/small/cases.jsonl", &planted);
    folder.edit("golden/small/dataset.toml", &assay::hash::sha256(cases), &assay::hash::sha256(&planted));
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true".to_owned()),
        ("RUST_LOG", "trace".to_owned()),
    ];
    let (output, _folder) = run(folder, variables).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let arrived = receiver.arrived();
    let of_call = |log: &&opentelemetry_proto::tonic::logs::v1::LogRecord| {
        log.event_name == "gen_ai.client.inference.operation.details"
    };
    let said = attributes(&arrived.logs.iter().find(of_call).unwrap().attributes);
    let messages: Value = serde_json::from_str(&said["gen_ai.input.messages"]).unwrap();
    assert!(messages[0]["parts"][0]["content"].as_str().unwrap().contains(IN_LOGS));
    assert!(
        said["gen_ai.system_instructions"].contains(IN_PROMPT) && said["gen_ai.output.messages"].contains(IN_ANSWER)
    );
    assert!(!holds(&arrived.bytes, "hunter2-canary-secret"), "a secret was sent");
    let in_spans = arrived.spans.iter().any(|span| format!("{span:?}").contains(IN_LOGS));
    assert!(!in_spans && !stderr(&output).contains(IN_LOGS), "content is in a span or on standard error");
}

/// Fault: no receiver, one that refuses, one that never answers. Injected: a closed port, status 503, silence. Outcome: the runs are published as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_refuses_or_hangs_costs_no_run() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refuses = Receiver::http(Manner::Refuses).await;
    let hangs = Receiver::grpc(Manner::Hangs).await;
    for (endpoint, protocol) in
        [(format!("http://{closed}"), "http/protobuf"), (refuses.url(), "http/protobuf"), (hangs.url(), "grpc")]
    {
        let model = model().await;
        let variables = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500".to_owned()),
        ];
        let (output, folder) = run(external(model.url()), variables).await;
        assert!(output.status.success(), "{protocol}: {}", stderr(&output));
        let list = folder.json(&["eval", "list", "--json"]);
        assert_eq!(list.as_array().unwrap().len(), 3);
        assert!(list.as_array().unwrap().iter().all(|run| run["status"] == "published"), "{list}");
    }
}

#[test]
fn a_place_that_cannot_be_used_is_told_and_stops_nothing() {
    let folder = Folder::new(1, crate::gguf::Habit::Brief);
    let mut command = folder.command(&["prompt", "list"]);
    let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector").output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("warning: nothing is sent by OTLP: `ftp://collector"));
    let mut command = folder.command(&["prompt", "list"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector")
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem");
    let output = command.output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("no certificate for OTLP in /nowhere.pem"));
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
