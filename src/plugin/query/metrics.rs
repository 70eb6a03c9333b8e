//! `metrics`: a metric over runs as time series, each point with its interval: drift, on a panel or in an alert rule.
//!
//! A series is what one experiment's arm, prompt, model and dataset gave over time, by split or family if such are
//! named. A panel gets value, interval and run; an alert rule gets the values alone, because every number of a frame
//! would become an alert instance of its own. A run outside the panel's time range is left out and counted in a notice.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::select::{self, Filter, Group, MAX_RUNS};
use super::{Ask, QueryType, shown};
use crate::frame::{Field, Frame, FrameType, Severity, Visualisation};
use crate::plugin::error::QueryError;
use crate::run::{Metrics, Plan, RunRecord};
use crate::score::Metric;
use crate::stats::Estimate;
use crate::stream::Labels;

/// `metrics` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "metrics", answer: |ask| Box::pin(answer(ask)) };

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Query {
    /// What is shown.
    #[serde(default = "select::default_metric")]
    metric: Metric,
    /// Of the latency: the quantile that is shown in place of the mean, 0.5, 0.95 or 0.99.
    #[serde(default)]
    quantile: Option<f64>,
    /// Show runs of any time, not only those of the panel's.
    #[serde(default)]
    any_time: bool,
    /// The most runs to look at, newest first.
    #[serde(default = "all")]
    limit: usize,
}

fn all() -> usize {
    MAX_RUNS
}

/// One point.
struct Point<'r> {
    time: i64,
    estimate: Cow<'r, Estimate>,
    plan: &'r Plan,
}

type Series<'r> = BTreeMap<Labels, Vec<Point<'r>>>;

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (query, filter) = ask.filtered::<Query>()?;
    select::within(query.limit, MAX_RUNS)?;
    check_quantile(&query, &filter)?;
    let cache = ask.instance.store()?;
    let found = select::records(&cache, &filter, query.limit).await?;
    let (mut alike, mut outside, mut without) = (BTreeMap::<_, Vec<Point<'_>>>::new(), 0, 0);
    // Oldest first: a series must ascend in time.
    for record in found.records.iter().rev() {
        let Some(time) = record.plan.started.timestamp_nanos_opt() else { continue };
        if !query.any_time && ask.range.is_some_and(|(from, to)| time < from || time > to) {
            outside += 1;
            continue;
        }
        for (group, metrics) in filter.metrics(record) {
            let Some(estimate) = estimate(&query, record, metrics) else {
                without += 1;
                continue;
            };
            let points = alike.entry((select::series(&record.plan), group)).or_default();
            points.push(Point { time, estimate, plan: &record.plan });
        }
    }
    let series: Series<'_> = alike.into_iter().map(|((_, group), points)| labelled(group, points)).collect();
    if ask.alert {
        return Ok(series.iter().map(|(labels, points)| for_alert(query.metric, labels, points)).collect());
    }
    let mut frames = for_panel(&ask, query.metric, &series);
    let mut first = select::with_damage(select::with_marks(frames.remove(0), &found.records), &found.damaged);
    if found.records.is_empty() {
        first = first.notice(Severity::Info, "no finished run of that kind in the store: `assay eval run` makes one");
    }
    let drawn = |point: &Point<'_>| ask.range.is_none_or(|(from, to)| (from..=to).contains(&point.time));
    if query.any_time && !series.is_empty() && !series.values().flatten().any(drawn) {
        first = first.notice(Severity::Info, "every run lies outside the time range: zoom out to see them drawn");
    }
    if outside > 0 {
        let text = format!("{outside} runs lie outside the time range: widen it, or set `anyTime`");
        first = first.notice(Severity::Info, text);
    }
    if without > 0 {
        first = first.notice(Severity::Info, format!("{without} runs have no `{}`", query.metric));
    }
    frames.insert(0, first);
    Ok(frames)
}

/// A series in the order of time, with its labels.
fn labelled<'r>(group: Group<'_>, mut points: Vec<Point<'r>>) -> (Labels, Vec<Point<'r>>) {
    points.sort_by_key(|point| point.time);
    let mut labels = points.first().map(|point| select::labels(point.plan)).unwrap_or_default();
    labels.0.extend(group.map(|(name, value)| (name.to_owned(), value.to_owned())));
    (labels, points)
}

/// Quantiles are kept for the latency alone, over all cases.
fn check_quantile(query: &Query, filter: &Filter) -> Result<(), QueryError> {
    let Some(q) = query.quantile else { return Ok(()) };
    if query.metric != Metric::LatencyMs {
        let message =
            format!("field `quantile`: {} has none: ask for the metric `{}`", query.metric, Metric::LatencyMs);
        return Err(QueryError::Invalid(message));
    }
    if !filter.values("split").is_empty() || !filter.values("family").is_empty() {
        let message = "field `quantile`: it is over all cases: leave `split` and `family` out";
        return Err(QueryError::Invalid(message.to_owned()));
    }
    if [0.5, 0.95, 0.99].contains(&q) {
        return Ok(());
    }
    Err(QueryError::Invalid(format!("field `quantile`: {q} is not kept: ask for 0.5, 0.95 or 0.99")))
}

