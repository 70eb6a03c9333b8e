//! Questions over HTTP: one request each, bounded in time and bytes. Dropping a question closes its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode, Url};

use crate::http::Secret;
use crate::stream::{Labels, TimeRange};
use crate::telemetry;

use super::answer::{Pattern, Series};
use super::error::{LokiError, SettingsError};
use super::refusal::{Asked, Rejection};
use super::settings::{Settings, header_value};
use super::wire::{self, Misread};

/// How long a connection may take to be accepted.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// Longest address of a request; a longer question goes into a form.
const MAX_URL: usize = 4096;

/// Most bytes that are read of an explanation, and most that an answer gets room for before they are there.
const MAX_EXPLANATION: usize = 64 << 10;
const MAX_ROOM: u64 = 4 << 20;

/// The only headers of a user that are passed on.
const FORWARDED: [&str; 7] =
    ["authorization", "cookie", "traceparent", "tracestate", "x-grafana-user", "x-id-token", "x-grafana-id"];

/// Tells Loki to keep structured metadata and parsed labels out of the labels of the stream.
const CATEGORIZE: (&str, &str) = ("x-loki-response-encoding-flags", "categorize-labels");

/// A Loki at a URL. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    forwarded: HeaderMap,
    forwarded_secrets: Vec<Secret>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    url: String,
    asked: String,
    settings: Settings,
    page: AtomicU32,
    secrets: Vec<Secret>,
}

/// A question: its path and its parameters.
#[derive(Debug)]
pub(super) struct Request<'a> {
    path: String,
    query: Option<&'a str>,
    params: Vec<(&'static str, String)>,
}

impl<'a> Request<'a> {
    pub(super) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), query: None, params: Vec::new() }
    }

    pub(super) fn query(mut self, query: &'a str) -> Self {
        self.query = Some(query);
        self.with("query", query)
    }

    pub(super) fn range(self, range: TimeRange) -> Self {
        self.with("start", range.start.to_string()).with("end", range.end.to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.params.push((name, value.into()));
        self
    }
}

