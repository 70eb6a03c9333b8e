//! Resource calls, the health check in sections, and the trace that a request belongs to.

use serde_json::json;

use super::host::Host;
use super::loki::replayed;
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
    assert_eq!(health.status, 1, "only the harness needs the file");
    assert!(health.message.contains("put it into models/"), "{}", health.message);
    std::fs::write(root.path().join("models/m.gguf"), "model").unwrap();
    let health = host.health().await;
    assert_eq!(health.status, 1, "{}", health.message);
    assert!(health.message.contains("3 runs, 1 of them unfinished"), "{}", health.message);
    assert!(health.message.contains("Models: 1 known, 1 files as declared"), "{}", health.message);
    let details: serde_json::Value = serde_json::from_slice(&health.json_details).unwrap();
    let sections: Vec<_> =
        details["sections"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(sections, ["store", "loki", "prompts", "models", "telemetry"]);
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

/// A data source with a Loki, a guard and a standing question.
async fn with_loki(store: &mut serde_json::Value) -> (crate::canned::Canned, Host) {
    store["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    store["guard"] = json!({"mode": "enforce", "maxBytes": 1});
    store["standingQuestions"] =
        json!([{"name": "shop", "expr": "{namespace=\"shop\"}", "every": "5m", "window": "90m"}]);
    let loki = replayed().await;
    let mut host = Host::start(store.clone()).await;
    host.url = loki.url().to_owned();
    (loki, host)
}

#[tokio::test]
async fn an_editor_learns_labels_models_questions_and_costs() {
    let (_store, mut settings) = empty_store();
    let (loki, mut host) = with_loki(&mut settings).await;
    host.role = Some("Viewer");
    let (status, labels) = host.resource("GET", "labels", "").await;
    assert_eq!((status, labels[0].as_str()), (200, Some("app")));
    let (_, values) =
        host.resource("GET", "labels/app/values?from=1000&to=2000&selector=%7Bcluster%3D%22a%22%7D", "").await;
    assert!(values.as_array().unwrap().len() > 2, "{values}");
    let asked = loki.requests().pop().unwrap().target;
    assert!(asked.contains("start=1000000000&end=2000000000") && asked.contains("cluster"), "{asked}");
    let (status, series) = host.resource("GET", "series?selector=%7Bnamespace%3D%22data%22%7D", "").await;
    assert_eq!((status, series[0]["container"].as_str()), (200, Some("postgres")));
    assert!(loki.requests().pop().unwrap().target.contains("match%5B%5D=%7Bnamespace"));
    let (status, patterns) = host.resource("GET", "patterns?selector=%7Bapp%3D%22nginx%22%7D", "").await;
    let lines: Vec<u64> = patterns.as_array().unwrap().iter().map(|row| row["lines"].as_u64().unwrap()).collect();
    assert!(status == 200 && lines.len() > 1 && lines.is_sorted_by(|a, b| a >= b) && lines[0] > 50, "{patterns}");
    assert!(patterns[0]["pattern"].as_str().unwrap().contains("<_>"), "{patterns}");
    let (_, questions) = host.resource("GET", "questions", "").await;
    assert_eq!(
        questions[0],
        json!({"name": "shop", "expr": "{namespace=\"shop\"}", "every": "5m", "window": "90m",
        "prompt": null, "model": null})
    );
    let (_, names) = host.resource("GET", "variables/questions", "").await;
    assert_eq!(names, json!([{"value": "shop", "text": "shop"}]));
    let (_, models) = host.resource("GET", "models", "").await;
    assert_eq!(
        (models[0]["name"].as_str(), &models[0]["default"], &models[0]["loaded"]),
        (Some("rules"), &json!(true), &json!(true))
    );
    let (status, ruling) = host.resource("GET", "guard?expr=%7Bapp%3D%22postgres%22%7D", "").await;
    assert_eq!((status, ruling["ruling"].as_str(), ruling["mode"].as_str()), (200, Some("refuse"), Some("enforce")));
    assert!(ruling["message"].as_str().unwrap().contains("more than the limit of 1 bytes"), "{ruling}");
    assert!(ruling["cost"]["entries"].as_u64().unwrap() > 0, "{ruling}");
}

#[tokio::test]
async fn what_cannot_be_asked_of_loki_says_why() {
    let (_store, mut settings) = empty_store();
    let host = Host::start(settings.clone()).await;
    let (status, error) = host.resource("GET", "labels", "").await;
    assert_eq!(status, 404);
    assert!(error["message"].as_str().unwrap().contains("Loki is not set up"), "{error}");
    let (_loki, mut host) = with_loki(&mut settings).await;
    for (path, status, expected) in [
        ("guard", 400, "`expr` is missing"),
        ("guard?expr=up", 400, "no stream selector"),
        ("guard?expr=rate(%7Ba%3D%22b%22%7D%5B90d%5D)", 400, "is a metric query"),
        ("guard?expr=%7Ba%3D%22b%22%7D&from=2&to=1", 400, "`from` before `to`"),
        ("labels/app", 404, "labels/<name>/values"),
        ("series", 400, "`selector` is missing"),
        ("patterns?from=1&to=2", 400, "`selector` is missing"),
    ] {
        let (code, error) = host.resource("GET", path, "").await;
        assert_eq!(code, status, "{path}: {error}");
        assert!(error["message"].as_str().unwrap().contains(expected), "{path}: {error}");
    }
    host.url = "http://127.0.0.1:9".to_owned();
    // Settings are read again only when they were saved.
    assert_eq!(host.resource("GET", "labels", "").await.0, 200);
}

#[tokio::test]
async fn a_forwarded_identity_reaches_loki_and_nothing_else_does() {
    let (_store, mut settings) = empty_store();
    settings["oauthPassThru"] = json!(true);
    let (loki, mut host) = with_loki(&mut settings).await;
    for (name, value) in [("http_Authorization", "Bearer of-the-user"), ("X-Other", "private")] {
        host.headers.insert(name.to_owned(), value.to_owned());
    }
    assert_eq!(host.resource("GET", "labels", "").await.0, 200);
    let raw = loki.requests().pop().unwrap().raw;
    assert!(raw.contains("Bearer of-the-user") && !raw.contains("private"), "{raw}");
}
