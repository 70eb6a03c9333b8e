//! Many queries: memory stays bounded. The figures of the data source are in `benches/`.

use serde_json::{Value, json};

use super::host::Host;
use super::store::store_of_two_runs;

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
    let host = Host::start_quietly(settings).await;
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
