//! `signals`: how the answers to live questions change over time, from the ledger: how many abstain, cite what is not
//! there, or fail, and how much of the logs had not been seen before.
//!
//! No truth is known here: a signal that moves says that the world or the system changed, not which.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::verdicts::{whole, with_losses};
use super::{Ask, QueryType};
use crate::frame::{Config, Field, Frame, FrameType, Severity, Thresholds, Visualisation};
use crate::ledger::{By, Point, Record, Series, signals};
use crate::plugin::error::QueryError;
use crate::stats::Estimate;
use crate::stream::Labels;

/// `signals` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "signals", answer: |ask| Box::pin(answer(ask)) };

/// The most points of a series: fewer answers in each would say too little.
const MOST_POINTS: u128 = 100;

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Signal {
    /// Share of answers that say the logs do not show the cause.
    Abstained,
    /// Share of answers that cite what is not in the digest.
    Ungrounded,
    /// Share of answers that are no verdict.
    Failed,
    /// Share of templates that the question had not seen before.
    Unseen,
}

impl Signal {
    const ALL: [Self; 4] = [Self::Abstained, Self::Ungrounded, Self::Failed, Self::Unseen];

    fn name(self) -> &'static str {
        match self {
            Self::Abstained => "abstained",
            Self::Ungrounded => "ungrounded",
            Self::Failed => "failed",
            Self::Unseen => "unseen",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Abstained => "answers that say the logs do not show the cause",
            Self::Ungrounded => "answers that cite what is not in the logs",
            Self::Failed => "answers that are no verdict",
            Self::Unseen => "templates that the question had not seen before",
        }
    }

    fn estimate(self, point: &Point) -> Option<&Estimate> {
        match self {
            Self::Abstained => point.abstained.as_ref(),
            Self::Ungrounded => point.ungrounded.as_ref(),
            Self::Failed => point.failed.as_ref(),
            Self::Unseen => None,
        }
    }

    fn value(self, point: &Point) -> Option<f64> {
        match self {
            Self::Unseen => point.unseen,
            _ => self.estimate(point).map(|estimate| estimate.value),
        }
    }

    fn shown(self, config: Config) -> Config {
        let steps = match self {
            Self::Unseen | Self::Abstained => [(0.2, "orange"), (0.5, "red")],
            Self::Ungrounded | Self::Failed => [(0.05, "orange"), (0.2, "red")],
        };
        let config = config.unit("percentunit").range(0.0, 1.0).decimals(1).description(self.meaning());
        Config { thresholds: Some(Thresholds::absolute("green", &steps)), ..config }
    }
}

/// What the answers are grouped by.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Group {
    All,
    #[default]
    Prompt,
    Route,
    Model,
    Question,
}

impl Group {
    fn by(self) -> By {
        match self {
            Self::All => By::All,
            Self::Prompt => By::Prompt,
            Self::Route => By::Route,
            Self::Model => By::Model,
            Self::Question => By::Question,
        }
    }

    fn labels(self, group: &str) -> Labels {
        let name = match self {
            Self::All => return Labels::default(),
            Self::Prompt => "prompt",
            Self::Route => "route",
            Self::Model => "model",
            Self::Question => "question",
        };
        Labels::from_iter([(name, group)])
    }
}

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// One signal, with its interval; all four without.
    #[serde(default)]
    signal: Option<Signal>,
    /// What the answers are grouped by.
    #[serde(default)]
    by: Group,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let query: Query = ask.fields()?;
    let (from, to) = ask.times()?;
    let lines = ask.instance.ledger()?.between(from, to).await?;
    let records: Vec<&Record> = lines.records.iter().map(Arc::as_ref).collect();
    let length = (to - from).to_std().unwrap_or_default();
    let mut series = signals(records.iter().copied(), query.by.by(), from, to, buckets(length, ask.interval));
    without_gaps(&mut series);
    let Some(signal) = query.signal else {
        if ask.alert {
            let message = "an alert rule needs one number: give `signal`, one of abstained, ungrounded, failed, unseen";
            return Err(QueryError::Invalid(message.to_owned()));
        }
        return Ok(vec![noted(with_losses(all(&query, &series), &lines), &series)]);
    };
    if ask.alert {
        whole(&lines)?;
        return Ok(series.iter().filter_map(|series| for_alert(&query, signal, series)).collect());
    }
    let mut frames: Vec<Frame> = series.iter().map(|series| panel(&query, signal, series)).collect();
    if frames.is_empty() {
        frames.push(Frame::new(signal.name(), FrameType::TimeSeriesMulti));
    }
    let first = noted(with_losses(frames.remove(0), &lines), &series);
    frames.insert(0, first);
    Ok(frames)
}