/// The value that is shown of a run.
fn estimate<'r>(query: &Query, record: &RunRecord, metrics: &'r Metrics) -> Option<Cow<'r, Estimate>> {
    let Some(q) = query.quantile else { return metrics.get(&query.metric).map(Cow::Borrowed) };
    let quantile = record.latency_ms.iter().find(|quantile| quantile.q == q)?;
    let of_mean = metrics.get(&query.metric)?;
    let (value, ci_low, ci_high) = (quantile.value, quantile.ci_low, quantile.ci_high);
    Some(Cow::Owned(Estimate { value, ci_low, ci_high, ..of_mean.clone() }))
}

/// A series for an alert rule: time and value, labels on the value.
fn for_alert(metric: Metric, labels: &Labels, points: &[Point<'_>]) -> Frame {
    Frame::new(metric.as_str(), FrameType::TimeSeriesMulti)
        .with(Field::time("time", points.iter().map(|point| point.time)))
        .with(Field::float(metric.as_str(), points.iter().map(|point| point.estimate.value)).labelled(labels.clone()))
}

/// A frame per series, at least one: an empty answer has to say why somewhere.
fn for_panel(ask: &Ask, metric: Metric, series: &Series<'_>) -> Vec<Frame> {
    let telling = telling(series.keys());
    let mut frames: Vec<Frame> =
        series.iter().map(|(labels, points)| panel(ask, metric, labels, &title(labels, &telling), points)).collect();
    if frames.is_empty() {
        frames.push(Frame::new(metric.as_str(), FrameType::TimeSeriesMulti));
    }
    frames
}

fn panel(ask: &Ask, metric: Metric, labels: &Labels, title: &str, points: &[Point<'_>]) -> Frame {
    let value = Field::float(metric.as_str(), points.iter().map(|point| point.estimate.value))
        .labelled(labels.clone())
        .shown(|config| shown::metric(config, metric).display_name(title).link(shown::to_cases(&ask.instance)));
    let low = points.iter().map(|point| point.estimate.ci_low);
    let high = points.iter().map(|point| point.estimate.ci_high);
    let [low, high] = shown::band(title, low, high, labels, |config| shown::metric(config, metric));
    let mut frame = Frame::new(metric.as_str(), FrameType::TimeSeriesMulti)
        .with(Field::time("time", points.iter().map(|point| point.time)))
        .with(value)
        .with(low)
        .with(high)
        .with(Field::text("run", points.iter().map(|point| &point.plan.id)));
    frame.meta.visualisation = Some(Visualisation::Graph);
    frame.meta.row_id_fields = vec![4];
    frame
}

/// Names of the labels that differ between series.
fn telling<'l>(series: impl Iterator<Item = &'l Labels>) -> BTreeSet<String> {
    let mut values: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    let all: Vec<&Labels> = series.collect();
    // An arm's name says enough where no two series share it.
    if all.iter().map(|labels| labels.get("arm")).collect::<BTreeSet<_>>().len() == all.len() {
        return BTreeSet::from(["arm".to_owned()]);
    }
    let names: BTreeSet<&str> = all.iter().flat_map(|labels| labels.0.keys().map(String::as_str)).collect();
    for labels in &all {
        for name in &names {
            values.entry(name).or_default().insert(labels.get(name));
        }
    }
    values.into_iter().filter(|(_, values)| values.len() > 1).map(|(name, _)| name.to_owned()).collect()
}

/// What a person calls a series: the labels that tell it from the others, or its arm.
fn title(labels: &Labels, telling: &BTreeSet<String>) -> String {
    let parts: Vec<&str> = telling.iter().filter_map(|name| labels.get(name)).collect();
    if parts.is_empty() { labels.get("arm").unwrap_or_default().to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_called_by_what_tells_it_from_the_others() {
        let a = Labels::from_iter([("arm", "a"), ("model", "m"), ("dataset", "d")]);
        let b = Labels::from_iter([("arm", "b"), ("model", "n"), ("dataset", "d")]);
        let c = Labels::from_iter([("arm", "b"), ("model", "n"), ("dataset", "d"), ("split", "standard")]);
        let two = telling([&a, &b].into_iter());
        assert_eq!((title(&a, &two).as_str(), title(&b, &two).as_str()), ("a", "b"));
        let three = telling([&a, &b, &c].into_iter());
        assert_eq!(title(&a, &three), "a m");
        assert_eq!(title(&c, &three), "b n standard");
        assert_eq!(title(&a, &telling([&a].into_iter())), "a");
    }
}
