//! The plugin's own telemetry: Grafana's trace goes on in it, and a receiver that fails costs a counter.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::host::{Host, frames};
use super::live::{ask_until, has_verdict};
use super::store::{empty_store, store_of_two_runs, text};
use crate::canned::{Canned, Request, http};
use crate::llama::captured_body;
use crate::otlp::{Manner, Receiver, attribute, attributes};
use crate::prometheus::{self, Prometheus};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn grafanas_trace_goes_on_in_spans_logs_and_exemplars() {
    let (_store, settings) = store_of_two_runs().await;
    let receiver = Receiver::grpc(Manner::Takes).await;
    let mut host = Host::start_in(settings, &[("GF_INSTANCE_OTLP_ADDRESS", receiver.address())]).await;
    host.traceparent = Some(PARENT);
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    assert_eq!(host.ask_one(json!({"queryType": "rums"})).await.status, 400);
    let (_, text) = host.openmetrics().await;
    let exemplar = format!("# {{trace_id=\"{TRACE}\"}}");
    let line = |line: &&str| line.starts_with("assay_query_duration_seconds_bucket") && line.contains(&exemplar);
    assert!(text.lines().any(|it| line(&it)), "no exemplar in\n{text}");
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    let (status, log, _) = host.stop().await;
    assert!(status.success());
    let answered = log.lines().find(|line| line.contains("query answered")).unwrap();
    assert!(answered.contains(&format!("\"trace_id\":\"{TRACE}\"")) && answered.contains("span_id"), "{answered}");

    let arrived = receiver.arrived();
    assert_eq!(arrived.resources[0]["service.name"], "assay-logs-datasource");
    assert!(!arrived.resources[0]["service.instance.id"].is_empty());
    assert!(arrived.metrics.is_empty() && arrived.logs.is_empty(), "Grafana's place is for traces");
    let calls = arrived.named("pluginv2.Data/QueryData");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].kind, 2, "a server");
    for call in &calls {
        assert_eq!(call.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert_eq!(call.trace_id[..2], [0x0a, 0xf7]);
    }
    let queries = arrived.named("query");
    assert!(queries.iter().all(|query| calls.iter().any(|call| query.parent_span_id == call.span_id)));
    let of = |status: &str| {
        queries.iter().find(|query| attribute(query, "assay.query.status").as_deref() == Some(status)).unwrap()
    };
    assert_eq!(attributes(&of("200").attributes)["assay.query.type"], "runs");
    assert_eq!(attributes(&of("400").attributes)["error.type"], "400");
    assert_eq!(of("400").status.as_ref().unwrap().code, 2, "an error");
    assert_eq!(arrived.one("frame").parent_span_id, of("200").span_id);
}

/// A word that stands in every log line.
const CANARY: &str = "quetzalcoatl";

/// A Loki whose lines blame a full disk, with a word that must go nowhere.
fn planted(request: &Request) -> Vec<u8> {
    if !request.target.starts_with("/loki/api/v1/query_range") {
        return super::loki::answer(request);
    }
    let now = chrono::Utc::now().timestamp_nanos_opt().unwrap() - 2_000_000_000;
    let values: Vec<_> = (0..6)
        .map(|n| {
            json!([(now - n).to_string(), format!("level=error msg=\"{CANARY} write wal: no space left on device\"")])
        })
        .collect();
    let stream = json!({"stream": {"namespace": "shop", "container": CANARY}, "values": values});
    let data = json!({"resultType": "streams", "result": [stream], "stats": {}});
    crate::canned::json(200, &json!({"status": "success", "data": data}))
}

