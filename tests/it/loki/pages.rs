//! More entries than Loki gives at once, against a small Loki that keeps its rules: the start of a range is in, its
//! end is not, and an answer is cut at a number of entries in the middle of an instant.

use assay::loki::{Client, Direction, LogQuery, Logs, LokiError, Settings};
use assay::stream::TimeRange;
use serde_json::{Value, json};

use crate::canned::{Canned, Request, http};

use super::sent;

#[derive(Clone)]
struct Stored {
    ts: i64,
    pod: usize,
    line: String,
}

/// A Loki that holds `stored` and gives `most` entries at once.
async fn small_loki(stored: Vec<Stored>, most: usize) -> Canned {
    Canned::speaking(move |request| match request.target.contains("/series?") {
        true => http(200, "application/json", series(&stored, request).to_string().as_bytes()),
        false => query_range(&stored, most, request),
    })
    .await
}

fn in_range<'a>(stored: &'a [Stored], request: &Request) -> impl Iterator<Item = &'a Stored> {
    let ns = |name: &str| sent(request, name).unwrap().parse::<i64>().unwrap();
    let range = ns("start")..ns("end");
    stored.iter().filter(move |entry| range.contains(&entry.ts))
}

fn series(stored: &[Stored], request: &Request) -> Value {
    assert_eq!(sent(request, "match[]").as_deref(), Some("{app=\"x\"}"));
    let mut pods: Vec<usize> = in_range(stored, request).map(|entry| entry.pod).collect();
    pods.sort_unstable();
    pods.dedup();
    let labels = |pod: usize| json!({"app": "x", "pod": pod.to_string()});
    json!({"status": "success", "data": pods.into_iter().map(labels).collect::<Vec<_>>()})
}

fn query_range(stored: &[Stored], most: usize, request: &Request) -> Vec<u8> {
    let limit: usize = sent(request, "limit").unwrap().parse().unwrap();
    if limit > most {
        let text =
            format!("max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {most})");
        return http(400, "text/plain", text.as_bytes());
    }
    let query = sent(request, "query").unwrap();
    assert!(query.starts_with("{app=\"x\"") && query.ends_with("} |= \"\""), "{query}");
    let mut found: Vec<&Stored> =
        in_range(stored, request).filter(|entry| !query.contains("pod=") || query.contains(&pod(entry))).collect();
    found.sort_by_key(|entry| entry.ts);
    if sent(request, "direction").as_deref() == Some("backward") {
        found.reverse();
    }
    found.truncate(limit);
    let mut streams: Vec<(usize, Vec<Value>)> = Vec::new();
    for entry in found {
        let value = json!([entry.ts.to_string(), entry.line]);
        match streams.iter_mut().find(|(pod, _)| *pod == entry.pod) {
            Some((_, values)) => values.push(value),
            None => streams.push((entry.pod, vec![value])),
        }
    }
    let stream =
        |(pod, values): (usize, Vec<Value>)| json!({"stream": {"app": "x", "pod": pod.to_string()}, "values": values});
    let result: Vec<Value> = streams.into_iter().map(stream).collect();
    let answer = json!({"status": "success", "data": {"resultType": "streams", "result": result}});
    http(200, "application/json", answer.to_string().as_bytes())
}

fn pod(entry: &Stored) -> String {
    format!("pod=\"{}\"", entry.pod)
}

const RANGE: TimeRange = TimeRange { start: 1_000, end: 1_000_000 };

async fn fetch(server: &Canned, page: u32, limit: usize, direction: Direction) -> Result<Logs, LokiError> {
    let client = Client::new(&Settings { page, ..Settings::new(server.url()) }).unwrap();
    let query = LogQuery { query: "{app=\"x\"} |= \"\"", range: RANGE, limit, direction, metadata: false };
    client.logs(&query).await
}

type Line = (i64, String, String);

fn lines(logs: &Logs) -> Vec<Line> {
    assert!(logs.window.entries.is_sorted_by_key(|entry| entry.ts));
    let pod = |stream: u32| logs.window.streams[stream as usize].get("pod").unwrap().to_owned();
    let mut lines: Vec<Line> =
        logs.window.entries.iter().map(|entry| (entry.ts, pod(entry.stream), entry.line.clone())).collect();
    lines.sort();
    lines
}

fn sorted(stored: &[Stored]) -> Vec<Line> {
    let mut lines: Vec<Line> =
        stored.iter().map(|entry| (entry.ts, entry.pod.to_string(), entry.line.clone())).collect();
    lines.sort();
    lines
}

/// 12,345 entries of five streams: mostly 37 of one instant, once 700; every third line is the same text.
fn many() -> Vec<Stored> {
    let ts = |i: i64| if (6000..6700).contains(&i) { 3_500 } else { 1_000 + i / 37 * 10 + i64::from(i >= 6700) * 1000 };
    let line = |i: i64| if i % 3 == 0 { "again".to_owned() } else { format!("line {i}") };
    (0..12_345).map(|i| Stored { ts: ts(i), pod: i as usize % 5, line: line(i) }).collect()
}

