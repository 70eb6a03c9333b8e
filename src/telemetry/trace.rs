//! Traces across processes: Grafana's goes on in ours, ours in Loki and llama-server.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Request, Response};
use tracing::{Instrument, Span, field};

use crate::semconv::{
    ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, SERVER_ADDRESS, SERVER_PORT, URL_TEMPLATE,
};

/// The id of the trace that is being recorded here, if one is: 32 hexadecimal digits.
pub fn trace_id() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        span.is_recording().then(|| span.span_context().trace_id().to_string())
    })
}

/// The span that is being recorded here, if one is, as a place to which something may be added when it is long over:
/// an event that is told with it attached stands there.
pub fn here() -> Option<Context> {
    Context::map_current(|context| {
        let span = context.span();
        span.is_recording().then(|| Context::new().with_remote_span_context(span.span_context().clone()))
    })
}

/// The trace that a caller is in, from its W3C headers; an empty context if it says nothing sound. Work that is polled
/// with it (`opentelemetry::context::FutureExt`) belongs to that trace.
pub fn remote(traceparent: Option<&str>, tracestate: Option<&str>) -> Context {
    let headers = Headers { traceparent, tracestate };
    TraceContextPropagator::new().extract_with_context(&Context::new(), &headers)
}

/// Sends a request within a span of its own, where there is a trace, and hands the trace on.
pub(crate) async fn send(http: &Client, mut request: Request) -> Result<Response, reqwest::Error> {
    let span = span_of(&request);
    let sent = async {
        hand_on(request.headers_mut());
        http.execute(request).await
    };
    let response = sent.instrument(span.clone()).await;
    match &response {
        Ok(response) => {
            let status = response.status().as_u16();
            span.record(HTTP_RESPONSE_STATUS_CODE, status);
            if status >= 400 {
                failed(&span, &status.to_string());
            }
        }
        Err(_) => failed(&span, "transport"),
    }
    response
}

/// The work of a span failed. The span must have been made with both fields.
pub(crate) fn failed(span: &Span, error_type: &str) {
    span.record("otel.status_code", "ERROR").record(ERROR_TYPE, error_type);
}

/// A span for a request; none outside of a trace, where nobody would look for it.
fn span_of(request: &Request) -> Span {
    if !Context::map_current(Context::has_active_span) {
        return Span::none();
    }
    let (method, url) = (request.method().as_str(), request.url());
    let path = template(url.path());
    tracing::info_span!(
        "http",
        otel.name = format!("{method} {path}"),
        otel.kind = "client",
        otel.status_code = field::Empty,
        { HTTP_REQUEST_METHOD } = method,
        { HTTP_RESPONSE_STATUS_CODE } = field::Empty,
        { URL_TEMPLATE } = path,
        { SERVER_ADDRESS } = url.host_str(),
        { SERVER_PORT } = url.port_or_known_default(),
        { ERROR_TYPE } = field::Empty,
    )
}

/// A path without the one thing that varies in those that are asked for: the name in `…/label/NAME/values`.
fn template(path: &str) -> String {
    match path.rsplit_once("/label/") {
        Some((before, after)) if after.ends_with("/values") => format!("{before}/label/{{name}}/values"),
        _ => path.to_owned(),
    }
}

fn hand_on(headers: &mut HeaderMap) {
    Context::map_current(|context| {
        if context.has_active_span() {
            TraceContextPropagator::new().inject_context(context, &mut Outgoing(headers));
        }
    });
}

struct Headers<'a> {
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty tracestate says nothing.
        if let (Ok(name), Ok(value), false) =
            (HeaderName::try_from(key), HeaderValue::try_from(&value), value.is_empty())
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_callers_trace_is_handed_on_and_none_is_made_up() {
        let mut headers = HeaderMap::new();
        hand_on(&mut headers);
        assert!(headers.is_empty());
        let context = remote(Some(PARENT), Some("a=b"));
        let _here = context.attach();
        assert_eq!(trace_id(), None, "it is not recorded here");
        hand_on(&mut headers);
        assert_eq!(headers.get("traceparent").unwrap(), PARENT);
        assert_eq!(headers.get("tracestate").unwrap(), "a=b");
    }

    #[test]
    fn what_is_no_trace_is_none() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert!(
                !remote(Some(bad), None).has_active_span() || !remote(Some(bad), None).span().span_context().is_valid(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_path_says_nothing_that_was_asked_for() {
        assert_eq!(template("/x/loki/api/v1/label/secret/values"), "/x/loki/api/v1/label/{name}/values");
        assert_eq!(template("/loki/api/v1/query_range"), "/loki/api/v1/query_range");
    }
}