#[tokio::test]
async fn a_live_answer_is_one_trace_from_grafana_to_loki_and_back_and_says_no_word_of_the_logs() {
    let (store, mut settings) = empty_store();
    let (receiver, loki) = (Receiver::http(Manner::Takes).await, Canned::speaking(planted).await);
    let more = json!({
        "rootPath": env!("CARGO_MANIFEST_DIR"), "guard": {"mode": "warn", "maxBytes": 1},
        "otlpEndpoint": receiver.url(), "otlpProtocol": "http/protobuf",
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut host = Host::start(settings).await;
    host.url = loki.url().to_owned();
    host.secrets.insert("otlpHeaders".to_owned(), "x-tenant=team-a".to_owned());
    host.traceparent = Some(PARENT);
    let asked = json!({"queryType": "analyze", "expr": format!("{{namespace=\"shop\"}} |= \"{CANARY}\""), "window": "1h",
        "prompt": "triage@1"});
    let answer = ask_until(&host, &asked, has_verdict).await;
    assert_eq!(text(&frames(&answer)[0].1, "trace_id"), [TRACE]);
    let (_, metrics) = host.openmetrics().await;
    for line in [
        "assay_verdicts_total{assay_verdict_class=\"ok\",assay_verdict_severity=\"error\",gen_ai_prompt_name=\"triage\",\
         gen_ai_prompt_version=\"1\",gen_ai_request_model=\"rules\"} 1 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"}",
        "assay_guard_decisions_total{assay_guard_decision=\"warn\"} 1",
        "assay_cache_lookups_total{assay_cache_result=\"miss\"}",
        "assay_cache_lookups_total{assay_cache_result=\"fresh\"}",
        "assay_drift_share{assay_drift_signal=\"abstained\",gen_ai_prompt_name=\"triage\",gen_ai_prompt_version=\"1\"} 0.0",
        "assay_digest_ratio_bucket",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let (_, log, _) = host.stop().await;

    let arrived = receiver.arrived();
    assert!(arrived.headers.iter().all(|head| head.contains("x-tenant: team-a")));
    let answer = arrived.one("answer");
    let call = arrived.spans.iter().find(|span| span.span_id == answer.parent_span_id).unwrap();
    assert_eq!((call.name.as_str(), answer.trace_id == call.trace_id), ("query", true));
    let analyze = arrived.one("analyze");
    for (child, parent) in [
        ("guard", answer),
        ("loki", answer),
        ("analyze", answer),
        ("redact", analyze),
        ("digest", analyze),
        ("verdict", analyze),
    ] {
        assert_eq!(arrived.one(child).parent_span_id, parent.span_id, "{child} is not below {}", parent.name);
    }
    assert_eq!(attribute(answer, "assay.live.purpose").as_deref(), Some("panel"));
    assert_eq!(attribute(arrived.one("guard"), "assay.guard.decision").as_deref(), Some("warn"));
    assert_eq!(attribute(analyze, "assay.verdict.root_cause").as_deref(), Some("disk_full"));
    assert_eq!(arrived.one("GET /loki/api/v1/query_range").parent_span_id, arrived.one("loki").span_id);
    let told = format!("traceparent: 00-{TRACE}-");
    assert!(loki.requests().iter().all(|request| request.head.contains(&told)), "Loki was not told the trace");
    assert!(arrived.metrics.iter().any(|metric| metric.name == "assay.verdicts"));
    let told = arrived.logs.iter().find(|log| log.span_id == answer.span_id).unwrap();
    assert_eq!(told.event_name, "assay.live.answer");
    let told = attributes(&told.attributes);
    assert_eq!((&*told["assay.verdict.root_cause"], &*told["gen_ai.prompt.name"]), ("disk_full", "triage"));

    let folders = std::fs::read_dir(store.path().join("ledger")).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let ledger: Vec<u8> = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
    assert!(String::from_utf8_lossy(&ledger).contains(TRACE), "the ledger has the trace");
    for (place, bytes) in [("OTLP", &arrived.bytes[..]), ("metrics", metrics.as_bytes()), ("the log", log.as_bytes())] {
        assert!(!String::from_utf8_lossy(bytes).contains(CANARY), "a word of the logs is in {place}");
    }
    assert!(!String::from_utf8_lossy(&ledger).contains("no space left"), "a line is in the ledger");
}

/// Fault: a Loki that refuses a query and quotes it. Injected: status 400 with the query in its words. Outcome: the trace and the log say that there is no verdict and quote neither.
#[tokio::test]
async fn a_live_question_without_an_answer_says_so_and_quotes_nobody() {
    let (_store, mut settings) = empty_store();
    let refuses = |request: &Request| match request.target.starts_with("/loki/api/v1/query_range") {
        true => crate::canned::http(400, "text/plain", format!("parse error near {CANARY}").as_bytes()),
        false => super::loki::answer(request),
    };
    let (receiver, loki) = (Receiver::http(Manner::Takes).await, Canned::speaking(refuses).await);
    let more = json!({
        "rootPath": env!("CARGO_MANIFEST_DIR"), "otlpEndpoint": receiver.url(), "otlpProtocol": "http/protobuf",
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut host = Host::start(settings).await;
    host.url = loki.url().to_owned();
    host.traceparent = Some(PARENT);
    let asked = json!({"queryType": "analyze", "expr": format!("{{namespace=\"shop\"}} |= \"{CANARY}\""), "window": "1h",
        "prompt": "triage@1"});
    let answer = ask_until(&host, &asked, |answer| answer.status >= 400).await;
    assert!(answer.error.contains(CANARY), "who asked is told: {}", answer.error);
    assert!(host.stop().await.0.success());
    let arrived = receiver.arrived();
    for name in ["answer", "loki"] {
        let span = arrived.one(name);
        assert_eq!(
            (span.status.as_ref().unwrap().code, &*attribute(span, "error.type").unwrap()),
            (2, "400"),
            "{name}"
        );
    }
    let told = arrived.logs.iter().find(|log| format!("{:?}", log.body).contains("no verdict")).unwrap();
    assert_eq!(told.span_id, arrived.one("answer").span_id);
    assert!(!String::from_utf8_lossy(&arrived.bytes).contains(CANARY), "the query is in OTLP");
}

#[tokio::test]
async fn a_receiver_that_left_the_settings_gets_nothing_more() {
    let (_store, mut settings) = empty_store();
    let (own, grafanas) = (Receiver::http(Manner::Takes).await, Receiver::grpc(Manner::Takes).await);
    settings["otlpEndpoint"] = json!(own.url());
    settings["otlpProtocol"] = json!("http/protobuf");
    let variables = [("GF_INSTANCE_OTLP_ADDRESS", grafanas.address()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let mut host = Host::start_in(settings, &variables).await;
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    let begun = std::time::Instant::now();
    while own.arrived().named("query").is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "nothing arrives where the settings say");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    host.settings.as_object_mut().unwrap().remove("otlpEndpoint");
    host.updated += 1;
    for _ in 0..3 {
        assert_eq!(host.ask_one(json!({"queryType": "prompts"})).await.status, 200);
    }
    assert!(host.stop().await.0.success());
    let types = |receiver: &Receiver| -> Vec<String> {
        receiver
            .arrived()
            .named("query")
            .iter()
            .map(|span| attributes(&span.attributes)["assay.query.type"].clone())
            .collect()
    };
    assert!(types(&own).iter().all(|kind| kind == "runs"), "{:?}", types(&own));
    assert!(types(&grafanas).iter().any(|kind| kind == "prompts"), "{:?}", types(&grafanas));
}

#[tokio::test]
async fn without_a_receiver_grafanas_trace_is_still_in_the_log() {
    let (_store, settings) = empty_store();
    let mut host = Host::start(settings).await;
    host.traceparent = Some(PARENT);
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    assert!(!host.openmetrics().await.1.contains("trace_id"), "no trace was recorded that an exemplar could lead to");
    let (_, log, _) = host.stop().await;
    let answered = log.lines().find(|line| line.contains("query answered")).unwrap();
    assert!(answered.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{answered}");
}

/// Fault: a receiver that never answers. Injected: silence, and a queue of eight. Outcome: every query is answered, what does not fit is counted, and the plugin ends in time.
#[tokio::test]
async fn a_receiver_that_hangs_costs_a_counter() {
    let (_store, settings) = empty_store();
    let receiver = Receiver::grpc(Manner::Hangs).await;
    let variables = [
        ("GF_INSTANCE_OTLP_ADDRESS", receiver.address()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
    ];
    let host = Host::start_in(settings, &variables).await;
    for _ in 0..50 {
        assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    }
    let text = host.metrics().await;
    let of = |reason: &str| {
        let name = format!(
            "assay_telemetry_dropped_total{{assay_telemetry_signal=\"traces\",assay_telemetry_reason=\"{reason}\"}} "
        );
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.split(' ').next().unwrap().parse::<u64>().unwrap())
    };
    // Three spans a query; of 150 only those that are being sent and those that wait have not been dropped.
    assert!((100..150).contains(&of("queue_full")), "{text}");
    assert!(host.stop().await.0.success());
}

/// Fault: a receiver that is not there. Injected: a closed port. Outcome: every query is answered, what was sent is counted as lost.
#[tokio::test]
async fn a_receiver_that_is_down_costs_a_counter() {
    let (_store, settings) = empty_store();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let variables = [("GF_INSTANCE_OTLP_ADDRESS", &*closed), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let host = Host::start_in(settings, &variables).await;
    let lost =
        "assay_telemetry_dropped_total{assay_telemetry_signal=\"traces\",assay_telemetry_reason=\"export_failed\"}";
    let begun = std::time::Instant::now();
    while !host.metrics().await.contains(lost) {
        assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
        assert!(begun.elapsed().as_secs() < 60, "nothing is counted as lost");
    }
    let (status, log, _) = host.stop().await;
    assert!(status.success());
    assert_eq!(log.matches("telemetry does not arrive").count(), 1, "it is told once");
}

/// What Grafana does: it gives the metrics that it collects as plain text, and a resource as the plugin gives it.
async fn grafana(host: Arc<Host>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let (kind, body) = match request[..read].starts_with(b"GET /metrics/plugins/assay-logs-datasource ") {
                true => ("text/plain".to_owned(), host.metrics().await),
                false => host.openmetrics().await,
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_the_metrics_and_their_exemplars() {
    let Some(program) = prometheus::program() else { return };
    let (_store, settings) = store_of_two_runs().await;
    let receiver = Receiver::grpc(Manner::Takes).await;
    let mut host = Host::start_in(settings, &[("GF_INSTANCE_OTLP_ADDRESS", receiver.address())]).await;
    host.traceparent = Some(PARENT);
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    let address = grafana(Arc::new(host)).await;
    for (path, has_exemplars) in
        [("/metrics/plugins/assay-logs-datasource", false), ("/api/datasources/uid/assay/resources/metrics", true)]
    {
        let prometheus = Prometheus::start(&program, Some((&address, path)));
        let answered = prometheus.ask("/api/v1/query", &[("query", "assay_queries_total{type=\"runs\"}")]).await;
        assert_eq!(answered[0]["value"][1], "1");
        assert_eq!(prometheus.ask("/api/v1/query", &[("query", "assay_build_info")]).await.len(), 1);
        if has_exemplars {
            let (from, to) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
            let selector = [("query", "assay_query_duration_seconds_bucket"), ("start", from), ("end", to)];
            let found = prometheus.ask("/api/v1/query_exemplars", &selector).await;
            assert_eq!(found[0]["exemplars"][0]["labels"]["trace_id"], TRACE, "{found:?}");
        }
    }
}

/// A model server that blames the full disk.
fn model(request: &Request) -> Vec<u8> {
    let captured = |name: &str| captured_body(&format!("debian-0.7.0/{name}.json"));
    let verdict = json!({
        "evidence": ["T1"], "components": [], "root_cause": "disk_full", "severity": "error", "summary": "The disk is full.",
    });
    let delta = json!({"choices": [{"finish_reason": null, "index": 0, "delta": {"content": verdict.to_string()}}]});
    let last = json!({"choices": [{"finish_reason": "stop", "index": 0, "delta": {}}]});
    let usage = json!({"completion_tokens": 40, "prompt_tokens": 1400, "prompt_tokens_details": {"cached_tokens": 0}});
    let timings = json!({"cache_n": 0, "prompt_ms": 12.5, "predicted_ms": 80.25});
    let counts = json!({"choices": [], "usage": usage, "timings": timings});
    let body = match request.target.as_str() {
        "/props" => captured("props"),
        "/v1/models" => captured("v1_models"),
        "/v1/chat/completions/input_tokens" => json!({"input_tokens": 287}).to_string(),
        _ => {
            let events = format!("data: {delta}\n\ndata: {last}\n\ndata: {counts}\n\ndata: [DONE]\n\n");
            return http(200, "text/event-stream", events.as_bytes());
        }
    };
    http(200, "application/json", body.as_bytes())
}

/// Two data sources in one process, which sends everything to the receiver of the one: what the other says to its model is
/// none of that receiver's business, nor what was said before there was another receiver.
#[tokio::test]
async fn content_goes_to_nobody_but_the_receiver_that_its_own_data_source_names() {
    let (_store, mut ours) = empty_store();
    let [first, second] = [Receiver::http(Manner::Takes).await, Receiver::http(Manner::Takes).await];
    let (loki, model) = (Canned::speaking(planted).await, Canned::speaking(model).await);
    ours["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    ours["modelServers"] = json!([{"name": "assay-demo-q4_0", "url": model.url()}]);
    let mut theirs = ours.clone();
    theirs["otlpProtocol"] = json!("http/protobuf");
    theirs["otlpCaptureContent"] = json!(true);
    theirs["otlpEndpoint"] = json!(first.url());
    let mut host = Host::start(ours.clone()).await;
    host.url = loki.url().to_owned();
    let asked = json!({"queryType": "analyze", "expr": "{namespace=\"shop\"}", "window": "1h", "prompt": "triage@1"});
    (host.uid, host.settings) = ("theirs", theirs.clone());
    host.ask_one(json!({"queryType": "runs"})).await;
    for (uid, settings) in [("ours", ours), ("theirs", theirs.clone())] {
        (host.uid, host.settings) = (uid, settings);
        ask_until(&host, &asked, has_verdict).await;
    }
    theirs["otlpEndpoint"] = json!(second.url());
    (host.settings, host.updated) = (theirs, 2);
    host.ask_one(json!({"queryType": "runs"})).await;
    host.stop().await;
    let said = |receiver: &Receiver| {
        let logs = receiver.arrived().logs;
        logs.iter().filter(|log| log.event_name == "gen_ai.client.inference.operation.details").count()
    };
    let asked = model.requests().iter().filter(|request| request.target == "/v1/chat/completions").count();
    assert_eq!(asked, 2, "each data source asked its model");
    assert!(said(&first) <= 1, "what was said by another data source was sent");
    assert_eq!(said(&second), 0, "what was said before was sent");
}

#[tokio::test]
async fn content_goes_where_its_data_source_names_a_receiver() {
    let (_store, mut settings) = empty_store();
    let receiver = Receiver::http(Manner::Takes).await;
    let (loki, model) = (Canned::speaking(planted).await, Canned::speaking(model).await);
    let more = json!({
        "rootPath": env!("CARGO_MANIFEST_DIR"), "modelServers": [{"name": "assay-demo-q4_0", "url": model.url()}],
        "otlpProtocol": "http/protobuf", "otlpCaptureContent": true, "otlpEndpoint": receiver.url(),
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut host = Host::start(settings).await;
    host.url = loki.url().to_owned();
    let asked = json!({"queryType": "analyze", "expr": "{namespace=\"shop\"}", "window": "1h", "prompt": "triage@1"});
    ask_until(&host, &asked, has_verdict).await;
    host.stop().await;
    let logs = receiver.arrived().logs;
    let said = logs.iter().find(|log| log.event_name == "gen_ai.client.inference.operation.details").unwrap();
    assert!(attributes(&said.attributes)["gen_ai.input.messages"].contains(CANARY));
}
