//! The baseline on lines in the manner of the documentation: every label, severity, component and evidence.

use super::*;
use crate::digest::{Budget, digest};
use crate::ontology::Ontology;
use crate::stream::Labels;

fn verdict_of(component: &str, lines: &[&str]) -> Verdict {
    let labels: Labels = [("container", component)].into_iter().collect();
    let window = Window::from_text(labels, 1_700_000_000_000_000_000, &lines.join("\n"));
    judge(&digest(&window, Budget::new(2000)), &window)
}

fn ontology() -> Ontology {
    Ontology::parse("1.toml", include_str!("../../prompts/ontology/1.toml")).unwrap()
}

#[test]
fn every_label_of_the_ontology_has_a_rule_and_every_rule_a_label() {
    let ontology = ontology();
    for label in ontology.labels().iter().map(|label| label.name.as_str()) {
        let covered = COMPILED.rules.iter().any(|rule| rule.label == label);
        assert!(covered || label == NONE || label == INSUFFICIENT_EVIDENCE, "{label} has no rule");
    }
    for rule in &COMPILED.rules {
        assert_eq!(ontology.resolve(&rule.label), Some(rule.label.as_str()));
        assert!((1.0..=11.0).contains(&rule.weight), "{}", rule.label);
        for pattern in &rule.patterns {
            let regex = Regex::new(&format!("(?i-u:{pattern})"));
            assert!(regex.is_ok_and(|regex| !regex.is_match(b"")), "{pattern}");
        }
    }
}

#[test]
fn a_cause_is_named_with_its_evidence_component_and_severity() {
    let up = r#"level=info msg="Starting Prometheus""#;
    let fault =
        r#"level=error msg="Unable to start web listener" err="listen tcp :9090: bind: address already in use""#;
    let verdict = verdict_of("prometheus", &[up, fault]);
    assert_eq!(verdict.root_cause, "port_conflict");
    assert_eq!(verdict.severity, Severity::Critical);
    assert_eq!((verdict.evidence, verdict.components), (vec!["T2".to_owned()], vec!["prometheus".to_owned()]));
    assert!(verdict.summary.starts_with("prometheus: port conflict, logged once"));
}

#[test]
fn a_mechanism_outweighs_its_symptom() {
    let refused = r#"level=error msg="PullImage \"a/b:1\" failed" error="failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": x509: certificate signed by unknown authority""#;
    assert_eq!(verdict_of("containerd", &[refused]).root_cause, "certificate_untrusted");
    let limited = refused.replace("x509: certificate signed by unknown authority", "429 Too Many Requests");
    assert_eq!(verdict_of("containerd", &[&limited]).root_cause, "rate_limited");
    let missing = refused.replace("x509: certificate signed by unknown authority", "not found");
    assert_eq!(verdict_of("containerd", &[&missing]).root_cause, "image_pull_failure");
}

#[test]
fn healthy_noise_is_no_fault() {
    let lines = [
        r#"level=info msg="server listening on addresses" http=127.0.0.1:3100"#,
        r#"level=error caller=ratestore.go:115 msg="error getting ingester clients" err="empty ring""#,
        r#"level=warn msg="Received SIGTERM, exiting gracefully...""#,
    ];
    let verdict = verdict_of("loki", &lines);
    assert_eq!((verdict.root_cause.as_str(), verdict.severity), (NONE, Severity::Info));
    assert!(verdict.evidence.is_empty() && verdict.components.is_empty());
    assert_eq!(verdict_of("loki", &[]).root_cause, NONE);
}

#[test]
fn errors_of_no_known_cause_are_insufficient_evidence() {
    let verdict = verdict_of("app", &["level=fatal msg=\"giving up\""]);
    assert_eq!((verdict.root_cause.as_str(), verdict.severity), (INSUFFICIENT_EVIDENCE, Severity::Critical));
    assert_eq!(verdict.evidence, ["T1"]);
}

#[test]
fn retries_alone_are_a_warning_and_an_exit_is_critical() {
    let retry = r#"level=warn msg="push failed, will retry" err="dial tcp 10.0.0.1:80: connect: connection refused""#;
    assert_eq!(verdict_of("agent", &[retry; 3]).severity, Severity::Warning);
    let exit = r#"level=fatal msg="dial tcp 10.0.0.1:80: connect: connection refused""#;
    assert_eq!(verdict_of("agent", &[retry, exit]).severity, Severity::Critical);
}

#[test]
fn a_fault_that_is_over_yields_to_what_goes_on() {
    let mut lines = vec![r#"level=error msg="write failed" err="no space left on device""#.to_owned()];
    lines.extend((0..60).map(|i| format!("level=info msg=\"request served\" id={i}")));
    lines.push("level=info msg=\"server is ready to receive requests\"".to_owned());
    lines.push("level=error msg=\"notify failed\" err=\"dial tcp: lookup hook.example: no such host\"".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(verdict_of("prometheus", &lines).root_cause, "dns_resolution_failure");
}

#[test]
fn a_haproxy_backend_is_a_component() {
    let line = r#"10.0.0.9:4994 [23/Nov/2026:22:03:46.234] ingress grafana/grafana-0 0/0/0/5/5 502 116 - - PH-- 1/1/0/0/0 0/0 "GET / HTTP/1.1""#;
    assert_eq!(verdict_of("haproxy", &[line]).components, ["haproxy", "grafana"]);
}

proptest::proptest! {
    #[test]
    fn any_window_gets_a_verdict_within_bounds(lines in proptest::collection::vec("\\PC{0,60}", 0..20)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let verdict = verdict_of("any", &lines);
        proptest::prop_assert!(ontology().resolve(&verdict.root_cause).is_some());
        proptest::prop_assert!(verdict.evidence.len() <= MAX_EVIDENCE && verdict.summary.split_whitespace().count() <= 60);
    }
}
