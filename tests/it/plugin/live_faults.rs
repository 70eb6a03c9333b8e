//! What goes wrong around a live question ends in a notice or in an error with the right source: never in a hang, a
//! crash or unbounded memory.

use std::time::Duration;

use serde_json::{Value, json};

use super::host::{CANARY, DataResponse, frames};
use super::live::{ask_until, has_verdict, question, rig};
use super::loki::{answer as loki_answer, replayed};
use crate::canned::{Act, Canned, http, json as json_response, open_ended};

const MIB: u64 = 1 << 20;

fn failed(answer: &DataResponse) -> bool {
    answer.status >= 400
}

#[tokio::test]
async fn a_loki_that_fails_is_a_downstream_error() {
    let busy =
        b"HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 21\r\nconnection: close\r\n\r\ntoo many outstanding!"
            .to_vec();
    let cut =
        [open_ended(200, "application/json"), br#"{"status":"success","data":{"resultType":"str"#.to_vec()].concat();
    let parse = b"parse error at line 1, col 2: syntax error: unexpected IDENTIFIER".to_vec();
    for (script, status, expected) in [
        (vec![Act::Send(http(503, "text/plain", b"ingester not ready"))], 502, "ingester not ready"),
        (vec![Act::Send(http(500, "text/plain", b"boom"))], 502, "boom"),
        (vec![Act::Send(busy)], 502, "is busy"),
        (vec![Act::Send(cut)], 502, ""),
        (vec![Act::Send(http(400, "text/plain", &parse))], 400, "cannot read the query"),
        (vec![Act::Reset], 502, "cannot reach Loki"),
        (vec![Act::AwaitClose], 502, "took longer than 1 s"),
    ] {
        let rig = rig(Canned::acting(script).await, json!({"timeout": 1, "timeoutS": 1})).await;
        let answer = ask_until(&rig.host, &question(), failed).await;
        assert_eq!((answer.status, answer.error_source.as_str()), (status, "downstream"), "{}", answer.error);
        assert!(answer.error.contains(expected), "{}", answer.error);
        assert_eq!(rig.host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    }
}

#[tokio::test]
async fn a_loki_that_is_not_there_is_a_downstream_error() {
    let mut rig = rig(replayed().await, json!({})).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    rig.host.url = format!("http://127.0.0.1:{port}");
    let answer = ask_until(&rig.host, &question(), failed).await;
    assert_eq!((answer.status, answer.error_source.as_str()), (502, "downstream"), "{}", answer.error);
    assert!(answer.error.contains("cannot reach Loki") && answer.error.contains("refused"), "{}", answer.error);
}

#[tokio::test]
async fn no_lines_are_no_error() {
    let empty = json!({"status": "success", "data": {"resultType": "streams", "result": [], "stats": {}}});
    let mut rig = rig(Canned::answering(json_response(200, &empty)).await, json!({})).await;
    let told = |answer: &DataResponse| frames(answer)[0].0.metadata()["meta"].contains("gives no log lines");
    let answer = ask_until(&rig.host, &question(), told).await;
    assert_eq!(answer.status, 200);
    rig.host.headers.insert("FromAlert".to_owned(), "true".to_owned());
    let answer = rig.host.ask_one(question()).await;
    assert_eq!((answer.status, answer.frames.len()), (200, 0), "for an alert rule it is no data");
}

#[tokio::test]
async fn the_guard_refuses_or_warns() {
    let enforcing = rig(replayed().await, json!({"guard": {"mode": "enforce", "maxRangeS": 60}})).await;
    let answer = ask_until(&enforcing.host, &question(), failed).await;
    assert_eq!(answer.status, 422);
    assert!(answer.error.contains("narrow the time range to 1 min or less"), "{}", answer.error);
    let brief = rig(replayed().await, json!({"guard": {"mode": "enforce", "maxRangeS": 60}, "freshFor": 1})).await;
    ask_until(&brief.host, &question(), failed).await;
    let beside = ask_until(&brief.host, &question(), |answer| answer.status == 200).await;
    let meta = frames(&beside)[0].0.metadata()["meta"].clone();
    assert!(meta.contains("the last attempt failed") && meta.contains("narrow the time range"), "{meta}");
    let warning = rig(replayed().await, json!({"guard": {"mode": "warn", "maxBytes": 1}})).await;
    let answer = ask_until(&warning.host, &question(), has_verdict).await;
    let meta = frames(&answer)[0].0.metadata()["meta"].clone();
    assert!(meta.contains("more than the limit of 1 bytes"), "{meta}");
    let off = rig(replayed().await, json!({"guard": {"mode": "off", "maxBytes": 1}})).await;
    let answer = ask_until(&off.host, &question(), has_verdict).await;
    assert!(!frames(&answer)[0].0.metadata()["meta"].contains("more than the limit"));
    assert!(off.loki.requests().iter().all(|request| !request.target.contains("index/stats")), "nobody asks the cost");
}

#[tokio::test]
async fn a_model_server_that_is_away_or_loading_is_a_downstream_error() {
    let loading = json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}});
    for (server, expected) in [
        (Canned::answering(json_response(503, &loading)).await, "Loading model"),
        (Canned::acting(vec![Act::Reset]).await, "model server at http://127.0.0.1"),
    ] {
        let more = json!({
            "modelServers": [{"name": "assay-demo-q4_0", "url": server.url()}], "timeoutS": 2,
        });
        let rig = rig(replayed().await, more).await;
        let answer = ask_until(&rig.host, &question(), failed).await;
        assert!(matches!(answer.status, 502 | 504), "{} {}", answer.status, answer.error);
        assert_eq!(answer.error_source, "downstream");
        assert!(answer.error.contains(expected), "{}", answer.error);
        let mut by_rules = question();
        by_rules["model"] = json!("rules");
        ask_until(&rig.host, &by_rules, has_verdict).await;
    }
}

