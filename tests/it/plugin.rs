//! The plugin as Grafana has it: a process that is started, asked over gRPC and stopped. The Go host in `tests/host`
//! proves the same with Grafana's own libraries; this one is for the quick turn.

mod alerts;
mod bytes;
mod catalogue;
mod endurance;
mod health;
mod host;
mod live;
mod live_faults;
mod loki;
mod model_faults;
mod push;
mod queries;
mod real_loki;
mod resources;
mod s3;
mod store;
mod telemetry;

use grafana_plugin_sdk::pluginv2::{
    CallResourceRequest, CollectMetricsRequest, PluginContext, SubscribeStreamRequest,
    diagnostics_client::DiagnosticsClient, resource_client::ResourceClient, stream_client::StreamClient,
};
use serde_json::json;
use tokio::process::Command;
use tonic::Status;

use self::host::{CANARY, Empty, Host, Number, Text, frames};
use self::store::{empty_store, store_of_two_runs, store_with_evidence, text, value};

#[tokio::test]
async fn starts_answers_pings_and_stops_cleanly() {
    let (_store, settings) = empty_store();
    let host = Host::start(settings).await;
    assert!(
        host.handshake.starts_with("1|2|tcp|127.0.0.1:") && host.handshake.ends_with("|grpc\n"),
        "{}",
        host.handshake
    );
    for service in ["", "plugin"] {
        let answer: Number =
            host.call("/grpc.health.v1.Health/Check", Text { text: service.to_owned() }).await.unwrap();
        assert_eq!(answer.number, 1, "{service:?} is not serving");
    }
    let unknown: Result<Empty, Status> = host.call("/pluginv2.Data/QueryTomorrow", Empty {}).await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::Unimplemented);
    let (status, _, printed) = host.stop().await;
    assert!(status.success(), "{status}");
    assert_eq!(printed, "", "standard output belongs to the handshake");
}

#[tokio::test]
async fn a_bad_query_fails_alone_and_says_why() {
    let (_store, settings) = empty_store();
    let host = Host::start(settings).await;
    let bad: [(&[u8], &str); 7] = [
        (br#"{"queryType":"rums"}"#, "unknown queryType `rums`: did you mean `runs`?"),
        (b"{}", "no queryType"),
        (br#"{"queryType":"runs","limmit":1}"#, "did you mean `limit`?"),
        (br#"{"queryType":"runs","limit":"all"}"#, "field `limit`"),
        (b"[]", "not a JSON object"),
        (b"", "not a JSON object"),
        (b"\x00\xff\xfe{", "not a JSON object"),
    ];
    let mut queries: Vec<&[u8]> = bad.iter().map(|(json, _)| *json).collect();
    queries.push(br#"{"queryType":"runs"}"#);
    let mut answers = host.ask(&queries).await;
    assert_eq!(frames(&answers.pop().unwrap()).len(), 1);
    for (answer, (json, expected)) in answers.iter().zip(bad) {
        assert_eq!((answer.status, answer.error_source.as_str()), (400, "downstream"), "{json:?}: {}", answer.error);
        assert!(answer.error.contains(expected), "{json:?}: {}", answer.error);
    }
}

#[tokio::test]
async fn any_role_and_none_at_all_may_ask() {
    let (_store, settings) = empty_store();
    let mut host = Host::start(settings).await;
    for role in [None, Some(""), Some("None"), Some("Viewer"), Some("a role of tomorrow")] {
        host.role = role;
        assert_eq!(host.health().await.status, 1, "role {role:?}");
        assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200, "role {role:?}");
    }
}

#[tokio::test]
async fn a_request_of_nearly_16_mib_arrives() {
    let (_store, settings) = empty_store();
    let host = Host::start(settings).await;
    let answer = host.ask_one(json!({"queryType": "runs", "datasource": "x".repeat(15 << 20)})).await;
    assert_eq!((answer.status, answer.error.as_str()), (200, ""));
    assert!(answer.frames[0].len() < 1 << 20, "the answer repeats the question");
}

#[tokio::test]
async fn no_credential_reaches_the_log() {
    let mut host = Host::start(json!({"storeUrl": 7})).await;
    host.role = Some("None");
    assert!(host.health().await.message.contains("storeUrl"));
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 400);
    assert_eq!(host.ask_one(json!({"queryType": "nothing"})).await.status, 400);
    let (_, log, _) = host.stop().await;
    assert!(log.contains("@message"), "the log was not read: {log:?}");
    assert!(!log.contains(CANARY), "{log}");
}

#[tokio::test]
async fn without_a_usable_store_the_health_check_and_every_query_say_what_to_do() {
    for (settings, expected) in [
        (json!({}), "setting `storeUrl` is not set"),
        (json!({"storeUrl": "relative/path"}), "absolute path"),
        (json!({"storeUrl": "file:///nonexistent/assay"}), "/nonexistent/assay"),
    ] {
        let host = Host::start(settings).await;
        let health = host.health().await;
        assert_eq!(health.status, 2, "{}", health.message);
        assert!(health.message.contains(expected), "{}", health.message);
        let answer = host.ask_one(json!({"queryType": "runs"})).await;
        assert!(answer.status >= 400 && answer.error.contains(expected), "{} {}", answer.status, answer.error);
        assert_eq!(answer.error_source, "downstream");
    }
}

#[tokio::test]
async fn arbitrary_bytes_end_in_an_error_of_their_own_query() {
    let (_store, settings) = empty_store();
    let host = Host::start(settings).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let garbage: Vec<Vec<u8>> = (0..60).map(|length| (0..length).map(|_| next(&mut state)).collect()).collect();
    let queries: Vec<&[u8]> = garbage.iter().map(Vec::as_slice).collect();
    for (answer, bytes) in host.ask(&queries).await.iter().zip(&queries) {
        assert_eq!(answer.status, 400, "{bytes:?}: {}", answer.error);
    }
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
}

/// Bytes of a linear congruential generator (Knuth, MMIX), so that a failure can be repeated.
fn next(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    state.to_be_bytes()[0]
}

#[tokio::test]
async fn metrics_resources_and_channels_answer_without_settings() {
    let host = Host::start(json!({})).await;
    let only_id = Some(PluginContext { plugin_id: "assay-logs-datasource".to_owned(), ..Default::default() });
    let request = CollectMetricsRequest { plugin_context: only_id };
    let metrics = DiagnosticsClient::new(host.channel.clone()).collect_metrics(request).await.unwrap().into_inner();
    let text = String::from_utf8(metrics.metrics.unwrap().prometheus.to_vec()).unwrap();
    assert!(text.contains("assay_build_info{version="), "{text}");
    let request = CallResourceRequest { path: "nothing".to_owned(), ..Default::default() };
    let mut answer = ResourceClient::new(host.channel.clone()).call_resource(request).await.unwrap().into_inner();
    assert_eq!(answer.message().await.unwrap().unwrap().code, 404);
    let request = SubscribeStreamRequest { path: "nothing".to_owned(), ..Default::default() };
    let answer = StreamClient::new(host.channel.clone()).subscribe_stream(request).await.unwrap().into_inner();
    assert_eq!(answer.status, 1, "not found");
}

#[tokio::test]
async fn a_person_who_starts_it_is_told_what_it_is() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_gpx_assay")).env_remove("grafana_plugin_type").output().await.unwrap();
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("started by Grafana") && said.contains("`assay`"), "{said}");
}

