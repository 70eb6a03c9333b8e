//! llama-server's side of the canned server: its event streams and what was captured of it.

use assay::llama::Client;
use serde_json::Value;

pub(crate) use crate::canned::{Act, Canned, http, json, open_ended};

impl Canned {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.url(), None).unwrap()
    }
}

pub(crate) fn events(body: &[u8]) -> Vec<u8> {
    http(200, "text/event-stream", body)
}

/// The file of a capture, below `tests/captures/llama-server/`.
pub(crate) fn capture(path: &str) -> String {
    let file = format!("{}/tests/captures/llama-server/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The body of a captured response, as it went over the wire.
pub(crate) fn captured_body(path: &str) -> String {
    let exchange: Value = serde_json::from_str(&capture(path)).unwrap();
    // Two shapes: a `response` object, or its fields at the top.
    let response = exchange.get("response").unwrap_or(&exchange);
    response["raw_body"].as_str().map_or_else(|| response["body"].to_string(), str::to_owned)
}

/// The response of a captured exchange, as it went over the wire.
pub(crate) fn captured_response(path: &str) -> Vec<u8> {
    let exchange: Value = serde_json::from_str(&capture(path)).unwrap();
    let response = exchange.get("response").unwrap_or(&exchange);
    let header = |name: &str| {
        let headers = response["headers"].as_object().unwrap();
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap().1.as_str().unwrap().to_owned()
    };
    let body = captured_body(path);
    http(u16::try_from(response["status"].as_u64().unwrap()).unwrap(), &header("content-type"), body.as_bytes())
}
