//! The spans of what Grafana asks for, in the trace that its request belongs to.

use opentelemetry::context::FutureExt;
use tonic::metadata::MetadataMap;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::semconv;
use crate::telemetry::{failed, remote};

/// Does `work` within a span that is made in the trace of a request, as its W3C headers say.
pub(super) async fn within<F: Future>(metadata: &MetadataMap, span: impl FnOnce() -> Span, work: F) -> F::Output {
    let header = |name| metadata.get(name).and_then(|value| value.to_str().ok());
    let caller = remote(header("traceparent"), header("tracestate"));
    async { work.instrument(span()).await }.with_context(caller).await
}

/// A call of one of Grafana's services, such as `pluginv2.Data/QueryData`.
pub(super) fn call(method: &'static str) -> Span {
    info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        { semconv::RPC_SYSTEM_NAME } = "grpc",
        { semconv::RPC_METHOD } = method,
        { semconv::QUERY_COUNT } = Empty,
        { semconv::QUERY_FROM_ALERT } = Empty,
    )
}

/// One query of a request.
pub(super) fn query(kind: &str, ref_id: &str) -> Span {
    info_span!(
        "query",
        otel.status_code = Empty,
        { semconv::QUERY_TYPE } = kind,
        { semconv::QUERY_REF_ID } = ref_id,
        { semconv::QUERY_STATUS } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    )
}

/// How a query was answered.
pub(super) fn answered(span: &Span, status: i32) {
    span.record(semconv::QUERY_STATUS, status);
    if status >= 400 {
        failed(span, &status.to_string());
    }
}

/// Encoding an answer.
pub(super) fn frame(count: usize) -> Span {
    info_span!("frame", { semconv::FRAME_COUNT } = count, { semconv::FRAME_BYTES } = Empty)
}
