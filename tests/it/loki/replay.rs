//! What a real Loki answered with, read back and held against the same JSON read by other means.

use std::time::Duration;

use assay::guard::{Cost, Guard, Mode, Ruling};
use assay::loki::{Direction, LogQuery, LokiError, Series};
use assay::stream::Labels;
use serde_json::{Value, json};

use super::{Exchange, HOUR, sent};

type Line = (i64, Value, String, Value);

/// The entries of a captured answer in order of time, by way of `serde_json::Value` alone.
fn expected_lines(answer: &Value, direction: Direction) -> Vec<Line> {
    let mut lines = Vec::new();
    for stream in answer["data"]["result"].as_array().unwrap() {
        let mut values = stream["values"].as_array().unwrap().clone();
        if direction == Direction::Backward {
            values.reverse();
        }
        for value in values {
            let ts: i64 = value[0].as_str().unwrap().parse().unwrap();
            let metadata = value.get(2).map_or(json!({}), |more| more["structuredMetadata"].clone());
            let metadata = if metadata.is_null() { json!({}) } else { metadata };
            lines.push((ts, stream["stream"].clone(), value[1].as_str().unwrap().to_owned(), metadata));
        }
    }
    lines.sort_by_key(|line| line.0);
    lines
}

fn value_of(labels: &Labels) -> Value {
    serde_json::to_value(labels).unwrap()
}

fn is_log_answer(exchange: &Exchange) -> bool {
    exchange.path().ends_with("/query_range")
        && exchange.status() == 200
        && exchange.meta["response"]["headers"].to_string().find("gzip").is_none()
        && exchange.json()["data"]["resultType"] == "streams"
}

#[tokio::test]
async fn every_captured_log_answer_becomes_its_entries() {
    let exchanges: Vec<Exchange> = Exchange::all(|_| true).into_iter().filter(is_log_answer).collect();
    assert!(exchanges.len() > 20, "{} log answers", exchanges.len());
    for exchange in exchanges {
        let (server, client) = exchange.serve().await;
        let direction = match exchange.param("direction").as_deref() {
            Some("forward") => Direction::Forward,
            _ => Direction::Backward,
        };
        let limit = exchange.param("limit").map_or(100, |limit| limit.parse().unwrap());
        let query = exchange.query();
        let ask = LogQuery { query: &query, range: exchange.range(), limit, direction, metadata: true };
        let logs = client.logs(&ask).await.unwrap_or_else(|error| panic!("{}: {error}", exchange.name));

        let expected = expected_lines(&exchange.json(), direction);
        let found: Vec<Line> = (logs.window.entries.iter().zip(&logs.metadata))
            .map(|(entry, metadata)| {
                let stream = &logs.window.streams[entry.stream as usize];
                (entry.ts, value_of(stream), entry.line.clone(), value_of(metadata))
            })
            .collect();
        assert_eq!(found, expected, "{}", exchange.name);
        assert_eq!(logs.window.entries.len(), logs.metadata.len(), "{}", exchange.name);
        assert_eq!(logs.complete, expected.len() < limit, "{}", exchange.name);

        let [request] = &server.requests()[..] else { panic!("{}: not one request", exchange.name) };
        assert!(request.target.starts_with("/loki/api/v1/query_range?"), "{}", request.target);
        assert_eq!(sent(request, "query").unwrap(), query);
        assert_eq!(sent(request, "start").unwrap(), exchange.range().start.to_string());
        assert_eq!(sent(request, "end").unwrap(), exchange.range().end.to_string());
        assert_eq!(sent(request, "limit").unwrap(), limit.to_string());
        assert!(request.head.contains("x-loki-response-encoding-flags: categorize-labels"), "{}", request.head);
    }
}

#[tokio::test]
async fn categorized_labels_keep_what_varies_by_line_out_of_the_streams() {
    let (_server, client) = Exchange::load("query_range-streams-categorized").serve().await;
    let ask = LogQuery { query: "{}", range: HOUR, limit: 20, direction: Direction::Backward, metadata: true };
    let logs = client.logs(&ask).await.unwrap();
    assert!(logs.window.streams.len() < 5 && logs.window.streams.iter().all(|labels| labels.get("trace_id").is_none()));
    assert!(logs.metadata.iter().all(|metadata| metadata.get("trace_id").is_some_and(|id| id.len() == 32)));
    let window = client.window("{}", HOUR, 20).await.unwrap();
    assert_eq!(window, logs.window);

    let (_server, flat) = Exchange::load("query_range-streams-backward").serve().await;
    let flat = flat.window("{}", HOUR, 20).await.unwrap();
    assert!(flat.streams.len() > logs.window.streams.len(), "an older Loki has no categories");
    let lines =
        |window: &assay::stream::Window| window.entries.iter().map(|e| (e.ts, e.line.clone())).collect::<Vec<_>>();
    assert_eq!(lines(&flat), lines(&window));
}

