//! Grafana's HTTP-like calls to the plugin: what editors and variables need, and the door for finished runs.
//!
//! | call | what it gives | who may |
//! | --- | --- | --- |
//! | `GET variables/<name>` | values of a dashboard variable | anybody |
//! | `GET prompts` | prompt versions without their text | anybody |
//! | `GET prompts/<name@version>` | one version; its text too for Editor and Admin | anybody |
//! | `GET models` | the models that can be asked, and whether they are loaded | anybody |
//! | `GET questions` | the standing questions | anybody |
//! | `GET labels`, `GET labels/<name>/values` | names and values of Loki's labels | anybody |
//! | `GET guard?expr=…&from=…&to=…` | what a query would cost and what the guard says | anybody |
//! | `POST route/explain` | which prompt reads some logs, and why | anybody |
//! | `POST runs` | takes in a finished run | Editor, Admin |
//! | `GET metrics` | what the plugin counts, as OpenMetrics text | anybody |
//!
//! Times are in milliseconds since the Unix epoch; without any, the last hour is meant. An answer is JSON, but for metrics; an error is `{"message": …}`. No body and no text of a prompt is ever logged.

mod logs;
mod models;
mod prompts;
mod push;
mod questions;
mod route;
mod variables;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::Ready;
use futures::stream::Once;
use grafana_plugin_sdk::pluginv2::{self, CallResourceRequest, CallResourceResponse, StringList};
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::error::{QueryError, one_line};
use super::instance::{Instance, Instances};
use super::request::{Headers, NS_PER_MS, Role, last_hour};
use super::telemetry::Telemetry;
use super::trace;
use crate::loki::{self, LokiError};
use crate::stream::TimeRange;

/// The type of OpenMetrics text. Grafana hands it on, so that a scraper knows that it may find exemplars.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The Resource service.
pub(super) struct Resource {
    instances: Arc<Instances>,
    telemetry: Arc<Telemetry>,
}

/// One call.
struct Call {
    instance: Arc<Instance>,
    role: Role,
    headers: Headers,
    params: BTreeMap<String, String>,
    body: Bytes,
}

impl Call {
    /// A parameter of the address; `None` if it is not given or empty.
    fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The time range of `from` and `to`.
    fn range(&self) -> Result<TimeRange, Refusal> {
        let (Some(from), Some(to)) = (self.param("from"), self.param("to")) else { return Ok(last_hour()) };
        let ns = |text: &str| text.parse::<i64>().ok()?.checked_mul(NS_PER_MS);
        match (ns(from), ns(to)) {
            (Some(start), Some(end)) if start < end => Ok(TimeRange { start, end }),
            _ => Err(Refusal::new(400, "`from` and `to`: give milliseconds since 1970, `from` before `to`")),
        }
    }

    /// Loki, in the name of the user where that is how it is asked.
    fn loki(&self) -> Result<loki::Client, Refusal> {
        let client = self.instance.loki()?;
        let client = client.ok_or_else(|| Refusal::new(404, "Loki is not set up: give its URL in the settings"))?;
        if !self.instance.forwards_identity() {
            return Ok(client);
        }
        client.on_behalf(self.headers.iter()).map_err(|error| Refusal::new(400, error.to_string()))
    }
}

/// Why a call has no answer.
struct Refusal {
    status: i32,
    message: String,
}

