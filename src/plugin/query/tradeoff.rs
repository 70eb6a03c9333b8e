//! `tradeoff`: what quality costs, a row per model, quantization and prompt: the newest run of each.
//!
//! A row is on the Pareto front if no other run over the same dataset in the same profile is at least as good and at
//! least as fast, and better in one of the two. Judged are the values, not their intervals: rows whose intervals overlap
//! may change places in the next run, and `compare` says whether they differ at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::select::{self, MAX_RUNS};
use super::{Ask, QueryType, count, shown};
use crate::experiment::{Kind, ModelSpec};
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::plugin::error::QueryError;
use crate::run::{Metrics, RunRecord};
use crate::score::Metric;
use crate::stats::Direction;

/// `tradeoff` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "tradeoff", answer: |ask| Box::pin(answer(ask)) };

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The quality that is weighed.
    #[serde(default = "select::default_metric")]
    metric: Metric,
}

struct Row {
    record: Arc<RunRecord>,
    /// Metrics of the cases that are wanted.
    metrics: Metrics,
    bytes: Option<u64>,
    pareto: bool,
}

impl Row {
    fn value(&self, metric: Metric) -> Option<f64> {
        self.metrics.get(&metric).map(|estimate| estimate.value)
    }

    fn latency(&self, q: f64) -> Option<f64> {
        self.record.latency_ms.iter().find(|quantile| quantile.q == q).map(|quantile| quantile.value)
    }
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (query, filter) = ask.filtered::<Query>()?;
    if filter.values("split").len() + filter.values("family").len() > 1 {
        return Err(QueryError::Invalid(
            "fields `split` and `family`: a trade-off is over one group of cases".to_owned(),
        ));
    }
    let cache = ask.instance.store()?;
    let found = select::records(&cache, &filter, MAX_RUNS).await?;
    let root = ask.instance.root()?.map(Path::to_owned);
    let newest = newest(&found.records);
    let specs: Vec<ModelSpec> = newest.iter().map(|record| record.plan.model.spec.clone()).collect();
    let sizes =
        tokio::task::spawn_blocking(move || specs.iter().map(|spec| size(root.as_deref(), spec)).collect()).await;
    let sizes: Vec<Option<u64>> =
        sizes.map_err(|_| QueryError::Defect("the models could not be looked at".to_owned()))?;
    let mut rows: Vec<Row> = newest
        .into_iter()
        .zip(sizes)
        .filter_map(|(record, bytes)| {
            let metrics = filter.metrics(&record).first().map(|(_, metrics)| (*metrics).clone())?;
            Some(Row { record, metrics, bytes, pareto: false })
        })
        .collect();
    mark(&mut rows, query.metric);
    let compared: std::collections::BTreeSet<_> = rows.iter().map(world).collect();
    let mut frame =
        select::with_damage(select::with_marks(frame(&ask, query.metric, &rows), &found.records), &found.damaged);
    if compared.len() > 1 {
        let text = "the runs are over different datasets or profiles: compare rows only within one";
        frame = frame.notice(Severity::Warning, text);
    }
    Ok(vec![frame])
}

/// The newest run of each combination, newest first.
fn newest(records: &[Arc<RunRecord>]) -> Vec<Arc<RunRecord>> {
    let mut seen = BTreeMap::new();
    let key = |record: &RunRecord| {
        let plan = &record.plan;
        let identity = (plan.dataset.sha256.clone(), plan.experiment.profile.as_str());
        (plan.arm.model.clone(), plan.model.spec.quantization.clone(), plan.arm.choice.to_string(), identity)
    };
    records.iter().filter(|record| seen.insert(key(record), ()).is_none()).cloned().collect()
}

/// What two runs must share to be weighed against each other.
fn world(row: &Row) -> (String, &'static str) {
    (row.record.plan.dataset.sha256.clone(), row.record.plan.experiment.profile.as_str())
}

/// Bytes of a managed model's file, where it is at hand.
fn size(root: Option<&Path>, spec: &ModelSpec) -> Option<u64> {
    let Kind::Managed { file, .. } = &spec.kind else { return None };
    std::fs::metadata(root?.join("models").join(file)).ok().map(|file| file.len())
}

fn mark(rows: &mut [Row], metric: Metric) {
    let sign = if metric.direction() == Direction::HigherIsBetter { 1.0 } else { -1.0 };
    let points: Vec<_> =
        rows.iter().map(|row| Some((world(row), sign * row.value(metric)?, row.latency(0.95)?))).collect();
    for (row, point) in rows.iter_mut().zip(&points) {
        let Some((world, quality, latency)) = point else { continue };
        let beaten = points
            .iter()
            .flatten()
            .any(|(other, q, l)| other == world && q >= quality && l <= latency && (q > quality || l < latency));
        row.pareto = !beaten;
    }
}

fn frame(ask: &Ask, metric: Metric, rows: &[Row]) -> Frame {
    let text = |name: &str, of: fn(&RunRecord) -> String| Field::text(name, rows.iter().map(|row| of(&row.record)));
    let number = |name: &str, of: &dyn Fn(&Row) -> Option<f64>| Field::float_or_null(name, rows.iter().map(of));
    let quality =
        |name: &str, of: &dyn Fn(&Row) -> Option<f64>| number(name, of).shown(|config| shown::metric(config, metric));
    let estimate = |row: &Row| row.metrics.get(&metric).cloned();
    let ms = |name: &str, q: f64| number(name, &|row| row.latency(q)).shown(|config| config.unit("ms").decimals(0));
    let whole = |value: u64| i64::try_from(value).ok();
    let mut frame = Frame::new("tradeoff", FrameType::NumericLong)
        .with(text("arm", |record| record.plan.arm.name.clone()))
        .with(text("model", |record| record.plan.arm.model.clone()))
        .with(text("quantization", |record| record.plan.model.spec.quantization.clone()))
        .with(text("prompt", |record| record.plan.arm.choice.to_string()))
        .with(text("dataset", |record| record.plan.dataset.name.clone()))
        .with(text("profile", |record| record.plan.experiment.profile.as_str().to_owned()))
        .with(text("run", |record| record.plan.id.clone()).shown(|config| config.link(shown::to_cases(&ask.instance))))
        .with(quality(metric.as_str(), &|row| row.value(metric)))
        .with(quality("ci_low", &|row| estimate(row)?.ci_low))
        .with(quality("ci_high", &|row| estimate(row)?.ci_high))
        .with(ms("p50_latency", 0.5))
        .with(ms("p95_latency", 0.95))
        .with(number("prompt_tokens", &|row| row.value(Metric::PromptTokens)).shown(|config| config.decimals(0)))
        .with(number("completion_tokens", &|row| row.value(Metric::CompletionTokens)).shown(|c| c.decimals(0)))
        .with(
            Field::int_or_null("model_size", rows.iter().map(|row| row.bytes.and_then(whole)))
                .shown(|config| config.unit("decbytes").description("the model's file, where it is at hand")),
        )
        .with(Field::int_or_null("parameters", rows.iter().map(|row| row.record.plan.model.parameters.and_then(whole))))
        .with(
            Field::bool("pareto", rows.iter().map(|row| row.pareto))
                .shown(|config| config.description("no other run is both at least as good and at least as fast")),
        )
        .with(Field::int("cases", rows.iter().map(|row| count(row.record.plan.dataset.cases))));
    frame.meta.row_id_fields = vec![6];
    frame
}
