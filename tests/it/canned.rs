//! A TCP server that answers with prepared bytes, faults included.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
    /// Waits until the client goes away.
    AwaitClose,
    /// Closes without having read what was sent, which resets the connection. Only as the first act.
    Reset,
}

/// What a client sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Path and query, as they came.
    pub(crate) target: String,
    /// The whole head, as it came.
    pub(crate) raw: String,
    /// The same in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Answers the n-th connection with the n-th script and closes it; the last script is used again.
pub(crate) struct Canned {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    sent: Arc<Mutex<usize>>,
    left: Arc<AtomicUsize>,
}

impl Canned {
    pub(crate) async fn serve(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, sent, left) = (Arc::default(), Arc::default(), Arc::default());
        let served = Self { url, requests: Arc::clone(&requests), sent: Arc::clone(&sent), left: Arc::clone(&left) };
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let script = scripts[connection.min(scripts.len() - 1)].clone();
                tokio::spawn(play(stream, script, Arc::clone(&requests), Arc::clone(&sent), Arc::clone(&left)));
            }
        });
        served
    }

    /// A server that makes its response of the request.
    pub(crate) async fn speaking(respond: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let served = Self { url, requests: Arc::clone(&requests), sent: Arc::default(), left: Arc::default() };
        let respond = Arc::new(respond);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (respond, requests) = (Arc::clone(&respond), Arc::clone(&requests));
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    let response = respond(&request);
                    requests.lock().unwrap().push(request);
                    let _ = stream.write_all(&response).await;
                });
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

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Clients that went away while they were waited for.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    /// Bytes that clients took.
    pub(crate) fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }
}

async fn play(
    mut stream: TcpStream,
    script: Vec<Act>,
    requests: Arc<Mutex<Vec<Request>>>,
    sent: Arc<Mutex<usize>>,
    left: Arc<AtomicUsize>,
) {
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
            Act::AwaitClose => {
                let _ = stream.read(&mut [0]).await;
                left.fetch_add(1, Ordering::SeqCst);
            }
            Act::Reset => {}
        }
    }
    let _ = stream.shutdown().await;
}

pub(crate) async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let (raw, head) = (head.to_owned(), head.to_ascii_lowercase());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
            return Some(Request { target, raw, head, body: body.to_owned() });
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

pub(crate) fn json(status: u16, body: &Value) -> Vec<u8> {
    http(status, "application/json; charset=utf-8", body.to_string().as_bytes())
}
