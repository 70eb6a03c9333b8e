//! `verdicts`: the newest verdict on each question that was asked online, from the ledger.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;

use super::analyze::severity;
use super::{Ask, QueryType, select, severity_colours, shown};
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::ledger::{Record, newest, watched};
use crate::plugin::error::QueryError;
use crate::store::Lines;

/// `verdicts` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "verdicts", answer: |ask| Box::pin(answer(ask)) };

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The most questions to list.
    #[serde(default = "select::default_limit")]
    limit: usize,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let query: Query = ask.fields()?;
    select::within(query.limit, select::MAX_ROWS)?;
    let ledger = ask.instance.ledger()?;
    if ask.alert {
        // Where the standing questions cannot be asked, no verdict is no good news.
        if ask.instance.has_schedule() {
            ask.instance.desk().await?;
        }
        let (now, max_age) = (Utc::now(), ask.instance.live()?.max_age);
        let from = now - TimeDelta::from_std(max_age).unwrap_or(TimeDelta::MAX);
        let lines = ledger.between(from, now + TimeDelta::seconds(1)).await?;
        whole(&lines)?;
        return Ok(watched(records(&lines)).into_iter().filter_map(|record| severity(record, None)).collect());
    }
    let (from, to) = ask.times()?;
    let lines = ledger.between(from, to).await?;
    let mut found = newest(records(&lines));
    let more = found.len().saturating_sub(query.limit);
    found.truncate(query.limit);
    let mut frame = with_losses(frame(&ask, &found), &lines);
    if more > 0 {
        frame =
            frame.notice(Severity::Info, format!("{more} further questions: raise `limit`, or narrow the time range"));
    }
    if found.is_empty() {
        let text = "no question was answered in this time: ask one with `analyze`, or set up standing questions";
        frame = frame.notice(Severity::Info, text);
    }
    if found.iter().any(|record| record.demo) {
        frame = frame.notice(Severity::Warning, "some of these are a demo model's verdicts: expect them to be weak");
    }
    Ok(vec![frame])
}

fn records(lines: &Lines) -> impl Iterator<Item = &Record> + Clone {
    lines.records.iter().map(Arc::as_ref)
}

/// Refuses an alert that would rest on a part of what it is about.
pub(super) fn whole(lines: &Lines) -> Result<(), QueryError> {
    match lines.left_out {
        0 => Ok(()),
        _ => Err(QueryError::Refused(
            "the ledger has more of this time than is read at once: shorten the time".to_owned(),
        )),
    }
}

/// Adds what of the ledger could not be read.
pub(super) fn with_losses(mut frame: Frame, lines: &Lines) -> Frame {
    if lines.unreadable > 0 {
        let text = format!("{} lines of the ledger are damaged or of another version", lines.unreadable);
        frame = frame.notice(Severity::Warning, text);
    }
    if lines.left_out > 0 {
        let text = format!("{} files of the ledger were not read whole: narrow the time range", lines.left_out);
        frame = frame.notice(Severity::Warning, text);
    }
    frame
}

fn frame(ask: &Ask, found: &[&Record]) -> Frame {
    let now = Utc::now();
    let text = |name: &str, of: &dyn Fn(&Record) -> Option<String>| {
        Field::text_or_null(name, found.iter().map(|record| of(record).filter(|text| !text.is_empty())))
    };
    let verdict = |of: &dyn Fn(&crate::verdict::Verdict) -> String| {
        found.iter().map(|record| record.verdict.as_ref().map(of)).collect::<Vec<_>>()
    };
    let mut frame = Frame::new("verdicts", FrameType::Table)
        .with(
            text("question", &|record| record.name.clone().or_else(|| record.question.get(..12).map(str::to_owned)))
                .shown(|config| config.link(shown::link(&ask.instance, "What made this answer", by_trace()))),
        )
        .with(text("namespace", &|record| Some(record.namespaces.join(", "))))
        .with(Field::text_or_null("component", verdict(&|verdict| verdict.components.join(", "))))
        .with(Field::text_or_null("severity", verdict(&|verdict| verdict.severity.to_string())).shown(severity_colours))
        .with(Field::text_or_null("root_cause", verdict(&|verdict| verdict.root_cause.clone())))
        .with(Field::text_or_null("summary", verdict(&|verdict| verdict.summary.clone())))
        .with(
            Field::float("age", found.iter().map(|record| seconds(now, record.at)))
                .shown(|config| config.unit("s").decimals(0)),
        )
        .with(text("class", &|record| Some(record.class.to_string())).shown(shown::outcome_colours))
        .with(text("model", &|record| Some(record.model.clone())))
        .with(text("prompt", &|record| Some(record.asked.prompt.clone())))
        .with(
            text("trace_id", &|record| record.trace_id.clone())
                .shown(|config| shown::to_trace(config, &ask.instance).no_value("not recorded")),
        )
        .with(Field::time_or_null("asked", found.iter().map(|record| record.at.timestamp_nanos_opt())))
        .with(Field::bool("reused", found.iter().map(|record| record.reused)))
        .with(text("purpose", &|record| Some(record.purpose.as_str().to_owned())))
        .with(text("key", &|record| Some(record.question.clone())));
    frame.meta.row_id_fields = vec![14];
    frame
}

fn by_trace() -> serde_json::Value {
    json!({"queryType": "attribution", "hash": "${__data.fields.key}"})
}

fn seconds(now: DateTime<Utc>, at: DateTime<Utc>) -> f64 {
    (now - at).to_std().unwrap_or_default().as_secs_f64()
}
