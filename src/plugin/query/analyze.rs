//! `analyze`: a verdict with its evidence, of live logs or of a run of the harness.
//!
//! With `expr` or `question` it is about live logs ([`live`]), else it shows a stored verdict ([`stored`]).

mod evidence;
mod frames;
mod live;
mod stored;

use serde::Deserialize;

pub(super) use frames::severity;

use super::{Ask, QueryType};
use crate::frame::Frame;
use crate::plugin::error::QueryError;

/// `analyze` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "analyze", answer: |ask| Box::pin(answer(ask)) };

/// The query's own fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Query {
    /// LogQL: what to look at.
    expr: String,
    /// How far back to look, such as `15m`; without it the panel's range is looked at.
    window: String,
    /// Whether the panel's range is relative to now, as in `now-1h` to `now-5m`: our frontend says so.
    relative: bool,
    /// The prompt version; without it, or with `route`, the routing rules choose.
    prompt: String,
    /// The model; without it what the route says, else the default one.
    model: String,
    /// The name of a standing question, in place of all of these.
    question: String,
    /// The run: its id, a unique beginning of it, or an arm's name for its newest; without one the newest of all.
    run: String,
    /// The case; without one the case that was answered last.
    case: String,
    /// Which repeat of the case, from 0.
    repeat: u32,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let query: Query = ask.fields()?;
    let set = |text: &String| !text.trim().is_empty();
    let live = [("expr", &query.expr), ("question", &query.question)].into_iter().filter(|(_, text)| set(text)).count();
    let stored = set(&query.run) || set(&query.case);
    match (live, stored) {
        (0, _) if [&query.window, &query.prompt, &query.model].into_iter().any(set) => Err(QueryError::Invalid(
            "`window`, `prompt` and `model` belong to a query of live logs: give `expr`".to_owned(),
        )),
        (0, _) => stored::answer(ask, query).await,
        (1, false) => live::answer(ask, query).await,
        _ => Err(QueryError::Invalid(
            "give one of `expr` (live logs), `question` (a standing question), or `run` and `case` (a stored verdict)"
                .to_owned(),
        )),
    }
}
