//! A real Loki behind the plugin: every kind of question that the plugin, or the client beneath it, can ask. Nobody brings
//! the server along; `ASSAY_LOKI` names the program, and where there is none the end of `./just test` says so. The
//! captures in `tests/captures/loki` prove most of the same without one.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use assay::installation::Installation;
use assay::loki::{Client, Direction, LogQuery, LokiError, Settings};
use assay::stream::TimeRange;
use chrono::Utc;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::host::{Host, frames};
use super::live::{ask_until, has_verdict, question};
use super::store::{empty_store, text, value};

/// More than Loki gives at once, three times over.
const ENTRIES: usize = 15_000;
/// What the data source reads of them.
const READ: usize = 12_000;
const QUERY: &str = "{batch=\"all\"}";
const TENANT: &str = "team-a";

/// A running Loki of several tenants.
struct Real {
    _process: Child,
    _folder: tempfile::TempDir,
    address: String,
}

impl Real {
    async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("ASSAY_LOKI") else {
            if let Some(skipped) = std::env::var_os("ASSAY_SKIPPED") {
                let mut file = std::fs::OpenOptions::new().append(true).create(true).open(skipped).unwrap();
                writeln!(file, "a real Loki behind the plugin: ASSAY_LOKI names none").unwrap();
            }
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let [http, grpc] = [port().await, port().await];
        let config = folder.path().join("loki.yaml");
        std::fs::write(&config, configuration(&folder.path().display().to_string(), http, grpc)).unwrap();
        let process = Command::new(program)
            .arg(format!("-config.file={}", config.display()))
            // It leaves a folder of each tenant where it was started.
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .expect("ASSAY_LOKI names a program");
        Some(Self { _process: process, _folder: folder, address: format!("127.0.0.1:{http}") })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The status of a request with a JSON body; 0 while nobody listens.
    async fn post(&self, path: &str, body: &str) -> u16 {
        let Ok(mut connection) = TcpStream::connect(&self.address).await else { return 0 };
        let (address, length) = (&self.address, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nX-Scope-OrgID: {TENANT}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let mut answer = String::new();
        let sent = connection.write_all(request.as_bytes()).await.is_ok();
        if !sent || connection.read_to_string(&mut answer).await.is_err() {
            return 0;
        }
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Writes entries, once Loki takes them.
    async fn push(&self, streams: &[Value]) {
        let body = json!({"streams": streams}).to_string();
        let taken = async {
            while self.post("/loki/api/v1/push", &body).await != 204 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), taken).await.expect("Loki takes what is written to it");
    }
}

async fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn configuration(folder: &str, http: u16, grpc: u16) -> String {
    let server = json!({
        "http_listen_address": "127.0.0.1", "http_listen_port": http, "grpc_listen_address": "127.0.0.1",
        "grpc_listen_port": grpc, "log_level": "warn",
    });
    let storage = json!({"chunks_directory": format!("{folder}/chunks"), "rules_directory": format!("{folder}/rules")});
    let period = json!({
        "from": "2024-01-01", "store": "tsdb", "object_store": "filesystem", "schema": "v13",
        "index": {"prefix": "index_", "period": "24h"},
    });
    json!({
        "auth_enabled": true, "server": server, "memberlist": {"bind_addr": ["127.0.0.1"]},
        "common": {
            "instance_addr": "127.0.0.1", "path_prefix": folder, "replication_factor": 1,
            "storage": {"filesystem": storage}, "ring": {"kvstore": {"store": "inmemory"}},
        },
        "schema_config": {"configs": [period]},
        "pattern_ingester": {"enabled": true},
        "limits_config": {
            "allow_structured_metadata": true, "discover_log_levels": true, "max_entries_limit_per_query": 5000,
            "ingestion_rate_mb": 64, "ingestion_burst_size_mb": 64,
        },
        "analytics": {"reporting_enabled": false},
    })
    .to_string()
}

/// Real lines of many programs, two of them at any instant, up to ten seconds before `now`, each with a trace id.
fn entries(now: i64) -> Vec<Value> {
    let installation = Installation::load(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let shelf = installation.shelf("golden-v1").unwrap();
    let windows = shelf.cases().map(|case| case.unwrap().window);
    let lines = windows.flat_map(|window| {
        let labels: Vec<Value> = window.streams.iter().map(|labels| json!(labels)).collect();
        window.entries.into_iter().map(move |entry| (labels[entry.stream as usize].clone(), entry.line))
    });
    let first = now - 10_000_000_000 - (ENTRIES as i64 / 2) * 200_000_000;
    let entry = |(n, (mut labels, line)): (usize, (Value, String))| {
        labels["batch"] = json!("all");
        let at = first + (n as i64 / 2) * 200_000_000;
        json!({"stream": labels, "values": [[at.to_string(), line, {"trace_id": format!("{n:032x}")}]]})
    };
    lines.filter(|(_, line)| !line.is_empty()).take(ENTRIES).enumerate().map(entry).collect()
}

/// A data source over that Loki.
async fn host(loki: &Real, more: Value) -> (tempfile::TempDir, Host) {
    let (store, mut settings) = empty_store();
    settings["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    settings["maxLines"] = json!(READ);
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut host = Host::start_quietly(settings).await;
    host.url = loki.url();
    host.range = None;
    (store, host)
}

fn asked(expr: &str) -> Value {
    let mut query = question();
    query["expr"] = json!(expr);
    query
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_question_is_answered_by_a_real_loki() {
    let Some(loki) = Real::start().await else { return };
    let now = Utc::now().timestamp_nanos_opt().unwrap();
    for part in entries(now).chunks(1_000) {
        loki.push(part).await;
    }
    the_client(&loki, now).await;
    the_plugin(&loki).await;
    the_tenants(&loki).await;
}

/// What no query of the plugin shows by itself.
async fn the_client(loki: &Real, now: i64) {
    let client = Client::new(&Settings { org_id: Some(TENANT.to_owned()), ..Settings::new(loki.url()) }).unwrap();
    let range = TimeRange { start: now - 3_600_000_000_000, end: now };
    for direction in [Direction::Backward, Direction::Forward] {
        let query = LogQuery { query: QUERY, range, limit: 2 * ENTRIES, direction, metadata: true };
        let logs = client.logs(&query).await.unwrap();
        assert_eq!((logs.window.entries.len(), logs.complete), (ENTRIES, true), "{direction:?}");
        let traces: std::collections::BTreeSet<_> = logs.metadata.iter().map(|m| m.get("trace_id").unwrap()).collect();
        assert_eq!(traces.len(), ENTRIES, "each entry once, with its own metadata");
        assert!(logs.window.streams.iter().all(|labels| labels.get("trace_id").is_none()), "{direction:?}");
        assert!(logs.window.entries.is_sorted_by_key(|entry| entry.ts));
    }
    let parsed = LogQuery {
        query: "{batch=\"all\"} | logfmt | level=\"error\"",
        range,
        limit: 50,
        direction: Direction::Backward,
        metadata: true,
    };
    let parsed = client.logs(&parsed).await.unwrap();
    assert!(!parsed.window.entries.is_empty());
    assert!(parsed.window.streams.iter().all(|labels| labels.get("level").is_none()), "parsed labels are no stream's");
    let counted = client.instant_query("sum(count_over_time({batch=\"all\"}[1h]))", now).await.unwrap();
    assert_eq!(counted[0].samples[0].1, ENTRIES as f64);
    let rate = "sum by (detected_level) (rate({batch=\"all\"}[5m]))";
    assert!(client.matrix(rate, range, Duration::from_secs(60)).await.unwrap().len() > 1);
    assert!(client.series(&[QUERY], range).await.unwrap().len() > 3);
    assert!(client.patterns(QUERY, range, Duration::from_secs(60)).await.unwrap().is_some(), "patterns are on");
    assert!(client.version().await.is_ok());
    let mut tail = client.tail("{batch=\"tail\"}", now).unwrap();
    let written = [json!({"stream": {"batch": "tail"}, "values": [[now.to_string(), "a tailed line", {"k": "v"}]]})];
    let (tailed, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(60), tail.next()), loki.push(&written));
    let tailed = tailed.expect("it comes").unwrap();
    assert_eq!(tailed.window.entries[0].line, "a tailed line");
    for (query, words) in [
        ("{batch=\"all\"} |= ", "cannot read the query"),
        ("{batch=~\".*\"}", "cannot read the query"),
        ("sum(rate({batch=\"all\"}[5m]))", "ask for a log query"),
    ] {
        let error = client.window(query, range, 10).await.unwrap_err();
        assert!(error.to_string().contains(words), "{query}: {error}");
    }
}

async fn the_plugin(loki: &Real) {
    let (_store, host) = host(loki, json!({"orgId": TENANT, "guard": {"mode": "warn", "maxBytes": 1}})).await;
    let health = host.health().await;
    assert!(health.message.contains("is ready"), "{}", health.message);
    let (status, labels) = host.resource("GET", "labels", "").await;
    assert!(status == 200 && labels.to_string().contains("\"batch\""), "{labels}");
    let values = host.resource("GET", "labels/batch/values?selector=%7Bbatch%3D%22all%22%7D", "").await.1;
    assert_eq!(values, json!(["all"]));
    assert_eq!(host.resource("GET", "labels/nobody/values", "").await, (200, json!([])));
    let answer = ask_until(&host, &asked(QUERY), has_verdict).await;
    let shown = frames(&answer);
    assert_eq!(value(&shown[0].1, "lines", 0), Some(READ as f64));
    let meta = shown[0].0.metadata()["meta"].clone();
    assert!(meta.contains(&format!("more than {READ} entries")), "{meta}");
    assert!(!text(&shown[1].1, "body").is_empty(), "its evidence is read again");
    ask_until(&host, &asked("{batch=\"all\"} |~ \"(?i)error\" | logfmt"), has_verdict).await;
    for (expr, status, words) in [
        ("{batch=\"all\"} |= ", 400, "cannot read the query"),
        ("{batch=~\".*\"}", 400, "cannot read the query"),
        ("sum(rate({batch=\"all\"}[5m]))", 502, "ask for a log query"),
    ] {
        let answer = ask_until(&host, &asked(expr), |answer| answer.status >= 400).await;
        assert_eq!((answer.status, answer.error_source.as_str()), (status, "downstream"), "{expr}: {}", answer.error);
        assert!(answer.error.contains(words), "{expr}: {}", answer.error);
    }
    // The index tells of what was flushed; that takes a while to get there.
    assert!(matches!(loki.post("/flush", "").await, 200 | 204));
    let told = async {
        loop {
            let (status, ruling) = host.resource("GET", "guard?expr=%7Bbatch%3D%22all%22%7D", "").await;
            assert_eq!(status, 200, "{ruling}");
            if ruling["ruling"] == "warn" && ruling["cost"]["entries"].as_u64() >= Some(ENTRIES as u64) {
                return ruling;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let ruling = tokio::time::timeout(Duration::from_secs(120), told).await.expect("the index knows what was flushed");
    assert!(ruling["message"].as_str().unwrap().contains("more than the limit of 1 bytes"), "{ruling}");
}

/// Who names no tenant, or another.
async fn the_tenants(loki: &Real) {
    let (_store, nobody) = host(loki, json!({})).await;
    let answer = ask_until(&nobody, &asked(QUERY), |answer| answer.status >= 400).await;
    assert!(answer.error.contains("tenant") && answer.error_source == "downstream", "{}", answer.error);
    assert!(nobody.resource("GET", "labels", "").await.1.to_string().contains("tenant"));
    let (_store, other) = host(loki, json!({"orgId": "team-b"})).await;
    let told = |answer: &super::host::DataResponse| {
        answer.status == 200 && frames(answer)[0].0.metadata()["meta"].contains("gives no log lines")
    };
    ask_until(&other, &asked(QUERY), told).await;
    let client = Client::new(&Settings { org_id: Some("a/../b".to_owned()), ..Settings::new(loki.url()) }).unwrap();
    let now = Utc::now().timestamp_nanos_opt().unwrap();
    let error = client.labels(TimeRange { start: now - 1, end: now }, None).await.unwrap_err();
    assert!(!matches!(error, LokiError::Unreachable { .. }), "{error}");
}
