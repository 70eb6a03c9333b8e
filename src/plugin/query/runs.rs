//! `runs`: the runs of the store, newest first, with what made each and its primary metric.
//!
//! A run that was started and never finished is listed as such, without figures; a damaged one is a notice, and the
//! others are still listed. An alert rule gets the age of each arm's newest published run.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use serde::Deserialize;

use super::select::{self, Filter};
use super::{Ask, QueryType, shown};
use crate::frame::{Field, Frame, FrameType};
use crate::plugin::error::QueryError;
use crate::run::{Plan, RunRecord};
use crate::stats::Estimate;
use crate::store::{Cache, Listed, StoreError};
use crate::stream::Labels;

/// `runs` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "runs", answer: |ask| Box::pin(answer(ask)) };

/// The quantile of latency that is shown.
const P95: f64 = 0.95;

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The most runs to list.
    #[serde(default = "select::default_limit")]
    limit: usize,
}

/// A run of the list: published or not.
enum Row {
    Published(Arc<RunRecord>),
    Unfinished(Arc<Plan>),
}

impl Row {
    fn plan(&self) -> &Plan {
        match self {
            Self::Published(record) => &record.plan,
            Self::Unfinished(plan) => plan,
        }
    }

    fn record(&self) -> Option<&RunRecord> {
        match self {
            Self::Published(record) => Some(record),
            Self::Unfinished(_) => None,
        }
    }

    fn primary(&self) -> Option<&Estimate> {
        self.record()?.metrics.get(&self.plan().experiment.primary)
    }
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (query, filter) = ask.filtered::<Query>()?;
    select::within(query.limit, select::MAX_ROWS)?;
    let store = ask.instance.store()?;
    if ask.alert {
        return for_alert(&ask, &store, &filter).await;
    }
    let (rows, damaged) = list(&store, &filter, query.limit).await?;
    let mut frame = select::with_damage(frame(&ask, &rows), &damaged);
    frame.meta.row_id_fields = vec![0];
    Ok(vec![frame])
}

/// For an alert rule: how long ago each arm that ran in its range began the newest run that was published, in seconds.
/// A run that was cut short never is, so that its arm ages as one that never began.
async fn for_alert(ask: &Ask, store: &Cache, filter: &Filter) -> Result<Vec<Frame>, QueryError> {
    let (rows, _) = list(store, filter, select::MAX_ROWS).await?;
    let now = Utc::now();
    let mut newest: BTreeMap<Labels, (bool, Option<f64>)> = BTreeMap::new();
    for row in &rows {
        let plan = row.plan();
        let labels =
            Labels::from_iter([("experiment", plan.experiment.name.as_str()), ("arm", plan.arm.name.as_str())]);
        let arm = newest.entry(labels).or_default();
        let time = plan.started.timestamp_nanos_opt().unwrap_or_default();
        arm.0 |= ask.range.is_none_or(|(from, to)| (from..=to).contains(&time));
        if arm.1.is_none() && row.record().is_some() {
            arm.1 = Some((now - plan.started).num_milliseconds() as f64 / 1e3);
        }
    }
    let frame = |(labels, (_, age)): (Labels, (bool, Option<f64>))| {
        let age = Field::float_or_null("age", [age]).labelled(labels);
        Frame::new("runs", FrameType::TimeSeriesMulti)
            .with(Field::time("time", now.timestamp_nanos_opt()))
            .with(age.shown(|config| config.unit("s")))
    };
    Ok(newest.into_iter().filter(|(_, (in_range, _))| *in_range).map(frame).collect())
}

