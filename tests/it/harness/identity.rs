//! That a run is what its name says: over this dataset, in this folder, published once; and that a damaged one is passed
//! over.

use std::path::{Path, PathBuf};

use assay::harness::{Launcher, Session};
use assay::installation::Installation;
use assay::store::{Parcel, Store};

use super::crashes::{RULES, limited};
use super::folder::{Folder, stderr};
use crate::gguf::Habit;

fn rules_only(cases: usize) -> Folder {
    let folder = Folder::new(cases, Habit::Brief);
    folder.write("experiment.toml", RULES);
    folder
}

fn run(folder: &Folder) -> String {
    folder.json(&["eval", "run", "experiment.toml", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned()
}

/// A run that has answers to some of its questions.
fn unfinished(folder: &Folder) -> String {
    let output = limited(folder, "trap '' XFSZ; ulimit -f 16", folder.command(&["eval", "run", "experiment.toml"]));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let list = folder.json(&["eval", "list", "--json"]);
    let rows = list.as_array().unwrap();
    rows.iter().find(|row| row["status"] == "unfinished").unwrap()["id"].as_str().unwrap().to_owned()
}

fn folder_of(folder: &Folder, id: &str) -> PathBuf {
    folder.path("store/runs").join(id)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// What a command that must end with 1 says.
fn refused(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.assay(arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// Fault: a dataset that is not frozen changes between runs. Injected: a line is edited, the stated hash left as it was. Outcome: runs over the two are told apart: not compared, scored again, reproduced or resumed.
#[test]
fn a_dataset_that_may_change_is_known_by_what_it_is() {
    let folder = rules_only(60);
    folder.edit("golden/small/dataset.toml", "frozen = true", "frozen = false");
    let first = run(&folder);
    let cut = unfinished(&folder);
    folder.edit("golden/small/cases.jsonl", "request 0 served", "request 0 saved");
    let second = run(&folder);
    let hash = |id: &str| folder.json(&["eval", "show", id, "--json"])["dataset"]["sha256"].clone();
    assert_eq!(hash(&second), assay::hash::sha256(std::fs::read(folder.path("golden/small/cases.jsonl")).unwrap()));
    assert_ne!(hash(&first), hash(&second));
    for arguments in
        [vec!["compare", &first, &second], vec!["score", &first], vec!["reproduce", &first], vec!["resume", &cut]]
    {
        let message = refused(&folder, &[&["eval"], &arguments[..]].concat());
        assert!(message.contains("`dataset.sha256`"), "{arguments:?}: {message}");
    }
}

/// Fault: a run's folder is copied under another name. Injected: a copy of a published run, one without its record, and a plan whose id leads out of the store. Outcome: the copy is refused and the file named; the original is not touched, and nothing is written elsewhere.
#[test]
fn a_copy_of_a_run_is_not_the_run() {
    let folder = rules_only(60);
    let id = run(&folder);
    let original = folder_of(&folder, &id);
    let before = std::fs::read(original.join("run.json")).unwrap();
    copy(&original, &folder_of(&folder, "backup"));
    copy(&original, &folder_of(&folder, "half"));
    std::fs::remove_file(folder_of(&folder, "half").join("run.json")).unwrap();

    let message = refused(&folder, &["eval", "baseline", "set", "main", "backup"]);
    assert!(message.contains("runs/backup/run.json") && message.contains(&id), "{message}");
    let message = refused(&folder, &["eval", "resume", "half"]);
    assert!(message.contains("runs/half/plan.json") && message.contains(&id), "{message}");
    // Without a name the newest unfinished session is meant, and there is none.
    let output = folder.assay(&["eval", "resume"]);
    let message = stderr(&output);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("nothing to resume") && message.contains("warning: runs/half/plan.json"), "{message}");
    assert_eq!(std::fs::read(original.join("run.json")).unwrap(), before);

    let cut = unfinished(&folder);
    let plan = format!("store/runs/{cut}/plan.json");
    folder.edit(&plan, &format!("\"id\": \"{cut}\""), "\"id\": \"../../esc\"");
    let message = refused(&folder, &["eval", "resume", &cut]);
    assert!(message.contains(&format!("runs/{cut}/plan.json")) && message.contains("../../esc"), "{message}");
    assert!(!folder.path("esc").exists() && !folder.path("store/esc").exists(), "something was written elsewhere");
}

/// Fault: two harnesses finish one run. Injected: the second has read its plan before the first publishes it. Outcome: the second is turned away; the published run stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_published_run_is_never_published_again() {
    let folder = rules_only(60);
    let id = tokio::task::block_in_place(|| unfinished(&folder));
    let store = Store::open(folder.path("store").to_str().unwrap()).unwrap();
    let plans = vec![store.plan(&id).await.unwrap().unwrap()];
    let finished = tokio::task::block_in_place(|| folder.assay(&["eval", "resume"]));
    assert!(finished.status.success(), "{}", stderr(&finished));
    let published = store.run(&id).await.unwrap();

    let installation = Installation::load(folder.dir.path()).unwrap();
    let launcher = Launcher {
        program: PathBuf::new(),
        models: folder.path("models"),
        logs: folder.path("logs"),
        profile: assay::experiment::Profile::Reproducible,
        patience: std::time::Duration::ZERO,
    };
    let error = Session::resume(&installation, &store, plans, &launcher).await.unwrap_err().to_string();
    assert!(error.contains(&id) && error.contains("published already"), "{error}");
    let mut other = published.clone();
    other.record.resumed = 7;
    let error = store.commit(&mut other).await.unwrap_err().to_string();
    assert!(error.contains("published already"), "{error}");
    assert_eq!(store.run(&id).await.unwrap(), published);
}

/// Fault: a run is damaged. Injected: a record and a plan that are cut. Outcome: told; other runs are listed, found by their arm, resumed and looked into as ever.
#[test]
fn a_damaged_run_hides_no_other() {
    let folder = rules_only(60);
    let sound = run(&folder);
    folder.edit("experiment.toml", "name = 'rules'", "name = 'other'");
    let (damaged, cut) = (run(&folder), unfinished(&folder));
    let rendered = folder.json(&["why", &format!("{sound}/s-000"), "--json"])[0]["rendered_hash"].clone();
    let record = folder_of(&folder, &damaged).join("run.json");
    let text = std::fs::read(&record).unwrap();
    std::fs::write(&record, &text[..text.len() / 2]).unwrap();
    // Unfinished, in a session of its own that is newer than all others.
    let newest = folder_of(&folder, "20990101T000000000Z-rules");
    std::fs::create_dir(&newest).unwrap();
    std::fs::write(newest.join("plan.json"), "{").unwrap();

    let list = folder.json(&["eval", "list", "--json"]);
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert_eq!(folder.json(&["eval", "show", "rules", "--json"])["id"], sound.as_str());
    let message = refused(&folder, &["eval", "show", "other"]);
    assert!(message.contains(&damaged) && message.contains("damaged"), "{message}");
    let resumed = folder.assay(&["eval", "resume"]);
    let message = stderr(&resumed);
    assert!(resumed.status.success() && message.contains("warning: "), "{message}");
    assert_eq!(folder.json(&["eval", "show", &cut, "--json"])["id"], cut.as_str());
    assert_eq!(folder.json(&["eval", "show", "other", "--json"])["id"], cut.as_str(), "the newest of its arm is sound");

    std::fs::write(&record, &text).unwrap();
    std::fs::write(folder_of(&folder, &damaged).join("results.parquet"), "PAR1").unwrap();
    let found = folder.json(&["why", rendered.as_str().unwrap(), "--json"]);
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
}

#[tokio::test]
async fn a_run_of_the_longest_name_can_be_pushed() {
    let folder = rules_only(2);
    folder.edit("experiment.toml", "'rules'", &format!("'{}'", "x".repeat(100)));
    let id = run(&folder);
    let store = Store::open(folder.path("store").to_str().unwrap()).unwrap();
    let bytes = Parcel::of(&store, &id).await.unwrap().to_bytes();
    assert_eq!(Parcel::open(&bytes.into()).unwrap().id(), id);
}
