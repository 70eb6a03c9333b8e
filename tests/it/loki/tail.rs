//! Following a query over a WebSocket: what a real Loki sent, connections that are lost, and what is no WebSocket.

use assay::loki::LokiError;
use assay::stream::Labels;
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{client, sent};
use crate::canned::{Canned, Request, http, json as json_response};

const QUERY: &str = "{app=\"tailme\"}";
const CAPTURED: i64 = 1_795_468_431_334_322_944;

/// The captured conversation, with the key that this client's handshake asks for; then the connection ends.
fn captured(request: &Request) -> Vec<u8> {
    let raw = std::fs::read(format!("{}/tests/captures/loki/tail-websocket.raw", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let end = |mark: &[u8]| raw.windows(mark.len()).rposition(|part| part == mark).unwrap() + mark.len();
    let key = request
        .raw
        .lines()
        .find_map(|line| line.to_lowercase().starts_with("sec-websocket-key: ").then(|| &line[19..]));
    let accept = derive_accept_key(key.expect("a key").trim().as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    [head.as_bytes(), &raw[end(b"\r\n\r\n")..]].concat()
}

#[tokio::test]
async fn entries_come_as_a_real_loki_sent_them_and_a_lost_connection_is_made_again() {
    let server = Canned::speaking(captured).await;
    let mut tail = client(&server).tail(QUERY, 5).unwrap();
    for _ in 0..2 {
        let tailed = tail.next().await.unwrap();
        let [entry] = &tailed.window.entries[..] else { panic!("{tailed:?}") };
        assert_eq!((entry.ts, entry.line.as_str(), tailed.dropped), (CAPTURED, "tailed line", 0));
        let labels: Labels =
            [("app", "tailme"), ("namespace", "shop"), ("service_name", "tailme")].into_iter().collect();
        assert_eq!(tailed.window.streams, [labels]);
    }
    let requests = server.requests();
    assert_eq!(sent(&requests[0], "query").unwrap(), QUERY);
    let starts: Vec<_> = requests.iter().map(|request| sent(request, "start").unwrap()).collect();
    assert_eq!(starts, ["5".to_owned(), (CAPTURED + 1).to_string()], "it goes on after the last entry");
}

#[tokio::test]
async fn what_will_not_pass_by_itself_ends_it() {
    let parse = b"parse error at line 1, col 1: syntax error: unexpected IDENTIFIER";
    for (response, expected) in [
        (http(400, "text/plain", parse), "cannot read the query"),
        (http(401, "text/plain", b"no"), "denies access"),
        (json_response(200, &json!({})), "opens no WebSocket"),
        (http(200, "text/html", b"<html>login</html>"), "opens no WebSocket"),
        (b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n".to_vec(), "another WebSocket"),
    ] {
        let server = Canned::answering(response).await;
        let error: LokiError = client(&server).tail(QUERY, 5).unwrap().next().await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
