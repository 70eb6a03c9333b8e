//! The health check in words, and the plugin's own metrics.

use std::path::Path;
use std::sync::Arc;

use grafana_plugin_sdk::pluginv2;
use pluginv2::check_health_response::HealthStatus;
use pluginv2::collect_metrics_response::Payload;
use pluginv2::{CheckHealthRequest, CheckHealthResponse, CollectMetricsRequest, CollectMetricsResponse};
use tonic::{Request, Response, Status};

use super::error::{QueryError, one_line};
use super::settings::{Instance, Instances, ROOT_PATH};
use crate::installation::load_prompts;

/// The Diagnostics service.
pub(super) struct Diagnostics {
    instances: Arc<Instances>,
}

impl Diagnostics {
    pub(super) fn new(instances: Arc<Instances>) -> Self {
        Self { instances }
    }
}

#[tonic::async_trait]
impl pluginv2::diagnostics_server::Diagnostics for Diagnostics {
    async fn check_health(
        &self,
        request: Request<CheckHealthRequest>,
    ) -> Result<Response<CheckHealthResponse>, Status> {
        let instance = self.instances.get(request.into_inner().plugin_context);
        let findings = [store(&instance).await, prompts(&instance).await];
        let status = if findings.iter().all(Result::is_ok) { HealthStatus::Ok } else { HealthStatus::Error };
        let sentences = findings.into_iter().map(|finding| finding.unwrap_or_else(|error| error));
        let message = sentences.chain(instance.remarks.iter().cloned()).collect::<Vec<_>>().join(". ");
        Ok(Response::new(CheckHealthResponse { status: status.into(), message, ..Default::default() }))
    }

    async fn collect_metrics(
        &self,
        _: Request<CollectMetricsRequest>,
    ) -> Result<Response<CollectMetricsResponse>, Status> {
        let text = format!(
            "# HELP assay_build_info The running version.\n# TYPE assay_build_info gauge\n\
             assay_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        Ok(Response::new(CollectMetricsResponse { metrics: Some(Payload { prometheus: text.into_bytes() }) }))
    }
}

/// How the store is, in a sentence.
async fn store(instance: &Instance) -> Result<String, String> {
    match runs(instance).await {
        Ok((url, 0)) => Ok(format!("Store {url}: no run yet, `assay eval run` makes one")),
        Ok((url, 1)) => Ok(format!("Store {url}: 1 run")),
        Ok((url, runs)) => Ok(format!("Store {url}: {runs} runs")),
        Err(error) => Err(error.to_string()),
    }
}

async fn runs(instance: &Instance) -> Result<(String, usize), QueryError> {
    let store = instance.store()?;
    Ok((store.url().to_owned(), store.ids().await?.len()))
}

/// Whether the prompts are what was released, in a sentence.
async fn prompts(instance: &Instance) -> Result<String, String> {
    let root = instance.root().map_err(|error| error.to_string())?.map(Path::to_owned);
    let Some(root) = root else { return Ok(format!("Prompts: not checked, set `{ROOT_PATH}` to have them checked")) };
    let loaded = tokio::task::spawn_blocking(move || load_prompts(&root)).await;
    match loaded.map_err(|_| "Prompts: the check failed, the log says where".to_owned())? {
        Ok(prompts) => Ok(format!("Prompts: {} versions, the lock holds", prompts.iter().count())),
        Err(problem) => Err(format!("Prompts: {}", one_line(&problem))),
    }
}