#[tokio::test]
async fn an_old_verdict_outlives_its_loki_with_a_notice() {
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let down = std::sync::Arc::clone(&broken);
    let loki = Canned::speaking(move |request| match down.load(std::sync::atomic::Ordering::SeqCst) {
        true => http(503, "text/plain", b"shutting down"),
        false => loki_answer(request),
    })
    .await;
    let mut rig = rig(loki, json!({"freshFor": 1, "maxAge": 3})).await;
    ask_until(&rig.host, &question(), has_verdict).await;
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let meta = |answer: &DataResponse| frames(answer)[0].0.metadata()["meta"].clone();
    let told = |answer: &DataResponse| meta(answer).contains("the last attempt failed");
    let answer = ask_until(&rig.host, &question(), told).await;
    assert!(has_verdict(&answer) && meta(&answer).contains("shutting down"), "{}", meta(&answer));
    let old = ask_until(&rig.host, &question(), |answer| meta(answer).contains("no alert rests on it")).await;
    assert!(has_verdict(&old));
    rig.host.headers.insert("FromAlert".to_owned(), "true".to_owned());
    let answer = rig.host.ask_one(question()).await;
    assert_eq!((answer.status, answer.frames.len()), (200, 0), "past its age it is no data: {}", answer.error);
}

#[tokio::test]
async fn ten_thousand_refreshing_panels_are_few_questions_to_loki() {
    let rig = rig(replayed().await, json!({"queue": 8})).await;
    let query = |panel: usize| {
        let mut query = question();
        query["expr"] = json!(format!("{{namespace=\"shop\", panel=\"{}\"}}", panel % 20));
        query.to_string()
    };
    let ask = async |from: usize| {
        let texts: Vec<String> = (from..from + 200).map(query).collect();
        let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let answers = rig.host.ask(&texts).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)), "{:?}", answers[0].error);
        answers.iter().filter(|answer| answer.status == 200).count()
    };
    for round in 0..10 {
        ask(200 * round).await;
    }
    let before = rig.host.memory();
    let mut answered = 0;
    for round in 10..50 {
        answered += ask(200 * round).await;
    }
    assert!(answered > 4_000, "{answered} of 8000 had an answer");
    let after = rig.host.memory();
    assert!(after < before + 48 * MIB, "{} MiB became {} MiB", before / MIB, after / MIB);
    let reads = rig.loki.requests().iter().filter(|request| request.target.contains("/query_range")).count();
    assert!(reads <= 200, "{reads} reads of 20 questions");
}

#[tokio::test]
async fn no_secret_of_any_setting_reaches_log_frames_or_errors() {
    let names = ["a", "b", "c", "d", "e", "f"].map(|letter| format!("{CANARY}-{letter}"));
    let [api, password, header, otlp, store, key] = &names;
    let loki = Canned::speaking(|request| match request.target.contains("panel") {
        // A gateway that echoes what it was sent.
        true => http(502, "text/plain", request.raw.as_bytes()),
        false => loki_answer(request),
    })
    .await;
    let server = Canned::speaking(|request| http(500, "text/plain", request.raw.as_bytes())).await;
    let more = json!({
        "modelServers": [{"name": "assay-demo-q4_0", "url": server.url()}], "defaultModel": "rules",
        "httpHeaderName1": "X-Gateway", "timeoutS": 2, "otlpEndpoint": "http://127.0.0.1:9",
    });
    let mut rig = rig(loki, more).await;
    rig.host.basic_auth = Some("reader");
    rig.host.secrets = [
        ("modelApiKey.assay-demo-q4_0", api),
        ("basicAuthPassword", password),
        ("httpHeaderValue1", header),
        ("storeSecretKey", store),
        ("tlsClientKey", key),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.clone()))
    .chain([("otlpHeaders".to_owned(), format!("authorization={otlp}"))])
    .collect();
    let mut said: Vec<String> = Vec::new();
    let answer = ask_until(&rig.host, &question(), has_verdict).await;
    said.extend(answer.frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()));
    let (mut of_model, mut of_gateway): (Value, Value) = (question(), question());
    of_model["model"] = json!("assay-demo-q4_0");
    of_gateway["expr"] = json!("{panel=\"1\"}");
    for query in [of_model, of_gateway] {
        said.push(ask_until(&rig.host, &query, failed).await.error);
    }
    let health = rig.host.health().await;
    said.push(health.message + &String::from_utf8_lossy(&health.json_details));
    for path in ["models", "labels", "questions", "guard?expr=%7Bpanel%3D%221%22%7D"] {
        said.push(rig.host.resource("GET", path, "").await.1.to_string());
    }
    said.push(rig.host.openmetrics().await.1);
    let sent: Vec<String> =
        rig.loki.requests().into_iter().chain(server.requests()).map(|request| request.raw).collect();
    assert!(
        sent.iter().any(|raw| raw.contains(header)) && sent.iter().any(|raw| raw.contains(api)),
        "nothing was sent"
    );
    let files = files(rig.store.path());
    let (_, log, _) = rig.host.stop().await;
    for text in said.iter().chain([&log]).chain(&files) {
        assert!(!text.contains(CANARY), "{text}");
    }
}

/// What stands in all files below a folder.
fn files(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()],
        })
        .collect()
}
