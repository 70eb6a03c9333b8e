//! What an editor needs to know of Loki while a query is written: labels, their values, and what the query would cost.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal};
use crate::guard::{Cost, Mode, Ruling};
use crate::logql;
use crate::loki::Pattern;

/// Values of one label that are listed; an editor shows no more.
const MOST: usize = 10_000;

/// `labels` and `labels/<name>/values`.
pub(super) async fn labels(call: &Call, rest: &str) -> Answer {
    let (client, range, selector) = (call.loki()?, call.range()?, call.param("selector"));
    let mut names = match rest.strip_suffix("/values") {
        Some(label) if !label.is_empty() => client.label_values(label, range, selector).await?,
        _ if rest.is_empty() => client.labels(range, selector).await?,
        _ => return Err(Refusal::new(404, "ask for `labels` or `labels/<name>/values`")),
    };
    names.truncate(MOST);
    Ok((200, json!(names)))
}

/// `series`: the label sets of the streams that a selector takes.
pub(super) async fn series(call: Call) -> Answer {
    let selector = selector(&call)?;
    let mut sets = call.loki()?.series(&[selector], call.range()?).await?;
    sets.truncate(MOST);
    Ok((200, json!(sets)))
}

/// `patterns`: what Loki itself sees in the lines that a selector takes, the most frequent first; `null` where it looks
/// for none. The digest finds its own.
pub(super) async fn patterns(call: Call) -> Answer {
    let (selector, range) = (selector(&call)?, call.range()?);
    let Some(found) = call.loki()?.patterns(selector, range, range.length()).await? else {
        return Ok((200, Value::Null));
    };
    let lines = |pattern: &Pattern| pattern.samples.iter().fold(0u64, |sum, (_, lines)| sum.saturating_add(*lines));
    let mut counted: Vec<(u64, Pattern)> = found.into_iter().map(|pattern| (lines(&pattern), pattern)).collect();
    counted.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.pattern.cmp(&b.1.pattern)));
    counted.truncate(MOST);
    let row =
        |(lines, pattern): &(u64, Pattern)| json!({"pattern": pattern.pattern, "level": pattern.level, "lines": lines});
    Ok((200, counted.iter().map(row).collect()))
}

fn selector(call: &Call) -> Result<&str, Refusal> {
    call.param("selector").ok_or_else(|| Refusal::new(400, "`selector` is missing: give one such as {app=\"x\"}"))
}

/// `guard`: rules on a query without running it.
pub(super) async fn guard(call: Call) -> Answer {
    let Some(expr) = call.param("expr") else { return Err(Refusal::new(400, "`expr` is missing: give LogQL")) };
    logql::gives_lines(expr).map_err(|reason| Refusal::new(400, format!("`expr` {reason}")))?;
    let (client, range, guard) = (call.loki()?, call.range()?, call.instance.live()?.guard);
    let cost = client.cost(expr, range).await;
    let ruling = match (&cost, guard.rule_range(range.length())) {
        (_, Some(ruling)) => ruling,
        (Ok(cost), None) => guard.rule(range.length(), *cost),
        (Err(error), None) if error.is_about_the_query() => return Err(error.clone().into()),
        (Err(error), None) if guard.mode == Mode::Enforce => return Err(error.clone().into()),
        (Err(error), None) => Ruling::Warn(format!("what the query costs could not be found out: {error}")),
    };
    let (word, message) = match ruling {
        Ruling::Pass => ("pass", String::new()),
        Ruling::Warn(message) => ("warn", message),
        Ruling::Refuse(message) => ("refuse", message),
    };
    let mode = match guard.mode {
        Mode::Off => "off",
        Mode::Warn => "warn",
        Mode::Enforce => "enforce",
    };
    let limits = json!({"maxBytes": guard.max_bytes, "maxEntries": guard.max_entries, "maxRangeS": guard.max_range_s});
    Ok((
        200,
        json!({
            "ruling": word, "message": message, "rangeS": range.length().as_secs(), "mode": mode, "limits": limits,
            "cost": cost.ok().map(figures),
        }),
    ))
}

fn figures(cost: Cost) -> Value {
    json!({"streams": cost.streams, "chunks": cost.chunks, "bytes": cost.bytes, "entries": cost.entries})
}
