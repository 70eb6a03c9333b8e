//! What an editor needs to know of Loki while a query is written: labels, their values, and what the query would cost.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal};
use crate::guard::{Cost, Mode, Ruling};
use crate::logql;

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
