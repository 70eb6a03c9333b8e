//! Why which prompt would read some logs: the routing rules over the labels and lines of the body.
//!
//! The lines are redacted and digested as in an analysis; none is kept, logged or sent on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Call, Refusal};
use crate::digest::Budget;
use crate::experiment::Choice;
use crate::installation::Installation;
use crate::plugin::error::one_line;
use crate::plugin::settings::ROOT_PATH;
use crate::problem::parse_json;
use crate::stream::{Labels, Window};

/// The longest body; a digest needs no more to show what is in a log.
const LONGEST: usize = 1 << 20;
/// Budget of the digest that the rules look into, in tokens.
const DIGEST_TOKENS: usize = 1_000;

/// The body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Labels of the stream.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Log lines.
    #[serde(default)]
    text: String,
}

pub(super) async fn answer(call: Call) -> Answer {
    if call.body.len() > LONGEST {
        return Err(Refusal::new(413, format!("the body is longer than {LONGEST} bytes: send fewer lines")));
    }
    let body = std::str::from_utf8(&call.body).map_err(|_| Refusal::new(400, "the body is not UTF-8"))?;
    let question: Question =
        parse_json("the body", 1, body).map_err(|problem| Refusal::new(400, one_line(&problem)))?;
    let Some(root) = call.instance.root()?.map(Path::to_owned) else {
        return Err(Refusal::new(404, format!("no routes are at hand: set `{ROOT_PATH}` in the settings")));
    };
    let explained = tokio::task::spawn_blocking(move || explain(root, question)).await;
    explained.map_err(|_| Refusal::new(500, "the routes could not be tried"))?
}

fn explain(root: PathBuf, question: Question) -> Answer {
    let installation = Installation::load(&root).map_err(|problem| Refusal::new(502, one_line(&problem)))?;
    let window = Window::from_text(Labels(question.labels), 0, &question.text);
    let prepared = installation.pipeline.prepare(window, &Choice::Route, Budget::new(DIGEST_TOKENS));
    let prepared = prepared.map_err(|message| Refusal::new(502, message))?;
    let routed = prepared.routed.as_ref();
    let steps: Vec<_> = routed
        .iter()
        .flat_map(|routed| &routed.steps)
        .map(|step| json!({"route": step.route, "matched": step.matched, "reason": step.reason}))
        .collect();
    let (route, model) = (routed.map(|routed| &routed.route), routed.and_then(|routed| routed.model.as_ref()));
    Ok((200, json!({"route": route, "prompt": prepared.prompt.id, "model": model, "steps": steps})))
}
