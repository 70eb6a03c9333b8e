//! A store in a bucket: written by the library, read by the plugin, and resumed from the journal on this machine.
//!
//! The other side is moto's S3 server (`ASSAY_S3_SERVER`, or whatever `scripts/s3-server` finds or brings). A machine
//! that has none and can bring none proves less, and says so.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use assay::llama::Secret;
use assay::store::{Access, Store};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::host::{Host, frames};
use super::push::parcel;
use super::store::{plan, run, text, value};

/// How long the server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    _process: Child,
    endpoint: String,
}

impl Server {
    /// Starts a server with an empty bucket `assay`; `None` where there is none to be had.
    async fn start() -> Option<Self> {
        let program = program()?;
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program was just found");
        let address = format!("127.0.0.1:{port}");
        let made = async {
            while !make_bucket(&address).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, made).await.expect("the S3 server did not start");
        Some(Self { _process: process, endpoint: format!("http://{address}") })
    }

    fn access(&self) -> Access {
        Access {
            endpoint: Some(self.endpoint.clone()),
            access_key: Some(Secret::new("key")),
            secret_key: Some(Secret::new("canary-of-a-secret-key")),
            ..Access::default()
        }
    }
}

async fn make_bucket(address: &str) -> bool {
    let Ok(mut connection) = TcpStream::connect(address).await else { return false };
    let request = format!("PUT /assay HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    connection.write_all(request.as_bytes()).await.is_ok()
        && connection.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ASSAY_S3_SERVER") {
        return Some(PathBuf::from(path));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/s3-server");
    let output = std::process::Command::new(script).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if output.status.success() && !path.is_empty() {
        return Some(PathBuf::from(path));
    }
    assert!(std::env::var_os("CI").is_none(), "CI skips nothing that it can do: scripts/s3-server brought no server");
    eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
    None
}

#[tokio::test]
async fn a_bucket_serves_as_a_store() {
    let Some(server) = Server::start().await else { return };
    let store = Store::attach("s3://assay/team/runs-of-today", &server.access()).unwrap();
    for (id, arm, right) in [("r1-weak", "weak", 10), ("r2-strong", "strong", 30)] {
        let plan = plan(id, arm);
        store.put_plan(&plan).await.unwrap();
        store.commit(&mut run(plan, right)).await.unwrap();
    }
    store.put_plan(&plan("r3-cut", "strong")).await.unwrap();
    assert_eq!(store.find("weak").await.unwrap(), "r1-weak");
    assert!(!store.folder("r1-weak").starts_with("s3:"), "a journal is on this machine");

    let settings =
        json!({"storeUrl": "s3://assay/team/runs-of-today", "storeEndpoint": server.endpoint, "storePathStyle": true});
    let mut host = Host::start(settings).await;
    let keys = [("storeAccessKey", "key"), ("storeSecretKey", "canary-of-a-secret-key")];
    host.secrets = keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let health = host.health().await;
    assert!(
        health.status == 1 && health.message.contains("s3://assay/team/runs-of-today: 3 runs"),
        "{}",
        health.message
    );
    let (_, batches) = frames(&host.ask_one(json!({"queryType": "runs"})).await).remove(0);
    assert_eq!(text(&batches, "run"), ["r3-cut", "r2-strong", "r1-weak"]);
    let (_, batches) = frames(&host.ask_one(json!({"queryType": "compare", "a": "weak", "b": "r2"})).await).remove(0);
    assert_eq!(value(&batches, "delta", 0), Some(0.5));
    assert_eq!(frames(&host.ask_one(json!({"queryType": "metrics"})).await).len(), 2);
    let pushed = parcel("r5").await;
    assert_eq!(host.resource("POST", "runs", pushed.clone()).await.0, 201);
    assert_eq!(host.resource("POST", "runs", pushed).await.0, 409);
    let (_, log, _) = host.stop().await;
    assert!(!log.contains("canary-of-a-secret-key"));
}

#[tokio::test]
async fn a_bucket_that_cannot_be_reached_is_the_stores_error() {
    // Nothing listens on the port of a listener that is gone.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let settings = json!({"storeUrl": "s3://assay", "storeEndpoint": format!("http://127.0.0.1:{port}")});
    let host = Host::start(settings).await;
    let unset = host.ask_one(json!({"queryType": "runs"})).await;
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        assert!(unset.error.contains("`storeAccessKey`"), "{}", unset.error);
    }
    drop(host.stop().await);
    let settings = json!({"storeUrl": "s3://assay", "storeEndpoint": format!("http://127.0.0.1:{port}")});
    let mut host = Host::start(settings).await;
    host.secrets =
        HashMap::from([("storeAccessKey", "k"), ("storeSecretKey", "s")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    let answer = host.ask_one(json!({"queryType": "runs"})).await;
    assert_eq!((answer.status, answer.error_source.as_str()), (502, "downstream"), "{}", answer.error);
    assert!(answer.error.contains("s3://assay"), "{}", answer.error);
}