/// The newest runs that are wanted, and what is wrong with those that cannot be read.
async fn list(store: &Cache, filter: &Filter, limit: usize) -> Result<(Vec<Row>, Vec<String>), QueryError> {
    let listing = store.listing().await?;
    let (mut rows, mut damaged) = (Vec::new(), store.gather(&listing).await);
    for listed in listing.iter().rev() {
        match row(store, listed).await {
            Ok(Some(row)) if filter.wants(row.plan()) => rows.push(row),
            Ok(_) => {}
            Err(error @ StoreError::Damaged { .. }) => damaged.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        if rows.len() == limit {
            break;
        }
    }
    Ok((rows, damaged))
}

async fn row(store: &Cache, listed: &Listed) -> Result<Option<Row>, StoreError> {
    match store.record(listed).await? {
        Some(record) => Ok(Some(Row::Published(record))),
        None => Ok(store.plan(listed).await?.map(Row::Unfinished)),
    }
}

fn frame(ask: &Ask, rows: &[Row]) -> Frame {
    Frame::new("runs", FrameType::Table)
        .with(
            Field::text("run", rows.iter().map(|row| &row.plan().id))
                .shown(|config| config.link(shown::to_cases(&ask.instance))),
        )
        .with(Field::time_or_null("started", rows.iter().map(|row| row.plan().started.timestamp_nanos_opt())))
        .with(
            Field::text(
                "status",
                rows.iter().map(|row| if row.record().is_some() { "published" } else { "unfinished" }),
            )
            .shown(|config| config.colours(&[("published", "green"), ("unfinished", "orange")])),
        )
        .with(Field::text("experiment", rows.iter().map(|row| &row.plan().experiment.name)))
        .with(Field::text("arm", rows.iter().map(|row| &row.plan().arm.name)))
        .with(Field::text("dataset", rows.iter().map(|row| &row.plan().dataset.name)))
        .with(Field::text("prompt", rows.iter().map(|row| row.plan().arm.choice.to_string())))
        .with(Field::text("model", rows.iter().map(|row| model(row.plan()))))
        .with(Field::text("quantization", rows.iter().map(|row| &row.plan().model.spec.quantization)))
        .with(Field::text("profile", rows.iter().map(|row| row.plan().experiment.profile.as_str())))
        .with(Field::int("cases", rows.iter().map(|row| super::count(row.plan().dataset.cases))))
        .with(Field::text("metric", rows.iter().map(|row| row.plan().experiment.primary.to_string())))
        .with(number("value", rows, |row| row.primary().map(|primary| primary.value)))
        .with(number("ci_low", rows, |row| row.primary()?.ci_low))
        .with(number("ci_high", rows, |row| row.primary()?.ci_high))
        .with(
            number("failed", rows, |row| row.record().and_then(failed))
                .shown(|config| config.unit("percentunit").range(0.0, 1.0).description("answers that are no verdict")),
        )
        .with(
            number("p95_latency", rows, |row| p95(row.record()?))
                .shown(|config| config.unit("ms").decimals(0).description("from window to verdict")),
        )
        .with(number("duration", rows, seconds).shown(|config| config.unit("s").decimals(0)))
        .with(Field::text_or_null("commit", rows.iter().map(|row| row.plan().environment.commit.clone())))
}

/// A column of numbers to three places, of which some are not known.
fn number(name: &str, rows: &[Row], value: impl Fn(&Row) -> Option<f64>) -> Field {
    Field::float_or_null(name, rows.iter().map(value)).shown(|config| config.decimals(3))
}

/// The model's name; a demo model is never named without saying so, nor one that was not asked at all.
fn model(plan: &Plan) -> String {
    let demo = if plan.model.spec.demo { " (demo model)" } else { "" };
    let sample = if plan.sample { " (sample data)" } else { "" };
    format!("{}{demo}{sample}", plan.arm.model)
}

fn seconds(row: &Row) -> Option<f64> {
    let taken = row.record()?.finished - row.plan().started;
    taken.to_std().ok().map(|taken| taken.as_secs_f64())
}

/// The share of answers that are no verdict.
fn failed(record: &RunRecord) -> Option<f64> {
    let answers = record.answers();
    let failed = record.classes.iter().filter(|(class, _)| class.is_model_failure()).map(|(_, count)| count);
    (answers > 0).then(|| failed.sum::<usize>() as f64 / answers as f64)
}

fn p95(record: &RunRecord) -> Option<f64> {
    record.latency_ms.iter().find(|quantile| quantile.q == P95).map(|quantile| quantile.value)
}
