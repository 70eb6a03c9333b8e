//! The exporters of one destination, with our own HTTP client: no proxy, no redirect, rustls.

use std::collections::HashMap;
use std::error::Error;

use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol as Otlp, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use reqwest::header::HeaderMap;

use super::target::{Destination, Protocol, Target, TargetError};
use super::tls::Tls;
use crate::http::{plain_builder, with_causes};

/// Sends spans.
pub(super) fn spans(target: &Target, to: &Destination) -> Result<SpanExporter, TargetError> {
    let made = match to.protocol {
        Protocol::Grpc => grpc(SpanExporter::builder().with_tonic(), target, to)?.build(),
        Protocol::Http => http(SpanExporter::builder().with_http(), target, to)?.build(),
    };
    made.map_err(|error| refused(to, &error))
}

/// Sends log records.
pub(super) fn logs(target: &Target, to: &Destination) -> Result<LogExporter, TargetError> {
    let made = match to.protocol {
        Protocol::Grpc => grpc(LogExporter::builder().with_tonic(), target, to)?.build(),
        Protocol::Http => http(LogExporter::builder().with_http(), target, to)?.build(),
    };
    made.map_err(|error| refused(to, &error))
}

/// Sends metrics, cumulative as Prometheus wants them: the exporter's default.
pub(super) fn metrics(target: &Target, to: &Destination) -> Result<MetricExporter, TargetError> {
    let made = match to.protocol {
        Protocol::Grpc => grpc(MetricExporter::builder().with_tonic(), target, to)?.build(),
        Protocol::Http => http(MetricExporter::builder().with_http(), target, to)?.build(),
    };
    made.map_err(|error| refused(to, &error))
}

fn grpc<B: WithExportConfig + WithTonicConfig>(
    exporter: B,
    target: &Target,
    to: &Destination,
) -> Result<B, TargetError> {
    let headers: HeaderMap = (&headers(target)).try_into().map_err(|_| TargetError::Headers)?;
    let exporter = exporter.with_endpoint(&to.url).with_timeout(target.timeout);
    let exporter = exporter.with_metadata(MetadataMap::from_headers(headers));
    if !to.is_secure() {
        return Ok(exporter);
    }
    Ok(exporter.with_tls_config(Tls::read(target)?.grpc()))
}

fn http<B: WithExportConfig + WithHttpConfig>(
    exporter: B,
    target: &Target,
    to: &Destination,
) -> Result<B, TargetError> {
    // Only what speaks TLS needs certificates.
    let client = if to.is_secure() { Tls::read(target)?.http() } else { Ok(plain_builder()) };
    let client = client.and_then(|client| client.timeout(target.timeout).build());
    let client = client.map_err(|error| refused(to, &error.without_url()))?;
    let exporter = exporter.with_protocol(Otlp::HttpBinary).with_endpoint(&to.url).with_timeout(target.timeout);
    Ok(exporter.with_headers(headers(target)).with_http_client(client))
}

fn headers(target: &Target) -> HashMap<String, String> {
    target.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
}

fn refused(to: &Destination, error: &dyn Error) -> TargetError {
    TargetError::Exporter { url: to.url.clone(), reason: with_causes(error) }
}
