//! The command line as people expect one, through the real binary: help, input of every kind, and what goes where.

mod analyze;
mod digest;
mod doctor;
mod streams;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A log of known content: 40 routine lines, a leaked token, and a full disk in line 31.
fn log() -> String {
    let line = |n: u32| match n {
        31 => "level=error msg=\"write /data/wal: no space left on device\"".to_owned(),
        12 => "level=info msg=\"login\" token=ghp_abcdefghijklmnopqrstuvwxyz0123456789".to_owned(),
        n => format!("level=info msg=\"request served\" took={n}ms"),
    };
    (1..=42).fold(String::new(), |text, n| text + &format!("ts=2026-11-23T22:02:{:02}Z {}\n", n, line(n)))
}

/// A folder for files, and the checkout as installation.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With [`log`] as `app.log`.
    fn with_log() -> Self {
        let desk = Self::new();
        desk.write("app.log", log().as_bytes());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// `assay` in this folder, with the checkout's prompts and datasets, and no colours from outside.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.current_dir(self.dir.path()).args(arguments).env("ASSAY_ROOT", env!("CARGO_MANIFEST_DIR"));
        command.env("ASSAY_STORE", self.path("store"));
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        command
    }

    fn assay(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn piped(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.assay(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Standard error of a command that must end with `code` and print no data.
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.assay(arguments);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert_eq!(stdout(&output), "", "{arguments:?} printed data although it failed");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
        message
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All commands that the help of `path` names, below it too.
fn commands(desk: &Desk, path: &[String]) -> Vec<Vec<String>> {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = desk.ok(&arguments);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut found = Vec::new();
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        let below: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
        found.extend(commands(desk, &below));
        found.push(below);
    }
    found
}

#[test]
fn help_shows_every_command_with_examples() {
    let desk = Desk::new();
    let help = desk.ok(&["--help"]);
    for line in ["Usage: assay [OPTIONS] <COMMAND>", "  analyze ", "  digest ", "  doctor ", "  eval ", "Examples:"] {
        assert!(help.contains(line), "{line} is missing in\n{help}");
    }
    let all = commands(&desk, &[]);
    assert!(all.len() > 18, "{all:?}");
    for command in all {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = desk.ok(&arguments);
        assert!(help.contains(&format!("Usage: assay {}", command.join(" "))), "{help}");
        assert!(help.contains("\nExamples:\n  "), "assay {} has no examples", command.join(" "));
    }
}

#[test]
fn version_exit_codes_and_completions_are_data() {
    let desk = Desk::new();
    assert!(desk.ok(&["--version"]).starts_with(concat!("assay ", env!("CARGO_PKG_VERSION"))));
    for text in [desk.ok(&["help", "exit-codes"]), desk.ok(&["exit-codes"])] {
        assert!(text.contains("5    analyze: the model gave no usable verdict"), "{text}");
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = desk.ok(&["completions", shell]);
        assert!(script.contains("exit-codes") && script.contains("bytes-per-token"), "{shell}: {script}");
    }
}

#[test]
fn a_wrong_command_line_is_refused_with_the_way_out() {
    let desk = Desk::with_log();
    for (arguments, expected) in [
        (&["dgest", "app.log"][..], "'digest'"),
        (&["digest", "app.log", "--buget", "3"], "'--budget'"),
        (&["digest", "app.log", "--budget", "0"], "1 to 1000000 tokens"),
        (&["digest", "app.log", "--budget", "many"], "1 to 1000000 tokens"),
        (&["digest", "app.log", "--bytes-per-token", "0"], "0.5 to 20 bytes"),
        (&["digest", "app.log", "--label", "etcd"], "NAME=VALUE"),
        (&["digest"], "<FILE>"),
        (&["analyze"], "--file <FILE>"),
        (&["analyze", "--file", "app.log", "--model", "a", "--url", "http://127.0.0.1:1"], "cannot be used with"),
        (&["analyze", "--file", "app.log", "--prompt", "triage"], "triage@2"),
        (&["analyze", "app.log"], "a log file is --file app.log"),
        (&["analyze", "--file", "app.log", "--since", "1h"], "cannot be used with"),
        (&["analyze", "--file", "app.log", "--follow"], "cannot be used with"),
        (&["analyze", "--loki", "http://127.0.0.1:1", "{a='b'}", "--from", "yesterday"], "RFC 3339"),
        (&["analyze", "--loki", "http://127.0.0.1:1", "{a='b'}", "--limit", "0"], "1 or more"),
        (&["eval", "gate", "a", "--baseline", "b", "--margin", "5%"], "0.05 for 5 percentage points"),
        (&["eval", "compare", "a", "b", "--margin", "-1"], "0 or more"),
        (&["eval", "power", "--clusters", "86", "--discordant", "3"], "at most 1"),
        (&["completions", "tcsh"], "possible values"),
    ] {
        let message = desk.fails(arguments, 2);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn every_reading_command_works_on_the_checkout() {
    let desk = Desk::with_log();
    assert!(desk.ok(&["prompt", "list"]).contains("triage@2"));
    assert!(desk.ok(&["prompt", "show", "triage@2"]).contains("--- user ---"));
    assert!(desk.ok(&["prompt", "check"]).contains("sound"));
    assert!(desk.ok(&["route", "explain", "--file", "app.log"]).contains("-> "));
    assert!(desk.ok(&["golden", "stats", "golden-v1"]).contains("cases from"));
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/golden-v1/cases.jsonl");
    let cases = cases.to_str().unwrap();
    let rendered = desk.json(&["prompt", "render", "--cases", cases, "--case", "g1-001"]);
    assert!(rendered["user"].as_str().unwrap().contains("LOGS "), "{rendered}");
    assert!(desk.ok(&["golden", "show", "golden-v1", "g1-001"]).contains("target: "));
    let output = desk.assay(&["eval", "list"]);
    assert!(output.status.success() && stdout(&output).is_empty() && stderr(&output).contains("no runs in"));
    assert!(desk.fails(&["golden", "show", "golden-v1", "nope"], 1).contains("no case `nope`"));
    assert!(desk.fails(&["prompt", "show", "traige@2"], 1).contains("did you mean `triage@2`?"));
    std::fs::create_dir(desk.path("store")).unwrap();
    assert!(desk.fails(&["eval", "show", "nope"], 1).contains("no run `nope`"));
}

#[test]
fn what_only_reads_makes_no_store() {
    let desk = Desk::new();
    assert_eq!(desk.json(&["eval", "list", "--json"]), serde_json::json!([]));
    desk.ok(&["eval", "resume"]);
    let experiment = "name = 'x'\nquestion = '?'\ndataset = 'golden-v1'\nprimary = 'root_cause'\nmargin = 0.05\n\
                      digest_tokens = 300\n[[arm]]\nname = 'rules'\nprompt = 'triage@1'\nmodel = 'rules'\n";
    desk.write("experiment.toml", experiment.as_bytes());
    assert!(desk.ok(&["eval", "run", "experiment.toml", "--dry-run"]).contains("no earlier run"));
    for arguments in [&["eval", "show", "a"][..], &["eval", "baseline", "list"], &["why", "a/g1-001"]] {
        assert!(desk.fails(arguments, 1).contains("there is no store"), "{arguments:?}");
    }
    assert!(!desk.path("store").exists());
}

#[test]
fn a_share_has_no_difference_of_five_hundred_points() {
    let desk = Desk::new();
    assert!(desk.fails(&["eval", "power", "--clusters", "86", "--effect", "5"], 1).contains("0.05 is 5 percentage"));
    let experiment = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/demo.toml");
    let experiment = std::fs::read_to_string(experiment).unwrap().replace("margin = 0.05", "margin = 5");
    desk.write("experiment.toml", experiment.as_bytes());
    let message = desk.fails(&["eval", "run", "experiment.toml", "--dry-run"], 1);
    assert!(message.contains("field `margin`: 5 is out of range"), "{message}");
    // The metric is heard without a run, too.
    let message = desk.fails(&["eval", "power", "--clusters", "86", "--metric", "latency_ms"], 1);
    assert!(message.contains("`latency_ms` is no share"), "{message}");
}

#[test]
fn a_file_that_was_named_and_is_not_there_or_not_one_is_told_as_such() {
    let desk = Desk::with_log();
    for arguments in [
        &["eval", "run", "nope.toml"][..],
        &["prompt", "render", "--cases", "nope.jsonl"],
        &["route", "explain", "--cases", "nope.jsonl"],
    ] {
        let message = desk.fails(arguments, 1);
        assert!(message.contains("nope.") && !message.contains("--root"), "{arguments:?}: {message}");
    }
    assert!(desk.fails(&["golden", "verify", "nope"], 1).contains("golden/ has golden-v1"));
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/demo.toml");
    let message = desk.fails(&["eval", "run", demo.to_str().unwrap(), "--model", "app.log", "--dry-run"], 1);
    assert!(message.contains("it starts with `ts=2`, a GGUF file with `GGUF`"), "{message}");
}