#[tokio::test]
async fn a_compressed_answer_reads_like_a_plain_one() {
    let exchange = Exchange::load("query_range-gzip");
    let (server, client) = exchange.serve().await;
    let window = client.window(&exchange.query(), exchange.range(), 500).await.unwrap();
    assert_eq!(window.entries.len(), 500);
    assert!(window.bytes() > 3 * exchange.body.len(), "{} bytes", window.bytes());
    assert!(server.requests()[0].head.contains("accept-encoding: gzip"));
    // The thousand newest entries of the same moment hold these five hundred.
    let (_server, client) = Exchange::load("query_range-streams-limit1000").serve().await;
    let thousand = client.window("{}", HOUR, 1000).await.unwrap();
    let lines = |entries: &[assay::stream::Entry]| {
        let mut lines: Vec<_> = entries.iter().map(|entry| (entry.ts, entry.line.clone())).collect();
        lines.sort();
        lines
    };
    let from = window.entries[0].ts;
    let newer = |entries: &[assay::stream::Entry]| entries.iter().filter(|e| e.ts > from).cloned().collect::<Vec<_>>();
    assert_eq!(lines(&newer(&window.entries)), lines(&newer(&thousand.entries)));
}

fn expected_series(answer: &Value) -> Vec<(Value, Vec<(i64, String)>)> {
    let sample = |value: &Value| {
        let millis = (value[0].as_f64().unwrap() * 1000.0).round() as i64;
        (millis * 1_000_000, value[1].as_str().unwrap().parse::<f64>().unwrap().to_string())
    };
    let series = |one: &Value| {
        let many = one.get("values").and_then(Value::as_array).cloned();
        (one["metric"].clone(), many.unwrap_or_else(|| vec![one["value"].clone()]).iter().map(sample).collect())
    };
    answer["data"]["result"].as_array().unwrap().iter().map(series).collect()
}

fn shown(series: &[Series]) -> Vec<(Value, Vec<(i64, String)>)> {
    let samples = |one: &Series| one.samples.iter().map(|(ts, value)| (*ts, value.to_string())).collect();
    series.iter().map(|one| (value_of(&one.labels), samples(one))).collect()
}

#[tokio::test]
async fn every_captured_metric_answer_becomes_its_series() {
    let mut seen = 0;
    for exchange in Exchange::all(|name| name != "query_range-gzip" && name != "query-scalar") {
        let is_instant = exchange.path().ends_with("/query");
        let is_metric = |kind: &Value| kind == "matrix" || kind == "vector";
        if exchange.status() != 200 || !is_metric(&exchange.json()["data"]["resultType"]) {
            continue;
        }
        let (server, client) = exchange.serve().await;
        let series = match is_instant {
            true => client.instant_query(&exchange.query(), HOUR.end).await,
            false => client.matrix(&exchange.query(), exchange.range(), Duration::from_secs(60)).await,
        };
        let series = series.unwrap_or_else(|error| panic!("{}: {error}", exchange.name));
        assert_eq!(shown(&series), expected_series(&exchange.json()), "{}", exchange.name);
        assert!(series.iter().all(|one| one.samples.is_sorted_by_key(|sample| sample.0)), "{}", exchange.name);
        let request = &server.requests()[0];
        assert_eq!(sent(request, "query").unwrap(), exchange.query());
        assert_eq!(sent(request, if is_instant { "time" } else { "end" }).unwrap().len(), 19);
        seen += 1;
    }
    assert!(seen >= 10, "{seen} metric answers");
}

