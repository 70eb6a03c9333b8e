//! Signals: how the answers of live questions change over time, without a truth to hold them against.
//!
//! Three shares of the answers in a stretch of time: of those that abstained, that cite what is not there, and in which
//! the model failed; with Wilson's interval, each answer an observation. Answers to one question are alike, so an
//! interval says how exactly the share in *these* answers is known, not what other questions would have given. Reused
//! verdicts are no answers, and a failure of the surroundings says nothing about the model: both are left out of the
//! shares, and counted.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::Record;
use crate::stats::{Clustered, Estimate, QuantileEstimate, Scale, quantile};
use crate::verdict::Class;

/// More stretches of time than any panel has pixels.
const MOST_BUCKETS: i128 = 10_000;

/// What the answers are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Nothing.
    All,
    /// The route that chose the prompt.
    Route,
    /// The prompt version.
    Prompt,
    /// The model.
    Model,
    /// The standing question's name, or else the question's key.
    Question,
}

impl By {
    fn group(self, record: &Record) -> String {
        match self {
            Self::All => String::new(),
            Self::Route => record.asked.route.clone().unwrap_or_else(|| "-".to_owned()),
            Self::Prompt => record.asked.prompt.clone(),
            Self::Model => record.model.clone(),
            Self::Question => record.title().to_owned(),
        }
    }
}

/// The signals of one group over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is the group of; empty for [`By::All`].
    pub group: String,
    /// One per stretch of time, oldest first; those without any record too.
    pub points: Vec<Point>,
}

/// The signals of one stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Where it begins.
    pub at: DateTime<Utc>,
    /// Answers in it.
    pub answers: usize,
    /// Verdicts that were reused in it.
    pub reused: usize,
    /// Questions that failed because of the surroundings.
    pub infra: usize,
    /// Share of the answers that abstained; `None` without answers, as below.
    pub abstained: Option<Estimate>,
    /// Share of the answers that cite what the digest does not contain.
    pub ungrounded: Option<Estimate>,
    /// Share of the answers in which the model failed.
    pub failed: Option<Estimate>,
    /// Mean share of templates that the question had not seen before, reused verdicts included.
    pub unseen: Option<f64>,
    /// Median time from the window to the verdict, in milliseconds.
    pub latency_ms: Option<QuantileEstimate>,
}

/// The signals of the records from `from` up to but without `to`, in `buckets` stretches of equal length, by group.
pub fn signals<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    by: By,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    buckets: usize,
) -> Vec<Series> {
    // Through 128 bits: a product of two lengths of time.
    let length = i128::from((to - from).num_milliseconds()).max(1);
    let count = (buckets as i128).clamp(1, length.min(MOST_BUCKETS));
    let mut groups: BTreeMap<String, Vec<Vec<&Record>>> = BTreeMap::new();
    for record in records.into_iter().filter(|record| from <= record.at && record.at < to) {
        let bucket = i128::from((record.at - from).num_milliseconds()) * count / length;
        let stretches = groups.entry(by.group(record)).or_insert_with(|| vec![Vec::new(); count as usize]);
        stretches[bucket as usize].push(record);
    }
    let start = |bucket: usize| from + TimeDelta::milliseconds((length * bucket as i128 / count) as i64);
    let series = |(group, stretches): (String, Vec<Vec<&Record>>)| Series {
        group,
        points: stretches.iter().enumerate().map(|(bucket, records)| point(start(bucket), records)).collect(),
    };
    groups.into_iter().map(series).collect()
}

fn point(at: DateTime<Utc>, records: &[&Record]) -> Point {
    let (reused, asked): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|record| record.reused);
    let (infra, answers): (Vec<&Record>, Vec<&Record>) =
        asked.into_iter().partition(|record| record.class == Class::InfraError);
    let latencies: Vec<f64> = answers.iter().map(|record| record.latency_ms).collect();
    Point {
        at,
        answers: answers.len(),
        reused: reused.len(),
        infra: infra.len(),
        abstained: share(&answers, |class| class == Class::Abstained),
        ungrounded: share(&answers, |class| class == Class::Ungrounded),
        failed: share(&answers, Class::is_model_failure),
        unseen: mean(records.iter().filter_map(|record| record.unseen)),
        latency_ms: quantile(&latencies, 0.5).ok().flatten(),
    }
}

/// The share with Wilson's interval: one observation per cluster gives that method.
fn share(answers: &[&Record], counts: impl Fn(Class) -> bool) -> Option<Estimate> {
    let names: Vec<String> = (0..answers.len()).map(|index| index.to_string()).collect();
    let values =
        names.iter().zip(answers).map(|(name, record)| (name.as_str(), f64::from(u8::from(counts(record.class)))));
    Clustered::new(values, Scale::Unit).ok()?.estimate(0)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
