//! Many queries and many runs: memory stays bounded; and, when asked for, the figures.

use std::time::Instant;

use assay::store::Store;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::host::{Host, frames};
use super::store::{empty_store, plan, result, run, run_of, store_of_two_runs};

const MIB: u64 = 1 << 20;

fn questions(count: usize) -> Vec<Value> {
    let kinds = [
        json!({"queryType": "runs"}),
        json!({"queryType": "metrics", "anyTime": true}),
        json!({"queryType": "cases", "run": "r1", "against": "r2"}),
        json!({"queryType": "compare", "a": "r1", "b": "r2"}),
        json!({"queryType": "tradeoff"}),
        json!({"queryType": "attribution", "run": "r1", "case": "g1-001"}),
        json!({"queryType": "annotations"}),
        json!({"queryType": "metrics", "metric": "no such metric"}),
        json!({"queryType": "analyze", "run": "r2"}),
        json!({"queryType": "prompts"}),
    ];
    kinds.into_iter().cycle().take(count).collect()
}

async fn ask(host: &Host, questions: &[Value]) {
    let texts: Vec<String> = questions.iter().map(Value::to_string).collect();
    let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    for answer in host.ask(&texts).await {
        assert!(answer.status == 200 || answer.status == 400, "{}", answer.error);
    }
}

#[tokio::test]
async fn ten_thousand_queries_do_not_grow_memory() {
    let (_store, settings) = store_of_two_runs().await;
    let host = Host::start(settings).await;
    let questions = questions(200);
    for _ in 0..10 {
        ask(&host, &questions).await;
    }
    let before = host.memory();
    for _ in 0..50 {
        ask(&host, &questions).await;
    }
    let after = host.memory();
    assert!(after < before + 12 * MIB, "{} MiB became {} MiB", before / MIB, after / MIB);
}

/// `cargo test --release --test it figures -- --ignored --nocapture`; `ASSAY_FIGURES_STORE` may name a store whose first
/// run is then the one that is there a thousand times.
#[tokio::test]
#[ignore = "prints figures, and means something only in a release build"]
async fn figures() {
    let (folder, settings) = empty_store();
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    // A folder of a real run, whose record and rows are of real size; else small ones are made.
    let real = match std::env::var_os("ASSAY_FIGURES_STORE") {
        Some(path) => {
            let store = Store::open(&path.to_string_lossy()).unwrap();
            let id = store.ids().await.unwrap().remove(0);
            Some(store.run(&id).await.unwrap())
        }
        None => None,
    };
    for day in 0..1_000 {
        let mut run = real.clone().unwrap_or_else(|| run(plan("r", "a"), day % 40));
        run.record.plan.id = format!("r{day:04}");
        run.record.plan.arm.name = ["a", "b", "c", "d"][day % 4].to_owned();
        run.record.plan.started -= TimeDelta::hours(day as i64);
        store.commit(&mut run).await.unwrap();
    }
    for (id, right) in [("large-a", 6_000), ("large-b", 6_500)] {
        let mut plan = plan(id, id);
        plan.dataset.cases = 10_000;
        store.commit(&mut run_of(plan, (0..10_000).map(|case| result(case, case < right)).collect())).await.unwrap();
    }
    let host = Host::start(settings).await;
    println!("idle: {} MiB", host.memory() / MIB);
    let metrics = json!({"queryType": "metrics", "anyTime": true});
    let compare = json!({"queryType": "compare", "a": "large-a", "b": "large-b"});
    let cases = json!({"queryType": "cases", "run": "large-b", "against": "large-a"});
    for (name, question) in
        [("metrics over 1,000 runs", &metrics), ("compare 10,000 cases", &compare), ("cases", &cases)]
    {
        let mut times = Vec::new();
        for _ in 0..21 {
            let begun = Instant::now();
            frames(&host.ask_one(question.clone()).await);
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let cold = times.remove(0);
        times.sort_by(f64::total_cmp);
        println!("{name}: cold {cold:.0} ms, warm median {:.1} ms, worst of 20 {:.1} ms", times[10], times[19]);
        println!("memory: {} MiB", host.memory() / MIB);
    }
    let at_once = (0..200).map(|_| async {
        let begun = Instant::now();
        host.ask_one(metrics.clone()).await;
        begun.elapsed().as_secs_f64() * 1e3
    });
    let mut times = futures::future::join_all(at_once).await;
    times.sort_by(f64::total_cmp);
    println!("200 metrics at once: median {:.0} ms, p99 {:.0} ms", times[100], times[197]);
    println!("memory: {} MiB\n{}", host.memory() / MIB, host.metrics().await);
}
