//! Query types over the store, as Grafana decodes them.

use std::collections::HashMap;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use assay::store::Store;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::host::{Host, frames};
use super::store::{empty_store, plan, run, store_of_two_runs, text, value};

fn meta(schema: &SchemaRef) -> Value {
    serde_json::from_str(&schema.metadata()["meta"]).unwrap()
}

fn labels(schema: &SchemaRef, field: &str) -> HashMap<String, String> {
    let field = schema.field_with_name(field).unwrap();
    field.metadata().get("labels").map(|labels| serde_json::from_str(labels).unwrap()).unwrap_or_default()
}

fn config(schema: &SchemaRef, field: &str) -> Value {
    serde_json::from_str(&schema.field_with_name(field).unwrap().metadata()["config"]).unwrap()
}

#[tokio::test]
async fn metrics_gives_a_series_per_arm_with_its_interval() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    let answers = frames(&host.ask_one(json!({"queryType": "metrics", "metric": "root_cause"})).await);
    assert_eq!(answers.len(), 2);
    let (schema, batches) = &answers[0];
    assert_eq!(meta(schema)["type"], "timeseries-multi");
    assert_eq!(meta(schema)["typeVersion"], json!([0, 1]));
    let of = labels(schema, "root_cause");
    assert_eq!((of["arm"].as_str(), of["prompt"].as_str(), of["model"].as_str()), ("strong", "triage@1", "rules"));
    assert_eq!((of["dataset"].as_str(), of["quantization"].as_str()), ("golden-v1", "-"));
    assert_eq!(value(batches, "root_cause", 0), Some(0.75));
    assert!(value(batches, "ci_low", 0).unwrap() < 0.75 && value(batches, "ci_high", 0).unwrap() > 0.75);
    assert_eq!(text(batches, "run"), ["r2-strong"]);
    let shown = config(schema, "root_cause");
    assert_eq!((shown["unit"].as_str(), shown["displayNameFromDS"].as_str()), (Some("percentunit"), Some("strong")));
    assert_eq!(shown["links"][0]["internal"]["datasourceUid"], "assay");
    assert!(shown["thresholds"]["steps"].as_array().is_some_and(|steps| steps.len() == 3));
    assert_eq!(labels(&answers[1].0, "root_cause")["arm"], "weak");
}

#[tokio::test]
async fn an_alert_rule_gets_one_number_per_series_or_no_data() {
    let (_store, settings) = store_of_two_runs().await;
    let mut host = Host::start(settings).await;
    host.role = None;
    host.headers = HashMap::from([("FromAlert".to_owned(), "true".to_owned())]);
    let answers = frames(&host.ask_one(json!({"queryType": "metrics", "arm": ["weak", "strong"]})).await);
    assert_eq!(answers.len(), 2);
    for (schema, _) in &answers {
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["time", "root_cause"], "further numbers would be further alert instances");
        assert!(!labels(schema, "root_cause").is_empty());
    }
    let (schema, batches) =
        frames(&host.ask_one(json!({"queryType": "compare", "a": "weak", "b": "strong"})).await).remove(0);
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["metric", "delta"], "what changes from run to run is no label");
    assert_eq!(value(&batches, "delta", 0), Some(0.5));
    let nothing = host.ask_one(json!({"queryType": "metrics", "arm": "none of this name"})).await;
    assert_eq!((nothing.status, nothing.frames.len()), (200, 0), "no frame is how an alert rule hears of no data");
}

