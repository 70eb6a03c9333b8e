//! Data on standard output, the rest on standard error; readers that leave early; colours only where they are seen.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{Desk, stderr, stdout};

#[test]
fn json_is_all_that_a_json_command_prints() {
    let desk = Desk::with_log();
    for arguments in [
        &["digest", "app.log", "--json"][..],
        &["digest", "app.log", "--json", "--no-redact"],
        &["analyze", "--file", "app.log", "--model", "rules", "--json"],
        &["analyze", "--file", "app.log", "--json"],
        &["doctor", "--json"],
        &["eval", "list", "--json"],
        &["golden", "stats", "golden-v1", "--json"],
        &["prompt", "list", "--json"],
    ] {
        let output = desk.assay(arguments);
        let parsed: Result<Value, _> = serde_json::from_slice(&output.stdout);
        assert!(parsed.is_ok(), "{arguments:?}: {}", stdout(&output));
    }
    // A note does not get into the data.
    let output = desk.assay(&["digest", "app.log", "--no-redact"]);
    assert!(stderr(&output).contains("secrets were left in") && !stdout(&output).contains("note:"));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let desk = Desk::with_log();
    let long: String = (0..20_000).map(|n| format!("error {} {n} {}\n", word(n), "y".repeat(60))).collect();
    desk.write("long.log", long.as_bytes());
    for arguments in [
        &["prompt", "list"][..],
        &["golden", "show", "golden-v1", "g1-001"],
        &["digest", "long.log", "--json", "--budget", "20000"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = desk.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!first.is_empty() && output.status.success(), "{arguments:?}: {:?}", output.status);
        assert!(!stderr(&output).contains("rror") && !stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

/// A word that stays a word when numbers are masked.
fn word(mut n: usize) -> String {
    let mut word = String::from("x");
    while n > 0 {
        word.push(char::from(b'g' + (n % 16) as u8));
        n /= 16;
    }
    word
}

#[test]
fn a_closed_pipe_does_not_hide_a_failure() {
    let desk = Desk::new();
    let mut command = desk.command(&["doctor"]);
    let mut child =
        command.env("ASSAY_ROOT", desk.dir.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_an_error() {
    let desk = Desk::new();
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = desk.command(&["prompt", "list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write to standard output"), "{}", stderr(&output));
}

#[test]
fn colours_are_for_terminals_or_on_demand() {
    let desk = Desk::with_log();
    let arguments = ["analyze", "--file", "app.log", "--model", "rules"];
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        desk.command(arguments).envs(variables.iter().copied()).output().unwrap()
    };
    let coloured = |text: &str| text.contains('\u{1b}');
    assert!(!coloured(&stdout(&run(&[], &arguments))));
    let forced = stdout(&run(&[("CLICOLOR_FORCE", "1")], &arguments));
    assert!(forced.starts_with("\u{1b}[") && forced.contains("ERROR\u{1b}[0m  disk_full"), "{forced:?}");
    assert!(!coloured(&stdout(&run(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &arguments))));
    let failed = run(&[("CLICOLOR_FORCE", "1")], &["digest", "missing"]);
    assert!(stderr(&failed).starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m"), "{:?}", stderr(&failed));
    assert!(!coloured(&stderr(&run(&[], &["digest", "missing"]))));
}
