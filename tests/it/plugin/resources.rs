//! Resource calls, the health check in sections, and the trace that a request belongs to.

use serde_json::json;

use super::host::Host;
use super::store::{empty_store, store_of_two_runs};

fn with_root(mut settings: serde_json::Value) -> serde_json::Value {
    settings["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    settings
}

#[tokio::test]
async fn variables_list_what_runs_exist_with() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    for (name, expected) in [
        ("arms", vec!["strong", "weak"]),
        ("runs", vec!["r2-strong", "r1-weak"]),
        ("models", vec!["rules"]),
        ("prompts", vec!["triage@1"]),
        ("datasets", vec!["golden-v1"]),
        ("families", vec!["monitoring"]),
        ("splits", vec!["standard"]),
        ("experiments", vec!["demo"]),
        ("quantizations", vec!["-"]),
    ] {
        let (status, body) = host.resource("GET", &format!("variables/{name}"), "").await;
        let values: Vec<_> = body.as_array().unwrap().iter().map(|value| value["value"].as_str().unwrap()).collect();
        assert_eq!((status, values), (200, expected), "{name}");
    }
    let (_, metrics) = host.resource("GET", "/variables/metrics", "").await;
    assert_eq!(metrics[0], json!({"value": "root_cause", "text": "root cause"}));
    let (status, body) = host.resource("GET", "variables/metrix", "").await;
    assert_eq!((status, body["message"].as_str().unwrap().contains("did you mean `metrics`?")), (404, true));
    assert_eq!(host.resource("POST", "variables/runs", "").await.0, 405);
    assert_eq!(host.resource("GET", "no/such", "").await.0, 404);
}

#[tokio::test]
async fn the_text_of_a_prompt_is_for_those_who_may_change_dashboards() {
    let (_store, settings) = empty_store();
    let mut host = Host::start(with_root(settings)).await;
    for (role, sees) in
        [(None, false), (Some("Viewer"), false), (Some("None"), false), (Some("Editor"), true), (Some("Admin"), true)]
    {
        host.role = role;
        let (status, prompt) = host.resource("GET", "prompts/triage@2", "").await;
        assert_eq!((status, prompt["prompt"].as_str()), (200, Some("triage@2")), "{role:?}");
        assert_eq!((prompt.get("system").is_some(), prompt.get("user").is_some()), (sees, sees), "{role:?}");
        let (_, all) = host.resource("GET", "prompts", "").await;
        assert!(all.as_array().unwrap().iter().all(|prompt| prompt.get("system").is_none()));
    }
    assert_eq!(host.resource("GET", "prompts/triage@99", "").await.0, 404);
    assert_eq!(host.resource("GET", "prompts/../../etc/passwd", "").await.0, 400);
}

#[tokio::test]
async fn a_route_is_explained_and_nothing_of_it_is_logged() {
    let (_store, settings) = empty_store();
    let host = Host::start(with_root(settings)).await;
    let question =
        json!({"labels": {"namespace": "kube-system", "container": "etcd"}, "text": "line-with-a-canary failed"});
    let (status, answer) = host.resource("POST", "route/explain", question.to_string()).await;
    assert_eq!((status, answer["route"].as_str()), (200, Some("kube-system")), "{answer}");
    assert!(answer["steps"].as_array().unwrap().last().unwrap()["matched"].as_bool().unwrap());
    assert_eq!(host.resource("POST", "route/explain", "{\"lables\": {}}").await.0, 400);
    assert_eq!(host.resource("POST", "route/explain", vec![0xff]).await.0, 400);
    assert_eq!(host.resource("POST", "route/explain", vec![b' '; 2 << 20]).await.0, 413);
    let (_, log, _) = host.stop().await;
    assert!(!log.contains("line-with-a-canary"));
}

#[tokio::test]
async fn health_says_of_each_section_how_it_is_and_what_to_do() {
    let (store, mut settings) = store_of_two_runs().await;
    let root = tempfile::tempdir().unwrap();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&from.join("prompts"), &root.path().join("prompts"));
    std::fs::create_dir(root.path().join("models")).unwrap();
    let declared = |sha256: &str| {
        let model = "[[model]]\nname='m'\ndescription='d'\nkind='managed'\nfile='m.gguf'\ncontext=1024\n";
        std::fs::write(root.path().join("models/models.toml"), format!("{model}sha256='{sha256}'\n")).unwrap();
    };
    declared(&assay::hash::sha256("model"));
    settings["rootPath"] = json!(root.path());
    let host = Host::start(settings).await;
    let health = host.health().await;
    assert_eq!(health.status, 2);
    assert!(health.message.contains("put it into models/"), "{}", health.message);
    std::fs::write(root.path().join("models/m.gguf"), "model").unwrap();
    let health = host.health().await;
    assert_eq!(health.status, 1, "{}", health.message);
    assert!(health.message.contains("3 runs, 1 of them unfinished"), "{}", health.message);
    assert!(health.message.contains("Models: 1 known, 1 files as declared"), "{}", health.message);
    let details: serde_json::Value = serde_json::from_slice(&health.json_details).unwrap();
    let sections: Vec<_> =
        details["sections"].as_array().unwrap().iter().map(|s| s["section"].as_str().unwrap()).collect();
    assert_eq!(sections, ["store", "prompts", "models"]);
    declared(&"0".repeat(64));
    assert!(host.health().await.message.contains("another than models.toml declares"));
    std::fs::remove_dir_all(store.path()).unwrap();
    let away = host.health().await;
    assert!(away.status == 2 && away.message.contains("there is no store at"), "{}", away.message);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => assert!(std::fs::copy(&path, &target).is_ok()),
        }
    }
}

#[tokio::test]
async fn the_trace_of_a_request_stands_in_the_log() {
    let (_store, settings) = empty_store();
    let mut host = Host::start(settings).await;
    host.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_eq!(host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    let (_, log, _) = host.stop().await;
    let line = log.lines().find(|line| line.contains("query answered")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("0af7651916cd43dd8448eb211c80319c"), "{line}");
}