#[tokio::test]
async fn twelve_thousand_entries_come_once_each_in_both_directions() {
    let stored = many();
    let server = small_loki(stored.clone(), 1000).await;
    for direction in [Direction::Backward, Direction::Forward] {
        let before = server.requests().len();
        let logs = fetch(&server, 1000, usize::MAX, direction).await.unwrap();
        assert_eq!(logs.window.entries.len(), 12_345);
        assert!(lines(&logs) == sorted(&stored), "{direction:?}: entries are missing or double");
        assert!(logs.complete && logs.window.streams.len() == 5);
        let requests = server.requests().len() - before;
        assert!((13..=16).contains(&requests), "{requests} requests");
    }
}

#[tokio::test]
async fn entries_of_one_instant_and_stream_keep_their_order_across_pages() {
    let server = small_loki(many(), 1000).await;
    for direction in [Direction::Backward, Direction::Forward] {
        let logs = fetch(&server, 1000, usize::MAX, direction).await.unwrap();
        let crowd: Vec<usize> = logs
            .window
            .entries
            .iter()
            .filter(|e| e.ts == 3_500 && e.line != "again")
            .map(|e| e.line.strip_prefix("line ").unwrap().parse().unwrap())
            .collect();
        let of_pod = |pod: usize| crowd.iter().copied().filter(|i| i % 5 == pod).collect::<Vec<_>>();
        assert!(crowd.len() > 400 && (0..5).all(|pod| of_pod(pod).is_sorted()), "{direction:?}");
    }
}

#[tokio::test]
async fn a_limit_takes_the_entries_nearest_to_where_the_query_begins() {
    let stored = many();
    let server = small_loki(stored.clone(), 1000).await;
    let mut times: Vec<i64> = stored.iter().map(|entry| entry.ts).collect();
    times.sort_unstable();
    for (direction, expected) in
        [(Direction::Backward, &times[12_345 - 2_345..]), (Direction::Forward, &times[..2_345])]
    {
        let logs = fetch(&server, 1000, 2_345, direction).await.unwrap();
        let found: Vec<i64> = logs.window.entries.iter().map(|entry| entry.ts).collect();
        assert!(found == expected && !logs.complete, "{direction:?}");
    }
    assert!(fetch(&server, 1000, 0, Direction::Backward).await.unwrap().window.entries.is_empty());
}

#[tokio::test]
async fn a_lower_limit_of_loki_is_learnt() {
    let stored = many();
    let server = small_loki(stored.clone(), 800).await;
    let client = Client::new(&Settings::new(server.url())).unwrap();
    for first in [1, 0] {
        let before = server.requests().len();
        let window = client.window("{app=\"x\"} |= \"\"", RANGE, 2_000).await.unwrap();
        assert_eq!(window.entries.len(), 2_000);
        assert_eq!(server.requests().len() - before, 3 + first, "the refusal is asked for once");
    }
}

#[tokio::test]
async fn an_instant_that_fills_an_answer_is_read_stream_by_stream() {
    let crowd = |count: usize, pods: usize| -> Vec<Stored> {
        let entry = |i: usize| Stored { ts: 5_000, pod: i % pods, line: (i % 7).to_string() };
        let around = [4_999, 5_001].map(|ts| Stored { ts, pod: 0, line: "around".to_owned() });
        (0..count).map(entry).chain(around).collect()
    };
    for direction in [Direction::Backward, Direction::Forward] {
        let stored = crowd(240, 3);
        let server = small_loki(stored.clone(), 100).await;
        let logs = fetch(&server, 100, usize::MAX, direction).await.unwrap();
        assert!(lines(&logs) == sorted(&stored) && logs.complete, "{direction:?}");
    }
    let server = small_loki(crowd(240, 1), 100).await;
    let error = fetch(&server, 100, usize::MAX, Direction::Backward).await.unwrap_err();
    assert!(matches!(error, LokiError::Crowded { ts: 5_000, limit: 100, .. }), "{error:?}");
    assert!(error.to_string().contains("add a line filter"), "{error}");
}

#[tokio::test]
async fn a_result_of_many_answers_is_bounded_too() {
    let server = small_loki(many(), 1000).await;
    let settings = Settings { page: 1000, max_bytes: 80_000, ..Settings::new(server.url()) };
    let client = Client::new(&settings).unwrap();
    let error = client.window("{app=\"x\"} |= \"\"", RANGE, usize::MAX).await.unwrap_err();
    assert!(matches!(error, LokiError::TooLarge { limit: 80_000, .. }), "{error:?}");
    assert!(server.requests().len() < 13);
}
