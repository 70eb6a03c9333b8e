//! The Data service: each query of a request answered by itself.
//!
//! Whatever is wrong with one query, its neighbours get their answers: bad JSON, an unknown type, even a panic ends in
//! that query's own error.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, stream};
use grafana_plugin_sdk::pluginv2::{DataQuery, QueryDataRequest};
use tonic::{Request, Status};
use tracing::Instrument;

use super::error::QueryError;
use super::grpc::Method;
use super::instance::{Instance, Instances};
use super::query::{self, Ask};
use super::request::{Headers, NS_PER_MS, user};
use super::telemetry::Telemetry;
use super::trace;
use super::wire::{DataResponse, QueryDataResponse};
use crate::frame::Frame;
use crate::semconv;

/// Queries of one request that are worked on at a time.
const AT_A_TIME: usize = 8;

/// What all queries of a request have in common.
#[derive(Clone)]
struct Asker {
    instance: Arc<Instance>,
    user: Option<String>,
    headers: Headers,
}

/// The Data service.
pub(super) struct Data {
    instances: Arc<Instances>,
    telemetry: Arc<Telemetry>,
}

impl Data {
    pub(super) fn new(instances: Arc<Instances>, telemetry: Arc<Telemetry>) -> Self {
        Self { instances, telemetry }
    }

    /// The answer to one query, whatever happens.
    async fn answer(&self, asker: Asker, query: DataQuery) -> DataResponse {
        let (begun, _running) = (Instant::now(), self.telemetry.begins());
        let ref_id = query.ref_id.clone();
        let kind = query::name_of(&query);
        let span = trace::query(kind, &ref_id);
        let answered = caught(frames(asker, query)).instrument(span.clone()).await;
        let answered = answered.and_then(|frames| span.in_scope(|| encode(frames, &ref_id)));
        let response = answered.unwrap_or_else(DataResponse::from);
        trace::answered(&span, response.status);
        let (status, took) = (response.status, begun.elapsed());
        span.in_scope(|| self.telemetry.answered(kind, status, took));
        let (source, ms) = (response.error_source.as_str(), took.as_secs_f64() * 1e3);
        span.in_scope(|| tracing::debug!(kind, ref_id, status, source, ms, "query answered"));
        response
    }
}

impl Method for Data {
    type Request = QueryDataRequest;
    type Response = QueryDataResponse;
    const SERVICE: &'static str = "pluginv2.Data";
    const PATH: &'static str = "/pluginv2.Data/QueryData";

    async fn call(&self, request: Request<QueryDataRequest>) -> Result<QueryDataResponse, Status> {
        let (metadata, _, request) = request.into_parts();
        let asker = Asker {
            user: user(request.plugin_context.as_ref()),
            instance: self.instances.get(request.plugin_context),
            headers: Headers::new(&request.headers),
        };
        let (alert, count) = (asker.headers.is_of_alert(), request.queries.len());
        let answers = stream::iter(request.queries).map(|query| {
            let asker = asker.clone();
            async move { (query.ref_id.clone(), self.answer(asker, query).await) }
        });
        let span = || {
            let span = trace::call("pluginv2.Data/QueryData");
            span.record(semconv::QUERY_COUNT, count).record(semconv::QUERY_FROM_ALERT, alert);
            span
        };
        let responses = trace::within(&metadata, span, answers.buffer_unordered(AT_A_TIME).collect()).await;
        Ok(QueryDataResponse { responses })
    }
}

/// Turns a panic into an error of its own query. Nothing of a query outlives it, so nothing half done is left behind.
async fn caught(work: impl Future<Output = Result<Vec<Frame>, QueryError>>) -> Result<Vec<Frame>, QueryError> {
    let defect = |_| Err(QueryError::Defect("a defect of the plugin was caught: its log says where".to_owned()));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(defect)
}

async fn frames(asker: Asker, query: DataQuery) -> Result<Vec<Frame>, QueryError> {
    let range = query
        .time_range
        .map(|range| (range.from_epoch_ms.saturating_mul(NS_PER_MS), range.to_epoch_ms.saturating_mul(NS_PER_MS)));
    let Asker { instance, user, headers } = asker;
    let ask = Ask {
        json: query::parse(&query.json)?,
        range,
        interval: Duration::from_millis(u64::try_from(query.interval_ms).unwrap_or_default()),
        alert: headers.is_of_alert(),
        instance,
        user,
        headers,
    };
    query::answer(&query.query_type, ask).await
}

fn encode(frames: Vec<Frame>, ref_id: &str) -> Result<DataResponse, QueryError> {
    let span = trace::frame(frames.len());
    let _encoding = span.enter();
    let encoded = frames.into_iter().map(|frame| Frame { ref_id: ref_id.to_owned(), ..frame }.to_arrow());
    let frames: Vec<Vec<u8>> = encoded.collect::<Result<_, _>>()?;
    span.record(semconv::FRAME_BYTES, frames.iter().map(Vec::len).sum::<usize>());
    Ok(DataResponse { frames, status: 200, ..DataResponse::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Field, FrameType};

    #[tokio::test]
    async fn a_panic_is_the_plugins_own_error() {
        let response = DataResponse::from(caught(async { panic!("secret") }).await.unwrap_err());
        assert_eq!((response.status, response.error_source.as_str()), (500, "plugin"));
        assert!(!response.error.contains("secret"));
    }

    #[test]
    fn a_frame_that_cannot_be_encoded_is_the_plugins_own_error() {
        let frame = Frame::new("runs", FrameType::Table).with(Field::int("a", [1])).with(Field::int("b", []));
        let response = DataResponse::from(encode(vec![frame], "A").unwrap_err());
        assert_eq!((response.status, response.error_source.as_str()), (500, "plugin"));
        assert!(response.error.contains("field `b`"), "{}", response.error);
    }
}
