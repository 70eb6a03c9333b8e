//! The Data service: each query of a request answered by itself.
//!
//! Whatever is wrong with one query, its neighbours get their answers: bad JSON, an unknown type, even a panic ends in
//! that query's own error.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};
use grafana_plugin_sdk::pluginv2::{DataQuery, QueryDataRequest};
use tonic::Status;

use super::error::QueryError;
use super::grpc::Method;
use super::query::{self, Ask};
use super::settings::{Instance, Instances};
use super::wire::{DataResponse, QueryDataResponse};
use crate::frame::Frame;

/// Queries of one request that are worked on at a time.
const AT_A_TIME: usize = 8;

/// The Data service.
pub(super) struct Data {
    instances: Arc<Instances>,
}

impl Data {
    pub(super) fn new(instances: Arc<Instances>) -> Self {
        Self { instances }
    }
}

impl Method for Data {
    type Request = QueryDataRequest;
    type Response = QueryDataResponse;
    const SERVICE: &'static str = "pluginv2.Data";
    const PATH: &'static str = "/pluginv2.Data/QueryData";

    async fn call(&self, request: QueryDataRequest) -> Result<QueryDataResponse, Status> {
        let instance = self.instances.get(request.plugin_context);
        let answers = stream::iter(request.queries).map(|query| {
            let instance = instance.clone();
            async move { (query.ref_id.clone(), answer(instance, query).await) }
        });
        let responses = answers.buffer_unordered(AT_A_TIME).collect().await;
        Ok(QueryDataResponse { responses })
    }
}

/// The answer to one query, whatever happens.
async fn answer(instance: Arc<Instance>, query: DataQuery) -> DataResponse {
    let ref_id = query.ref_id.clone();
    let kind = query::name_of(&query);
    let answered = caught(frames(instance, query)).await.and_then(|frames| encode(frames, &ref_id));
    answered.unwrap_or_else(|error| {
        let response = DataResponse::from(error);
        tracing::debug!(kind, ref_id, status = response.status, source = response.error_source, "query failed");
        response
    })
}

/// Turns a panic into an error of its own query. Nothing of a query outlives it, so nothing half done is left behind.
async fn caught(work: impl Future<Output = Result<Vec<Frame>, QueryError>>) -> Result<Vec<Frame>, QueryError> {
    let defect = |_| Err(QueryError::Defect("a defect of the plugin was caught: its log says where".to_owned()));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(defect)
}

async fn frames(instance: Arc<Instance>, query: DataQuery) -> Result<Vec<Frame>, QueryError> {
    let ask = Ask { instance, json: query::parse(&query.json)? };
    query::answer(&query.query_type, ask).await
}

fn encode(frames: Vec<Frame>, ref_id: &str) -> Result<DataResponse, QueryError> {
    let encoded = frames.into_iter().map(|frame| Frame { ref_id: ref_id.to_owned(), ..frame }.to_arrow());
    Ok(DataResponse { frames: encoded.collect::<Result<_, _>>()?, status: 200, ..DataResponse::default() })
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
