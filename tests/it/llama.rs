//! The llama-server adapter, through real sockets: against canned bytes where a fault must be exact, against a real
//! llama-server for everything else.

mod canned;
mod faults;
pub(crate) mod live;
mod managed;
mod wire;

pub(crate) use canned::{Act, Canned, captured_body, http};
pub(crate) use live::program;

use std::time::Duration;

use assay::model::{Question, Sampling};
use serde_json::json;

/// A question with a schema of four keys that are not in alphabetical order.
fn question(user: &str) -> Question {
    Question {
        system: "Read the log. Answer in JSON.".to_owned(),
        user: user.to_owned(),
        schema: json!({
            "type": "object",
            "properties": {
                "severity": { "enum": ["info", "warning", "error", "critical"] },
                "root_cause": { "type": "string", "maxLength": 20 },
                "components": { "type": "array", "items": { "type": "string", "maxLength": 8 }, "maxItems": 2 },
                "summary": { "type": "string", "maxLength": 40 }
            },
            "required": ["severity", "root_cause", "components", "summary"],
            "additionalProperties": false
        }),
        sampling: Sampling::default(),
        cache_prompt: false,
        timeout: Duration::from_secs(60),
    }
}

/// The same, with a schema that lets a string run on for ever.
pub(crate) fn endless_question(max_tokens: u32) -> Question {
    let schema =
        json!({ "type": "object", "properties": { "summary": { "type": "string" } }, "required": ["summary"] });
    Question { schema, sampling: Sampling { max_tokens, ..Sampling::default() }, ..question("level=error") }
}
