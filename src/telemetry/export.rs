//! What stands before and behind the SDK's batch processors: a count of what does not fit, and an exporter that can be
//! exchanged, that runs on tokio, and that counts what does not arrive.
//!
//! The SDK drops what its queues cannot hold without saying how much, and drives exporters on threads that know no
//! runtime; both are made good here.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use opentelemetry::{Array, Context, InstrumentationScope, StringValue, Value};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogBatch, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};
use tokio::runtime::Handle;

use super::meters::meters;
use crate::semconv::CONTENT;
use crate::semconv::gen_ai::RESPONSE_FINISH_REASONS;

/// One signal on its way out: the queue before the SDK's processor and the exporter behind it.
pub(super) struct Line<P, E> {
    signal: &'static str,
    /// The SDK's processor, once there is somewhere to send to.
    processor: OnceLock<P>,
    exporter: RwLock<Option<(Arc<E>, SystemTime)>>,
    runtime: Handle,
    queued: AtomicUsize,
    capacity: usize,
    failing: AtomicBool,
}

/// The way of spans.
#[derive(Clone)]
pub(super) struct Spans(pub(super) Arc<Line<BatchSpanProcessor, SpanExporter>>);
/// The way of log records.
#[derive(Clone)]
pub(super) struct Logs(pub(super) Arc<Line<BatchLogProcessor, LogExporter>>);
/// The way of metrics, which are collected and not queued.
#[derive(Clone)]
pub(super) struct Metrics(pub(super) Arc<Line<(), MetricExporter>>);

impl<P, E> Line<P, E> {
    pub(super) fn new(signal: &'static str, runtime: Handle, capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            signal,
            processor: OnceLock::new(),
            exporter: RwLock::new(None),
            runtime,
            queued: AtomicUsize::new(0),
            capacity,
            failing: AtomicBool::new(false),
        })
    }

    /// Most that may wait at a time.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sends to another exporter from now on; what waits goes there too, content excepted.
    pub(super) fn send_to(&self, exporter: Option<E>) {
        let since = SystemTime::now();
        let exporter = exporter.map(|exporter| (Arc::new(exporter), since));
        *self.exporter.write().unwrap_or_else(PoisonError::into_inner) = exporter;
    }

    /// The processor, made when it is first needed.
    pub(super) fn process_with(&self, make: impl FnOnce() -> P) {
        self.processor.get_or_init(make);
    }

    /// The exporter, and since when it is the one.
    fn exporter(&self) -> Option<(Arc<E>, SystemTime)> {
        self.exporter.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The processor, if one more fits; else counts it as dropped.
    fn admit(&self) -> Option<&P> {
        let processor = self.processor.get()?;
        if self.queued.fetch_add(1, Ordering::AcqRel) < self.capacity {
            return Some(processor);
        }
        self.queued.fetch_sub(1, Ordering::AcqRel);
        meters().dropped(self.signal, "queue_full", 1);
        None
    }

    /// These have left the queue.
    fn leave(&self, count: usize) {
        self.queued.fetch_sub(count, Ordering::AcqRel);
    }

    /// Runs an export on the runtime, and counts its batch as dropped if it fails. It is told when that begins and when
    /// it is over.
    async fn export(&self, count: usize, work: impl Future<Output = OTelSdkResult>) -> OTelSdkResult {
        let mut work = pin!(work);
        let result = poll_fn(|context| {
            let _inside = self.runtime.enter();
            work.as_mut().poll(context)
        })
        .await;
        let failed = result.is_err();
        if failed {
            meters().dropped(self.signal, "export_failed", count as u64);
        }
        let signal = self.signal;
        match (self.failing.swap(failed, Ordering::Relaxed), failed) {
            (false, true) => tracing::warn!(signal, "telemetry does not arrive; it is dropped and counted"),
            (true, false) => tracing::info!(signal, "telemetry arrives again"),
            _ => {}
        }
        result
    }
}

impl<P, E> fmt::Debug for Line<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("signal", &self.signal).finish_non_exhaustive()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if let Some(processor) = self.0.admit() {
            processor.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.processor.get().map_or(Ok(()), SpanProcessor::force_flush)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.processor.get().map_or(Ok(()), |processor| processor.shutdown_with_timeout(timeout))
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Spans {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.leave(batch.len());
        let Some((exporter, _)) = self.0.exporter() else { return Ok(()) };
        batch.iter_mut().for_each(list_finish_reasons);
        self.0.export(batch.len(), exporter.export(batch)).await
    }
}

impl LogProcessor for Logs {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if let Some(processor) = self.0.admit() {
            processor.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.processor.get().map_or(Ok(()), LogProcessor::force_flush)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.processor.get().map_or(Ok(()), |processor| processor.shutdown_with_timeout(timeout))
    }
}

impl opentelemetry_sdk::logs::LogExporter for Logs {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        self.0.leave(count);
        let Some((exporter, since)) = self.0.exporter() else { return Ok(()) };
        // What was said before this receiver was named was said for another.
        let is_for_it = |record: &SdkLogRecord| {
            record.target().is_none_or(|target| target != CONTENT) || record.observed_timestamp() >= Some(since)
        };
        let records: Vec<_> = batch.iter().filter(|(record, _)| is_for_it(record)).collect();
        self.0.export(records.len(), exporter.export(LogBatch::new(&records))).await
    }
}

impl PushMetricExporter for Metrics {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let Some((exporter, _)) = self.0.exporter() else { return Ok(()) };
        self.0.export(1, exporter.export(metrics)).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// A field of `tracing` cannot hold a list; this one has to be one.
fn list_finish_reasons(span: &mut SpanData) {
    let reasons = span.attributes.iter_mut().find(|attribute| attribute.key.as_str() == RESPONSE_FINISH_REASONS);
    if let Some(reasons) = reasons
        && let Value::String(reason) = &reasons.value
    {
        reasons.value = Value::Array(Array::String(vec![StringValue::from(reason.as_str().to_owned())]));
    }
}
