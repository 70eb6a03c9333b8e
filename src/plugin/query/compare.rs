//! `compare`: two runs case by case, a row per metric, the primary one first and the conclusion in a sentence.
//!
//! The primary metric is the one that the runs' experiment declared. Another may be asked for, and is then marked as
//! chosen afterwards: a metric that was picked because of its result proves nothing.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::json;

use super::{Ask, QueryType};
use crate::compare::{self, Refusal, Row, RunComparison, RunNight, compare_tallied};
use crate::frame::{Config, Field, Frame, FrameType, Severity};
use crate::plugin::error::{QueryError, one_line};
use crate::run::RunRecord;
use crate::score::Metric;
use crate::store::{Cache, Lru};
use crate::tally::Tallied;

/// `compare` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "compare", answer: |ask| Box::pin(answer(ask)) };

/// Comparisons that are kept: each of about [`KEPT_EACH`] bytes.
const KEPT: usize = 4 << 20;
const KEPT_EACH: usize = 8 << 10;
/// Bytes of a night.
const NIGHT_EACH: usize = 512;

/// Comparisons that were computed. Runs do not change and the draws are seeded: the answer is the same each time, and
/// the resampling of a large dataset takes a tenth of a second.
#[derive(Debug)]
pub(in crate::plugin) struct Comparisons {
    kept: Mutex<Lru<String, Arc<RunComparison>>>,
    /// Nights held against a baseline.
    nights: Mutex<Lru<String, Result<Arc<RunNight>, String>>>,
    /// One is computed at a time: a dashboard asks for the same one several times at once.
    turn: tokio::sync::Mutex<()>,
}

impl Default for Comparisons {
    fn default() -> Self {
        let (kept, nights) = (Mutex::new(Lru::new(KEPT)), Mutex::new(Lru::new(KEPT)));
        Self { kept, nights, turn: tokio::sync::Mutex::default() }
    }
}

impl Comparisons {
    fn get(&self, key: &String) -> Option<Arc<RunComparison>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    async fn of(
        &self,
        a: Arc<Tallied>,
        b: Arc<Tallied>,
        metric: Metric,
        margin: f64,
    ) -> Result<Arc<RunComparison>, QueryError> {
        let state = |run: &Tallied| format!("{} {}", run.record.plan.id, run.record.results_sha256);
        let key = format!("{} {} {metric} {}", state(&a), state(&b), margin.to_bits());
        if let Some(kept) = self.get(&key) {
            return Ok(kept);
        }
        let _turn = self.turn.lock().await;
        if let Some(kept) = self.get(&key) {
            return Ok(kept);
        }
        let made = Arc::new(computed(a, b, metric, margin).await?);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(key, Arc::clone(&made), KEPT_EACH);
        Ok(made)
    }
}

impl Comparisons {
    /// A night against its baseline, computed once: neither changes any more. Its rows are read only for that.
    pub(super) async fn night(
        &self,
        cache: &Cache,
        baseline: &Arc<Tallied>,
        record: &RunRecord,
        metric: Metric,
    ) -> Result<Arc<RunNight>, QueryError> {
        let state = |record: &RunRecord| format!("{} {}", record.plan.id, record.results_sha256);
        let key = format!("{} {} {metric}", state(&baseline.record), state(record));
        let kept = self.nights.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if let Some(kept) = kept {
            return kept.map_err(QueryError::Refused);
        }
        let _turn = self.turn.lock().await;
        let (run, a) = (cache.tallied(&record.plan.id).await?, Arc::clone(baseline));
        let night = move || RunNight::of(&a, &run, metric, run.record.plan.experiment.seed);
        let made = tokio::task::spawn_blocking(night).await;
        let made = made.map_err(|_| QueryError::Defect("the comparison was cut short".to_owned()))?;
        let made = made.map(Arc::new).map_err(|refusal| one_line(&refusal));
        self.nights.lock().unwrap_or_else(PoisonError::into_inner).put(key, made.clone(), NIGHT_EACH);
        made.map_err(QueryError::Refused)
    }
}

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The reference: a run's id, a unique beginning of it, or an arm's name for its newest run.
    a: String,
    /// The run that is judged.
    b: String,
    /// The metric that decides, if not the declared one.
    #[serde(default)]
    metric: Option<Metric>,
    /// The difference that would not matter, in the metric's unit, if not the declared one.
    #[serde(default)]
    margin: Option<f64>,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let query: Query = ask.fields()?;
    let store = ask.instance.store()?;
    let (a, b) = (store.find(&query.a).await?, store.find(&query.b).await?);
    let (a, b) = tokio::try_join!(store.tallied(&a), store.tallied(&b))?;
    let declared = declared(&a.record, &b.record);
    let metric = match (query.metric, declared) {
        (Some(metric), _) | (None, Some(metric)) => metric,
        (None, None) => return Err(undeclared(&a.record, &b.record)),
    };
    // The declared margin is in the declared metric's unit and means nothing for another.
    let of_declared = if declared == Some(metric) { b.record.plan.experiment.margin } else { 0.0 };
    let margin = query.margin.unwrap_or(of_declared);
    if !(margin.is_finite() && margin >= 0.0) {
        return Err(QueryError::Invalid(format!("field `margin`: {margin} is not a size: give 0 or more")));
    }
    let comparison = ask.instance.comparisons.of(a, b, metric, margin).await?;
    if ask.alert {
        return Ok(vec![for_alert(&comparison.rows)]);
    }
    let mut frame =
        comparison.notes.iter().fold(frame(&comparison), |frame, note| frame.notice(Severity::Warning, note.as_str()));
    if declared != Some(metric) {
        let text = format!("`{metric}` is not the declared primary metric: read this as exploratory");
        frame = frame.notice(Severity::Warning, text);
    }
    Ok(vec![frame])
}

