//! What goes on around a run: other harnesses, and a wall clock that nobody can rely on.

use std::collections::BTreeSet;
use std::path::PathBuf;
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

/// The clock as a library to be loaded before others; built by the compiler that also links this test.
#[cfg(target_os = "linux")]
fn jumping_clock(folder: &Folder) -> PathBuf {
    let (source, library) = (folder.path("clock.c"), folder.path("clock.so"));
    std::fs::write(&source, JUMPING).unwrap();
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
    let clock = jumping_clock(&folder);
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
