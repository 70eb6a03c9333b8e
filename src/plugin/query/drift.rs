//! `drift`: has the system changed since its baseline was pinned? Each later run of the same arm against the baseline,
//! and what all of them together establish, however often somebody looks.
//!
//! The other half of drift, whether the world changed, is `signals`: it needs no golden set and no baseline.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::select::{self, Filter, MAX_RUNS};
use super::{Ask, QueryType, shown};
use crate::compare::{Baseline, RunNight, watched};
use crate::frame::{Config, Field, Frame, FrameType, Severity, Thresholds, Visualisation};
use crate::plugin::error::{QueryError, one_line};
use crate::run::RunRecord;
use crate::score::Metric;
use crate::stats::Drift;
use crate::stats::drift::{Change, ENOUGH};
use crate::store::Cache;
use crate::stream::Labels;
use crate::tally::Tallied;

/// `drift` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "drift", answer: |ask| Box::pin(answer(ask)) };

/// What is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Show {
    /// The difference from the baseline, with its interval.
    #[default]
    Delta,
    /// What is left of the experiment's margin: negative once the loss is larger.
    Headroom,
    /// The evidence of a change for the worse that the nights so far add up to.
    Evidence,
    /// A row per baseline: where it stands.
    State,
}

impl Show {
    fn field(self) -> &'static str {
        match self {
            Self::Delta | Self::State => "delta",
            Self::Headroom => "headroom",
            Self::Evidence => "evidence",
        }
    }
}

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Query {
    /// Which baselines, a name or a list; all if absent.
    #[serde(default)]
    baseline: Value,
    /// A share that is watched; the primary metric of the baseline's experiment if absent.
    #[serde(default)]
    metric: Option<Metric>,
    /// What is shown.
    #[serde(default)]
    show: Show,
    /// The loss that does not matter; the experiment's if absent and the metric is its primary one.
    #[serde(default)]
    margin: Option<f64>,
    /// Show nights of any time, not only those of the panel's. All count as evidence either way.
    #[serde(default)]
    any_time: bool,
}

