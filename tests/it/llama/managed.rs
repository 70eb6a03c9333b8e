//! A llama-server as a process: started, watched, killed, gone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use assay::llama::{Launch, Profile, Progress, Retry, Server, ServerError, gguf_sha256, retry};
use assay::model::{FinishReason, Model, ModelError};

use super::live::{CONTEXT, launch, program, start};
use super::{endless_question, question};
use crate::gguf::{Habit, Tiny};

/// Whether anything still has this file open as its command line argument, by the process table.
fn is_running(model: &Path) -> bool {
    let ours = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(model.to_str().unwrap())
    };
    std::fs::read_dir("/proc").unwrap().flatten().any(ours)
}

async fn gone(model: &Path) {
    until(|| !is_running(model)).await;
}

/// Waits for something that is sure to come if the code is right, so that a defect fails instead of hanging.
async fn until(mut come: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if come() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited for a minute");
}

#[tokio::test]
async fn it_starts_is_identified_and_stops() {
    let rig = start(Habit::Brief, Profile::Throughput { slots: 3 }).await;
    let model = rig.server.launch().model.clone();
    assert_eq!((rig.identity.n_ctx, rig.identity.total_slots), (CONTEXT, 3));
    assert_eq!(Path::new(&rig.identity.model_path), model);
    rig.server.check().unwrap();
    assert!(is_running(&model));
    rig.server.stop().await.unwrap();
    assert!(!is_running(&model));
    let error = rig.client.ask(&question("x")).await.unwrap_err();
    assert!(matches!(error, ModelError::Infra { .. }), "{error}");
    let log = std::fs::read_to_string(rig.dir.path().join("llama-server.log")).unwrap();
    assert!(log.contains("model loaded"), "{log}");
}

#[tokio::test]
async fn dropping_the_handle_ends_the_process() {
    let rig = start(Habit::Brief, Profile::Reproducible).await;
    let model = rig.server.launch().model.clone();
    drop(rig.server);
    gone(&model).await;
}

/// Plays two parts: run by the harness, it starts itself once more as the process that is going to be killed.
#[tokio::test]
async fn it_does_not_outlive_a_harness_that_was_killed() {
    const CHILD: &str = "ASSAY_TEST_STARTS_A_SERVER_IN";
    if let Some(model) = std::env::var_os(CHILD) {
        let model = PathBuf::from(model);
        let dir = tempfile::tempdir_in(model.parent().unwrap()).unwrap();
        let launch = Launch { model, ..launch(&dir, Habit::Brief, Profile::Reproducible) };
        let _running = Server::start(&launch).await.unwrap();
        return std::future::pending().await;
    }
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny { seed: 1, context: CONTEXT, habit: Habit::Brief }.write(dir.path());
    let mut harness = Command::new(std::env::current_exe().unwrap());
    harness.args(["--exact", "llama::managed::it_does_not_outlive_a_harness_that_was_killed"]).env(CHILD, &model);
    let mut harness = harness.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| is_running(&model) || harness.try_wait().unwrap().is_some()).await;
    assert!(is_running(&model), "it ended before it started a server");
    harness.kill().unwrap();
    harness.wait().unwrap();
    gone(&model).await;
}

#[tokio::test]
async fn prompts_do_not_reach_the_servers_log() {
    let rig = start(Habit::Brief, Profile::Reproducible).await;
    rig.client.ask(&question("canary-7f3a")).await.unwrap();
    rig.client.count_tokens("s", "canary-7f3a").await.unwrap();
    let path = rig.server.launch().log.clone();
    rig.server.stop().await.unwrap();
    let log = std::fs::read_to_string(path).unwrap();
    assert!(!log.is_empty() && !log.contains("canary"), "{log}");
}

#[tokio::test]
async fn killed_in_the_middle_of_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch { context: 16 * CONTEXT, ..launch(&dir, Habit::Endless, Profile::Reproducible) };
    let (server, _) = Server::start(&launch).await.unwrap();
    let (pid, mut pieces) = (server.pid().unwrap().to_string(), 0);
    let mut kill = |progress: Progress<'_>| {
        if matches!(progress, Progress::Text(_)) {
            pieces += 1;
            if pieces == 5 {
                let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
                assert!(killed.success());
            }
        }
    };
    let error = server.client().ask_with(&endless_question(16_000), &mut kill).await.unwrap_err();
    assert!(matches!(error, ModelError::Infra { .. }), "{error}");
    until(|| server.check().is_err()).await;
    let error = server.check().unwrap_err();
    assert!(matches!(&error, ServerError::Died { status, .. } if status.contains("signal")), "{error}");
}