impl Refusal {
    fn new(status: i32, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl From<LokiError> for Refusal {
    fn from(error: LokiError) -> Self {
        Self { status: error.status(), message: one_line(&error) }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self { status: error.status(), message: error.to_string() }
    }
}

type Answer = Result<(i32, Value), Refusal>;

impl Resource {
    pub(super) fn new(instances: Arc<Instances>, telemetry: Arc<Telemetry>) -> Self {
        Self { instances, telemetry }
    }

    async fn answer(&self, request: CallResourceRequest) -> (i32, Value) {
        let role = Role::of(request.plugin_context.as_ref());
        let headers: Vec<_> =
            request.headers.iter().filter_map(|(name, values)| Some((name, values.values.first()?))).collect();
        let call = Call {
            headers: Headers::new(headers),
            params: params(&request.url),
            instance: self.instances.get(request.plugin_context),
            role,
            body: request.body,
        };
        let (name, answering) = dispatch(&request.method, &request.path, call);
        let defect = |_| Err(Refusal::new(500, "a defect of the plugin was caught: its log says where"));
        let answered = AssertUnwindSafe(answering).catch_unwind().await.unwrap_or_else(defect);
        let (status, body) = answered.unwrap_or_else(|refusal| (refusal.status, json!({"message": refusal.message})));
        self.telemetry.called(name, status);
        tracing::debug!(resource = name, status, "resource answered");
        (status, body)
    }
}

fn is_scrape(request: &CallResourceRequest) -> bool {
    request.path.trim_matches('/') == "metrics" && request.method.eq_ignore_ascii_case("GET")
}

/// The parameters of an address; of one that is given twice the last.
fn params(url: &str) -> BTreeMap<String, String> {
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let parsed = reqwest::Url::parse(&format!("http://plugin/?{query}"));
    parsed.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

/// The name under which a call is counted, and its answer in the making.
fn dispatch(method: &str, path: &str, call: Call) -> (&'static str, futures::future::BoxFuture<'static, Answer>) {
    let path = path.trim_matches('/').to_owned();
    let (first, rest) = path.split_once('/').unwrap_or((&path, ""));
    let rest = rest.to_owned();
    let (name, allowed) = match (first, rest.as_str()) {
        ("variables", _) => ("variables", "GET"),
        ("prompts", _) => ("prompts", "GET"),
        ("models", "") => ("models", "GET"),
        ("questions", "") => ("questions", "GET"),
        ("labels", _) => ("labels", "GET"),
        ("series", "") => ("series", "GET"),
        ("patterns", "") => ("patterns", "GET"),
        ("guard", "") => ("guard", "GET"),
        ("route", "explain") => ("route_explain", "POST"),
        ("runs", "") => ("runs", "POST"),
        _ => {
            let message = format!("no resource `{}`", crate::problem::excerpt(&path));
            return ("unknown", Box::pin(async { Err(Refusal::new(404, message)) }));
        }
    };
    if !method.eq_ignore_ascii_case(allowed) {
        let message = format!("`{first}` is asked for with {allowed}");
        return (name, Box::pin(async { Err(Refusal::new(405, message)) }));
    }
    match name {
        "variables" => (name, Box::pin(async move { variables::answer(&call, &rest).await })),
        "prompts" => (name, Box::pin(async move { prompts::answer(&call, &rest).await })),
        "models" => (name, Box::pin(models::answer(call))),
        "questions" => (name, Box::pin(questions::answer(call))),
        "labels" => (name, Box::pin(async move { logs::labels(&call, &rest).await })),
        "series" => (name, Box::pin(logs::series(call))),
        "patterns" => (name, Box::pin(logs::patterns(call))),
        "guard" => (name, Box::pin(logs::guard(call))),
        "route_explain" => (name, Box::pin(route::answer(call))),
        _ => (name, Box::pin(push::answer(call))),
    }
}

#[tonic::async_trait]
impl pluginv2::resource_server::Resource for Resource {
    type CallResourceStream = Pin<Box<Once<Ready<Result<CallResourceResponse, Status>>>>>;

    async fn call_resource(
        &self,
        request: Request<CallResourceRequest>,
    ) -> Result<Response<Self::CallResourceStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (code, kind, body) = if is_scrape(&request) {
            // Several times a minute: nobody would look for its trace.
            self.telemetry.called("metrics", 200);
            (200, OPENMETRICS, self.telemetry.text())
        } else {
            let span = || trace::call("pluginv2.Resource/CallResource");
            let (code, body) = trace::within(&metadata, span, self.answer(request)).await;
            (code, "application/json", body.to_string())
        };
        let headers = [("Content-Type".to_owned(), StringList { values: vec![kind.to_owned()] })].into();
        let response = CallResourceResponse { code, headers, body: body.into() };
        Ok(Response::new(Box::pin(futures::stream::once(futures::future::ready(Ok(response))))))
    }
}
