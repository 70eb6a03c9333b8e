//! The verdict on live logs: what was last found, said with its age, while a newer one is on its way.
//!
//! Neither a panel nor an alert rule waits for a model. A question without a verdict gets an empty frame that names the
//! channel on which its progress is streamed; an alert rule gets a number, or no data, never a verdict past its age.
//! Only where Loki is asked in the name of the user is the answer made while they wait, and shared with nobody.

use std::time::Duration;

use chrono::Utc;

use super::evidence::{CitedLine, log_lines};
use super::frames::{self, Shown};
use super::{Ask, Query};
use crate::frame::{Frame, FrameType, Severity};
use crate::live::{Desk, Failure, Freshness, Kept, Line, Look, OnBehalf, Origin, Purpose, Question, Refresh, Span};
use crate::logql;
use crate::plugin::error::QueryError;
use crate::plugin::query::macros::{Macros, expand};
use crate::stream::TimeRange;
use crate::telemetry;

/// The longest window that may be asked for.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Answers a query with `expr` or `question`.
pub(super) async fn answer(ask: Ask, query: Query) -> Result<Vec<Frame>, QueryError> {
    let desk = ask.instance.desk().await?;
    let (question, name) = question(&ask, &query, &desk)?;
    let executed = executed(&question, name.as_deref());
    let mut frames = match (ask.instance.forwards_identity(), ask.alert) {
        (true, true) => {
            let message = "an alert rule has no user in whose name Loki could be asked: give it a data source that does not \
                           forward identities";
            return Err(QueryError::Refused(message.to_owned()));
        }
        (true, false) => directly(&ask, &desk, &question).await?,
        (false, true) => for_alert(&desk, &question, name.as_deref()).await?,
        (false, false) => for_panel(&ask, &desk, &question).await?,
    };
    for frame in &mut frames {
        frame.meta.executed_query.clone_from(&executed);
    }
    Ok(frames)
}

/// What is asked, and its name if it is a standing question.
fn question(ask: &Ask, query: &Query, desk: &Desk) -> Result<(Question, Option<String>), QueryError> {
    let name = query.question.trim();
    if !name.is_empty() {
        return Ok((desk.standing(name)?.question.clone(), Some(name.to_owned())));
    }
    let span = span(ask, query)?;
    let macros = Macros { range: span.range(Utc::now()), length: span.length(), interval: ask.interval };
    let expr = expand(query.expr.trim(), &macros);
    logql::gives_lines(&expr).map_err(|reason| QueryError::Invalid(format!("field `expr` {reason}")))?;
    let prompt = match query.prompt.trim() {
        "" | "route" => None,
        id => Some(id.parse().map_err(|message| QueryError::Invalid(format!("field `prompt`: {message}")))?),
    };
    let model = Some(query.model.trim()).filter(|model| !model.is_empty()).map(str::to_owned);
    let question = Question { expr, span, prompt, model };
    // A standing question that somebody typed out is still that question.
    let key = desk.key(&question, None)?;
    let named =
        desk.source().standing.iter().find(|standing| desk.key(&standing.question, None).is_ok_and(|k| k == key));
    let name = named.map(|standing| standing.name.clone());
    Ok((question, name))
}

fn span(ask: &Ask, query: &Query) -> Result<Span, QueryError> {
    let window = query.window.trim();
    if !window.is_empty() {
        let length =
            logql::duration(window).map_err(|error| QueryError::Invalid(format!("field `window`: {error}")))?;
        if length > LONGEST {
            return Err(QueryError::Invalid(format!("field `window`: {window} is longer than a year")));
        }
        return Ok(Span::latest(length));
    }
    let none = || QueryError::Invalid("the request has no time range: give `window`".to_owned());
    let (start, end) = ask.range.ok_or_else(none)?;
    let empty =
        || QueryError::Invalid("the time range is empty: it has to begin before it ends, and before now".to_owned());
    let relative = query.relative || ask.headers.is_of_rule();
    Span::of(TimeRange { start, end }, Utc::now(), relative).ok_or_else(empty)
}

/// The query as the query inspector shows it.
fn executed(question: &Question, name: Option<&str>) -> String {
    let over = match question.span {
        Span::Latest { length, lag } if lag.is_zero() => format!("the last {} s", length.as_secs()),
        Span::Latest { length, lag } => format!("the last {} s up to {} s ago", length.as_secs(), lag.as_secs()),
        Span::Fixed(range) => format!("{} to {} ns", range.start, range.end),
    };
    let prompt = question.prompt.as_ref().map_or("route".to_owned(), ToString::to_string);
    let model = question.model.as_deref().unwrap_or("the route's or the default one");
    let name = name.map(|name| format!(" (standing question {name})")).unwrap_or_default();
    format!("analyze {} over {over}, prompt {prompt}, model {model}{name}", question.expr)
}

fn origin(purpose: Purpose) -> Origin {
    Origin { purpose, trace_id: telemetry::trace_id() }
}

/// One number for one question, or no data: without a verdict, past its age, and where the verdict rests on what is not
/// in the logs.
async fn for_alert(desk: &Desk, question: &Question, name: Option<&str>) -> Result<Vec<Frame>, QueryError> {
    let look = desk.look(question, &origin(Purpose::Alert)).await?;
    let usable = look.last.as_ref().filter(|_| look.freshness != Some(Freshness::TooOld));
    if let Some(kept) = usable {
        return Ok(frames::severity(&kept.record, name).into_iter().collect());
    }
    match (look.failure, look.refresh) {
        // Somebody has to mend something: the rule's state says so instead of an everlasting "no data".
        (Some(failed), _) if !failed.failure.is_temporary() => Err(failed.failure.clone().into()),
        (_, Refresh::Refused(failure)) => Err(failure.into()),
        _ => Ok(Vec::new()),
    }
}

