//! The models that can be asked: the rules, and whatever has a server. Addresses and keys stay here.

use std::path::Path;

use serde_json::{Value, json};

use super::{Answer, Call, Refusal};
use crate::experiment::Models;
use crate::installation::load_models;
use crate::plugin::error::one_line;
use crate::plugin::health::identify;
use crate::plugin::settings::{ModelServer, RULES};

pub(super) async fn answer(call: Call) -> Answer {
    let live = call.instance.live()?;
    let models = match call.instance.root()?.map(Path::to_owned) {
        None => Models::default(),
        Some(root) => {
            let loaded = tokio::task::spawn_blocking(move || load_models(&root)).await;
            let loaded = loaded.map_err(|_| Refusal::new(500, "the models could not be read"))?;
            loaded.map_err(|problem| Refusal::new(502, one_line(&problem)))?
        }
    };
    let servers = live.servers.iter().map(|server| described(server, &models, &live.default_model));
    let rules = json!({
        "name": RULES, "description": "the rule baseline: no model", "quantization": "-", "kind": "rules", "demo": false,
        "default": live.default_model == RULES, "loaded": true, "message": "",
    });
    let mut listed = vec![rules];
    listed.extend(futures::future::join_all(servers).await);
    Ok((200, Value::Array(listed)))
}

async fn described(server: &ModelServer, models: &Models, default: &str) -> Value {
    let spec = models.get(&server.name).ok();
    let identity = identify(server).await;
    let quantization = spec.map(|spec| spec.quantization.clone()).filter(|name| name != "-");
    let served = identity.as_ref().ok().map(|identity| identity.model_ftype.clone());
    json!({
        "name": server.name, "kind": "server", "default": server.name == default,
        "description": spec.map_or("", |spec| spec.description.as_str()),
        "quantization": quantization.or(served).unwrap_or_else(|| "-".to_owned()),
        "demo": spec.is_some_and(|spec| spec.demo),
        "loaded": identity.is_ok(),
        "message": identity.err().map(|_| "the model server does not answer: the health check says why").unwrap_or_default(),
    })
}
