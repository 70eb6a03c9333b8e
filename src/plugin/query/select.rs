//! Which runs a query is about: the fields that several query types share, so that one dashboard variable serves all.
//!
//! Each takes a text or a list of texts, as Grafana's variables come; none, an empty one and `$__all` mean all.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::experiment::Choice;
use crate::frame::{Frame, Severity};
use crate::plugin::error::{QueryError, one_line};
use crate::run::{Metrics, Plan, RunRecord};
use crate::score::Metric;
use crate::store::{Cache, Records};
use crate::stream::Labels;

/// The most runs that any query looks at, newest first.
pub(super) const MAX_RUNS: usize = 1_000;

/// The most rows that a list may be asked for.
pub(super) const MAX_ROWS: usize = 1_000;

/// How long a list is that was not asked for a length.
pub(super) fn default_limit() -> usize {
    100
}

/// Refuses a `limit` that is none, or more than there can be.
pub(super) fn within(limit: usize, most: usize) -> Result<(), QueryError> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    Err(QueryError::Invalid(format!("field `limit`: {limit} is not between 1 and {most}")))
}

/// The quality that is meant where a query names none.
pub(super) fn default_metric() -> Metric {
    Metric::RootCause
}

/// Damaged runs that are told one by one; of the others the number.
const TOLD: usize = 5;

/// The shared fields.
pub(super) const FILTERS: [&str; 9] =
    ["experiment", "arm", "prompt", "model", "quantization", "dataset", "profile", "split", "family"];

/// Which cases of a run: those of a split or of a family by its name, or all.
pub(super) type Group<'r> = Option<(&'static str, &'r str)>;

/// What a query wants of each shared field; a field without values wants all.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<(&'static str, Vec<String>)>);

impl Filter {
    /// Takes the shared fields out of a query.
    pub(super) fn take(json: &mut Map<String, Value>) -> Result<Self, QueryError> {
        let mut wanted = Vec::new();
        for name in FILTERS {
            let Some(value) = json.remove(name) else { continue };
            let values = texts(&value).ok_or_else(|| {
                QueryError::Invalid(format!("field `{name}`: {value} is neither a text nor a list of texts"))
            })?;
            wanted.push((name, values.into_iter().filter(|text| !text.is_empty() && text != "$__all").collect()));
        }
        Ok(Self(wanted))
    }

    /// The values that are wanted of a field, none for all.
    pub(super) fn values(&self, name: &str) -> &[String] {
        self.0.iter().find(|(field, _)| *field == name).map_or(&[], |(_, values)| values)
    }

    /// Whether a field may have this value.
    pub(super) fn allows(&self, name: &str, value: &str) -> bool {
        let values = self.values(name);
        values.is_empty() || values.iter().any(|wanted| wanted == value)
    }

    /// Whether a run is wanted; split and family are not the run's but its cases'.
    pub(super) fn wants(&self, plan: &Plan) -> bool {
        self.allows("experiment", &plan.experiment.name)
            && self.allows("arm", &plan.arm.name)
            && self.allows("model", &plan.arm.model)
            && self.allows("quantization", &plan.model.spec.quantization)
            && self.allows("dataset", &plan.dataset.name)
            && self.allows("profile", plan.experiment.profile.as_str())
            && (self.values("prompt").is_empty() || self.allows("prompt", &plan.arm.choice.to_string()))
    }

    /// The metrics that are wanted of a run, each set with the labels that say of which cases it is: by split or family
    /// if such were named, else over all.
    pub(super) fn metrics<'r>(&self, record: &'r RunRecord) -> Vec<(Group<'r>, &'r Metrics)> {
        let of = |name: &'static str, groups: &'r std::collections::BTreeMap<String, Metrics>| {
            let wanted = groups.iter().filter(move |(group, _)| self.values(name).contains(group));
            wanted.map(move |(group, metrics)| (Some((name, group.as_str())), metrics))
        };
        if self.values("split").is_empty() && self.values("family").is_empty() {
            return vec![(None, &record.metrics)];
        }
        of("split", &record.by_split).chain(of("family", &record.by_family)).collect()
    }
}

pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// The newest published runs that a filter wants.
pub(super) async fn records(cache: &Cache, filter: &Filter, limit: usize) -> Result<Records, QueryError> {
    Ok(cache.records(limit, |record| filter.wants(&record.plan)).await?)
}

/// Adds what could not be read as notices.
pub(super) fn with_damage(mut frame: Frame, damaged: &[String]) -> Frame {
    for reason in damaged.iter().take(TOLD) {
        frame = frame.notice(Severity::Warning, one_line(reason));
    }
    match damaged.len().checked_sub(TOLD + 1) {
        Some(more) => frame.notice(Severity::Warning, format!("{} further runs are damaged", more + 1)),
        None => frame,
    }
}

/// The labels that tell runs of one series from those of another.
pub(super) fn labels(plan: &Plan) -> Labels {
    Labels::from_iter([
        ("experiment", plan.experiment.name.clone()),
        ("arm", plan.arm.name.clone()),
        ("prompt", plan.arm.choice.to_string()),
        ("model", plan.arm.model.clone()),
        ("quantization", plan.model.spec.quantization.clone()),
        ("dataset", plan.dataset.name.clone()),
    ])
}

/// What the labels of a run are made of: runs of one series are put together by it, without labels for each.
pub(super) type Series<'r> = (&'r str, &'r str, &'r Choice, &'r str, &'r str, &'r str);

/// The series that a run belongs to.
pub(super) fn series(plan: &Plan) -> Series<'_> {
    let (arm, model) = (&plan.arm, &plan.model.spec);
    (&plan.experiment.name, &arm.name, &arm.choice, &arm.model, &model.quantization, &plan.dataset.name)
}

/// Whether any of the runs was made by a demo model.
pub(super) fn any_demo(records: &[Arc<RunRecord>]) -> bool {
    records.iter().any(|record| record.plan.model.spec.demo)
}

/// Marks a frame whose figures are no measurement of a real model: a demo model's, or resampled.
pub(super) fn with_marks(mut frame: Frame, records: &[Arc<RunRecord>]) -> Frame {
    if records.iter().any(|record| record.plan.sample) {
        frame = frame.notice(Severity::Warning, "sample data: resampled from other runs, no model was asked");
    }
    if any_demo(records) {
        let text = "some of these figures are a demo model's: they say nothing about real models";
        frame = frame.notice(Severity::Warning, text);
    }
    frame
}
