//! The health check in words, and the plugin's own metrics.

use std::sync::{Arc, LazyLock};

use grafana_plugin_sdk::pluginv2;
use pluginv2::check_health_response::HealthStatus;
use pluginv2::collect_metrics_response::Payload;
use pluginv2::{CheckHealthRequest, CheckHealthResponse, CollectMetricsRequest, CollectMetricsResponse};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::exposition;
use super::health::{self, Hashes, Section};
use super::instance::Instances;
use super::telemetry::Telemetry;

/// Hashes of model files, for all data sources.
static HASHES: LazyLock<Hashes> = LazyLock::new(Hashes::default);

/// The Diagnostics service.
pub(super) struct Diagnostics {
    instances: Arc<Instances>,
    telemetry: Arc<Telemetry>,
}

impl Diagnostics {
    pub(super) fn new(instances: Arc<Instances>, telemetry: Arc<Telemetry>) -> Self {
        Self { instances, telemetry }
    }
}

#[tonic::async_trait]
impl pluginv2::diagnostics_server::Diagnostics for Diagnostics {
    async fn check_health(
        &self,
        request: Request<CheckHealthRequest>,
    ) -> Result<Response<CheckHealthResponse>, Status> {
        let instance = self.instances.get(request.into_inner().plugin_context);
        let sections = health::check(&instance, &HASHES).await;
        let failed = sections.iter().any(|section| section.status == health::Status::Error);
        let status = if failed { HealthStatus::Error } else { HealthStatus::Ok };
        let details = json!({"sections": sections.iter().map(Section::json).collect::<Vec<_>>()});
        let message = sections.iter().map(Section::sentence).collect::<Vec<_>>().join(". ");
        let json_details = details.to_string().into();
        Ok(Response::new(CheckHealthResponse { status: status.into(), message, json_details }))
    }

    async fn collect_metrics(
        &self,
        _: Request<CollectMetricsRequest>,
    ) -> Result<Response<CollectMetricsResponse>, Status> {
        let text = exposition::classic(&self.telemetry.text());
        Ok(Response::new(CollectMetricsResponse { metrics: Some(Payload { prometheus: text.into_bytes() }) }))
    }
}
