//! Questions and housekeeping over HTTP.
//!
//! Answers are streamed, so that the first token can be timed and an abandoned question frees its slot. Whatever is
//! read is read up to a bound. Neither proxies nor redirects are followed: log text goes to the configured server or
//! nowhere. Plain HTTP only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::{Secret, plain_builder};
use crate::model::{Endpoint, Model, ModelError, Question, Reply};
use crate::telemetry::{self, meters};

use super::answer::Answer;
use super::error::{EndpointError, infra, of_status, transport};
use super::identity::Identity;
use super::stream::Events;
use super::wire::{AppliedTemplate, Chat, ChatRequest, InputTokens, Models, Props, Slot, TokenizeRequest, Tokens};

/// Most bytes that are read of any reply. A streamed token takes some 300.
const MAX_BODY: usize = 16 << 20;

/// Budget of a request that does not generate.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How long a connection may take to be accepted.
const CONNECT: Duration = Duration::from_secs(5);

/// Pause between two looks at a server that is not ready.
const POLL: Duration = Duration::from_millis(25);

/// What an answer in the making has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The prompt is being read; counts in tokens.
    Prompt {
        /// Read so far, cached ones included.
        processed: u32,
        /// Taken from the cache.
        cached: u32,
        /// The whole prompt.
        total: u32,
    },
    /// More text of the answer.
    Text(&'a str),
}

/// A llama-server at a URL. Cheap to clone; clones share their settings.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    endpoint: Arc<Endpoint>,
}