#[tokio::test]
async fn metrics_can_be_narrowed_and_says_what_it_leaves_out() {
    let (folder, settings) = empty_store();
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    for (day, arm, right) in [(0, "nightly", 10), (2, "nightly", 20), (5, "retired", 20)] {
        let mut plan = plan(&format!("r{day}"), arm);
        plan.started -= TimeDelta::days(day);
        store.commit(&mut run(plan, right)).await.unwrap();
    }
    let host = Host::start(settings).await;
    let today = frames(&host.ask_one(json!({"queryType": "metrics"})).await).remove(0);
    assert_eq!(text(&today.1, "run"), ["r0"]);
    assert!(meta(&today.0)["notices"][0]["text"].as_str().unwrap().contains("2 runs lie outside the time range"));
    for (arm, notice) in [("retired", "every run lies outside the time range"), ("unheard-of", "no finished run")] {
        let answer = host.ask_one(json!({"queryType": "metrics", "anyTime": true, "arm": arm})).await;
        let (schema, _) = frames(&answer).remove(0);
        assert!(meta(&schema)["notices"][0]["text"].as_str().unwrap().contains(notice), "{schema:?}");
    }
    let ever = frames(&host.ask_one(json!({"queryType": "metrics", "anyTime": true, "arm": "$__all"})).await).remove(0);
    assert_eq!(text(&ever.1, "run"), ["r2", "r0"], "a series ascends in time");
    let split = json!({"queryType": "metrics", "anyTime": true, "split": "standard", "metric": "severity"});
    let (schema, batches) = frames(&host.ask_one(split).await).remove(0);
    assert_eq!(labels(&schema, "severity")["split"], "standard");
    assert_eq!(value(&batches, "severity", 1), Some(1.0));
    for (query, expected) in [
        (json!({"metric": "root_couse"}), "did you mean `root_cause`?"),
        (json!({"modle": "x"}), "did you mean `model`?"),
        (json!({"arm": 7}), "field `arm`: 7 is neither"),
        (json!({"limit": 0}), "field `limit`: 0"),
    ] {
        let mut query = query;
        query["queryType"] = json!("metrics");
        let answer = host.ask_one(query.clone()).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.error.contains(expected), "{query}: {}", answer.error);
    }
}

