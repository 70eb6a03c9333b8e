//! gRPC services of a single unary method, for messages that no stub was generated for.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::BoxBody;
use tonic::codec::ProstCodec;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};

use super::server::MAX_MESSAGE_BYTES;

/// The one method of a service.
pub(super) trait Method: Send + Sync + 'static {
    /// What it is asked.
    type Request: prost::Message + Default + 'static;
    /// What it answers.
    type Response: prost::Message + Default + 'static;
    /// The service's full name.
    const SERVICE: &'static str;
    /// `/service/method`.
    const PATH: &'static str;

    /// Answers a call.
    fn call(&self, request: Request<Self::Request>) -> impl Future<Output = Result<Self::Response, Status>> + Send;
}

/// Serves a [`Method`].
pub(super) struct Unary<M>(Arc<M>);

impl<M> Unary<M> {
    pub(super) fn new(method: M) -> Self {
        Self(Arc::new(method))
    }
}

impl<M> Clone for Unary<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Method> NamedService for Unary<M> {
    const NAME: &'static str = M::SERVICE;
}

impl<M: Method> UnaryService<M::Request> for Unary<M> {
    type Response = M::Response;
    type Future = BoxFuture<Response<M::Response>, Status>;

    fn call(&mut self, request: Request<M::Request>) -> Self::Future {
        let method = Arc::clone(&self.0);
        Box::pin(async move { method.call(request).await.map(Response::new) })
    }
}

impl<M: Method> Service<http::Request<BoxBody>> for Unary<M> {
    type Response = http::Response<BoxBody>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<BoxBody>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            if request.uri().path() != M::PATH {
                return Ok(Status::new(Code::Unimplemented, "no such method").into_http());
            }
            let mut grpc =
                Grpc::new(ProstCodec::default()).apply_max_message_size_config(Some(MAX_MESSAGE_BYTES), None);
            Ok(grpc.unary(method, request).await)
        })
    }
}
