//! What goes on around a run: other harnesses, and a wall clock that nobody can rely on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::crashes::RULES;
use super::folder::{Folder, stderr};
use crate::gguf::Habit;

/// A wall clock that is up to six days off, differently at each reading. Other clocks are as they are.
const JUMPING: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static int readings;
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec -= 86400 * (__atomic_fetch_add(&readings, 1, __ATOMIC_RELAXED) * 5 % 7);
    return failed;
}
"#;

/// Writes down in `$SYNCED` what is put on disk.
const SYNCS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void note(int fd) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    int log = open(getenv("SYNCED"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (length > 0) { path[length] = '\n'; write(log, path, length + 1); }
    close(log);
}
int fsync(int fd) { note(fd); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { note(fd); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"#;

/// Code as a library to be loaded before others; built by the compiler that also links this test.
#[cfg(target_os = "linux")]
fn preload(folder: &Folder, code: &str) -> PathBuf {
    let (source, library) = (folder.path("preload.c"), folder.path("preload.so"));
    std::fs::write(&source, code).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").output();
    let built = built.unwrap();
    assert!(built.status.success(), "{}", stderr(&built));
    library
}

/// Fault: a wall clock that jumps. Injected: a library that moves every reading of it by up to six days. Outcome: two runs are published, each of its own; no duration is negative or longer than the run took.
#[cfg(target_os = "linux")]
#[test]
fn a_wall_clock_that_jumps_changes_no_duration_and_no_run() {
    let folder = Folder::new(12, Habit::Brief);
    folder.write("experiment.toml", RULES);
    let clock = preload(&folder, JUMPING);
    let begun = std::time::Instant::now();
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let output =
            folder.command(&["eval", "run", "experiment.toml", "--json"]).env("LD_PRELOAD", &clock).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ids.insert(report["runs"][0]["id"].as_str().unwrap().to_owned());
    }
    let most = begun.elapsed().as_secs_f64() * 1e3;
    assert_eq!(ids.len(), 2, "{ids:?}");
    let lines = folder.journaled();
    let days: BTreeSet<&str> = lines.iter().map(|line| &line["at"].as_str().unwrap()[..10]).collect();
    assert!(days.len() > 3, "the clock did not jump: {days:?}");
    let latencies: Vec<f64> = lines.iter().map(|line| line["latency_ms"].as_f64().unwrap()).collect();
    assert!(latencies.len() == 24 && latencies.iter().all(|ms| (0.0..most).contains(ms)), "{latencies:?}");
    let list = folder.json(&["eval", "list", "--json"]);
    assert!(list.as_array().unwrap().iter().all(|row| row["status"] == "published"), "{list}");
}

/// Fault: the machine loses its power. Injected: a library that writes down what is put on disk. Outcome: before the first answer the names of the journal and its folders are on disk, and of a published run each file and its name.
#[cfg(target_os = "linux")]
#[test]
fn what_was_answered_and_published_is_on_disk_under_its_name() {
    let folder = Folder::new(2, Habit::Brief);
    folder.write("experiment.toml", &format!("{RULES}[[arm]]\nname = 'more'\nprompt = 'triage@2'\nmodel = 'rules'\n"));
    let (library, log) = (preload(&folder, SYNCS), folder.path("synced"));
    let mut command = folder.command(&["eval", "run", "experiment.toml", "--json"]);
    let output = command.env("LD_PRELOAD", &library).env("SYNCED", &log).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let store = std::fs::canonicalize(folder.path("store")).unwrap();
    let synced: Vec<PathBuf> = std::fs::read_to_string(log).unwrap().lines().map(PathBuf::from).collect();
    let last = |path: &PathBuf| synced.iter().rposition(|synced| synced == path).unwrap_or_else(|| panic!("{path:?}"));
    for run in std::fs::read_dir(store.join("runs")).unwrap().flatten().map(|run| run.path()) {
        let journal = synced.iter().position(|path| *path == run.join("journal.jsonl")).unwrap();
        let times = |path: &Path| synced[..journal].iter().filter(|synced| *synced == path).count();
        // Once with a plan and once with a journal, whichever comes first; and once for the folder of each run.
        assert!(times(&run) >= 2 && times(&store.join("runs")) >= 2, "an answer came before its folder: {synced:?}");
        // A file has another name until it is complete; then its name goes on disk with its folder.
        for file in ["plan.json", "results.parquet", "run.json"] {
            let name = run.join(file).to_string_lossy().into_owned();
            let at = synced.iter().rposition(|path| path.to_string_lossy().starts_with(&name));
            assert!(at.is_some_and(|at| at < last(&run)), "{name} is not on disk");
        }
    }
}

/// Fault: two harnesses on one store. Injected: four sessions at the same time. Outcome: each publishes its own runs, with every answer.
#[test]
fn harnesses_share_a_store() {
    let folder = Folder::new(12, Habit::Brief);
    folder.write("experiment.toml", RULES);
    let start = || {
        let mut command = folder.command(&["eval", "run", "experiment.toml", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    let mut ids = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ids.insert(report["runs"][0]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), folder.journaled().len()), (4, 48), "{ids:?}");
}
