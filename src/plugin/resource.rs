//! Grafana's HTTP-like calls to the plugin: what editors and variables need, and the door for finished runs.
//!
//! | call | what it gives | who may |
//! | --- | --- | --- |
//! | `GET variables/<name>` | values of a dashboard variable | anybody |
//! | `GET prompts` | prompt versions without their text | anybody |
//! | `GET prompts/<name@version>` | one version; its text too for Editor and Admin | anybody |
//! | `POST route/explain` | which prompt reads some logs, and why | anybody |
//! | `POST runs` | takes in a finished run | Editor, Admin |
//!
//! An answer is JSON; an error is `{"message": …}`. No body and no text of a prompt is ever logged.

mod prompts;
mod push;
mod route;
mod variables;

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
use tracing::Instrument;

use super::error::QueryError;
use super::request::{Role, trace_id};
use super::settings::{Instance, Instances};
use super::telemetry::Telemetry;

/// The Resource service.
pub(super) struct Resource {
    instances: Arc<Instances>,
    telemetry: Arc<Telemetry>,
}

/// One call.
struct Call {
    instance: Arc<Instance>,
    role: Role,
    body: Bytes,
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
        let call = Call { instance: self.instances.get(request.plugin_context), role, body: request.body };
        let (name, answering) = dispatch(&request.method, &request.path, call);
        let defect = |_| Err(Refusal::new(500, "a defect of the plugin was caught: its log says where"));
        let answered = AssertUnwindSafe(answering).catch_unwind().await.unwrap_or_else(defect);
        let (status, body) = answered.unwrap_or_else(|refusal| (refusal.status, json!({"message": refusal.message})));
        self.telemetry.called(name, status);
        tracing::debug!(resource = name, status, "resource answered");
        (status, body)
    }
}

/// The name under which a call is counted, and its answer in the making.
fn dispatch(method: &str, path: &str, call: Call) -> (&'static str, futures::future::BoxFuture<'static, Answer>) {
    let path = path.trim_matches('/').to_owned();
    let (first, rest) = path.split_once('/').unwrap_or((&path, ""));
    let rest = rest.to_owned();
    let (name, allowed) = match (first, rest.as_str()) {
        ("variables", _) => ("variables", "GET"),
        ("prompts", _) => ("prompts", "GET"),
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
        let span = tracing::info_span!("resource", trace_id = trace_id(request.metadata()));
        let (code, body) = self.answer(request.into_inner()).instrument(span).await;
        let json_type = StringList { values: vec!["application/json".to_owned()] };
        let headers = [("Content-Type".to_owned(), json_type)].into();
        let response = CallResourceResponse { code, headers, body: body.to_string().into() };
        Ok(Response::new(Box::pin(futures::stream::once(futures::future::ready(Ok(response))))))
    }
}
