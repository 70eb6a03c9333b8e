//! The client against a real llama-server with a model of random weights.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use assay::llama::{Client, Identity, Launch, Profile, Progress, Secret, Server};
use assay::model::{FinishReason, Model, ModelError};
use serde_json::Value;
use tempfile::TempDir;

use super::{endless_question, question};
use crate::gguf::{Habit, Tiny};

pub(crate) const CONTEXT: u32 = 1024;

/// A llama-server that can be started: `ASSAY_LLAMA_SERVER`, or whatever `scripts/llama-server` finds or brings.
pub(crate) fn program() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        if let Some(path) = std::env::var_os("ASSAY_LLAMA_SERVER") {
            return path.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/llama-server");
        let output = Command::new(&script).output().unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        assert!(output.status.success(), "no llama-server: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().into()
    };
    FOUND.get_or_init(find).clone()
}

/// How the tests start a server in `dir`.
pub(crate) fn launch(dir: &TempDir, habit: Habit, profile: Profile) -> Launch {
    Launch {
        program: program(),
        model: Tiny { seed: 1, context: 16 * CONTEXT, habit }.write(dir.path()),
        profile,
        context: CONTEXT,
        threads: 1,
        log: dir.path().join("llama-server.log"),
        api_key: None,
        ready_within: Duration::from_secs(60),
    }
}

/// A running server, its client and the folder that it needs.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) identity: Identity,
    pub(crate) dir: TempDir,
}

pub(crate) async fn start(habit: Habit, profile: Profile) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let (server, identity) = Server::start(&launch(&dir, habit, profile)).await.unwrap();
    Rig { client: server.client(), server, identity, dir }
}

#[tokio::test]
async fn a_verdict_follows_the_schema_and_its_order() {
    let rig = start(Habit::Brief, Profile::Reproducible).await;
    let question = question("T1 x3 etcd | level=error msg=\"no leader\"");
    let reply = rig.client.ask(&question).await.unwrap();
    assert_eq!(reply.finish, FinishReason::Stop);
    let verdict: serde_json::Map<String, Value> = serde_json::from_str(&reply.text).unwrap();
    let keys: Vec<&String> = verdict.keys().collect();
    assert_eq!(keys, ["severity", "root_cause", "components", "summary"]);

    let counted = rig.client.count_tokens(&question.system, &question.user).await.unwrap();
    let by_template = rig.client.count_tokens_by_template(&question.system, &question.user).await.unwrap();
    assert_eq!((counted, by_template), (reply.usage.prompt_tokens, reply.usage.prompt_tokens));
    assert!(reply.timings.first_token_ms.unwrap() <= reply.timings.total_ms);

    let again = rig.client.ask(&question).await.unwrap();
    assert_eq!((again.text, again.usage), (reply.text, reply.usage));
    assert_eq!(again.usage.cached_tokens, 0);
}

#[tokio::test]
async fn sampling_arrives_as_sent() {
    let rig = start(Habit::Brief, Profile::Reproducible).await;
    let mut question = question("x");
    question.sampling.temperature = 0.5;
    question.sampling.seed = 99;
    rig.client.ask(&question).await.unwrap();
    let url = format!("{}/slots", rig.client.url());
    let slots: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let params = &slots[0]["params"];
    assert_eq!((params["seed"].as_u64(), params["temperature"].as_f64()), (Some(99), Some(0.5)));
    assert_eq!((params["top_k"].as_i64(), params["min_p"].as_f64()), (Some(0), Some(0.0)));
}

#[tokio::test]
async fn the_prefix_is_reused_in_the_throughput_profile_only() {
    let prompts = ["T1 x1 a | one two three four five", "T1 x1 a | one two three four six"];
    for (profile, reused) in [(Profile::Reproducible, false), (Profile::Throughput { slots: 2 }, true)] {
        let rig = start(Habit::Brief, profile).await;
        assert_eq!(rig.identity.total_slots, profile.slots());
        let mut cached = Vec::new();
        for prompt in prompts {
            let mut question = question(prompt);
            question.cache_prompt = profile.cache_prompt();
            let reply = rig.client.ask(&question).await.unwrap();
            cached.push(reply.usage.cached_tokens);
        }
        assert_eq!(cached[0], 0, "{profile:?}");
        assert_eq!(cached[1] > 50, reused, "{profile:?}: {cached:?}");
        let counted = rig.client.metrics().await.unwrap()["prompt_tokens_cached_total"];
        assert_eq!(counted, f64::from(cached[1]), "{profile:?}");
    }
}

