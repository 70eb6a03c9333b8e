//! A harness that dies or runs out of disk in the middle of a write, at every one of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use assay::run::Run;
use assay::store::Store;
use proptest::prelude::*;

use super::folder::{Folder, stderr};
use crate::gguf::Habit;

pub(super) const RULES: &str = "name = 'small'\nquestion = '?'\ndataset = 'small'\nprimary = 'root_cause'\nmargin = 0.05\n\
                     profile = 'reproducible'\n[[arm]]\nname = 'rules'\nprompt = 'triage@1'\nmodel = 'rules'\n";

/// `cases` cases and one arm, the rules.
fn folder(cases: usize) -> Folder {
    let folder = Folder::new(cases, Habit::Brief);
    folder.write("experiment.toml", RULES);
    folder
}

/// `assay` in a shell that first says what a file may be.
pub(super) fn limited(folder: &Folder, shell: &str, plain: Command) -> Output {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell}; exec \"$0\" \"$@\"")).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(folder.path("")).output().unwrap()
}

fn cases(folder: &Folder) -> (usize, usize) {
    let lines = folder.journaled();
    let distinct: BTreeSet<String> = lines.iter().map(|line| line["case"].to_string()).collect();
    (lines.len(), distinct.len())
}

/// Fault: full disk. Injected: a limit on the size of a file, writes fail. Outcome: the run stops and names `resume`; the journal is whole, no answer is lost or asked again.
#[cfg(unix)]
#[test]
fn a_full_disk_stops_the_run_with_the_journal_whole_and_names_the_way_out() {
    let folder = folder(60);
    let output = limited(&folder, "trap '' XFSZ; ulimit -f 16", folder.command(&["eval", "run", "experiment.toml"]));
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("journal.jsonl") && message.contains("make room"), "{message}");
    assert!(message.contains("assay eval resume") && !message.contains("panicked"), "{message}");
    let (lines, distinct) = cases(&folder);
    assert!((1..60).contains(&lines) && lines == distinct, "{lines} lines, {distinct} cases");
    let text = std::fs::read_dir(folder.path("store/runs")).unwrap().flatten().next().unwrap().path();
    assert!(std::fs::read_to_string(text.join("journal.jsonl")).unwrap().ends_with('\n'), "a line is cut");

    // The disk fills up again, and is seen to in the end.
    let again = limited(&folder, "trap '' XFSZ; ulimit -f 24", folder.command(&["eval", "resume"]));
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert!(cases(&folder).0 > lines, "nothing was asked");
    let resumed = folder.assay(&["eval", "resume"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(cases(&folder), (60, 60), "each question has one answer");
    assert_eq!(folder.json(&["eval", "show", "rules", "--json"])["resumed"], 2);
}

/// Fault: killed by a signal while it writes. Injected: a limit on the size of a file that kills, from 1 block to the largest file of a run. Outcome: nothing is published before all of it is; `resume` completes it with each question answered once.
#[cfg(unix)]
#[test]
fn killed_in_the_middle_of_any_write_it_completes_on_resume() {
    let mut killed = 0;
    for blocks in (1..10).chain([12, 16, 24, 32, 48, 64, 96]) {
        let folder = folder(6);
        let limit = format!("ulimit -c 0; ulimit -f {blocks}");
        let output = limited(&folder, &limit, folder.command(&["eval", "run", "experiment.toml", "--json"]));
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), None, "at {blocks} blocks it ended by itself: {}", stderr(&output));
        killed += 1;
        let list = folder.json(&["eval", "list", "--json"]);
        let rows = list.as_array().unwrap();
        assert!(rows.iter().all(|row| row["status"] == "unfinished"), "at {blocks} blocks: {list}");
        let go_on: &[&str] = if rows.is_empty() { &["eval", "run", "experiment.toml"] } else { &["eval", "resume"] };
        let resumed = folder.assay(go_on);
        assert!(resumed.status.success(), "at {blocks} blocks: {}", stderr(&resumed));
        assert_eq!(cases(&folder), (6, 6), "at {blocks} blocks");
        let shown = folder.json(&["eval", "show", "rules", "--json"]);
        assert_eq!(shown["metrics"]["root_cause"]["value"], 1.0, "at {blocks} blocks");
    }
    assert!(killed >= 4, "it was killed {killed} times only");
}