#[tokio::test]
async fn asked_while_it_is_loading() {
    let dir = tempfile::tempdir().unwrap();
    let launch = launch(&dir, Habit::Brief, Profile::Reproducible);
    let server = Server::spawn(&launch).await.unwrap();
    let client = server.client();
    let policy = Retry { first: Duration::from_millis(5), longest: Duration::from_millis(50), ..Retry::default() };
    let (question, attempts) = (question("x"), std::cell::Cell::new(0));
    let reply = retry(&policy, tokio::time::sleep, |attempt| {
        attempts.set(attempt);
        client.ask(&question)
    });
    assert_eq!(reply.await.unwrap().finish, FinishReason::Stop);
    assert!(attempts.get() > 1, "the very first attempt found it loaded");
}

#[tokio::test]
async fn a_file_that_is_no_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = launch(&dir, Habit::Brief, Profile::Reproducible);
    let missing = Launch { model: dir.path().join("missing.gguf"), ..good.clone() };
    let text = dir.path().join("text.gguf");
    std::fs::write(&text, "version https://git-lfs").unwrap();
    let pointer = Launch { model: text, ..good.clone() };
    for (launch, words) in [(missing, "No such file"), (pointer, "starts with `vers`")] {
        let error = Server::start(&launch).await.unwrap_err().to_string();
        assert!(error.contains(launch.model.to_str().unwrap()) && error.contains(words), "{error}");
    }

    // Right at the start, wrong later: only the server can tell, and its log says so.
    let bytes = std::fs::read(&good.model).unwrap();
    let cut = dir.path().join("cut.gguf");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let error = Server::start(&Launch { model: cut, ..good }).await.unwrap_err();
    assert!(matches!(error, ServerError::Died { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("exit status: 1") && error.contains("failed to load model"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[tokio::test]
async fn a_context_that_the_model_does_not_have_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch {
        model: Tiny { seed: 1, context: 512, habit: Habit::Brief }.write(dir.path()),
        ..launch(&dir, Habit::Brief, Profile::Reproducible)
    };
    let error = Server::start(&launch).await.unwrap_err();
    assert!(matches!(error, ServerError::Context { asked: CONTEXT, got: 512 }), "{error}");
    gone(&launch.model).await;
}

#[tokio::test]
async fn a_program_that_does_not_run_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = launch(&dir, Habit::Brief, Profile::Reproducible);
    let launch = Launch { program: "/nowhere/llama-server".into(), ..good.clone() };
    let error = Server::start(&launch).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/llama-server") && error.contains("ASSAY_LLAMA_SERVER"), "{error}");
    let error = Server::version(&launch.program).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/llama-server"), "{error}");
    assert!(Server::version(Path::new("/bin/true")).await.unwrap_err().to_string().contains("prints no line"));
    let log = dir.path().join("no/such/folder");
    let error = Server::start(&Launch { log, ..good }).await.unwrap_err();
    assert!(matches!(error, ServerError::Log { .. }), "{error}");
}

#[tokio::test]
async fn versions_and_hashes_are_read() {
    let version = Server::version(&program()).await.unwrap();
    assert!(version.contains(|c: char| c.is_ascii_digit()), "{version}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("abc"), "abc").unwrap();
    let hash = gguf_sha256(&dir.path().join("abc")).await.unwrap();
    assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(gguf_sha256(&dir.path().join("missing")).await.is_err());
}

#[tokio::test]
async fn many_at_once_do_not_take_each_other_for_their_own() {
    let starts = (0..4).map(|_| start(Habit::Brief, Profile::Reproducible));
    let rigs = futures::future::join_all(starts).await;
    let mut urls: Vec<&str> = rigs.iter().map(|rig| rig.client.url()).collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 4);
    for rig in &rigs {
        assert_eq!(Path::new(&rig.identity.model_path), rig.server.launch().model);
    }
}

#[test]
fn the_generator_is_deterministic() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny { seed: 7, context: 256, habit: Habit::Brief };
    let first = std::fs::read(model.write(dir.path())).unwrap();
    assert_eq!(first, std::fs::read(model.write(dir.path())).unwrap());
    assert_ne!(first, std::fs::read(Tiny { seed: 8, ..model }.write(dir.path())).unwrap());
}