/// A baseline and everything that ran after it.
struct Watch {
    baseline: Baseline,
    pinned: Arc<Tallied>,
    metric: Metric,
    margin: f64,
    nights: Vec<(Arc<RunRecord>, Arc<RunNight>)>,
    history: Vec<Drift>,
    since: Option<(usize, Change)>,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (query, filter) = ask.filtered::<Query>()?;
    let Some(names) = select::texts(&query.baseline) else {
        let given = &query.baseline;
        return Err(QueryError::Invalid(format!("field `baseline`: {given} is neither a text nor a list of texts")));
    };
    if query.show == Show::State && ask.alert {
        return Err(QueryError::Invalid("field `show`: an alert rule takes delta, headroom or evidence".to_owned()));
    }
    let cache = ask.instance.store()?;
    let (mut watches, mut notices) = (Vec::new(), Vec::new());
    let all = |name: &String| name.is_empty() || name == "$__all";
    for baseline in cache.store().baselines().await? {
        if names.iter().any(|name| !all(name)) && !names.contains(&baseline.name) {
            continue;
        }
        match watch(&ask, &cache, &filter, &query, baseline).await {
            Ok(Some((watch, refused))) => {
                watches.push(watch);
                notices.extend(refused);
            }
            Ok(None) => {}
            // One baseline that was tampered with does not hide the others.
            Err(error @ QueryError::Store(_)) => notices.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    if ask.alert {
        return Ok(watches.iter().filter_map(|watch| for_alert(&ask, &query, watch)).collect());
    }
    let mut frames = match query.show {
        Show::State => vec![states(&ask, &watches)],
        _ => watches.iter().map(|watch| series(&ask, &query, watch)).collect(),
    };
    if watches.is_empty() {
        let text = "nothing is watched: `assay eval baseline set NAME RUN` pins a run, and later runs of its arm are held against it";
        frames = vec![Frame::new("drift", FrameType::TimeSeriesMulti).notice(Severity::Info, text)];
    }
    let records: Vec<_> =
        watches.iter().flat_map(|watch| watch.nights.iter().map(|(record, _)| record.clone())).collect();
    let mut first = select::with_marks(frames.remove(0), &records);
    for notice in notices {
        first = first.notice(Severity::Warning, notice);
    }
    frames.insert(0, first);
    Ok(frames)
}

/// A baseline with the nights since, and why a run of the arm is not one of them; `None` if the filter does not want it.
async fn watch(
    ask: &Ask,
    cache: &Cache,
    filter: &Filter,
    query: &Query,
    baseline: Baseline,
) -> Result<Option<(Watch, Option<String>)>, QueryError> {
    let pinned = cache.pinned(&baseline).await?;
    let plan = &pinned.record.plan;
    if !filter.wants(plan) {
        return Ok(None);
    }
    let metric = query.metric.unwrap_or(plan.experiment.primary);
    let declared = if metric == plan.experiment.primary { plan.experiment.margin } else { 0.0 };
    let margin = query.margin.unwrap_or(declared);
    let later = cache.records(MAX_RUNS, |record| {
        let of = &record.plan;
        let same_arm = of.experiment.name == plan.experiment.name && of.arm.name == plan.arm.name;
        same_arm && of.sample == plan.sample && of.started > plan.started
    });
    let mut later = later.await?.records;
    later.reverse();
    let (mut nights, mut refused, mut reason) = (Vec::new(), 0, None);
    for record in later {
        match ask.instance.comparisons.night(cache, &pinned, &record, metric).await {
            Ok(night) => nights.push((record, night)),
            Err(QueryError::Refused(why)) => {
                refused += 1;
                reason = Some(why);
            }
            Err(error) => return Err(error),
        }
    }
    let (history, since) = watched(nights.iter().map(|(_, night)| &**night));
    let notice =
        reason.map(|why| format!("{refused} runs are not held against baseline {}: {}", baseline.name, one_line(&why)));
    Ok(Some((Watch { baseline, pinned, metric, margin, nights, history, since }, notice)))
}

impl Watch {
    fn labels(&self) -> Labels {
        let plan = &self.pinned.record.plan;
        Labels::from_iter([
            ("baseline", self.baseline.name.clone()),
            ("experiment", plan.experiment.name.clone()),
            ("arm", plan.arm.name.clone()),
            ("dataset", plan.dataset.name.clone()),
        ])
    }

    /// Indices of the nights that are shown.
    fn shown(&self, ask: &Ask, any_time: bool) -> Vec<usize> {
        let range = ask.range.filter(|_| !any_time);
        let within = |index: &usize| {
            let time = nanos(self.nights[*index].0.plan.started);
            time.is_some_and(|time| range.is_none_or(|(from, to)| (from..=to).contains(&time)))
        };
        (0..self.nights.len()).filter(within).collect()
    }

    fn value(&self, show: Show, index: usize) -> f64 {
        let night = &self.nights[index].1;
        match show {
            Show::Delta | Show::State => night.difference.delta,
            Show::Headroom => night.headroom(self.metric.direction(), self.margin),
            Show::Evidence => self.history[index].worse,
        }
    }

    fn times(&self, shown: &[usize]) -> Field {
        Field::time("time", shown.iter().filter_map(|index| nanos(self.nights[*index].0.plan.started)))
    }
}

fn nanos(time: DateTime<Utc>) -> Option<i64> {
    time.timestamp_nanos_opt()
}

/// Time and the one number, for an alert rule; none if no night is in its range.
fn for_alert(ask: &Ask, query: &Query, watch: &Watch) -> Option<Frame> {
    let shown = watch.shown(ask, query.any_time);
    let values = shown.iter().map(|index| watch.value(query.show, *index));
    let frame = Frame::new("drift", FrameType::TimeSeriesMulti)
        .with(watch.times(&shown))
        .with(Field::float(query.show.field(), values).labelled(watch.labels()));
    (!shown.is_empty()).then_some(frame)
}

fn series(ask: &Ask, query: &Query, watch: &Watch) -> Frame {
    let shown = watch.shown(ask, query.any_time);
    let title = watch.pinned.record.plan.arm.name.clone();
    let unit = |config: Config| config.unit(watch.metric.unit().grafana()).decimals(1);
    let value = Field::float(query.show.field(), shown.iter().map(|index| watch.value(query.show, *index)));
    let value = value.labelled(watch.labels()).shown(|config| {
        let config = if query.show == Show::Evidence { threshold(config) } else { unit(config) };
        config.display_name(&title).link(shown::to_cases(&ask.instance))
    });
    let mut frame = Frame::new("drift", FrameType::TimeSeriesMulti).with(watch.times(&shown)).with(value);
    if query.show == Show::Delta {
        let difference = |index: &usize| &watch.nights[*index].1.difference;
        let low = shown.iter().map(|index| difference(index).ci_low);
        let high = shown.iter().map(|index| difference(index).ci_high);
        let [low, high] = shown::band(&title, low, high, &watch.labels(), unit);
        frame = frame.with(low).with(high);
    }
    frame.meta.visualisation = Some(Visualisation::Graph);
    frame.with(Field::text("run", shown.iter().map(|index| &watch.nights[*index].0.plan.id)))
}

/// Red from where a change is established.
fn threshold(mut config: Config) -> Config {
    config.thresholds = Some(Thresholds::absolute("green", &[(ENOUGH / 4.0, "orange"), (ENOUGH, "red")]));
    config.decimals(1)
}

fn states(ask: &Ask, watches: &[Watch]) -> Frame {
    let text = |name: &str, of: &dyn Fn(&Watch) -> Option<String>| Field::text_or_null(name, watches.iter().map(of));
    let last = |watch: &Watch| watch.nights.last().map(|(_, night)| Arc::clone(night));
    let number = |name: &str, of: &dyn Fn(&Watch) -> Option<f64>| Field::float_or_null(name, watches.iter().map(of));
    let share = |config: Config| config.unit("percentunit").decimals(1);
    let change = |watch: &Watch| match (watch.nights.is_empty(), watch.since) {
        (true, _) => "no night yet",
        (_, None) => "none shown",
        (_, Some((_, Change::Worse))) => "worse",
        (_, Some((_, Change::Better))) => "better",
    };
    let since = |watch: &Watch| watch.since.and_then(|(index, _)| nanos(watch.nights[index].0.plan.started));
    let drift = |watch: &Watch| watch.history.last().copied();
    let mut frame = Frame::new("drift", FrameType::Table)
        .with(text("baseline", &|watch| Some(watch.baseline.name.clone())))
        .with(text("arm", &|watch| Some(watch.pinned.record.plan.arm.name.clone())))
        .with(text("metric", &|watch| Some(watch.metric.to_string())))
        .with(
            Field::text("change", watches.iter().map(change))
                .shown(|config| config.colours(&[("worse", "red"), ("better", "blue"), ("none shown", "green")])),
        )
        .with(Field::time_or_null("since", watches.iter().map(since)))
        .with(Field::int("nights", watches.iter().map(|watch| super::count(watch.nights.len()))))
        .with(number("delta", &|watch| Some(last(watch)?.difference.delta)).shown(share))
        .with(number("ci_low", &|watch| last(watch)?.difference.ci_low).shown(share))
        .with(number("ci_high", &|watch| last(watch)?.difference.ci_high).shown(share))
        .with(number("margin", &|watch| Some(watch.margin)).shown(share))
        .with(number("evidence", &|watch| Some(drift(watch)?.worse)).shown(threshold))
        .with(number("p_value", &|watch| Some(drift(watch)?.p_value())).shown(|config| {
            config.range(0.0, 1.0).decimals(4).description("holds at any time, however often it is read")
        }))
        .with(
            text("run", &|watch| Some(watch.nights.last()?.0.plan.id.clone()))
                .shown(|config| config.link(shown::to_cases(&ask.instance))),
        )
        .with(text("pinned_run", &|watch| Some(watch.baseline.run.clone())))
        .with(Field::time_or_null("pinned", watches.iter().map(|watch| nanos(watch.baseline.set))));
    frame.meta.row_id_fields = vec![0];
    frame
}