#[tokio::test]
async fn a_scalar_and_odd_numbers_are_samples_too() {
    let (_server, client) = Exchange::load("query-scalar").serve().await;
    let series = client.instant_query("1+1", HOUR.end).await.unwrap();
    assert_eq!(series, [Series { labels: Labels::default(), samples: vec![(HOUR.end, 2.0)] }]);
    let (_server, client) = Exchange::load("query_range-inf-nan").serve().await;
    let series = client.instant_query("0/0", HOUR.end).await.unwrap();
    assert!(series[0].samples[0].1.is_nan());
}

#[tokio::test]
async fn a_metric_query_is_not_mistaken_for_a_log_query_nor_the_other_way() {
    let (_server, client) = Exchange::load("query_range-matrix-rate").serve().await;
    let told = |error: LokiError| {
        assert!(error.is_about_the_query(), "{error}");
        error.to_string()
    };
    let error = told(client.window("rate(x)", HOUR, 10).await.unwrap_err());
    assert!(error.contains("`rate(x)` gives a matrix") && error.contains("ask for a log query"), "{error}");
    let (_server, client) = Exchange::load("query_range-streams-multi").serve().await;
    let error = told(client.matrix("{}", HOUR, Duration::from_secs(1)).await.unwrap_err());
    assert!(error.contains("gives streams") && error.contains("ask for a metric query"), "{error}");
}

#[tokio::test]
async fn labels_values_and_series_are_lists() {
    let strings = |exchange: &Exchange| {
        let data = exchange.json().get("data").cloned().unwrap_or(json!([]));
        serde_json::from_value::<Vec<String>>(data).unwrap()
    };
    for (name, selector, target) in [
        ("labels", None, "/loki/api/v1/labels?"),
        ("labels-query", Some("{app=\"postgres\"}"), "/loki/api/v1/labels?"),
        ("labels-empty-range", None, "/loki/api/v1/labels?"),
        ("ignored-header-scope-orgid", None, "/loki/api/v1/labels?"),
    ] {
        let exchange = Exchange::load(name);
        let (server, client) = exchange.serve().await;
        assert_eq!(client.labels(exchange.range(), selector).await.unwrap(), strings(&exchange), "{name}");
        let request = &server.requests()[0];
        assert!(request.target.starts_with(target), "{}", request.target);
        assert_eq!(sent(request, "query").as_deref(), selector);
    }
    for (name, label, selector, count) in [
        ("label-values-app", "app", None, 6),
        ("label-values-query", "pod", Some("{namespace=\"shop\"}"), 5),
        ("label-values-unknown", "nope", None, 0),
    ] {
        let exchange = Exchange::load(name);
        let (server, client) = exchange.serve().await;
        let values = client.label_values(label, exchange.range(), selector).await.unwrap();
        assert_eq!((values.len(), &values), (count, &strings(&exchange)), "{name}");
        assert!(server.requests()[0].target.starts_with(&format!("{}?", exchange.path())));
    }
    for (name, selectors) in
        [("series", vec!["{namespace=\"shop\"}", "{app=\"postgres\"}"]), ("series-empty", vec!["{app=\"nope\"}"])]
    {
        let exchange = Exchange::load(name);
        let (server, client) = exchange.serve().await;
        let series: Vec<Value> = client.series(&selectors, HOUR).await.unwrap().iter().map(value_of).collect();
        assert_eq!(Value::from(series), exchange.json()["data"], "{name}");
        assert_eq!(server.requests()[0].target.matches("match%5B%5D=").count(), selectors.len());
    }
}

#[tokio::test]
async fn a_label_cannot_leave_its_place_in_the_path() {
    let (server, client) = Exchange::load("label-values-unknown").serve().await;
    client.label_values("../../a?b", HOUR, None).await.unwrap();
    assert!(server.requests()[0].target.starts_with("/loki/api/v1/label/%2E%2E%2F%2E%2E%2Fa%3Fb/values?"));
    for label in ["..", ".", ""] {
        assert!(client.label_values(label, HOUR, None).await.unwrap().is_empty());
    }
    assert_eq!(server.requests().len(), 1, "no way up is asked for");
}