impl Client {
    /// A client for the Loki of these settings; nothing is sent yet.
    ///
    /// # Errors
    /// For an address, a header or a certificate that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let url = settings.root()?;
        let http = settings.http(&url)?.connect_timeout(CONNECT).build();
        let shared = Shared {
            http: http.map_err(|error| SettingsError::Setup(error.without_url().to_string()))?,
            asked: settings.asked(&url)?,
            url,
            settings: settings.clone(),
            page: AtomicU32::new(settings.page.max(1)),
            secrets: settings.secrets(),
        };
        Ok(Self { shared: Arc::new(shared), forwarded: HeaderMap::new(), forwarded_secrets: Vec::new() })
    }

    /// The same Loki, asked in the name of a user: passes on those of `headers` that tell who that is (credentials,
    /// cookies, Grafana's identity, trace context), in place of the client's own, and no others.
    ///
    /// # Errors
    /// For a value that no header can carry.
    pub fn on_behalf<'h>(&self, headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Result<Self, SettingsError> {
        let mut client = self.clone();
        for (name, value) in headers {
            let Some(name) = FORWARDED.into_iter().find(|known| name.eq_ignore_ascii_case(known)) else { continue };
            client.forwarded.insert(HeaderName::from_static(name), header_value(name, value)?);
            if !name.starts_with("trace") {
                client.forwarded_secrets.push(Secret::new(value));
            }
        }
        Ok(client)
    }

    /// The server's root, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// The series of a metric query over a time range, a sample every `step`.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn matrix(&self, query: &str, range: TimeRange, step: Duration) -> Result<Vec<Series>, LokiError> {
        let request = Request::new("/loki/api/v1/query_range")
            .query(query)
            .range(range)
            .with("step", format!("{}ms", step.as_millis().max(1)));
        self.ask(request, |body| wire::series(body, range.end)).await
    }

    /// The value of a metric query at one instant, in nanoseconds since the Unix epoch: series of one sample each.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn instant_query(&self, query: &str, at: i64) -> Result<Vec<Series>, LokiError> {
        let request = Request::new("/loki/api/v1/query").query(query).with("time", at.to_string());
        self.ask(request, |body| wire::series(body, at)).await
    }

    /// The names of the labels, of all streams or of those that match a selector.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn labels(&self, range: TimeRange, selector: Option<&str>) -> Result<Vec<String>, LokiError> {
        let request = Request::new("/loki/api/v1/labels").range(range);
        self.ask(selected(request, selector), wire::names).await
    }

    /// The values of a label, of all streams or of those that match a selector. An unknown label has none.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn label_values(
        &self,
        label: &str,
        range: TimeRange,
        selector: Option<&str>,
    ) -> Result<Vec<String>, LokiError> {
        if label.trim_matches('.').is_empty() {
            // Whatever the escapes, a URL takes it for a way up in the path. No label is called so.
            return Ok(Vec::new());
        }
        let request = Request::new(format!("/loki/api/v1/label/{}/values", path_segment(label))).range(range);
        self.ask(selected(request, selector), wire::names).await
    }

    /// The label sets of the streams that match any of the selectors.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn series(&self, selectors: &[&str], range: TimeRange) -> Result<Vec<Labels>, LokiError> {
        let mut request = Request::new("/loki/api/v1/series").range(range);
        for selector in selectors {
            request = request.with("match[]", *selector);
        }
        self.ask(request, wire::label_sets).await
    }

    /// The patterns that Loki found in the lines of the streams that match a selector; `None` if this Loki looks for
    /// none (`pattern_ingester` is off, or it is older than 3.0).
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn patterns(
        &self,
        selector: &str,
        range: TimeRange,
        step: Duration,
    ) -> Result<Option<Vec<Pattern>>, LokiError> {
        let step = format!("{}s", step.as_secs().max(1));
        let request = Request::new("/loki/api/v1/patterns").query(selector).range(range).with("step", step);
        match self.ask(request, wire::patterns).await {
            Ok(patterns) => Ok(Some(patterns)),
            Err(LokiError::Refused { status: 404 | 501, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The version that Loki says it is; empty for a build without one. The cheapest way to see that it answers.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn version(&self) -> Result<String, LokiError> {
        let info: wire::BuildInfo = self.ask(Request::new("/loki/api/v1/status/buildinfo"), wire::object).await?;
        Ok(info.version)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.shared.settings.max_bytes
    }

    pub(super) fn timeout(&self) -> Duration {
        self.shared.settings.timeout
    }

    pub(super) fn forwarded(&self) -> &HeaderMap {
        &self.forwarded
    }

    /// Most entries to ask for at once, as far as is known.
    pub(super) fn page_size(&self) -> u32 {
        self.shared.page.load(Ordering::Relaxed)
    }

    pub(super) fn lower_page_size(&self, limit: u32) {
        self.shared.page.fetch_min(limit.max(1), Ordering::Relaxed);
    }

    /// Asks and reads the answer.
    pub(super) async fn ask<T, E: Into<Misread>>(
        &self,
        request: Request<'_>,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, LokiError> {
        let asked = Asked { url: &self.shared.url, query: request.query.unwrap_or(&request.path) };
        let late = |_| asked.late(Some(self.timeout()));
        let whole = self.body(&asked, &request);
        let body = tokio::time::timeout(self.timeout(), whole).await.map_err(late)??;
        read(&body).map_err(|misread| match misread.into() {
            Misread::Odd(reason) => asked.not_loki(self.without_secrets(&reason)),
            Misread::Kind(given) => asked.other_kind(&given),
        })
    }

    async fn body(&self, asked: &Asked<'_>, request: &Request<'_>) -> Result<Vec<u8>, LokiError> {
        let request = self.request(asked, request)?.headers(self.forwarded.clone());
        let request = request.build().map_err(|error| asked.transport(error))?;
        let sent = telemetry::send(&self.shared.http, request).await;
        let mut response = sent.map_err(|error| asked.transport(error))?;
        if response.status() != StatusCode::OK {
            return Err(refused(self, asked, response).await);
        }
        if is_html(&response) {
            return Err(asked.not_loki("it sends a web page, often that of a login in front of Loki"));
        }
        let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(MAX_ROOM) as usize);
        while let Some(piece) = response.chunk().await.map_err(|error| asked.transport(error))? {
            if body.len() + piece.len() > self.max_bytes() {
                return Err(asked.too_large(self.max_bytes()));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The address of a question, with its parameters.
    pub(super) fn address(&self, request: &Request<'_>, asked: &Asked<'_>) -> Result<Url, LokiError> {
        let address = format!("{}{}", self.shared.asked, request.path);
        let mut url = Url::parse(&address).map_err(|error| asked.not_loki(error.to_string()))?;
        if !request.params.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.params);
        }
        Ok(url)
    }

    fn request(&self, asked: &Asked<'_>, request: &Request<'_>) -> Result<RequestBuilder, LokiError> {
        let url = self.address(request, asked)?;
        let mut bare = url.clone();
        bare.set_query(None);
        let http = &self.shared.http;
        let is_query = request.path.starts_with("/loki/api/v1/query");
        let builder = match url.query() {
            Some(form) if is_query && url.as_str().len() > MAX_URL => {
                http.post(bare).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned())
            }
            _ => http.get(url),
        };
        Ok(if is_query { builder.header(CATEGORIZE.0, CATEGORIZE.1) } else { builder })
    }

    /// What a gateway echoes must not bring a credential into a message.
    fn without_secrets(&self, text: &str) -> String {
        let secrets = self.shared.secrets.iter().chain(&self.forwarded_secrets).map(Secret::expose);
        secrets.filter(|secret| !secret.is_empty()).fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

fn selected<'a>(request: Request<'a>, selector: Option<&'a str>) -> Request<'a> {
    match selector {
        Some(selector) => request.query(selector),
        None => request,
    }
}

/// A label's name as a part of a path.
fn path_segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(escape).collect()
}

/// What an answer that is not the one hoped for says.
pub(super) async fn refused(client: &Client, asked: &Asked<'_>, mut response: Response) -> LokiError {
    let (status, is_html) = (response.status().as_u16(), is_html(&response));
    let text = client.without_secrets(&explanation(&mut response).await);
    let retry_after = header(&response, RETRY_AFTER);
    asked.rejected(&Rejection { status, is_html, retry_after, text: &text })
}

pub(super) fn is_html(response: &Response) -> bool {
    header(response, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"))
}

fn header(response: &Response, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// The body of an answer that is not the one hoped for, as far as it can be read.
async fn explanation(response: &mut Response) -> String {
    let mut body = Vec::new();
    while let (Ok(Some(piece)), true) = (response.chunk().await, body.len() < MAX_EXPLANATION) {
        body.extend_from_slice(&piece);
    }
    body.truncate(MAX_EXPLANATION);
    String::from_utf8_lossy(&body).into_owned()
}
