//! A Loki for the plugin's tests: what a real one once answered, moved to the time that is asked about.

use reqwest::Url;
use serde_json::{Value, json};

use crate::canned::{Canned, Request, http, json as json_response};

/// A captured body.
pub(super) fn captured(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/captures/loki/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A Loki with a thousand lines of several programs up to a second before the end of whatever range is asked for.
pub(super) async fn replayed() -> Canned {
    Canned::speaking(answer).await
}

pub(super) fn answer(request: &Request) -> Vec<u8> {
    let url = Url::parse(&format!("http://x{}", request.target)).unwrap();
    let file = match url.path() {
        "/loki/api/v1/labels" => "labels.body.json",
        "/loki/api/v1/label/app/values" => "label-values-app.body.json",
        "/loki/api/v1/status/buildinfo" => "buildinfo.body.json",
        "/loki/api/v1/series" => "series.body.json",
        "/loki/api/v1/patterns" => "patterns.body.json",
        "/loki/api/v1/index/stats" => "flushed-index-stats.body.json",
        "/loki/api/v1/query_range" => return json_response(200, &moved(&url)),
        _ => return http(404, "text/plain", b"404 page not found\n"),
    };
    http(200, "application/json; charset=UTF-8", &captured(file))
}

/// The captured lines, the newest a second before the end of the range; without those before its start.
fn moved(url: &Url) -> Value {
    let param = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let ns = |name: &str| param(name).and_then(|text| text.parse::<i64>().ok()).unwrap();
    let (start, end) = (ns("start"), ns("end"));
    let mut body: Value = serde_json::from_slice(&captured("query_range-streams-limit1000.body.json")).unwrap();
    let time = |entry: &Value| entry[0].as_str().unwrap().parse::<i64>().unwrap();
    let streams = body["data"]["result"].as_array_mut().unwrap();
    let entries = |stream: &Value| stream["values"].as_array().unwrap().clone();
    let newest = streams.iter().flat_map(entries).map(|entry| time(&entry)).max().unwrap();
    for stream in streams {
        let values = stream["values"].as_array_mut().unwrap();
        for entry in values.iter_mut() {
            entry[0] = json!((time(entry) + end - 1_000_000_000 - newest).to_string());
        }
        values.retain(|entry| time(entry) >= start);
    }
    body
}
