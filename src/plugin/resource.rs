//! Grafana's HTTP-like calls to the plugin: there is no resource yet, and this says so.

use std::pin::Pin;

use futures::future::Ready;
use futures::stream::Once;
use grafana_plugin_sdk::pluginv2::{self, CallResourceRequest, CallResourceResponse, StringList};
use serde_json::json;
use tonic::{Request, Response, Status};

/// The Resource service.
pub(super) struct Resource;

#[tonic::async_trait]
impl pluginv2::resource_server::Resource for Resource {
    type CallResourceStream = Pin<Box<Once<Ready<Result<CallResourceResponse, Status>>>>>;

    async fn call_resource(
        &self,
        request: Request<CallResourceRequest>,
    ) -> Result<Response<Self::CallResourceStream>, Status> {
        let message = format!("no resource `{}`", request.into_inner().path);
        let json_type = StringList { values: vec!["application/json".to_owned()] };
        let response = CallResourceResponse {
            code: 404,
            headers: [("Content-Type".to_owned(), json_type)].into(),
            body: json!({"message": message}).to_string().into(),
        };
        Ok(Response::new(Box::pin(futures::stream::once(futures::future::ready(Ok(response))))))
    }
}