#[tokio::test]
async fn runs_lists_the_newest_first_with_their_primary_metric() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    assert!(host.health().await.message.contains("3 runs"));
    let (schema, batches) = frames(&host.ask_one(json!({"queryType": "runs"})).await).remove(0);
    assert_eq!(schema.metadata()["refId"], "A");
    assert_eq!(text(&batches, "run"), ["r3-cut", "r2-strong", "r1-weak"]);
    assert_eq!(text(&batches, "status"), ["unfinished", "published", "published"]);
    assert_eq!(text(&batches, "prompt"), ["triage@1"; 3]);
    assert_eq!([0, 1, 2].map(|row| value(&batches, "value", row)), [None, Some(0.75), Some(0.25)]);
    assert!(value(&batches, "ci_low", 1).unwrap() < 0.75 && value(&batches, "ci_high", 1).unwrap() > 0.75);
    assert!(value(&batches, "p95_latency", 1).unwrap() > 1000.0);
    let chosen = host.ask_one(json!({"queryType": "runs", "arm": "strong", "limit": 1})).await;
    assert_eq!(text(&frames(&chosen)[0].1, "run"), ["r3-cut"]);
}

#[tokio::test]
async fn a_damaged_run_is_a_notice_and_the_others_are_listed() {
    let (store, settings) = store_of_two_runs().await;
    std::fs::write(store.path().join("runs/r1-weak/run.json"), "{").unwrap();
    let host = Host::start(settings).await;
    let (schema, batches) = frames(&host.ask_one(json!({"queryType": "runs"})).await).remove(0);
    assert_eq!(text(&batches, "run"), ["r3-cut", "r2-strong"]);
    let meta = &schema.metadata()["meta"];
    assert!(meta.contains(r#""severity":"warning""#) && meta.contains("r1-weak/run.json"), "{meta}");
    let answer = host.ask_one(json!({"queryType": "analyze", "run": "r1-weak"})).await;
    assert_eq!((answer.status, answer.error_source.as_str()), (502, "downstream"), "{}", answer.error);
}

#[tokio::test]
async fn compare_says_which_run_is_better_and_why() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    let (schema, batches) =
        frames(&host.ask_one(json!({"queryType": "compare", "a": "weak", "b": "r2"})).await).remove(0);
    assert_eq!(text(&batches, "metric")[..2], ["root_cause", "severity"]);
    assert_eq!(text(&batches, "conclusion")[0], "better");
    assert_eq!(value(&batches, "delta", 0), Some(0.5));
    assert_eq!((&*text(&batches, "reference")[0], &*text(&batches, "judged")[0]), ("25.0 %", "75.0 %"));
    assert!(text(&batches, "difference")[0].starts_with("+50.0 pp (+"), "{:?}", text(&batches, "difference"));
    assert!(value(&batches, "p_value", 0).unwrap() < 0.001);
    assert!(value(&batches, "ci_low", 0).unwrap() > 0.0);
    assert_eq!(value(&batches, "cases", 0), Some(40.0));
    let meta = &schema.metadata()["meta"];
    assert!(meta.contains(r#""type":"numeric-long","typeVersion":[0,1]"#) && meta.contains("is better than"), "{meta}");
    let other = host.ask_one(json!({"queryType": "compare", "a": "r1", "b": "r2", "metric": "severity"})).await;
    assert!(frames(&other)[0].0.metadata()["meta"].contains("not the declared primary metric"));
}

#[tokio::test]
async fn compare_refuses_what_it_cannot_answer() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    for (query, status, expected) in [
        (json!({"a": "r1"}), 400, "missing field `b`"),
        (json!({"a": "r1", "b": "r9"}), 404, "no run `r9`"),
        (json!({"a": "r1", "b": "r3-cut"}), 404, "not finished"),
        (json!({"a": "r1", "b": "r2", "metric": "rouge_m"}), 400, "did you mean `rouge_l`?"),
        (json!({"a": "r1", "b": "r2", "margin": -1}), 400, "field `margin`"),
    ] {
        let mut query = query;
        query["queryType"] = json!("compare");
        let answer = host.ask_one(query.clone()).await;
        assert_eq!((answer.status, answer.error_source.as_str()), (status, "downstream"), "{query}: {}", answer.error);
        assert!(answer.error.contains(expected), "{query}: {}", answer.error);
    }
}

#[tokio::test]
async fn analyze_shows_the_last_verdict_or_that_of_a_case() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    let (schema, batches) = frames(&host.ask_one(json!({"queryType": "analyze", "run": "r2-strong"})).await).remove(0);
    assert_eq!(text(&batches, "case"), ["g1-039"]);
    assert_eq!(text(&batches, "root_cause"), ["memory_exhausted"]);
    assert_eq!(text(&batches, "true_root_cause"), ["disk_full"]);
    assert!(schema.metadata()["meta"].contains("the store keeps no log lines"));
    let of_case = host.ask_one(json!({"queryType": "analyze", "run": "strong", "case": "g1-000"})).await;
    let (schema, batches) = frames(&of_case).remove(0);
    assert_eq!(text(&batches, "root_cause"), ["disk_full"]);
    assert_eq!(text(&batches, "evidence"), ["T3"]);
    let colours = &schema.field_with_name("severity").unwrap().metadata()["config"];
    assert!(colours.contains(r#""type":"value","options":{"critical":{"color":"red"}"#), "{colours}");
    let missing = host.ask_one(json!({"queryType": "analyze", "run": "strong", "case": "g1-0001"})).await;
    assert_eq!(missing.status, 404);
    assert!(missing.error.contains("did you mean `g1-0"), "{}", missing.error);
}

#[tokio::test]
async fn evidence_is_shown_only_if_it_is_what_the_model_saw() {
    let (store, settings, line) = store_with_evidence().await;
    let host = Host::start(settings).await;
    assert!(host.health().await.message.contains("the lock holds"), "{}", host.health().await.message);
    let answer = host.ask_one(json!({"queryType": "analyze"})).await;
    let (schema, batches) = frames(&answer).remove(1);
    assert_eq!(text(&batches, "id"), ["T1"]);
    assert_eq!(text(&batches, "body"), [line]);
    let meta = &schema.metadata()["meta"];
    assert!(meta.contains("log-lines") && meta.contains(r#""preferredVisualisationType":"logs""#), "{meta}");
    let record = store.path().join("runs/r1/run.json");
    let other = std::fs::read_to_string(&record).unwrap().replace("\"digest_tokens\": 1000", "\"digest_tokens\": 100");
    std::fs::write(&record, other).unwrap();
    let answers = frames(&host.ask_one(json!({"queryType": "analyze"})).await);
    assert_eq!(answers.len(), 1, "only the verdict is left");
    assert!(answers[0].0.metadata()["meta"].contains("not those of the run"));
}