#[tokio::test]
async fn the_index_says_what_a_query_costs_and_the_guard_rules_on_it() {
    for name in ["index-stats-empty", "index-stats"] {
        let exchange = Exchange::load(name);
        let (_server, client) = exchange.serve().await;
        // The second has entries, but none that is flushed.
        assert_eq!(client.stats(&exchange.query(), HOUR).await.unwrap(), Cost::default());
    }
    let (server, client) = Exchange::load("flushed-index-stats").serve().await;
    let query = r#"sum(rate({app="a"} |= "{x}" [5m])) / sum(rate({app="b"}[5m]))"#;
    let cost = client.cost(query, HOUR).await.unwrap();
    assert_eq!(cost, Cost { streams: 8, chunks: 8, bytes: 378_880, entries: 1302 });
    let asked: Vec<_> = server.requests().iter().map(|request| sent(request, "query").unwrap()).collect();
    assert_eq!(asked, [r#"{app="a"}"#, r#"{app="b"}"#]);

    let guard = Guard { mode: Mode::Enforce, max_bytes: Some(189_440), ..Guard::default() };
    assert_eq!(client.guard(&guard, "{app=\"a\"}", HOUR).await.unwrap(), Ruling::Pass);
    let tight = Guard { max_bytes: Some(100_000), ..guard };
    let Ruling::Refuse(text) = client.guard(&tight, "{app=\"a\"}", HOUR).await.unwrap() else { panic!("passed") };
    assert!(text.contains("185.0 KiB of 4 streams in 1 h") && text.contains("about 31 min"), "{text}");
    let asked = server.requests().len();
    let off = Guard { mode: Mode::Off, ..tight };
    assert_eq!(client.guard(&off, "{app=\"a\"}", HOUR).await.unwrap(), Ruling::Pass);
    let short = Guard { max_range_s: Some(60), ..tight };
    assert!(matches!(client.guard(&short, "{app=\"a\"}", HOUR).await.unwrap(), Ruling::Refuse(_)));
    assert_eq!(server.requests().len(), asked, "neither needs Loki");

    let (_server, client) = Exchange::load("error-404").serve().await;
    let warn = Guard { mode: Mode::Warn, ..tight };
    let ruling = client.guard(&warn, "{app=\"a\"}", HOUR).await.unwrap();
    assert!(matches!(&ruling, Ruling::Warn(text) if text.contains("could not be found out")), "{ruling:?}");
    assert!(client.guard(&tight, "{app=\"a\"}", HOUR).await.is_err());
}

#[tokio::test]
async fn patterns_are_read_where_loki_has_them() {
    for name in ["patterns", "patterns-postgres"] {
        let exchange = Exchange::load(name);
        let (server, client) = exchange.serve().await;
        let step = Duration::from_secs(60);
        let patterns = client.patterns(&exchange.query(), HOUR, step).await.unwrap().unwrap();
        let expected = exchange.json();
        assert_eq!(patterns.len(), expected["data"].as_array().unwrap().len());
        for (pattern, expected) in patterns.iter().zip(expected["data"].as_array().unwrap()) {
            assert_eq!(pattern.pattern, expected["pattern"].as_str().unwrap());
            assert_eq!(pattern.level.as_deref(), expected["level"].as_str());
            let last = expected["samples"].as_array().unwrap().last().unwrap();
            let last = (last[0].as_i64().unwrap() * 1_000_000_000, last[1].as_u64().unwrap());
            assert_eq!(pattern.samples.last(), Some(&last));
        }
        assert_eq!(sent(&server.requests()[0], "step").as_deref(), Some("60s"));
    }
    let (_server, client) = Exchange::load("error-404").serve().await;
    assert_eq!(client.patterns("{}", HOUR, Duration::from_secs(60)).await.unwrap(), None);
}

#[tokio::test]
async fn a_build_without_a_version_still_answers() {
    let (server, client) = Exchange::load("buildinfo").serve().await;
    assert_eq!(client.version().await.unwrap(), "");
    assert_eq!(server.requests()[0].target, "/loki/api/v1/status/buildinfo");
}

#[tokio::test]
async fn a_long_query_goes_into_a_form() {
    let exchange = Exchange::load("query_range-streams-post-form");
    let (server, client) = exchange.serve().await;
    let query = format!("{} != \"{}\"", exchange.query(), "ä".repeat(2000));
    assert_eq!(client.window(&query, HOUR, 10).await.unwrap().entries.len(), 10);
    let request = &server.requests()[0];
    assert!(request.head.starts_with("post /loki/api/v1/query_range http/1.1"), "{}", request.head);
    assert!(request.head.contains("content-type: application/x-www-form-urlencoded"));
    assert_eq!(sent(request, "query").unwrap(), query);
}
