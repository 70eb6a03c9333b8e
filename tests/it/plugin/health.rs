//! The health check: each part of the surroundings by itself, in words.

use serde_json::{Value, json};

use super::host::{CANARY, Host};
use super::loki::replayed;
use super::store::empty_store;
use crate::canned::{Canned, http, json as json_response};

/// The section of a name.
async fn section(host: &Host, name: &str) -> Value {
    let health = host.health().await;
    let details: Value = serde_json::from_slice(&health.json_details).unwrap();
    let sections = details["sections"].as_array().unwrap();
    sections.iter().find(|section| section["name"] == name).unwrap_or_else(|| panic!("{details}")).clone()
}

fn says(section: &Value, status: &str, words: &[&str]) {
    assert_eq!(section["status"], status, "{section}");
    for word in words {
        assert!(section.to_string().contains(word), "{word} is not in {section}");
    }
}

/// A llama-server as far as it introduces itself.
async fn model_server() -> Canned {
    Canned::speaking(|request| {
        let name = match request.target.as_str() {
            "/props" => "props.json",
            "/v1/models" => "v1_models.json",
            _ => return http(404, "application/json", b"{}"),
        };
        http(200, "application/json", crate::llama::captured_body(&format!("debian-0.7.0/{name}")).as_bytes())
    })
    .await
}

#[tokio::test]
async fn what_is_not_set_up_is_off_and_no_error() {
    let (_store, settings) = empty_store();
    let host = Host::start(settings).await;
    assert_eq!(host.health().await.status, 1, "{}", host.health().await.message);
    says(&section(&host, "store").await, "ok", &["no run yet"]);
    says(&section(&host, "loki").await, "off", &["give Loki's URL"]);
    says(&section(&host, "prompts").await, "off", &["set `rootPath`"]);
    says(&section(&host, "telemetry").await, "off", &["not exported"]);
}

#[tokio::test]
async fn loki_is_asked_for_its_labels() {
    let loki = replayed().await;
    let (_store, settings) = empty_store();
    let mut host = Host::start(settings).await;
    host.url = loki.url().to_owned();
    says(&section(&host, "loki").await, "ok", &["is ready", "6 labels in the last hour"]);
    assert_eq!(loki.requests().len(), 2, "the version and the labels");
}

#[tokio::test]
async fn a_loki_that_fails_says_how() {
    let empty = json_response(200, &json!({"status": "success"}));
    for (response, status, words) in [
        (
            http(503, "text/plain", b"Ingester not ready: waiting for 15s after being ready"),
            "error",
            "Ingester not ready",
        ),
        (http(401, "text/plain", b"no org id\n"), "error", "wants a tenant"),
        (http(200, "text/html", b"<html>login</html>"), "error", "sends a web page"),
        (empty, "warning", "check the tenant"),
    ] {
        let loki = Canned::answering(response).await;
        let (_store, settings) = empty_store();
        let mut host = Host::start(settings).await;
        host.url = loki.url().to_owned();
        says(&section(&host, "loki").await, status, &[words]);
        assert_eq!(host.health().await.status, if status == "error" { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_model_server_is_held_against_models_toml() {
    let server = model_server().await;
    let (_store, mut settings) = empty_store();
    settings["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    settings["modelServers"] = json!([
        {"name": "assay-demo-q4_0", "url": server.url()}, {"name": "unheard-of", "url": server.url()},
        {"name": "assay-demo-q8_0", "url": "http://127.0.0.1:9"},
    ]);
    let mut host = Host::start(settings).await;
    host.secrets.insert("modelApiKey.assay-demo-q4_0".to_owned(), CANARY.to_owned());
    let another = section(&host, "model assay-demo-q4_0").await;
    says(&another, "warning", &["is loaded", "slot", "tokens", "models.toml declares Q4_0"]);
    says(&section(&host, "model unheard-of").await, "error", &["models.toml knows no model unheard-of"]);
    says(&section(&host, "model assay-demo-q8_0").await, "error", &["127.0.0.1:9", "start llama-server there"]);
    assert!(server.requests().iter().any(|request| request.raw.contains(CANARY)), "the key was not sent");
    let (_, log, _) = host.stop().await;
    assert!(!log.contains(CANARY), "{log}");
}

#[tokio::test]
async fn a_wrong_setting_is_told_and_leaves_the_others_in_use() {
    let (_store, mut settings) = empty_store();
    settings["budget"] = json!("many");
    settings["storeURL"] = json!("x");
    settings["otlpProtocol"] = json!("smoke signals");
    settings["otlpEndpoint"] = json!("http://alloy:4317");
    let host = Host::start(settings).await;
    says(&section(&host, "live analysis").await, "error", &["setting `budget` is", "whole number from 100"]);
    says(&section(&host, "telemetry").await, "error", &["`otlpProtocol` is `smoke signals`"]);
    says(&section(&host, "settings").await, "warning", &["did you mean `storeUrl`?"]);
    says(&section(&host, "store").await, "ok", &[]);
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
}
