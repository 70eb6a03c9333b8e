//! Prompt versions. What a prompt says is shown to those who may change dashboards, and to nobody else: it is how a
//! system is told to behave, and viewers need only know which version that was.

use std::path::Path;

use serde_json::{Value, json};

use super::{Answer, Call, Refusal};
use crate::installation::load_prompts;
use crate::plugin::error::one_line;
use crate::plugin::request::Role;
use crate::plugin::settings::ROOT_PATH;
use crate::prompt::{Prompt, PromptId, Prompts};

pub(super) async fn answer(call: &Call, name: &str) -> Answer {
    let Some(root) = call.instance.root()?.map(Path::to_owned) else {
        return Err(Refusal::new(404, format!("no prompts are at hand: set `{ROOT_PATH}` in the settings")));
    };
    let loaded = tokio::task::spawn_blocking(move || load_prompts(&root)).await;
    let loaded = loaded.map_err(|_| Refusal::new(500, "the prompts could not be read"))?;
    let prompts = loaded.map_err(|problem| Refusal::new(502, one_line(&problem)))?;
    if name.is_empty() {
        return Ok((200, prompts.iter().map(|prompt| described(&prompts, prompt)).collect()));
    }
    let id: PromptId = name.parse().map_err(|message: String| Refusal::new(400, message))?;
    let prompt = prompts.get(&id).map_err(|message| Refusal::new(404, message))?;
    let mut described = described(&prompts, prompt);
    if call.role >= Role::Editor {
        let (system, user) = prompt.template();
        described["system"] = json!(system);
        described["user"] = json!(user);
    }
    Ok((200, described))
}

fn described(prompts: &Prompts, prompt: &Prompt) -> Value {
    json!({
        "prompt": prompt.id, "intent": prompt.intent, "description": prompt.description, "ontology": prompt.ontology,
        "sha256": prompt.sha256, "released": prompts.lock.released(&prompt.id.to_string()),
    })
}
