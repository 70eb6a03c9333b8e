//! `assay analyze` with the rules, and what goes wrong before a model is asked. A real model: `harness/analyze.rs`.

use super::{Desk, stderr};

#[test]
fn a_verdict_reads_and_quotes_its_evidence() {
    let desk = Desk::with_log();
    let labels = ["--label", "container=prometheus", "--label", "namespace=monitoring"];
    let output = desk.assay(&[&["analyze", "--file", "app.log", "--model", "rules"][..], &labels].concat());
    let text = super::stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "nothing to say without a terminal");
    for expected in [
        "ERROR  disk_full: ",
        "\ncomponents: prometheus\n",
        "\nevidence:\n  T",
        "    31 | ts=2026-11-23T22:02:31Z level=error msg=\"write /data/wal: no space left on device\"\n",
        "\nprompt monitoring@1 (route monitoring) ",
        ", model rules\n",
        "of 42 lines stand in",
        "secrets redacted: 1",
        "rendered prompt sha256:",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
}

#[test]
fn json_carries_verdict_evidence_and_origin() {
    let desk = Desk::with_log();
    let arguments = ["analyze", "--file", "app.log", "--model", "rules", "--prompt", "triage@2", "--json"];
    let answer = desk.json(&arguments);
    assert_eq!((&answer["class"], &answer["verdict"]["root_cause"]), (&"ok".into(), &"disk_full".into()));
    assert_eq!(answer["evidence"][0]["lines"][0]["line"], 31);
    assert_eq!((&answer["prompt"], &answer["model"]["spec"]["name"]), (&"triage@2".into(), &"rules".into()));
    assert!(answer["asked"]["rendered_hash"].as_str().unwrap().starts_with("sha256:"), "{answer}");
    assert!(answer["definition"].as_str().is_some_and(|text| !text.is_empty()));
}

#[test]
fn a_healthy_log_is_no_failure() {
    let desk = Desk::new();
    desk.write("app.log", "ts=2026-11-23T22:02:01Z level=info msg=ready\n".repeat(5).as_bytes());
    let text = desk.ok(&["analyze", "--file", "app.log", "--model", "rules"]);
    assert!(text.starts_with("INFO  none: ") && text.contains("evidence: none cited"), "{text}");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let desk = Desk::with_log();
    desk.write("empty.log", b"");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (arguments, expected) in [
        (&["analyze", "--file", "empty.log"][..], "there is nothing to analyse"),
        (&["analyze", "--file", "app.log", "--model", "ruels"], "did you mean `rules`?"),
        (&["analyze", "--file", "app.log", "--prompt", "traige@2"], "did you mean `triage@2`?"),
        (&["analyze", "--file", "app.log", "--url", &closed], "start the server"),
        (&["analyze", "--file", "app.log", "--url", "http://me:secret@127.0.0.1:1"], "credentials"),
    ] {
        let message = desk.fails(arguments, 1);
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(!message.contains("me:secret"), "{message}");
    }
}

#[test]
fn a_tenant_in_the_environment_is_no_argument_of_a_file() {
    let desk = Desk::with_log();
    let mut command = desk.command(&["analyze", "--file", "app.log", "--model", "rules"]);
    let output = command.env("ASSAY_LOKI_ORG_ID", "homelab").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}