/// Into how many stretches a time range is cut.
fn buckets(length: Duration, interval: Duration) -> usize {
    let points = length.as_millis() / interval.as_millis().max(1);
    usize::try_from(points.clamp(1, MOST_POINTS)).unwrap_or(1)
}

/// Leaves out the stretches of time in which no group has anything, so that all groups keep the same.
fn without_gaps(series: &mut [Series]) {
    let stretches = series.first().map_or(0, |series| series.points.len());
    let is_known = |point: &Point| point.answers + point.infra + point.reused > 0;
    let known: Vec<bool> =
        (0..stretches).map(|at| series.iter().any(|series| series.points.get(at).is_some_and(is_known))).collect();
    for series in series {
        let mut known = known.iter();
        series.points.retain(|_| known.next().copied().unwrap_or(true));
    }
}

fn noted(frame: Frame, series: &[Series]) -> Frame {
    let points = || series.iter().flat_map(|series| &series.points);
    if points().all(|point| point.answers == 0) {
        return frame.notice(Severity::Info, "no question was answered in this time");
    }
    match points().map(|point| point.infra).sum::<usize>() {
        0 => frame,
        infra => {
            frame.notice(Severity::Info, format!("{infra} questions failed with their surroundings and do not count"))
        }
    }
}

fn times(series: &Series) -> Field {
    Field::time("time", series.points.iter().map(|point| point.at.timestamp_nanos_opt().unwrap_or_default()))
}

/// All signals of all groups over one time column: every group has the same stretches.
fn all(query: &Query, series: &[Series]) -> Frame {
    let mut frame = Frame::new("signals", FrameType::TimeSeriesWide);
    frame.meta.visualisation = Some(Visualisation::Graph);
    let Some(first) = series.first() else { return frame };
    frame = frame.with(times(first));
    for series in series {
        for signal in Signal::ALL {
            let title = format!("{} {}", signal.name(), series.group);
            let values = series.points.iter().map(|point| signal.value(point));
            frame = frame.with(
                Field::float_or_null(signal.name(), values)
                    .labelled(query.by.labels(&series.group))
                    .shown(|config| signal.shown(config).display_name(title.trim())),
            );
        }
    }
    frame
}

/// One signal of one group, with its interval.
fn panel(query: &Query, signal: Signal, series: &Series) -> Frame {
    let labels = query.by.labels(&series.group);
    let title = if series.group.is_empty() { signal.name() } else { &series.group };
    let low = format!("{title} low");
    let bound = |name: &str, of: fn(&Estimate) -> Option<f64>, custom: serde_json::Value, shown: &str| {
        let values = series.points.iter().map(|point| signal.estimate(point).and_then(of));
        Field::float_or_null(name, values).labelled(labels.clone()).shown(|config| {
            let config = signal.shown(config).display_name(shown);
            Config { custom, ..config }
        })
    };
    let hidden = json!({"legend": true, "tooltip": false, "viz": false});
    let mut frame = Frame::new(signal.name(), FrameType::TimeSeriesMulti).with(times(series)).with(
        Field::float_or_null(signal.name(), series.points.iter().map(|point| signal.value(point)))
            .labelled(labels.clone())
            .shown(|config| signal.shown(config).display_name(title)),
    );
    if signal != Signal::Unseen {
        frame = frame
            .with(bound("ci_low", |e| e.ci_low, json!({"lineWidth": 0, "hideFrom": hidden.clone()}), &low))
            .with(bound(
                "ci_high",
                |e| e.ci_high,
                json!({"lineWidth": 0, "fillBelowTo": low, "hideFrom": hidden}),
                &format!("{title} high"),
            ));
    }
    frame = frame
        .with(Field::int("answers", series.points.iter().map(|point| super::count(point.answers))).labelled(labels));
    frame.meta.visualisation = Some(Visualisation::Graph);
    frame
}

/// One signal of one group, without the stretches in which nothing was answered; `None` if that are all.
fn for_alert(query: &Query, signal: Signal, series: &Series) -> Option<Frame> {
    let known: Vec<(i64, f64)> = series
        .points
        .iter()
        .filter_map(|point| Some((point.at.timestamp_nanos_opt()?, signal.value(point)?)))
        .collect();
    let frame = Frame::new(signal.name(), FrameType::TimeSeriesMulti)
        .with(Field::time("time", known.iter().map(|(time, _)| *time)))
        .with(
            Field::float(signal.name(), known.iter().map(|(_, value)| *value)).labelled(query.by.labels(&series.group)),
        );
    (!known.is_empty()).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_by_the_panels_interval_into_not_too_many_stretches() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert_eq!(buckets(minutes(60), minutes(5)), 12);
        assert_eq!(buckets(minutes(60), Duration::from_secs(1)), 100);
        assert_eq!([buckets(minutes(1), minutes(5)), buckets(Duration::ZERO, Duration::ZERO)], [1, 1]);
    }
}