/// The files of a published run in the order in which they are written, and the run.
struct Published {
    id: String,
    files: Vec<(&'static str, Vec<u8>)>,
    run: Run,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn open(store: &Path) -> Store {
    Store::open(store.to_str().unwrap()).unwrap()
}

fn published() -> Published {
    let folder = folder(4);
    let report = folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let id = report["runs"][0]["id"].as_str().unwrap().to_owned();
    let read = |name: &'static str| (name, std::fs::read(folder.path("store/runs").join(&id).join(name)).unwrap());
    let files = ["plan.json", "results.parquet", "run.json"].map(read).to_vec();
    let run = runtime().block_on(open(&folder.path("store")).run(&id)).unwrap();
    Published { id, files, run }
}

/// Puts the first `whole` files into a run's folder, and of the next one a part under the name that it has until it is
/// complete.
fn interrupted(store: &Path, id: &str, files: &[(&str, Vec<u8>)], whole: usize, part: f64) {
    let run = store.join("runs").join(id);
    std::fs::create_dir_all(&run).unwrap();
    for (name, bytes) in &files[..whole] {
        std::fs::write(run.join(name), bytes).unwrap();
    }
    if let Some((name, bytes)) = files.get(whole) {
        let cut = (part * bytes.len() as f64) as usize;
        std::fs::write(run.join(format!("{name}#1")), &bytes[..cut]).unwrap();
    }
}

/// Fault: a commit interrupted between or inside its files. Injected: every prefix of its writes, the last cut at any byte. Outcome: the run is unpublished until `run.json` is whole, and committing again works until then.
#[test]
fn an_interrupted_commit_leaves_the_run_unpublished_until_its_record_is_whole() {
    let made = published();
    proptest!(ProptestConfig::with_cases(48), |(whole in 0_usize..=3, part in 0.0..=1.0_f64)| {
        let folder = tempfile::tempdir().unwrap();
        interrupted(folder.path(), &made.id, &made.files, whole, part);
        let store = open(folder.path());
        runtime().block_on(async {
            assert_eq!(store.ids().await.unwrap(), std::slice::from_ref(&made.id));
            assert_eq!(store.plan(&made.id).await.unwrap().is_some(), whole >= 1);
            match store.run(&made.id).await {
                Ok(run) => assert!(whole == 3 && run == made.run),
                Err(error) => assert!(whole < 3 && error.to_string().contains("assay eval resume"), "{error}"),
            }
            let again = store.commit(&mut made.run.clone()).await;
            assert_eq!(again.err().map(|error| error.to_string().contains("published already")), (whole == 3).then_some(true));
            assert_eq!(store.run(&made.id).await.unwrap(), made.run);
        });
    });
}

/// Fault: new scores interrupted while they replace the old ones. Injected: every prefix of the writes, the last cut at any byte. Outcome: the run is the old one until its record is replaced, and from then on the new one.
#[test]
fn interrupted_new_scores_leave_the_old_run_or_the_new_one() {
    let made = published();
    let scratch = tempfile::tempdir().unwrap();
    interrupted(scratch.path(), &made.id, &made.files, 3, 0.0);
    let mut new = made.run.clone();
    new.results[0].scores.clear();
    runtime().block_on(open(scratch.path()).recommit(&mut new)).unwrap();
    let read = |name: &str| std::fs::read(scratch.path().join("runs").join(&made.id).join(name)).unwrap();
    let (results, record) = (read("results.parquet"), read("run.json"));
    let writes = [("results.next.parquet", results.clone()), ("run.json", record), ("results.parquet", results)];
    proptest!(ProptestConfig::with_cases(48), |(whole in 0_usize..=3, part in 0.0..=1.0_f64)| {
        let folder = tempfile::tempdir().unwrap();
        interrupted(folder.path(), &made.id, &made.files, 3, 0.0);
        interrupted(folder.path(), &made.id, &writes, whole, part);
        let store = open(folder.path());
        runtime().block_on(async {
            let found = store.run(&made.id).await.unwrap();
            assert_eq!(found, if whole < 2 { made.run.clone() } else { new.clone() });
            store.recommit(&mut new.clone()).await.unwrap();
            assert_eq!(store.run(&made.id).await.unwrap(), new);
        });
    });
}

/// Fault: new scores interrupted twice. Injected: cut off after the record, and killed by a limit on the size of a file when the next ones replace it. Outcome: the run is the one that its record names.
#[cfg(unix)]
#[test]
fn new_scores_interrupted_twice_leave_the_run_that_its_record_names() {
    let folder = folder(4);
    // So that the record is the largest file.
    folder.edit("experiment.toml", "question = '?'", &format!("question = '{}'", "?".repeat(1 << 16)));
    let report = folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let id = report["runs"][0]["id"].as_str().unwrap();
    let file = |name: &str| folder.path("store/runs").join(id).join(name);
    let (store, right) = (open(&folder.path("store")), std::fs::read(file("results.parquet")).unwrap());
    let mut altered = runtime().block_on(store.run(id)).unwrap();
    altered.results[0].scores.clear();
    runtime().block_on(store.recommit(&mut altered)).unwrap();
    std::fs::rename(file("results.parquet"), file("results.next.parquet")).unwrap();
    std::fs::write(file("results.parquet"), &right).unwrap();

    let output = limited(&folder, "ulimit -c 0; ulimit -f 64", folder.command(&["eval", "score", "rules", "--write"]));
    assert_eq!(output.status.code(), None, "it ended by itself: {}", stderr(&output));
    assert_eq!(std::fs::read(file("results.next.parquet")).unwrap(), right, "it was killed too early");
    assert_eq!(runtime().block_on(store.run(id)).unwrap(), altered);
    assert!(folder.assay(&["eval", "score", "rules", "--write"]).status.success());
    assert_eq!(std::fs::read(file("results.parquet")).unwrap(), right);
}
