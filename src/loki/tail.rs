//! Following a log query: entries as Loki takes them in, over a WebSocket.
//!
//! The handshake is an ordinary request, with the headers, credentials and certificates of every other. Loki pushes no
//! faster than it is read, and says how much it dropped; a message is read up to a bound. A connection that is lost is
//! made again after a pause, from the instant after the last entry; Loki closes every one of them after an hour.

use std::time::Duration;

use futures::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::client::{CONNECT, Client, Request, is_html, refused};
use super::error::{LokiError, SettingsError};
use super::refusal::Asked;
use super::wire;
use crate::stream::Window;

const PATH: &str = "/loki/api/v1/tail";

/// Pauses before a connection is made again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Silence after which a connection is taken for lost: Loki sends a ping every few seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Most entries of one message.
const LIMIT: u32 = 1000;

/// Entries that have just come in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tailed {
    /// The entries, oldest first.
    pub window: Window,
    /// Entries that Loki left out because they were not taken fast enough.
    pub dropped: usize,
}

/// A query that is followed.
#[derive(Debug)]
pub struct Tail {
    client: Client,
    http: reqwest::Client,
    query: String,
    /// Where a connection that is made again begins, in nanoseconds since the Unix epoch.
    from: i64,
    socket: Option<WebSocketStream<reqwest::Upgraded>>,
    pause: Duration,
}

impl Client {
    /// Follows a log query from an instant on, in nanoseconds since the Unix epoch. Nothing is sent yet.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn tail(&self, query: impl Into<String>, from: i64) -> Result<Tail, SettingsError> {
        // A WebSocket begins in HTTP/1.1; over TLS a client that also speaks HTTP/2 would be given that.
        let builder = self.settings().http(self.url())?.connect_timeout(CONNECT).http1_only();
        let http = builder.build().map_err(|error| SettingsError::Setup(error.without_url().to_string()))?;
        Ok(Tail { client: self.clone(), http, query: query.into(), from, socket: None, pause: PAUSES.0 })
    }
}

impl Tail {
    /// The next entries. Waits for them as long as it takes, over lost connections and a Loki that is away.
    ///
    /// # Errors
    /// What will not pass by itself: a query that Loki does not take, credentials that it does not accept.
    pub async fn next(&mut self) -> Result<Tailed, LokiError> {
        loop {
            let lost = match self.message().await {
                Ok(Some(tailed)) => {
                    self.pause = PAUSES.0;
                    return Ok(tailed);
                }
                Ok(None) => None,
                Err(error) if error.is_temporary() => Some(error),
                Err(error) => return Err(error),
            };
            self.socket = None;
            if let Some(error) = lost {
                tracing::debug!(%error, "the tail is lost, and is taken up again");
            }
            tokio::time::sleep(self.pause).await;
            self.pause = (2 * self.pause).min(PAUSES.1);
        }
    }

    /// The next message with entries; `None` if the connection has ended.
    async fn message(&mut self) -> Result<Option<Tailed>, LokiError> {
        if self.socket.is_none() {
            self.socket = Some(self.connect().await?);
        }
        while let Some(socket) = self.socket.as_mut() {
            let Ok(message) = tokio::time::timeout(SILENCE, socket.next()).await else { return Ok(None) };
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                // A ping is answered by the socket itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
            };
            let (page, dropped) =
                wire::tailed(text.as_bytes()).map_err(|misread| self.asked().not_loki(misread.to_string()))?;
            let window = page.into_logs(true).window;
            let newest = window.entries.iter().map(|entry| entry.ts).max();
            self.from = newest.map_or(self.from, |newest| self.from.max(newest.saturating_add(1)));
            if newest.is_some() || dropped > 0 {
                return Ok(Some(Tailed { window, dropped }));
            }
        }
        Ok(None)
    }

    async fn connect(&self) -> Result<WebSocketStream<reqwest::Upgraded>, LokiError> {
        let key = generate_key();
        let request = Request::new(PATH).query(&self.query).with("start", self.from.to_string());
        let url = self.client.address(&request.with("limit", LIMIT.to_string()), &self.asked())?;
        let request = self
            .http
            .get(url)
            .headers(self.client.forwarded().clone())
            .header(CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
            .header(SEC_WEBSOCKET_KEY, &key);
        let budget = self.client.timeout();
        let sent = tokio::time::timeout(budget, request.send()).await;
        let response = sent.map_err(|_| self.asked().late(Some(budget)))?.map_err(|e| self.asked().transport(e))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let is_answer = response.status().is_success() || is_html(&response);
            let error = refused(&self.client, &self.asked(), response).await;
            return Err(if is_answer { self.asked().not_loki("it opens no WebSocket") } else { error });
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(self.asked().not_loki("it opens another WebSocket than was asked for"));
        }
        let upgraded = response.upgrade().await.map_err(|error| self.asked().transport(error))?;
        let most = self.client.max_bytes();
        let config = WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most));
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }

    fn asked(&self) -> Asked<'_> {
        Asked { url: self.client.url(), query: &self.query }
    }
}
