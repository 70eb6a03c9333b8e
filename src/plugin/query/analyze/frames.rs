//! How live verdicts look: as a table for panels, as a number for alert rules.

use std::time::Duration;

use serde_json::{Value, json};

use crate::frame::{Field, Frame, FrameType, Severity};
use crate::ledger::Record;
use crate::live::{Kept, Key, Question};
use crate::plugin::instance::Instance;
use crate::plugin::query::shown;
use crate::verdict::Class;

/// A verdict that is shown.
pub(super) struct Shown<'k> {
    pub(super) kept: &'k Kept,
    pub(super) question: &'k Question,
    /// Since it was last held against the logs.
    pub(super) age: Duration,
}

/// The verdict as a table of one row.
pub(super) fn verdict(instance: &Instance, shown: &Shown<'_>) -> Frame {
    let record = &shown.kept.record;
    let one = |name: &str, text: Option<String>| Field::text_or_null(name, [text]);
    let tokens = i64::from(record.usage.prompt_tokens) + i64::from(record.usage.completion_tokens);
    let mut frame = Frame::new("verdict", FrameType::Table);
    let [told @ .., evidence] = shown::verdict(record.verdict.as_ref());
    frame.fields.extend(told);
    let mut frame = frame
        .with(evidence.shown(|config| shown::to_logs(config, instance, &shown.question.expr)))
        .with(one("outcome", Some(record.class.to_string())).shown(shown::outcome_colours))
        .with(Field::time_or_null("asked", [record.at.timestamp_nanos_opt()]).shown(|config| shown::wide(config, 170)))
        .with(Field::float("age", [shown.age.as_secs_f64()]).shown(|config| config.unit("s").decimals(0)))
        .with(one("reason", record.reason.clone()))
        .with(one("expr", Some(shown.question.expr.clone())))
        .with(Field::int("lines", [i64::from(record.asked.lines)]))
        .with(
            Field::float("latency", [record.latency_ms])
                .shown(|config| shown::to_latency(config.unit("ms").decimals(0), instance, &record.model)),
        )
        .with(Field::int("tokens", [tokens]))
        .with(one("prompt", Some(record.asked.prompt.clone())))
        .with(one("route", record.asked.route.clone()))
        .with(one("model", Some(record.model.clone())))
        .with(
            one("trace_id", record.trace_id.clone())
                .shown(|config| shown::to_trace(config, instance).no_value("not recorded")),
        )
        .with(one("rendered_hash", Some(record.asked.rendered_hash.clone())).shown(|config| {
            config.link(shown::link(instance, "What made this answer", attribution("${__value.raw}")))
        }));
    if record.demo {
        frame = frame.notice(Severity::Warning, "this is a demo model's verdict: expect it to be weak");
    }
    frame
}

fn attribution(hash: &str) -> Value {
    json!({"queryType": "attribution", "hash": hash})
}

/// What our own frontend finds in a frame: the channel of a question that is on its way.
pub(super) fn channel(key: &Key, under_way: bool) -> Value {
    if under_way { json!({"channel": format!("analyze/{key}")}) } else { Value::Null }
}

/// The severity of a verdict as a number with labels, for alert rules: 0 (information, or no fault) to 3 (critical).
/// `None` where the verdict cites what is not in the logs: no alert rests on that.
pub(in crate::plugin::query) fn severity(record: &Record, name: Option<&str>) -> Option<Frame> {
    let verdict = record.verdict.as_ref().filter(|_| record.class != Class::Ungrounded)?;
    let name = name.or(record.name.as_deref()).unwrap_or_else(|| record.question.get(..12).unwrap_or(&record.question));
    let labels = [
        ("question", name.to_owned()),
        ("namespace", record.namespaces.join(", ")),
        ("component", verdict.components.join(", ")),
        ("root_cause", verdict.root_cause.clone()),
    ];
    // An empty label is none, in Grafana as in Prometheus.
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let number = shown::severity_number(verdict);
    Some(Frame::new("severity", FrameType::NumericWide).with(Field::float("severity", [number]).labelled(labels)))
}

/// How long ago, as a person would say it.
pub(super) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0..60 => "less than a minute ago".to_owned(),
        seconds @ 60..5_400 => format!("{} min ago", seconds / 60),
        seconds @ 5_400..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_one_unit() {
        let said = [5, 600, 7_200, 200_000].map(|seconds| ago(Duration::from_secs(seconds)));
        assert_eq!(said, ["less than a minute ago", "10 min ago", "2 h ago", "2 days ago"]);
    }
}
