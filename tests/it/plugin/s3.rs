//! A store in a bucket: written by the library, read by the plugin.

use std::collections::HashMap;

use assay::store::{Ledger, Store};
use serde_json::json;
use tokio::net::TcpListener;

use super::host::{Host, frames};
use super::live::{ask_until, has_verdict, question};
use super::loki::replayed;
use super::push::parcel;
use super::store::{plan, run, text, value};
use crate::s3::Server;

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

#[tokio::test]
async fn the_ledgers_last_lines_are_in_the_bucket_when_the_plugin_has_ended() {
    let Some(server) = Server::start().await else { return };
    let loki = replayed().await;
    let settings = json!({
        "storeUrl": "s3://assay/team", "storeEndpoint": server.endpoint, "storePathStyle": true,
        "rootPath": env!("CARGO_MANIFEST_DIR"),
    });
    let mut host = Host::start(settings).await;
    let keys = [("storeAccessKey", "key"), ("storeSecretKey", "canary-of-a-secret-key")];
    host.secrets = keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    host.url = loki.url().to_owned();
    ask_until(&host, &question(), has_verdict).await;
    host.range = None;
    let listed = ask_until(&host, &json!({"queryType": "verdicts"}), |answer| {
        !frames(answer)[0].1.is_empty() && !text(&frames(answer)[0].1, "key").is_empty()
    })
    .await;
    let key = text(&frames(&listed)[0].1, "key").remove(0);
    host.stop().await;
    let store = Store::attach("s3://assay/team", &server.access()).unwrap();
    let lines = Ledger::new(&store, 1, "assay").find(&key).await.unwrap();
    assert_eq!(lines.records.len(), 1, "what was gathered is written before the end");
}
