//! Questions about live logs, as Grafana asks them: a replayed Loki, the rule baseline, and the progress on a channel.

use std::collections::HashMap;
use std::time::Duration;

use grafana_plugin_sdk::pluginv2::{
    RunStreamRequest, SubscribeStreamRequest, stream_client::StreamClient, subscribe_stream_response,
};
use serde_json::{Value, json};
use tokio_stream::StreamExt;

use super::host::{DataResponse, Host, frames};
use super::loki::replayed;
use super::store::{empty_store, text, value};
use crate::canned::{Act, Canned};

/// A data source that can answer live questions by the rules, and what keeps its surroundings alive.
pub(super) struct Rig {
    pub(super) host: Host,
    pub(super) loki: Canned,
    pub(super) store: tempfile::TempDir,
}

/// A data source over a Loki, with more settings.
pub(super) async fn rig(loki: Canned, more: Value) -> Rig {
    let (store, mut settings) = empty_store();
    settings["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut host = Host::start(settings).await;
    host.url = loki.url().to_owned();
    Rig { host, loki, store }
}

pub(super) fn question() -> Value {
    json!({"queryType": "analyze", "expr": "{namespace=\"shop\"}", "window": "1h", "prompt": "triage@1"})
}

/// Asks until an answer is as wanted; a question that never gets there fails the test.
pub(super) async fn ask_until(host: &Host, query: &Value, wanted: impl Fn(&DataResponse) -> bool) -> DataResponse {
    for _ in 0..600 {
        let answer = host.ask_one(query.clone()).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{query} never got there: {:?}", host.ask_one(query.clone()).await.error);
}

/// Whether an answer carries a verdict.
pub(super) fn has_verdict(answer: &DataResponse) -> bool {
    answer.status == 200 && frames(answer)[0].0.fields().iter().any(|field| field.name() == "severity")
}

pub(super) fn meta(answer: &DataResponse) -> Value {
    serde_json::from_str(&frames(answer)[0].0.metadata()["meta"]).unwrap()
}

pub(super) fn alert(host: &mut Host) {
    host.role = None;
    host.headers = HashMap::from([("FromAlert".to_owned(), "true".to_owned())]);
}

#[tokio::test]
async fn a_new_question_names_its_channel_and_then_has_a_verdict_with_evidence() {
    let rig = rig(replayed().await, json!({"tempoUid": "tempo", "lokiUid": "loki"})).await;
    let first = rig.host.ask_one(question()).await;
    assert_eq!(first.status, 200, "{}", first.error);
    if !has_verdict(&first) {
        let channel = meta(&first)["custom"]["channel"].as_str().unwrap().to_owned();
        assert!(channel.starts_with("analyze/") && channel.len() == 40, "{channel}");
        assert!(meta(&first)["notices"].to_string().contains("for the first time"));
    }
    let answer = ask_until(&rig.host, &question(), has_verdict).await;
    let shown = frames(&answer);
    let (schema, batches) = &shown[0];
    assert_eq!(text(batches, "model"), ["rules"]);
    assert_eq!(text(batches, "prompt"), ["triage@1"]);
    assert!(value(batches, "lines", 0).unwrap() > 100.0);
    let executed = meta(&answer)["executedQueryString"].as_str().unwrap().to_owned();
    assert!(executed.starts_with("analyze {namespace=\"shop\"} over the last 3600 s, prompt triage@1"), "{executed}");
    let config = |field: &str| schema.field_with_name(field).unwrap().metadata()["config"].clone();
    assert!(config("trace_id").contains(r#""datasourceUid":"tempo""#), "{}", config("trace_id"));
    assert!(config("evidence").contains(r#""datasourceUid":"loki""#), "{}", config("evidence"));
    let (schema, batches) = &shown[1];
    assert!(schema.metadata()["meta"].contains("log-lines"));
    assert_eq!(text(batches, "id").len(), text(batches, "body").len());
    assert!(!text(batches, "id").is_empty(), "the rules cite what they go by");
    let reads = |loki: &Canned| loki.requests().iter().filter(|r| r.target.contains("/query_range")).count();
    let before = reads(&rig.loki);
    rig.host.ask_one(question()).await;
    assert_eq!(reads(&rig.loki), before, "a fresh verdict is not asked again");
}

#[tokio::test]
async fn the_channel_streams_the_progress_and_ends() {
    let rig = rig(replayed().await, json!({})).await;
    let mut client = StreamClient::new(rig.host.channel.clone());
    let subscribe = async |client: &mut StreamClient<_>, path: &str| {
        let request =
            SubscribeStreamRequest { plugin_context: rig.host.context(), path: path.to_owned(), ..Default::default() };
        client.subscribe_stream(request).await.unwrap().into_inner().status
    };
    for unknown in ["analyze/0123456789abcdef0123456789abcdef", "analyze/../x", "analyze/", "other"] {
        let status = subscribe(&mut client, unknown).await;
        assert_eq!(status, i32::from(subscribe_stream_response::Status::NotFound), "{unknown}");
        let request =
            RunStreamRequest { plugin_context: rig.host.context(), path: unknown.to_owned(), ..Default::default() };
        assert_eq!(client.run_stream(request).await.unwrap_err().code(), tonic::Code::NotFound);
    }
    let first = rig.host.ask_one(question()).await;
    let Some(path) = meta(&first)["custom"]["channel"].as_str().map(str::to_owned) else { return };
    assert_eq!(subscribe(&mut client, &path).await, i32::from(subscribe_stream_response::Status::Ok));
    let request = RunStreamRequest { plugin_context: rig.host.context(), path, ..Default::default() };
    let packets: Vec<_> = client.run_stream(request).await.unwrap().into_inner().collect().await;
    let last: Value = serde_json::from_slice(&packets.last().unwrap().as_ref().unwrap().data).unwrap();
    assert_eq!(last["data"]["values"][0][0], "done", "{last}");
    let names: Vec<_> = last["schema"]["fields"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert_eq!(names, ["state", "elapsed", "tokens", "message"]);
    assert!(has_verdict(&rig.host.ask_one(question()).await));
}

#[tokio::test]
async fn a_question_ends_when_its_last_viewer_leaves() {
    let rig = rig(Canned::acting(vec![Act::AwaitClose]).await, json!({"timeout": 300, "timeoutS": 300})).await;
    let first = rig.host.ask_one(question()).await;
    let path = meta(&first)["custom"]["channel"].as_str().unwrap().to_owned();
    let request = RunStreamRequest { plugin_context: rig.host.context(), path, ..Default::default() };
    let mut packets = StreamClient::new(rig.host.channel.clone()).run_stream(request).await.unwrap().into_inner();
    packets.next().await.unwrap().unwrap();
    let asked = async {
        while rig.loki.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
    assert_eq!(rig.loki.left(), 0);
    drop(packets);
    let ended = async {
        while rig.loki.left() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("Loki is no longer asked");
}

#[tokio::test]
async fn an_alert_gets_a_number_with_labels() {
    let mut rig = rig(replayed().await, json!({})).await;
    alert(&mut rig.host);
    let first = rig.host.ask_one(question()).await;
    assert_eq!((first.status, first.frames.len()), (200, 0), "no verdict yet is no data: {}", first.error);
    let answer = ask_until(&rig.host, &question(), |answer| !answer.frames.is_empty()).await;
    let (schema, batches) = frames(&answer).remove(0);
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["severity"], "one number");
    let labels: HashMap<String, String> = serde_json::from_str(&schema.field(0).metadata()["labels"]).unwrap();
    assert!(labels.contains_key("question") && labels.contains_key("root_cause"), "{labels:?}");
    assert!((0.0..=3.0).contains(&value(&batches, "severity", 0).unwrap()));
}

#[tokio::test]
async fn the_ledger_gives_verdicts_signals_and_attribution() {
    let mut rig = rig(replayed().await, json!({})).await;
    let answer = ask_until(&rig.host, &question(), has_verdict).await;
    let hash = text(&frames(&answer)[0].1, "rendered_hash").remove(0);
    rig.host.range = None;
    let listed = ask_until(&rig.host, &json!({"queryType": "verdicts"}), |answer| {
        !frames(answer)[0].1.is_empty() && !text(&frames(answer)[0].1, "key").is_empty()
    })
    .await;
    let (_, batches) = frames(&listed).remove(0);
    assert_eq!((text(&batches, "model"), text(&batches, "purpose")), (vec!["rules".into()], vec!["panel".into()]));
    let key = text(&batches, "key").remove(0);
    for hash in [hash.as_str(), key.as_str(), &key[..8]] {
        let found = rig.host.ask_one(json!({"queryType": "attribution", "hash": hash})).await;
        let (_, batches) = frames(&found).remove(0);
        assert_eq!(
            (text(&batches, "prompt"), text(&batches, "question")),
            (vec!["triage@1".into()], vec![key.clone()])
        );
    }
    let all = frames(&rig.host.ask_one(json!({"queryType": "signals"})).await).remove(0);
    assert!(all.0.metadata()["meta"].contains("timeseries-wide"));
    let names: Vec<_> = all.0.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["time", "abstained", "ungrounded", "failed", "unseen"]);
    let one = frames(&rig.host.ask_one(json!({"queryType": "signals", "signal": "failed", "by": "model"})).await);
    assert!(one[0].0.field_with_name("failed").unwrap().metadata()["labels"].contains("rules"));
    alert(&mut rig.host);
    let signal = rig.host.ask_one(json!({"queryType": "signals", "signal": "failed"})).await;
    assert_eq!(frames(&signal).len(), 1);
    let refused = rig.host.ask_one(json!({"queryType": "signals"})).await;
    assert!(refused.status == 400 && refused.error.contains("give `signal`"), "{}", refused.error);
}

#[tokio::test]
async fn a_standing_question_is_asked_without_a_panel() {
    let standing = json!([{"name": "the shop", "expr": "{namespace=\"shop\"}", "every": "10s", "window": "1h"}]);
    let mut rig = rig(replayed().await, json!({"standingQuestions": standing})).await;
    rig.host.range = None;
    let listed = ask_until(&rig.host, &json!({"queryType": "verdicts"}), |answer| {
        !frames(answer)[0].1.is_empty() && text(&frames(answer)[0].1, "question") == ["the shop"]
    })
    .await;
    assert_eq!(text(&frames(&listed)[0].1, "purpose"), ["standing"]);
    let named = ask_until(&rig.host, &json!({"queryType": "analyze", "question": "the shop"}), has_verdict).await;
    assert!(meta(&named)["executedQueryString"].as_str().unwrap().contains("(standing question the shop)"));
    let unknown = rig.host.ask_one(json!({"queryType": "analyze", "question": "the shpo"})).await;
    assert!(unknown.status == 400 && unknown.error.contains("did you mean `the shop`?"), "{}", unknown.error);
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_says_what_is_wrong() {
    let rig = rig(replayed().await, json!({})).await;
    for (change, expected) in [
        (json!({"expr": "up"}), "no stream selector"),
        (json!({"expr": "count_over_time({job=~\".+\"}[90d])"}), "is a metric query"),
        (json!({"window": "soon"}), "field `window`: `soon` is not a duration"),
        (json!({"prompt": "triage"}), "field `prompt`"),
        (json!({"prompt": "triage@99"}), "triage@99"),
        (json!({"model": "gpt-5"}), "no server is set for the model `gpt-5`"),
        (json!({"run": "r1"}), "give one of `expr`"),
        (json!({"windwo": "1h"}), "did you mean `window`?"),
    ] {
        let mut query = question();
        query.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = rig.host.ask_one(query.clone()).await;
        assert_eq!((answer.status, answer.error_source.as_str()), (400, "downstream"), "{query}: {}", answer.error);
        assert!(answer.error.contains(expected), "{query}: {}", answer.error);
    }
    let answer = rig.host.ask_one(json!({"queryType": "analyze", "window": "1h"})).await;
    assert!(answer.error.contains("give `expr`"), "{}", answer.error);
    assert_eq!(rig.loki.requests().len(), 0, "nothing of it reaches Loki");
}

#[tokio::test]
async fn without_loki_or_prompts_a_live_question_says_what_to_set() {
    let (_store, settings) = empty_store();
    let host = Host::start(settings.clone()).await;
    let answer = host.ask_one(question()).await;
    assert!(answer.status == 400 && answer.error.contains("set `rootPath`"), "{}", answer.error);
    let mut settings = settings;
    settings["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    let host = Host::start(settings).await;
    let answer = host.ask_one(question()).await;
    assert!(answer.status == 400 && answer.error.contains("give Loki's URL"), "{}", answer.error);
}

#[tokio::test]
async fn under_a_forwarded_identity_nothing_is_shared() {
    let standing = json!([{"name": "the shop", "expr": "{namespace=\"shop\"}", "every": "10s", "window": "1h"}]);
    let mut rig = rig(replayed().await, json!({"oauthPassThru": true, "standingQuestions": standing})).await;
    rig.host.headers.insert("Authorization".to_owned(), "Bearer of-alice".to_owned());
    let first = rig.host.ask_one(question()).await;
    assert!(has_verdict(&first), "the answer is made while the user waits: {}", first.error);
    assert_eq!(meta(&first)["custom"], Value::Null, "there is no channel");
    let reads = || rig.loki.requests().into_iter().filter(|r| r.target.contains("/query_range")).collect::<Vec<_>>();
    let before = reads().len();
    assert!(reads().iter().all(|request| request.raw.contains("Bearer of-alice")));
    rig.host.ask_one(question()).await;
    assert!(reads().len() > before, "nothing was kept");
    let named = rig.host.ask_one(json!({"queryType": "analyze", "question": "the shop"})).await;
    assert!(has_verdict(&named), "a standing question is asked by name: {}", named.error);
    let health = rig.host.health().await;
    let details: Value = serde_json::from_slice(&health.json_details).unwrap();
    assert!(details.to_string().contains("no standing question is asked by itself"), "{details}");
    alert(&mut rig.host);
    let refused = rig.host.ask_one(question()).await;
    assert!(refused.status == 422 && refused.error.contains("an alert rule has no user"), "{}", refused.error);
    let verdicts = rig.host.ask_one(json!({"queryType": "verdicts"})).await;
    assert_eq!((verdicts.status, verdicts.frames.len()), (200, 0), "{}", verdicts.error);
}

/// Without a place of its own the cache lies where everybody may write: in a folder of ours, or nowhere.
#[tokio::test]
async fn verdicts_are_not_kept_where_somebody_else_leads_them() {
    let (temporary, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = temporary.path().join("assay-verdicts");
    let loki = replayed().await;
    for led in [true, false] {
        if led {
            std::os::unix::fs::symlink(elsewhere.path(), &folder).unwrap();
        } else {
            std::fs::remove_file(&folder).unwrap();
        }
        let variables = [("TMPDIR", temporary.path().to_str().unwrap())];
        let mut host = Host::start_in(json!({"rootPath": env!("CARGO_MANIFEST_DIR")}), &variables).await;
        host.url = loki.url().to_owned();
        ask_until(&host, &question(), has_verdict).await;
        let (_, log, _) = host.stop().await;
        assert_eq!(log.contains("in memory only: set `cachePath`"), led, "{log}");
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&folder).unwrap().permissions());
    assert_eq!((mode & 0o777, std::fs::read_dir(&folder).unwrap().count()), (0o700, 1));
}