/// The primary metric, if both runs declared the same.
fn declared(a: &RunRecord, b: &RunRecord) -> Option<Metric> {
    let (a, b) = (a.plan.experiment.primary, b.plan.experiment.primary);
    (a == b).then_some(a)
}

fn undeclared(a: &RunRecord, b: &RunRecord) -> QueryError {
    let (a, b) = (a.plan.experiment.primary, b.plan.experiment.primary);
    QueryError::Refused(format!("the runs declare different primary metrics, `{a}` and `{b}`: say which in `metric`"))
}

/// Compares off the async threads: the resampling takes one core for a moment.
async fn computed(a: Arc<Tallied>, b: Arc<Tallied>, metric: Metric, margin: f64) -> Result<RunComparison, QueryError> {
    let seed = b.record.plan.experiment.seed;
    let compared = tokio::task::spawn_blocking(move || compare_tallied(&a, &b, metric, margin, seed)).await;
    let compared = compared.map_err(|_| QueryError::Defect("the comparison was cut short".to_owned()))?;
    compared.map_err(|refusal: Refusal| QueryError::Refused(one_line(&refusal)))
}

/// The difference of each metric, for an alert rule: what else stands in a row would be labels that change with it, or
/// further numbers.
fn for_alert(rows: &[Row]) -> Frame {
    Frame::new("compare", FrameType::NumericLong)
        .with(Field::text("metric", rows.iter().map(|row| row.metric.to_string())))
        .with(Field::float("delta", rows.iter().map(|row| row.comparison.delta)))
}

/// The difference with its interval in the metric's unit, for people.
fn written(row: &Row) -> String {
    let shown = |value: f64| compare::difference(row.metric, value);
    let delta = shown(row.comparison.delta);
    match (row.comparison.ci_low, row.comparison.ci_high) {
        (Some(low), Some(high)) => format!("{delta} ({} to {})", shown(low), shown(high)),
        _ => delta,
    }
}

fn frame(comparison: &RunComparison) -> Frame {
    let rows = &comparison.rows;
    let role = |row: &Row| if row.primary { "primary" } else { "exploratory" };
    let sentence = comparison.to_string();
    let mut frame = Frame::new("compare", FrameType::NumericLong)
        .with(Field::text("metric", rows.iter().map(|row| row.metric.to_string())))
        .with(Field::text("role", rows.iter().map(role)))
        .with(
            Field::text("conclusion", rows.iter().map(|row| row.comparison.conclusion.to_string()))
                .shown(|config| config.colours(&[("better", "green"), ("worse", "red"), ("equivalent", "blue")])),
        )
        .with(texts("reference", rows, |row| Some(compare::value(row.metric, row.comparison.a))))
        .with(texts("judged", rows, |row| Some(compare::value(row.metric, row.comparison.b))))
        .with(Field::text("difference", rows.iter().map(written)))
        .with(texts("detectable", rows, |row| Some(compare::amount(row.metric, row.comparison.mde?))))
        .with(Field::text("unit", rows.iter().map(|row| row.metric.unit().grafana())))
        .with(column("a", rows, |row| Some(row.comparison.a), |config| config.description(&comparison.a_title)))
        .with(column("b", rows, |row| Some(row.comparison.b), |config| config.description(&comparison.b_title)))
        .with(column("delta", rows, |row| Some(row.comparison.delta), |config| config.description("b - a")))
        .with(column("ci_low", rows, |row| row.comparison.ci_low, |config| config))
        .with(column("ci_high", rows, |row| row.comparison.ci_high, |config| config))
        .with(column("p_value", rows, |row| Some(row.comparison.p_value), |config| config.range(0.0, 1.0)))
        .with(column("p_adjusted", rows, |row| row.p_adjusted, |config| config.range(0.0, 1.0).description("Holm")))
        .with(column(
            "mde",
            rows,
            |row| row.comparison.mde,
            |config| config.description("the smallest true difference that this comparison finds in 80 of 100 tries"),
        ))
        .with(Field::int("cases", rows.iter().map(|row| super::count(row.comparison.n_cases))))
        .with(Field::int("clusters", rows.iter().map(|row| super::count(row.comparison.n_clusters))))
        .notice(Severity::Info, sentence.as_str());
    frame.meta.custom =
        json!({"a": comparison.a, "b": comparison.b, "margin": comparison.margin, "sentence": sentence});
    frame.meta.row_id_fields = vec![0];
    frame
}

/// A column of what a person reads.
fn texts(name: &str, rows: &[Row], text: impl Fn(&Row) -> Option<String>) -> Field {
    Field::text_or_null(name, rows.iter().map(text))
}

/// A column of numbers, whose unit is that of the row's metric and so stands in the row.
fn column(
    name: &str,
    rows: &[Row],
    value: impl Fn(&Row) -> Option<f64>,
    change: impl FnOnce(Config) -> Config,
) -> Field {
    Field::float_or_null(name, rows.iter().map(value)).shown(|config| change(config.decimals(4)))
}
