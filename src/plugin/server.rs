//! The gRPC server that Grafana talks to, and its end.
//!
//! go-plugin gives a plugin two seconds between `GRPCController.Shutdown` and SIGKILL: the server answers, lets running
//! calls finish for at most [`GRACE`], has the ledgers written within [`LAST_LINES`] and returns.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use grafana_plugin_sdk::pluginv2::{
    diagnostics_server::DiagnosticsServer, resource_server::ResourceServer, stream_server::StreamServer,
};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Status};

use super::data::Data;
use super::diagnostics::Diagnostics;
use super::grpc::{Method, Unary};
use super::instance::Instances;
use super::resource::Resource;
use super::stream::Stream;
use super::telemetry::Telemetry;
use super::wire::{Empty, HealthCheckRequest, HealthCheckResponse};

/// What Grafana's own SDK accepts; gRPC's default of 4 MiB is too little for a large dashboard request.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How long running calls may go on once the end has been announced.
const GRACE: Duration = Duration::from_millis(800);

/// How long a bucket may take for the last lines of a ledger.
const LAST_LINES: Duration = Duration::from_millis(400);

/// How often the parent process is looked for.
const PARENT_CHECK: Duration = Duration::from_secs(2);

/// The service name that go-plugin's ping asks after.
const GO_PLUGIN_SERVICE: &str = "plugin";

/// Serves Grafana on `listener` until it asks for the end or `stop` comes true.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), tonic::transport::Error> {
    let end = CancellationToken::new();
    let telemetry = Arc::new(Telemetry::default());
    let instances = Arc::new(Instances::new(telemetry.store.clone()));
    let diagnostics = DiagnosticsServer::new(Diagnostics::new(Arc::clone(&instances), Arc::clone(&telemetry)));
    let resource = ResourceServer::new(Resource::new(Arc::clone(&instances), Arc::clone(&telemetry)));
    let stream = StreamServer::new(Stream::new(Arc::clone(&instances)));
    let connections = TcpListenerStream::new(listener).map(|accepted| {
        // An answer is often smaller than a segment and must not wait for the peer's acknowledgement.
        accepted.inspect(|connection| drop(connection.set_nodelay(true)))
    });
    let server = Server::builder()
        .add_service(Unary::new(Health))
        .add_service(Unary::new(Controller(end.clone())))
        .add_service(Unary::new(Data::new(Arc::clone(&instances), telemetry)))
        .add_service(diagnostics.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(resource.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(stream.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .serve_with_incoming_shutdown(connections, end.clone().cancelled_owned());
    let result = tokio::select! {
        result = server => result,
        () = deadline(&end, stop) => Ok(()),
        () = instances.tend() => Ok(()),
    };
    if tokio::time::timeout(LAST_LINES, instances.flush()).await.is_err() {
        tracing::warn!("the ledger's last lines were not written in time");
    }
    result
}

/// Announces the end when `stop` comes true, and comes true itself when the grace after the announcement is over.
async fn deadline(end: &CancellationToken, stop: impl Future<Output = ()>) {
    tokio::select! {
        () = end.cancelled() => (),
        () = stop => end.cancel(),
    }
    tokio::time::sleep(GRACE).await;
}

/// Comes true when the process that started this one is gone: a Grafana that was killed cannot ask for the end.
pub async fn watch_parent() {
    let parent = parent_id();
    while parent_id() == parent {
        tokio::time::sleep(PARENT_CHECK).await;
    }
}

#[cfg(unix)]
fn parent_id() -> u32 {
    std::os::unix::process::parent_id()
}

#[cfg(not(unix))]
fn parent_id() -> u32 {
    0
}

/// go-plugin's way to ask for the end.
struct Controller(CancellationToken);

impl Method for Controller {
    type Request = Empty;
    type Response = Empty;
    const SERVICE: &'static str = "plugin.GRPCController";
    const PATH: &'static str = "/plugin.GRPCController/Shutdown";

    async fn call(&self, _: Request<Empty>) -> Result<Empty, Status> {
        tracing::debug!("shutdown asked for");
        self.0.cancel();
        Ok(Empty {})
    }
}

/// gRPC's health protocol: a server that answers is serving.
struct Health;

impl Method for Health {
    type Request = HealthCheckRequest;
    type Response = HealthCheckResponse;
    const SERVICE: &'static str = "grpc.health.v1.Health";
    const PATH: &'static str = "/grpc.health.v1.Health/Check";

    async fn call(&self, request: Request<HealthCheckRequest>) -> Result<HealthCheckResponse, Status> {
        match request.into_inner().service.as_str() {
            "" | GO_PLUGIN_SERVICE => Ok(HealthCheckResponse { status: 1 }),
            other => Err(Status::not_found(format!("unknown service `{other}`"))),
        }
    }
}
