//! A TCP server that answers with prepared bytes, faults included.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use assay::llama::Client;

/// One thing that the server does after it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Send(Vec<u8>),
    Pause(Duration),
    /// The response that belongs to the path of the request, or nothing.
    Route(Vec<(&'static str, Vec<u8>)>),
    /// As `Route`, but the n-th request of `path`, from 1, gets other bytes.
    Swap {
        path: &'static str,
        nth: usize,
        with: Vec<u8>,
        routes: Vec<(&'static str, Vec<u8>)>,
    },
    /// The same bytes again and again until the client goes away.
    Forever(Vec<u8>),
    /// Closes without having read what was sent, which resets the connection. Only as the first act.
    Reset,
}

/// What a client sent: the head as text, the body as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Answers the n-th connection with the n-th script and closes it; the last script is used again.
pub(crate) struct Canned {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    sent: Arc<Mutex<usize>>,
}

impl Canned {
    pub(crate) async fn serve(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, sent) = (Arc::default(), Arc::default());
        let served = Self { url, requests: Arc::clone(&requests), sent: Arc::clone(&sent) };
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let script = scripts[connection.min(scripts.len() - 1)].clone();
                tokio::spawn(play(stream, script, Arc::clone(&requests), Arc::clone(&sent)));
            }
        });
        served
    }

    /// A server with a single script.
    pub(crate) async fn acting(acts: Vec<Act>) -> Self {
        Self::serve(vec![acts]).await
    }

    /// A server with a single response.
    pub(crate) async fn answering(response: Vec<u8>) -> Self {
        Self::acting(vec![Act::Send(response)]).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, None).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Bytes that clients took.
    pub(crate) fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }
}

async fn play(mut stream: TcpStream, script: Vec<Act>, requests: Arc<Mutex<Vec<Request>>>, sent: Arc<Mutex<usize>>) {
    if matches!(script.first(), Some(Act::Reset)) {
        let _ = stream.readable().await;
        return;
    }
    let Some(request) = read_request(&mut stream).await else { return };
    let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
    let of_path = |request: &&Request| request.head.split(' ').nth(1) == Some(path.as_str());
    let seen = {
        let mut requests = requests.lock().unwrap();
        requests.push(request);
        requests.iter().filter(of_path).count()
    };
    for act in script {
        match act {
            Act::Route(routes) => {
                let bytes = routes.into_iter().find(|(route, _)| *route == path).map(|(_, bytes)| bytes);
                let _ = stream.write_all(&bytes.unwrap_or_default()).await;
            }
            Act::Swap { path: swapped, nth, with, routes } => {
                let bytes = routes.into_iter().find(|(route, _)| *route == path).map(|(_, bytes)| bytes);
                let bytes = if swapped == path && nth == seen { Some(with) } else { bytes };
                let _ = stream.write_all(&bytes.unwrap_or_default()).await;
            }
            Act::Send(bytes) => {
                let _ = stream.write_all(&bytes).await;
            }
            Act::Pause(pause) => tokio::time::sleep(pause).await,
            Act::Forever(bytes) => {
                while stream.write_all(&bytes).await.is_ok() {
                    *sent.lock().unwrap() += bytes.len();
                }
            }
            Act::Reset => {}
        }
    }
    let _ = stream.shutdown().await;
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(Request { head, body: body.to_owned() });
        }
    }
}

/// A whole HTTP response.
pub(crate) fn http(status: u16, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The head of a response whose body ends with the connection.
pub(crate) fn open_ended(status: u16, kind: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n").into_bytes()
}

pub(crate) fn events(body: &[u8]) -> Vec<u8> {
    http(200, "text/event-stream", body)
}

pub(crate) fn json(status: u16, body: &Value) -> Vec<u8> {
    http(status, "application/json; charset=utf-8", body.to_string().as_bytes())
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
