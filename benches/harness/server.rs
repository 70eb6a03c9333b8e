//! The servers that are asked: a real llama-server with a bare client, and one whose answers are prepared.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use assay::llama::{Launch, Profile, Server};
use assay::model::{Model, Question};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::canned::{Canned, http};
use crate::folder::Folder;
use crate::gguf::{Habit, Tiny};

/// A llama-server that serves random weights.
pub(crate) struct Served {
    server: Server,
    url: String,
}

impl Served {
    pub(crate) async fn start(folder: &Folder, profile: Profile) -> Result<Self> {
        let model = Tiny { seed: 1, context: 16_384, habit: Habit::Brief }.write(&folder.path("models"));
        let launch = Launch {
            program: program().context("no llama-server: set ASSAY_LLAMA_SERVER, or run scripts/llama-server")?,
            model,
            profile,
            context: 8192,
            threads: 1,
            log: folder.path("server.log"),
            api_key: None,
            ready_within: Duration::from_secs(60),
        };
        let (server, _) = Server::start(&launch).await?;
        let url = server.client().url().to_owned();
        Ok(Self { server, url })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How long the questions take with `at_once` of them under way, and nothing else around them.
    pub(crate) async fn replay(&self, questions: &[Question], at_once: usize) -> Result<Duration> {
        let client = self.server.client();
        let start = Instant::now();
        let asked = futures::stream::iter(questions).map(|question| client.ask(question));
        asked.buffer_unordered(at_once).try_for_each(|_| async { Ok(()) }).await?;
        Ok(start.elapsed())
    }

    /// Tokens that all questions begin with: what a cache can have of every one but the first.
    pub(crate) async fn prefix(&self, questions: &[Question]) -> Result<u32> {
        let mut common: Option<Vec<Value>> = None;
        for Question { system, user, .. } in questions {
            let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": user}]);
            let applied = self.post("/apply-template", json!({"messages": messages})).await?;
            let content = json!({"content": applied["prompt"], "add_special": true, "parse_special": true});
            let tokenized = self.post("/tokenize", content).await?;
            let tokens = tokenized["tokens"].as_array().context("a list of tokens")?;
            let shared = common.as_ref().map_or(tokens.len(), |common| {
                common.iter().zip(tokens).take_while(|(known, token)| known == token).count()
            });
            common = Some(tokens[..shared].to_vec());
        }
        Ok(u32::try_from(common.map_or(0, |common| common.len()))?)
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let response = reqwest::Client::new().post(format!("{}{path}", self.url)).json(&body).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        Ok(self.server.stop().await?)
    }
}

/// The environment, the search path, then what the checkout installed for itself.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ASSAY_LLAMA_SERVER").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/llama-server/llama-server");
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("llama-server"));
    on_path.chain([PathBuf::from(installed)]).find(|candidate| candidate.is_file())
}

/// A server that says what a real one said once, and counts its questions.
pub(crate) struct Counted {
    canned: Canned,
    questions: Arc<AtomicUsize>,
}

impl Counted {
    pub(crate) async fn start() -> Result<Self> {
        let questions: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&questions);
        let json = |name: &str| Ok::<_, anyhow::Error>(http(200, "application/json", captured(name)?.as_bytes()));
        let (props, models) = (json("props")?, json("v1_models")?);
        let answer = http(200, "text/event-stream", captured("chat_stream")?.as_bytes());
        let canned = Canned::speaking(move |request| match request.target.as_str() {
            "/props" => props.clone(),
            "/v1/models" => models.clone(),
            "/v1/chat/completions" => {
                count.fetch_add(1, Ordering::Relaxed);
                answer.clone()
            }
            _ => http(404, "application/json", b"{}"),
        })
        .await;
        Ok(Self { canned, questions })
    }

    pub(crate) fn url(&self) -> &str {
        self.canned.url()
    }

    pub(crate) fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }
}

/// The body of a captured response.
fn captured(name: &str) -> Result<String> {
    let file = format!("{}/tests/captures/llama-server/debian-0.7.0/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let exchange: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let response = exchange.get("response").unwrap_or(&exchange);
    Ok(response["raw_body"].as_str().map_or_else(|| response["body"].to_string(), str::to_owned))
}