#[tokio::test]
async fn a_long_prompt_overflows_and_a_long_answer_is_cut() {
    let rig = start(Habit::Endless, Profile::Reproducible).await;
    let long = question(&"2026-11-23T20:00:01Z ERROR timed out\n".repeat(200));
    let tokens = rig.client.count_tokens(&long.system, &long.user).await.unwrap();
    let error = rig.client.ask(&long).await.unwrap_err();
    assert_eq!(error, ModelError::ContextOverflow { prompt_tokens: tokens, context_tokens: rig.identity.n_ctx });

    let cut = rig.client.ask(&endless_question(20)).await.unwrap();
    assert_eq!((cut.finish, cut.usage.completion_tokens), (FinishReason::Length, 20));
    assert!(serde_json::from_str::<Value>(&cut.text).is_err());
    let full = rig.client.ask(&endless_question(10_000)).await.unwrap();
    assert_eq!(full.finish, FinishReason::Length);
    assert_eq!(full.usage.prompt_tokens + full.usage.completion_tokens, rig.identity.n_ctx);
}

#[tokio::test]
async fn output_that_the_server_cannot_read_is_the_models_failure() {
    let rig = start(Habit::Bytes, Profile::Reproducible).await;
    let mut question = question("x");
    question.sampling.temperature = 1.5;
    let error = rig.client.ask(&question).await.unwrap_err();
    assert!(matches!(error, ModelError::Output { .. }), "{error}");
}

#[tokio::test]
async fn a_bad_schema_is_refused() {
    let rig = start(Habit::Brief, Profile::Reproducible).await;
    let mut question = question("x");
    question.schema = serde_json::json!({ "type": "no such type" });
    let error = rig.client.ask(&question).await.unwrap_err();
    assert!(matches!(error, ModelError::Refused { status: 400, .. }), "{error}");
}

#[tokio::test]
async fn special_tokens_in_text_are_noticed() {
    let rig = start(Habit::Brief, Profile::Reproducible).await;
    let (raw, harmless) = ("a <|im_end|> b", "a <\u{200b}|im_end|> b");
    assert!(rig.client.has_special_tokens(raw).await.unwrap());
    assert!(!rig.client.has_special_tokens(harmless).await.unwrap());
    assert!(!rig.client.has_special_tokens("level=error msg=\"no leader\"").await.unwrap());
    // As a control token it is one token, as text it is many.
    let count = async |text: &str| rig.client.count_tokens("s", text).await.unwrap();
    assert_eq!(count(raw).await, count("a b").await + 2);
}

#[tokio::test]
async fn a_key_is_required_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let api_key = Some(Secret::new("open-sesame"));
    let launch = Launch { api_key, ..launch(&dir, Habit::Brief, Profile::Reproducible) };
    let (server, _) = Server::start(&launch).await.unwrap();
    server.client().ask(&question("x")).await.unwrap();
    let stranger = Client::new(server.client().url(), None).unwrap();
    let error = stranger.ask(&question("x")).await.unwrap_err();
    assert!(matches!(error, ModelError::Refused { status: 401, .. }), "{error}");
    assert!(!format!("{server:?}").contains("sesame"));
    assert!(!std::fs::read_to_string(&launch.log).unwrap().contains("sesame"));
}

#[tokio::test]
async fn an_abandoned_question_frees_its_slot() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch { context: 16 * CONTEXT, ..launch(&dir, Habit::Endless, Profile::Reproducible) };
    let (server, _) = Server::start(&launch).await.unwrap();
    let client = server.client();
    let mut question = endless_question(16_000);
    question.timeout = Duration::from_millis(200);
    let error = client.ask(&question).await.unwrap_err();
    assert!(matches!(error, ModelError::Timeout { .. }), "{error}");
    // With one slot, this is answered only when that slot is free: the abandoned answer alone takes seconds more.
    client.ask(&super::question("x")).await.unwrap();
    assert_eq!(client.busy_slots().await.unwrap(), 0);
    let decoded = client.metrics().await.unwrap()["tokens_predicted_total"];
    assert!(decoded < 16_000.0, "the abandoned answer was decoded to its end");
}

#[tokio::test]
async fn requests_beyond_the_slots_wait_their_turn() {
    let rig = start(Habit::Brief, Profile::Throughput { slots: 2 }).await;
    let asked = (0..5).map(|n| {
        let client = rig.client.clone();
        async move { client.ask(&question(&format!("T1 x{n} a | b"))).await }
    });
    for reply in futures::future::join_all(asked).await {
        assert_eq!(reply.unwrap().finish, FinishReason::Stop);
    }
}

#[tokio::test]
async fn text_comes_piece_by_piece() {
    let rig = start(Habit::Brief, Profile::Reproducible).await;
    let (mut text, mut pieces, mut prompt) = (String::new(), 0, 0);
    let mut note = |progress: Progress<'_>| match progress {
        Progress::Text(piece) => {
            text.push_str(piece);
            pieces += 1;
        }
        Progress::Prompt { processed, .. } => prompt = processed,
    };
    let reply = rig.client.ask_with(&question("x"), &mut note).await.unwrap();
    assert_eq!((text, prompt), (reply.text, reply.usage.prompt_tokens));
    assert!(pieces > 10, "{pieces}");
}
