//! Every refusal of a real Loki, and the words that a person gets.

use std::time::Duration;

use assay::loki::LokiError;

use super::{Exchange, HOUR};

/// Asks what the exchange asked and gets its refusal.
async fn refusal(exchange: &Exchange) -> LokiError {
    let (_server, client) = exchange.serve().await;
    let query = exchange.query();
    let error = match exchange.path() {
        "/loki/api/v1/labels" => client.labels(HOUR, None).await.unwrap_err(),
        "/loki/api/v1/query" => client.instant_query(&query, HOUR.end).await.unwrap_err(),
        _ => client.window(&query, exchange.range(), 10).await.unwrap_err(),
    };
    let shown = error.to_string();
    assert!(!shown.contains('\n'), "{}: {shown}", exchange.name);
    assert!(shown.contains(&query) || shown.contains("http://127.0.0.1"), "{}: names neither: {shown}", exchange.name);
    error
}

#[tokio::test]
async fn every_captured_refusal_is_told_in_words() {
    let cases: [(&str, &str); 31] = [
        ("error-400-bad-direction", "(status 400): invalid direction 'sideways'"),
        ("error-400-bad-start", "could not parse 'start' parameter"),
        ("error-400-limit-nan", "strconv.Atoi"),
        ("error-400-limit-negative", "limit must be a positive value"),
        ("error-400-limit-over-50", "at most 50 entries of the query `{app=\"postgres\"}` at once"),
        ("error-400-limit-over-max", "at most 5000 entries"),
        ("error-400-max-query-series", "more than 3 series: select fewer streams"),
        ("error-400-query-max-series-instant", "more than 3 series"),
        ("error-400-parse-bad-number", "at line 1, column 28 (its end): syntax error: unexpected $end"),
        ("error-400-parse-bad-op", "at line 1, column 14 (at `\"a\"`): syntax error: unexpected STRING"),
        ("error-400-parse-bad-regex", "`{app=~\"[\"}`: error parsing regexp: missing closing ]"),
        ("error-400-parse-bad-stage", "column 24 (its end)"),
        ("error-400-parse-empty-matcher", "require at least one regexp or equality matcher"),
        ("error-400-parse-empty", "cannot read the query ``: syntax error: unexpected $end"),
        ("error-400-parse-missing-range", "column 19 (at `))`): syntax error: unexpected )"),
        ("error-400-parse-no-selector", "column 6 (at `\"x\"[5m])`)"),
        ("error-400-parse-unclosed", "column 20 (its end): syntax error: unexpected $end, expecting } or ,"),
        ("error-400-range-too-long", "is 960h0m0s, Loki allows 30d1h: narrow the time range"),
        ("mt-400-range-too-long-24h", "is 25h0m0s, Loki allows 1d"),
        ("error-400-step-too-small", "raise the step or narrow the time range"),
        ("error-400-step-zero", "zero or negative query resolution"),
        ("error-404", "give the root of Loki as the address"),
        ("error-429-too-many-outstanding", "is busy: too many outstanding requests; try again later"),
        ("error-504-query-timeout", "took longer than Loki allows: narrow the time range"),
        ("mt-401-labels", "wants a tenant: set the organisation id"),
        ("mt-401-query_range", "wants a tenant"),
        ("mt-bad-tenant-id", "unsupported character '/'; correct the organisation id"),
        ("mt-two-tenants", "multiple org IDs present; give a single tenant"),
        ("query-instant-log-selector", "ask for it over a time range"),
        ("query-quantile-empty", "fails (status 500): failed to enqueue request"),
        (
            "query-unwrap-pipeline-error",
            "(status 400): pipeline error SampleExtractionErr in some lines; leave those out",
        ),
    ];
    for (name, expected) in cases {
        let shown = refusal(&Exchange::load(name)).await.to_string();
        assert!(shown.contains(expected), "{name}: {shown}");
    }
    let pipeline = refusal(&Exchange::load("query-unwrap-pipeline-error")).await.to_string();
    assert!(!pipeline.contains("request completed"), "a line's text is not for messages: {pipeline}");
    let told: Vec<&str> = cases.iter().map(|(name, _)| *name).chain(["query_range-start-after-end"]).collect();
    for exchange in Exchange::all(|name| !told.contains(&name)) {
        assert_eq!(exchange.status(), 200, "{} is a refusal that nothing asserts", exchange.name);
    }
}

#[tokio::test]
async fn classes_say_what_a_caller_can_do() {
    let of = |name: &'static str| async move { refusal(&Exchange::load(name)).await };
    let place = match of("error-400-parse-no-selector").await {
        LokiError::Query { place: Some(place), .. } => (place.line, place.column, place.near),
        other => panic!("{other:?}"),
    };
    assert_eq!(place, (1, 6, "\"x\"[5m])".to_owned()));
    for (name, temporary, about_the_query) in [
        ("error-400-parse-empty", false, true),
        ("error-400-range-too-long", false, true),
        ("error-400-max-query-series", false, true),
        ("error-404", false, false),
        ("error-429-too-many-outstanding", true, false),
        ("error-504-query-timeout", true, false),
        ("mt-401-labels", false, false),
        ("query-quantile-empty", true, false),
    ] {
        let error = of(name).await;
        assert_eq!((error.is_temporary(), error.is_about_the_query()), (temporary, about_the_query), "{name}");
    }
}

#[tokio::test]
async fn a_range_that_ends_before_it_starts_is_empty_without_asking() {
    let exchange = Exchange::load("query_range-start-after-end");
    let (server, client) = exchange.serve().await;
    let window = client.window(&exchange.query(), exchange.range(), 10).await.unwrap();
    assert!(window.entries.is_empty() && server.requests().is_empty());
    let step = Duration::from_secs(1);
    let error = client.matrix(&exchange.query(), exchange.range(), step).await.unwrap_err().to_string();
    assert!(error.contains("end timestamp must not be before or equal to start time"), "{error}");
}