async fn for_panel(ask: &Ask, desk: &Desk, question: &Question) -> Result<Vec<Frame>, QueryError> {
    let look = desk.look(question, &origin(Purpose::Panel)).await?;
    let Some(kept) = look.last.clone() else { return Ok(vec![without_verdict(&look)?]) };
    let mut verdict = with_remarks(frames::verdict(&ask.instance, &shown(&kept, question)), desk, &kept);
    verdict = with_notices(verdict, &look, &kept);
    verdict.meta.custom = frames::channel(&look.key, matches!(look.refresh, Refresh::UnderWay(_)));
    Ok(match desk.evidence(question, &kept).await {
        Ok(lines) => vec![verdict, evidence(&lines)],
        Err(reason) => {
            vec![verdict.notice(Severity::Info, format!("the cited lines cannot be shown: {reason}"))]
        }
    })
}

fn shown<'k>(kept: &'k Kept, question: &'k Question) -> Shown<'k> {
    Shown { kept, question, age: kept.age(Utc::now()) }
}

/// A question that nothing is known of yet: an empty frame that says what happens, or why nothing does.
fn without_verdict(look: &Look) -> Result<Frame, QueryError> {
    let failed = look.failure.as_ref().map(|failed| &failed.failure);
    let (severity, text) = match (&look.refresh, failed) {
        (Refresh::Refused(failure), _) => return Err(failure.clone().into()),
        (_, Some(failure @ Failure::NoLines { .. })) => (Severity::Info, failure.to_string()),
        (Refresh::HeldOff { .. } | Refresh::NotNeeded, Some(failure)) => return Err(failure.clone().into()),
        (_, Some(failure)) => (Severity::Warning, format!("it is asked again, the last attempt failed: {failure}")),
        (_, None) => (Severity::Info, "this question is being answered for the first time".to_owned()),
    };
    let mut frame = Frame::new("verdict", FrameType::Table).notice(severity, text);
    frame.meta.custom = frames::channel(&look.key, matches!(look.refresh, Refresh::UnderWay(_)));
    Ok(frame)
}

/// What was remarked when the logs were read: the guard's warning, what Loki said, what was not read.
fn with_remarks(mut frame: Frame, desk: &Desk, kept: &Kept) -> Frame {
    for notice in &kept.notices {
        frame = frame.notice(Severity::Warning, notice.clone());
    }
    if kept.complete {
        return frame;
    }
    let most = desk.source().limits.max_lines;
    frame.notice(Severity::Warning, format!("the window has more than {most} entries: the newest were read"))
}

/// What has to be known beside a verdict: its age, whether it was reused, what is done about it, what it leaves out.
fn with_notices(mut frame: Frame, look: &Look, kept: &Kept) -> Frame {
    let age = frames::ago(look.age.unwrap_or_default());
    if kept.reused > 0 {
        let asked = frames::ago(kept.asked_ago(Utc::now()));
        let text = format!("the logs have had the same shape since: a verdict of {asked} was held against them {age}");
        frame = frame.notice(Severity::Info, text);
    }
    let under_way = matches!(look.refresh, Refresh::UnderWay(_));
    let newer = if under_way { ", a newer one is on its way" } else { "" };
    match look.freshness {
        Some(Freshness::TooOld) => {
            frame =
                frame.notice(Severity::Warning, format!("this verdict is old, of {age}: no alert rests on it{newer}"));
        }
        Some(Freshness::Stale) => frame = frame.notice(Severity::Info, format!("this verdict is of {age}{newer}")),
        _ if under_way => frame = frame.notice(Severity::Info, "a newer verdict is on its way"),
        _ => {}
    }
    if let Some(failed) = &look.failure {
        frame = frame.notice(Severity::Warning, format!("the last attempt failed: {}", failed.failure));
    }
    if let Refresh::Refused(failure) = &look.refresh {
        frame = frame.notice(Severity::Warning, failure.to_string());
    }
    frame
}

/// The answer to a user under whose own identity Loki is read.
async fn directly(ask: &Ask, desk: &Desk, question: &Question) -> Result<Vec<Frame>, QueryError> {
    let Some(user) = ask.user.as_deref() else {
        let message = "Loki is asked in the name of the user, and the request names none: sign in";
        return Err(QueryError::Refused(message.to_owned()));
    };
    let loki = desk.source().loki.on_behalf(ask.headers.iter());
    let loki = loki.map_err(|error| QueryError::Invalid(error.to_string()))?;
    let on_behalf = OnBehalf { loki, identity: user, deadline: desk.source().limits.timeout };
    match desk.ask_directly(question, &origin(Purpose::Direct), &on_behalf).await {
        Ok(direct) => {
            let verdict = frames::verdict(&ask.instance, &shown(&direct.kept, question));
            let verdict = with_remarks(verdict, desk, &direct.kept);
            Ok(vec![verdict, evidence(&direct.lines)])
        }
        Err(failure @ Failure::NoLines { .. }) => {
            Ok(vec![Frame::new("verdict", FrameType::Table).notice(Severity::Info, failure.to_string())])
        }
        Err(failure) => Err(failure.into()),
    }
}

fn evidence(lines: &[Line]) -> Frame {
    let cited = lines.iter().map(|line| CitedLine {
        ts: line.cited.ts,
        line: line.line.clone(),
        level: line.cited.level,
        id: line.cited.id.clone(),
        labels: serde_json::json!(line.cited.labels),
        count: line.cited.count,
    });
    log_lines(&cited.collect::<Vec<_>>())
}