impl Client {
    /// A client for the server whose root is at `base_url`; nothing is sent yet.
    ///
    /// # Errors
    /// For an address that is not `http://HOST…`, carries credentials, or a key that no header can carry.
    pub fn new(base_url: &str, api_key: Option<&Secret>) -> Result<Self, EndpointError> {
        let url = check_url(base_url)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = api_key {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| EndpointError::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = plain_builder()
            .gzip(false)
            .default_headers(headers)
            .connect_timeout(CONNECT)
            // llama-server 0.7.0 closed the connection under 6 of 300 requests that came on one used before, and a
            // question that may have arrived is not sent twice. A new connection costs a round trip.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| EndpointError::Setup(error.to_string()))?;
        let endpoint = Arc::new(endpoint(&url));
        Ok(Self { http, url, endpoint })
    }

    /// The same client, under the name that telemetry knows its model by; `config_sha256` is a hash over everything that
    /// is known of the model.
    pub fn named(self, model: &str, config_sha256: Option<String>) -> Self {
        let endpoint = Endpoint { model: model.to_owned(), config_sha256, ..(*self.endpoint).clone() };
        Self { endpoint: Arc::new(endpoint), ..self }
    }

    /// The server's root, without credentials and without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks like [`Model::ask`] and reports what happens meanwhile. Dropping the future ends the question.
    ///
    /// # Errors
    /// As [`Model::ask`].
    pub async fn ask_with(
        &self,
        question: &Question,
        on_progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Reply, ModelError> {
        self.ask_within(&ChatRequest::new(question, true), question.timeout, on_progress).await
    }

    async fn ask_within(
        &self,
        request: &ChatRequest<'_>,
        budget: Duration,
        on_progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Reply, ModelError> {
        let (asked, late) = (Instant::now(), |_| ModelError::Timeout { url: self.url.clone(), budget });
        let reply = tokio::time::timeout(budget, self.stream(request, on_progress)).await.map_err(late);
        let reply = reply.and_then(|reply| reply);
        meters().inference(&self.endpoint.model, &reply, asked.elapsed());
        reply
    }

    async fn stream(
        &self,
        request: &ChatRequest<'_>,
        on_progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Reply, ModelError> {
        let mut answer = Answer::new(Instant::now());
        let mut response = self.send(self.http.post(self.at("/v1/chat/completions")).json(request)).await?;
        self.expect_events(&response)?;
        let (mut events, mut received) = (Events::default(), 0);
        while !answer.is_done() {
            let Some(piece) = response.chunk().await.map_err(|error| transport(&self.url, error))? else { break };
            received += piece.len();
            self.check_size(received)?;
            for event in events.push(&piece).map_err(|error| infra(&self.url, error.to_string()))? {
                answer.take(&self.url, &event, on_progress)?;
            }
        }
        answer.finish(&self.url)
    }

    /// Tokens of a chat, counted by way of the template: for servers that cannot count a chat directly.
    ///
    /// # Errors
    /// As [`Model::ask`].
    pub async fn count_tokens_by_template(&self, system: &str, user: &str) -> Result<u32, ModelError> {
        let applied: AppliedTemplate = self.post("/apply-template", &Chat::new(system, user)).await?;
        let tokens = self.tokenize(&applied.prompt, true, true).await?;
        u32::try_from(tokens.len()).map_err(|_| infra(&self.url, "more tokens than a u32 can count"))
    }

    async fn tokenize(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<u32>, ModelError> {
        let request = TokenizeRequest { content: text, add_special, parse_special };
        let tokens: Tokens = self.post("/tokenize", &request).await?;
        Ok(tokens.tokens)
    }

    /// Whether some part of `text` would enter a prompt as a control token (such as `<|im_end|>`) instead of as text.
    ///
    /// # Errors
    /// As [`Model::ask`].
    pub async fn has_special_tokens(&self, text: &str) -> Result<bool, ModelError> {
        let (parsed, plain) = tokio::try_join!(self.tokenize(text, false, true), self.tokenize(text, false, false))?;
        Ok(parsed != plain)
    }

    /// What the server says that it is: build, model, context.
    ///
    /// # Errors
    /// As [`Model::ask`].
    pub async fn identify(&self) -> Result<Identity, ModelError> {
        let (props, models) = tokio::try_join!(self.get::<Props>("/props"), self.get::<Models>("/v1/models"))?;
        let entry = models.data.into_iter().next().ok_or_else(|| infra(&self.url, "the server lists no model"))?;
        Ok(Identity::new(props, entry.meta))
    }

    /// Number of slots that are busy.
    ///
    /// # Errors
    /// As [`Model::ask`]; refused if the server was started with `--no-slots`.
    pub async fn busy_slots(&self) -> Result<usize, ModelError> {
        let slots: Vec<Slot> = self.get("/slots").await?;
        Ok(slots.iter().filter(|slot| slot.is_processing).count())
    }

    /// The server's counters and gauges by name, without the prefix `llamacpp:`.
    ///
    /// # Errors
    /// As [`Model::ask`]; refused if the server was started without `--metrics`.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>, ModelError> {
        let body = self.body(self.http.get(self.at("/metrics"))).await?;
        let text = str::from_utf8(&body).map_err(|_| infra(&self.url, "the metrics are not UTF-8"))?;
        let sample = |line: &str| {
            let (name, value) = line.strip_prefix("llamacpp:")?.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(sample).collect())
    }

    /// Waits until the server has loaded its model, `within` at most.
    ///
    /// # Errors
    /// The last failure when the time is up; at once if the server refuses the question.
    pub async fn ready(&self, within: Duration) -> Result<(), ModelError> {
        let mut failure = ModelError::Timeout { url: self.url.clone(), budget: within };
        let wait = async {
            loop {
                match self.healthy().await {
                    Err(error @ (ModelError::Infra { .. } | ModelError::Timeout { .. })) => failure = error,
                    settled => return settled,
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let settled = tokio::time::timeout(within, wait).await;
        settled.unwrap_or(Err(failure))
    }

    /// Whether the server is there and has loaded its model.
    pub(super) async fn healthy(&self) -> Result<(), ModelError> {
        self.body(self.http.get(self.at("/health"))).await.map(|_| ())
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ModelError> {
        self.decode(path, &self.body(self.http.get(self.at(path))).await?)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ModelError> {
        self.decode(path, &self.body(self.http.post(self.at(path)).json(body)).await?)
    }

    fn decode<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, ModelError> {
        serde_json::from_slice(body).map_err(|error| infra(&self.url, format!("{path} cannot be read: {error}")))
    }

    async fn body(&self, request: RequestBuilder) -> Result<Vec<u8>, ModelError> {
        let late = |_| ModelError::Timeout { url: self.url.clone(), budget: HOUSEKEEPING };
        let whole = async { self.read(self.send(request).await?).await };
        tokio::time::timeout(HOUSEKEEPING, whole).await.map_err(late)?
    }

    /// Sends a request; anything but 200 is an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ModelError> {
        let request = request.build().map_err(|error| transport(&self.url, error))?;
        let response = telemetry::send(&self.http, request).await.map_err(|error| transport(&self.url, error))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        Err(of_status(&self.url, status, &self.read(response).await?))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ModelError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| transport(&self.url, error))? {
            self.check_size(body.len() + piece.len())?;
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn check_size(&self, bytes: usize) -> Result<(), ModelError> {
        match bytes {
            0..=MAX_BODY => Ok(()),
            _ => Err(infra(&self.url, format!("a reply longer than {MAX_BODY} bytes"))),
        }
    }

    fn expect_events(&self, response: &Response) -> Result<(), ModelError> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
        match kind.starts_with("text/event-stream") {
            true => Ok(()),
            false => Err(infra(&self.url, format!("expected an event stream, got `{kind}`"))),
        }
    }
}

impl Model for Client {
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError> {
        self.ask_within(&ChatRequest::new(question, false), question.timeout, &mut |_| ()).await
    }

    async fn count_tokens(&self, system: &str, user: &str) -> Result<u32, ModelError> {
        match self.post::<InputTokens>("/v1/chat/completions/input_tokens", &Chat::new(system, user)).await {
            Ok(count) => Ok(count.input_tokens),
            Err(ModelError::Refused { status: 404 | 501, .. }) => self.count_tokens_by_template(system, user).await,
            Err(error) => Err(error),
        }
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }
}

fn endpoint(url: &str) -> Endpoint {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
    Endpoint { address: host, port: url.and_then(|url| url.port_or_known_default()), ..Endpoint::default() }
}

fn check_url(given: &str) -> Result<String, EndpointError> {
    let wrong = |url: &str, reason: &str| EndpointError::Url { url: url.to_owned(), reason: reason.to_owned() };
    let shown = if given.contains('@') { "(with credentials)" } else { given };
    let url = Url::parse(given).map_err(|error| wrong(shown, &format!("{error}: expected http://HOST:PORT")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(shown, "credentials belong into the api key"));
    }
    if url.scheme() != "http" {
        return Err(wrong(given, "this build speaks plain http only: put a TLS proxy or tunnel on this host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(given, "give the root of the server, without `?` or `#`"));
    }
    let root = url.as_str().trim_end_matches('/');
    if root.ends_with("/v1") {
        return Err(wrong(given, "give the root of the server, without /v1"));
    }
    Ok(root.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_root_of_a_plain_http_server() {
        assert_eq!(check_url("http://127.0.0.1:8080/").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(check_url("http://proxy/llm/").unwrap(), "http://proxy/llm");
        for (url, hint) in [
            ("127.0.0.1:8080", "expected http://"),
            ("https://a", "plain http only"),
            ("http://a/v1", "without /v1"),
            ("http://a/?x=1", "without `?`"),
        ] {
            let error = check_url(url).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn credentials_are_neither_accepted_nor_repeated() {
        let error = check_url("http://me:hunter2@host/").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("api key"), "{error}");
        let key = Secret::new("bad\nkey");
        assert_eq!(Client::new("http://a", Some(&key)).unwrap_err(), EndpointError::Key);
        let client = Client::new("http://a", Some(&Secret::new("hunter2"))).unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
    }
}
