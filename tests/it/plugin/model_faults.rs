//! A real llama-server behind the plugin that dies, comes back, or has no slot left: each ends in an error of the right
//! source or in a verdict, and nobody waits longer than they said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay::llama::{Profile, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use super::host::DataResponse;
use super::live::{Rig, ask_until, has_verdict, question, rig};
use super::loki::replayed;
use crate::gguf::Habit;
use crate::llama::live::launch;

const MODEL: &str = "assay-demo-q4_0";

/// What stands behind a front: a server, if it lives, and whether its first word is its last.
struct Behind {
    server: Mutex<Option<Server>>,
    deadly: AtomicBool,
}

/// Starts a server of one slot, with room for a whole digest of a tokenizer that knows few words.
async fn start(folder: &TempDir, habit: Habit) -> Server {
    let mut launch = launch(folder, habit, Profile::Reproducible);
    launch.context = 16_384;
    Server::start(&launch).await.unwrap().0
}

/// A way to the server behind it. A deadly one kills that (SIGKILL) the moment the first word of an answer has passed.
async fn front(behind: &Arc<Behind>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let behind = Arc::clone(behind);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let behind = Arc::clone(&behind);
            tokio::spawn(async move { pass(client, &behind).await });
        }
    });
    url
}

async fn pass(client: TcpStream, behind: &Behind) {
    let address = behind.server.lock().unwrap().as_ref().map(|server| server.client().url().replace("http://", ""));
    let Some(address) = address else { return };
    let Ok(server) = TcpStream::connect(address).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asks = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let mut piece = vec![0; 4096];
    while let Ok(read @ 1..) = from_server.read(&mut piece).await {
        if to_client.write_all(&piece[..read]).await.is_err() {
            break;
        }
        let is_word = String::from_utf8_lossy(&piece[..read]).contains(r#""delta":{"content":""#);
        if is_word && behind.deadly.load(Ordering::SeqCst) {
            drop(behind.server.lock().unwrap().take());
            break;
        }
    }
    asks.abort();
}

fn failed(answer: &DataResponse) -> bool {
    answer.status >= 400
}

async fn with_server(url: &str, more: Value) -> Rig {
    let mut settings = json!({"modelServers": [{"name": MODEL, "url": url}]});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rig(replayed().await, settings).await
}

/// Fault: the model server dies while it answers. Injected: a real llama-server gets SIGKILL once the first token of its
/// answer has reached the plugin. Outcome: an error whose source is downstream, everything else still answers, and a later
/// refresh finds the server that was started in its place and has the verdict.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_mid_answer_is_an_error_and_its_successor_gives_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let behind = Arc::new(Behind {
        server: Mutex::new(Some(start(&folder, Habit::Endless).await)),
        deadly: AtomicBool::new(true),
    });
    let rig = with_server(&front(&behind).await, json!({"timeoutS": 60})).await;
    let answer = ask_until(&rig.host, &question(), failed).await;
    assert!(behind.server.lock().unwrap().is_none(), "it was killed before it could answer: {}", answer.error);
    assert_eq!((answer.status, answer.error_source.as_str()), (502, "downstream"), "{}", answer.error);
    assert!(answer.error.contains(MODEL) && answer.error.contains("infra_error"), "{}", answer.error);
    assert_eq!(rig.host.ask_one(json!({"queryType": "runs"})).await.status, 200);
    assert_eq!(rig.host.health().await.status, 2, "the health check sees it too");
    behind.deadly.store(false, Ordering::SeqCst);
    *behind.server.lock().unwrap() = Some(start(&folder, Habit::Brief).await);
    ask_until(&rig.host, &question(), has_verdict).await;
}

/// Fault: the only slot of the server is taken. Injected: another client's endless question on a real llama-server. Outcome:
/// the question ends with its own time budget, in words.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_slot_ends_with_the_time_budget() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, Habit::Endless).await;
    let client = server.client();
    let other =
        tokio::spawn(async move { client.ask_with(&crate::llama::endless_question(15_000), &mut |_| {}).await });
    let busy = async {
        while server.client().busy_slots().await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), busy).await.unwrap();
    let rig = with_server(server.client().url(), json!({"timeoutS": 1})).await;
    let answer = ask_until(&rig.host, &question(), failed).await;
    assert_eq!((answer.status, answer.error_source.as_str()), (504, "downstream"), "{}", answer.error);
    assert!(answer.error.contains(MODEL) && answer.error.contains("timeout"), "{}", answer.error);
    assert!(!other.is_finished(), "the slot was taken all the while");
    other.abort();
}