#[tokio::test]
async fn a_new_run_shows_without_a_restart_and_a_damaged_one_is_a_notice() {
    let (folder, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    let ask = json!({"queryType": "metrics"});
    assert_eq!(frames(&host.ask_one(ask.clone()).await).len(), 2);
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    store.commit(&mut run(plan("r4", "new"), 5)).await.unwrap();
    std::fs::write(folder.path().join("runs/r1-weak/run.json"), "{").unwrap();
    // A listing is used again for ten times as long as it took, which on a busy machine is long.
    let mut asked = 0;
    let (answers, arms) = loop {
        let answers = frames(&host.ask_one(ask.clone()).await);
        let arms: Vec<_> = answers.iter().map(|(schema, _)| labels(schema, "root_cause")["arm"].clone()).collect();
        asked += 1;
        if asked == 600 || arms.contains(&"new".to_owned()) {
            break (answers, arms);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(arms, ["new", "strong"]);
    let notice = &meta(&answers[0].0)["notices"][0];
    assert_eq!(notice["severity"], "warning");
    assert!(notice["text"].as_str().unwrap().contains("r1-weak/run.json"), "{notice}");
}

#[tokio::test]
async fn cases_shows_regressions_first() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    let ask = json!({"queryType": "cases", "run": "weak", "against": "r2", "limit": 25});
    let (schema, batches) = frames(&host.ask_one(ask).await).remove(0);
    let changes = text(&batches, "change");
    assert_eq!(changes.len(), 25);
    assert!(changes[..20].iter().all(|change| change == "regression"), "{changes:?}");
    assert_eq!(changes[20], "same");
    assert_eq!(
        (text(&batches, "case")[0].as_str(), text(&batches, "root_cause")[0].as_str()),
        ("g1-010", "memory_exhausted")
    );
    assert_eq!(text(&batches, "root_cause_before")[0], "disk_full");
    assert_eq!((value(&batches, "score", 0), value(&batches, "score_before", 0)), (Some(0.0), Some(1.0)));
    let notices = meta(&schema)["notices"].to_string();
    assert!(notices.contains("20 regressions, 0 improvements") && notices.contains("15 further cases"), "{notices}");
    assert_eq!(config(&schema, "case")["links"][0]["internal"]["query"]["queryType"], "analyze");
    let ask = json!({"queryType": "cases", "run": "r2", "against": "r1", "only": "regressions"});
    assert_eq!(text(&frames(&host.ask_one(ask).await)[0].1, "case").len(), 0);
    let alone = json!({"queryType": "cases", "run": "r2", "only": "wrong"});
    assert_eq!(text(&frames(&host.ask_one(alone).await)[0].1, "case").len(), 10);
    let refused = host.ask_one(json!({"queryType": "cases", "run": "r2", "only": "changed"})).await;
    assert!(refused.error.contains("`against`"), "{}", refused.error);
}

#[tokio::test]
async fn tradeoff_marks_the_pareto_front() {
    let (folder, settings) = empty_store();
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    for (id, model, quantization, right, slower) in [
        ("r1", "m", "Q4_0", 10, 1.0),
        ("r2", "m", "Q8_0", 30, 2.0),
        ("r3", "m", "F16", 20, 3.0),
        ("r4", "m", "Q4_0", 12, 1.0),
    ] {
        let mut plan = plan(id, quantization);
        plan.arm.model = model.to_owned();
        plan.model.spec.quantization = quantization.to_owned();
        let mut run = run(plan, right);
        for quantile in &mut run.record.latency_ms {
            quantile.value *= slower;
        }
        store.commit(&mut run).await.unwrap();
    }
    let host = Host::start(settings).await;
    let (schema, batches) = frames(&host.ask_one(json!({"queryType": "tradeoff"})).await).remove(0);
    assert_eq!(meta(&schema)["type"], "numeric-long");
    assert_eq!(text(&batches, "quantization"), ["Q4_0", "F16", "Q8_0"]);
    assert_eq!(text(&batches, "run"), ["r4", "r3", "r2"], "the newest of each combination");
    let pareto = batches[0].column_by_name("pareto").unwrap();
    let pareto = arrow::array::AsArray::as_boolean(pareto);
    assert_eq!([0, 1, 2].map(|row| pareto.value(row)), [true, false, true]);
    assert_eq!(value(&batches, "root_cause", 2), Some(0.75));
    assert!(value(&batches, "p50_latency", 0) < value(&batches, "p95_latency", 0));
    assert_eq!(config(&schema, "p95_latency")["unit"], "ms");
    assert_eq!(value(&batches, "model_size", 0), None, "no file is at hand");
}

#[tokio::test]
async fn prompts_shows_releases_and_what_was_measured() {
    let (folder, mut settings) = empty_store();
    settings["rootPath"] = json!(env!("CARGO_MANIFEST_DIR"));
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/prompts/triage/1.md")).unwrap();
    let mut of_today = plan("r1", "a");
    of_today.pipeline.prompts = [("triage@1".to_owned(), assay::hash::sha256(file))].into();
    store.commit(&mut run(of_today, 30)).await.unwrap();
    let mut of_another_text = plan("r2", "a");
    of_another_text.pipeline.prompts =
        [("triage@1".to_owned(), "f".repeat(64)), ("gone@7".to_owned(), "e".repeat(64))].into();
    store.commit(&mut run(of_another_text, 10)).await.unwrap();
    let host = Host::start(settings).await;
    let ask = json!({"queryType": "prompts", "prompt": ["triage@1", "triage@2", "gone@7"]});
    let (schema, batches) = frames(&host.ask_one(ask).await).remove(0);
    assert_eq!(text(&batches, "prompt"), ["gone@7", "triage@1", "triage@2"]);
    assert_eq!(text(&batches, "status"), ["only in runs", "released", "released"]);
    assert_eq!([0, 1, 2].map(|row| value(&batches, "root_cause", row)), [None, Some(0.75), None]);
    assert_eq!(text(&batches, "run"), ["r1"]);
    assert!(meta(&schema)["notices"].to_string().contains("runs of triage@1 with another text"));
}

#[tokio::test]
async fn attribution_leads_from_a_hash_to_what_made_the_answer() {
    let (folder, settings) = empty_store();
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    let hash = assay::hash::sha256("a rendered prompt");
    let mut plan = plan("r1", "a");
    plan.environment.commit = Some("abc123".to_owned());
    plan.pipeline.prompts = [("triage@1".to_owned(), "f".repeat(64))].into();
    let mut run = run(plan, 30);
    run.results[3].answer.asked.rendered_hash = format!("hmac-sha256:{hash}");
    let trace = "00f067aa0ba902b74bf92f3577b34da6";
    run.results[3].answer.trace_id = Some(trace.to_owned());
    store.commit(&mut run).await.unwrap();
    let host = Host::start(settings).await;
    for query in [
        json!({"hash": trace}),
        json!({"hash": trace[..12]}),
        // As Tempo shows it.
        json!({"hash": trace.trim_start_matches('0')}),
        json!({"hash": format!("hmac-sha256:{hash}")}),
        json!({"hash": hash[..9]}),
        json!({"run": "r1", "case": "g1-003"}),
    ] {
        let mut query = query;
        query["queryType"] = json!("attribution");
        let (_, batches) = frames(&host.ask_one(query).await).remove(0);
        assert_eq!(text(&batches, "case"), ["g1-003"]);
        assert_eq!(
            (text(&batches, "prompt"), text(&batches, "commit")),
            (vec!["triage@1".to_owned()], vec!["abc123".to_owned()])
        );
        assert_eq!(text(&batches, "prompt_sha256"), ["f".repeat(64)]);
    }
    for (query, status) in [
        (json!({"hash": "abcdef"}), 400),
        (json!({"hash": trace[3..]}), 404),
        (json!({"hash": "not a hash at all"}), 400),
        (json!({}), 400),
        (json!({"hash": "0".repeat(64)}), 404),
        (json!({"run": "r1", "case": "g1-999"}), 404),
    ] {
        let mut query = query;
        query["queryType"] = json!("attribution");
        assert_eq!(host.ask_one(query.clone()).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn annotations_tell_what_changed() {
    let (folder, settings) = empty_store();
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    for (hour, gguf) in [(0, "a"), (1, "a"), (2, "b")] {
        let mut plan = plan(&format!("r{hour}"), "nightly");
        plan.started += TimeDelta::hours(hour);
        plan.model.gguf_sha256 = Some(gguf.to_owned());
        store.commit(&mut run(plan, 10)).await.unwrap();
    }
    std::fs::create_dir(folder.path().join("gates")).unwrap();
    let gate = json!({"format": 1, "id": "g", "at": "2026-11-24T14:00:00Z", "outcome": "inferior", "metric": "root_cause",
        "run": "r2", "baseline": "r0"});
    std::fs::write(folder.path().join("gates/g.json"), gate.to_string()).unwrap();
    std::fs::write(folder.path().join("gates/h.json"), "{").unwrap();
    let host = Host::start(settings).await;
    let (schema, batches) = frames(&host.ask_one(json!({"queryType": "annotations"})).await).remove(0);
    let titles = ["golden-v1 first measured with", "nightly: model changed", "gate closed: inferior"];
    assert_eq!(text(&batches, "title"), titles);
    assert!(text(&batches, "text")[1].contains("file a to b in run r2"));
    assert_eq!(text(&batches, "tags"), ["dataset", "model", "gate,failed"]);
    assert!(meta(&schema)["notices"].to_string().contains("gates/h.json"));
    let only = frames(&host.ask_one(json!({"queryType": "annotations", "kinds": ["model"]})).await).remove(0);
    assert_eq!(text(&only.1, "tags"), ["model"]);
}

#[tokio::test]
async fn the_second_comparison_is_the_first_one() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    let ask = json!({"queryType": "compare", "a": "r1", "b": "r2"});
    let first = host.ask_one(ask.clone()).await;
    assert_eq!(frames(&first)[0].1, frames(&host.ask_one(ask).await)[0].1);
    let metrics = host.metrics().await;
    assert!(
        metrics.contains("assay_store_rows_hits_total 2") && metrics.contains("assay_store_rows_misses_total 2"),
        "{metrics}"
    );
    assert!(metrics.contains(r#"assay_queries_total{type="compare",status="200"} 2"#), "{metrics}");
    assert!(!metrics.contains("# EOF"), "the end is of OpenMetrics, which Grafana does not say that it is");
}
