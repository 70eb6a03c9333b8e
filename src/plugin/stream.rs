//! Grafana Live: there is no channel yet, and this says so.

use std::pin::Pin;

use futures::stream::Empty;
use grafana_plugin_sdk::pluginv2;
use pluginv2::{publish_stream_response, subscribe_stream_response};
use tonic::{Request, Response, Status};

/// The Stream service.
pub(super) struct Stream;

#[tonic::async_trait]
impl pluginv2::stream_server::Stream for Stream {
    type RunStreamStream = Pin<Box<Empty<Result<pluginv2::StreamPacket, Status>>>>;

    async fn subscribe_stream(
        &self,
        _: Request<pluginv2::SubscribeStreamRequest>,
    ) -> Result<Response<pluginv2::SubscribeStreamResponse>, Status> {
        let status = subscribe_stream_response::Status::NotFound.into();
        Ok(Response::new(pluginv2::SubscribeStreamResponse { status, ..Default::default() }))
    }

    async fn run_stream(
        &self,
        request: Request<pluginv2::RunStreamRequest>,
    ) -> Result<Response<Self::RunStreamStream>, Status> {
        Err(Status::not_found(format!("no channel `{}`", request.into_inner().path)))
    }

    async fn publish_stream(
        &self,
        _: Request<pluginv2::PublishStreamRequest>,
    ) -> Result<Response<pluginv2::PublishStreamResponse>, Status> {
        let status = publish_stream_response::Status::PermissionDenied.into();
        Ok(Response::new(pluginv2::PublishStreamResponse { status, ..Default::default() }))
    }
}
