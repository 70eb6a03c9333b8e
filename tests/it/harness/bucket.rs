//! A store in a bucket: machines that are lost, and two that work on one run. Each machine has a state folder of its own.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use assay::store::{Segments, Store};
use serde_json::Value;

use super::crashes::{RULES, limited};
use super::folder::{Folder, stderr};
use crate::gguf::Habit;
use crate::s3::Server;

const URL: &str = "s3://assay/lost";

/// `assay` on a machine whose journals lie in `state`.
fn command(folder: &Folder, server: &Server, state: &str, arguments: &[&str]) -> Command {
    let mut command = folder.command(arguments);
    command.env("ASSAY_STORE", URL).env("ASSAY_STATE", folder.path(state)).env("AWS_ENDPOINT_URL", &server.endpoint);
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    command
}

fn answers(folder: &Folder, state: &str) -> Vec<String> {
    let stores = std::fs::read_dir(folder.path(state)).unwrap().flatten();
    let runs = stores.flat_map(|store| std::fs::read_dir(store.path().join("runs")).into_iter().flatten().flatten());
    let texts = runs.filter_map(|run| std::fs::read_to_string(run.path().join("journal.jsonl")).ok());
    texts.flat_map(|text| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn case(line: &str) -> String {
    let answer: Value = serde_json::from_str(line).unwrap();
    answer["case"].as_str().unwrap().to_owned()
}

/// Ends by a signal once a file of its own, the journal, reaches so many blocks of 512 bytes.
fn lost(folder: &Folder, server: &Server, state: &str, blocks: u32, arguments: &[&str]) -> Output {
    let output =
        limited(folder, &format!("ulimit -c 0; ulimit -f {blocks}"), command(folder, server, state, arguments));
    assert_eq!(output.status.code(), None, "{}", stderr(&output));
    output
}

/// Fault: a machine is lost with its disk; its store is a bucket. Injected: killed in the middle of a run, resumed with an empty disk, killed again, and resumed on the first one after all. Outcome: at most 16 answers of a run are asked for again; the run is published with one answer to each question, and its segments are gone.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_lost_costs_few_answers() {
    let Some(server) = Server::start().await else { return };
    let folder = Folder::new(120, Habit::Brief);
    folder.write("experiment.toml", RULES);
    lost(&folder, &server, "first", 64, &["eval", "run", "experiment.toml"]);
    let first = answers(&folder, "first");
    assert!(first.len() > 20, "{} answers", first.len());

    lost(&folder, &server, "second", 96, &["eval", "resume"]);
    let second = answers(&folder, "second");
    let kept = first.iter().zip(&second).take_while(|(ours, theirs)| ours == theirs).count();
    assert!(first.len() - kept <= 16 && kept % 16 == 0, "{kept} of {} answers were in the bucket", first.len());

    // The first machine comes back: it has answers that the second asked for again, and lacks others.
    let resumed = command(&folder, &server, "first", &["eval", "resume", "--json"]).output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let report: Value = serde_json::from_slice(&resumed.stdout).unwrap();
    let all = answers(&folder, "first");
    let cases: BTreeSet<String> = all.iter().map(|line| case(line)).collect();
    assert_eq!(cases.len(), 120);
    assert!(all.len() - 120 <= 16, "{} questions have two answers", all.len() - 120);

    let store = Store::attach(URL, &server.access()).unwrap();
    let id = report["runs"][0]["id"].as_str().unwrap();
    assert_eq!(store.run(id).await.unwrap().results.len(), 120);
    assert_eq!(segments(&store, id).await.1, b"", "segments are left over");
}

async fn segments(store: &Store, run: &str) -> (Segments, Vec<u8>) {
    store.segments(run).await.unwrap().expect("a bucket has segments")
}

/// Fault: two machines on one run of a bucket. Injected: both write the next segment of its journal. Outcome: the second is turned away, and goes on with the answers of both once the first has stopped.
#[tokio::test]
async fn a_second_machine_on_one_run_is_turned_away() {
    let Some(server) = Server::start().await else { return };
    let store = Store::attach(URL, &server.access()).unwrap();
    let (mut first, _) = segments(&store, "r1").await;
    let (mut second, _) = segments(&store, "r1").await;
    first.write(b"1\n").await.unwrap();
    // The same lines are its own, whose reply was lost.
    let (mut again, _) = segments(&store, "r2").await;
    let (mut retried, _) = segments(&store, "r2").await;
    again.write(b"1\n").await.unwrap();
    retried.write(b"1\n").await.unwrap();
    let error = second.write(b"2\n").await.unwrap_err().to_string();
    assert!(error.contains("r1") && error.contains("another machine") && error.contains("resume"), "{error}");
    let (mut third, lines) = segments(&store, "r1").await;
    assert_eq!(lines, b"1\n");
    third.write(b"2\n").await.unwrap();
    assert_eq!(segments(&store, "r1").await.1, b"1\n2\n");
    third.remove().await.unwrap();
    assert_eq!(segments(&store, "r1").await.1, b"");
}

/// Fault: a machine goes on with a run of a bucket that another has published meanwhile. Injected: segments that were read before, and are gone. Outcome: turned away at its next segment; nothing is left over beside the published run.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_comes_late_is_turned_away() {
    let Some(server) = Server::start().await else { return };
    let folder = Folder::new(40, Habit::Brief);
    folder.write("experiment.toml", RULES);
    lost(&folder, &server, "first", 32, &["eval", "run", "experiment.toml"]);
    let store = Store::attach(URL, &server.access()).unwrap();
    let id = store.ids().await.unwrap().remove(0);
    let (mut late, _) = segments(&store, &id).await;
    let resumed = command(&folder, &server, "first", &["eval", "resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let error = late.write(b"1\n").await.unwrap_err().to_string();
    assert!(error.contains(&id) && error.contains("published already"), "{error}");
    assert_eq!(segments(&store, &id).await.1, b"", "a segment is left over");
}
