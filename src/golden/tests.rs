//! Tests of case parsing, of freezing and of what `verify` refuses.

use super::*;
use crate::hash;
use crate::ontology::Ontology;

const CASE: &str = r#"{"id":"g-1","family":"monitoring","split":"standard","difficulty":"easy","cluster":"c-1","streams":[{"app":"prometheus"}],"entries":[["1",0,"a"],["2",0,"no space left"]],"target":{"severity":"error","root_cause":"disk_full","components":["prometheus"],"summary":"The disk is full.","decisive":[1]},"provenance":{"program":"prometheus","version":"2","fault":"full disk","how":"dd","captured":"2026-11"},"review":{"by":"fault"}}"#;

fn manifest(cases: &str) -> String {
    let counts = "counts = { total = 1, clusters = 1, entries = 2, reviewed_twice = 0, family = { monitoring = 1 }, \
                  split = { standard = 1 }, difficulty = { easy = 1 }, severity = { SEVERITY = 1 }, root_cause = { LABEL = 1 } }";
    let target = &Case::parse("c", 1, cases).unwrap().target;
    let counts = counts.replace("SEVERITY", target.severity.as_str()).replace("LABEL", &target.root_cause);
    format!("name = 'g'\nversion = 1\nontology = 1\nfrozen = true\nsha256 = '{}'\n{counts}\n", hash::sha256(cases))
}

fn defects(case: &str) -> String {
    let ontology = Ontology::parse("1.toml", include_str!("../../prompts/ontology/1.toml")).unwrap();
    let dataset = Dataset::parse("golden/g", &manifest(case), case).unwrap();
    verify("golden/g", &dataset, &ontology).iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_sound_case_passes() {
    assert_eq!(defects(CASE), "");
}

#[test]
fn a_touched_dataset_does_not_load() {
    let touched = CASE.replace("no space left", "no space");
    let problem = Dataset::parse("golden/g", &manifest(CASE), &touched).unwrap_err().to_string();
    assert!(problem.contains("sha256") && problem.contains("new dataset"), "{problem}");
}

#[test]
fn a_dataset_that_may_change_is_counted_and_hashed_as_it_is_found() {
    let open = "name = 'g'\nversion = 1\nontology = 1\nfrozen = false\n";
    let dataset = Dataset::parse("golden/g", open, CASE).unwrap();
    assert_eq!((dataset.manifest.counts.total, dataset.manifest.counts.entries), (1, 2));
    assert_eq!(dataset.manifest.sha256, hash::sha256(CASE));
    let problem = Dataset::parse("golden/g", &open.replace("false", "true"), CASE).unwrap_err().to_string();
    assert!(problem.contains(&format!("sha256 {}, the frozen dataset states none", hash::sha256(CASE))), "{problem}");
}

#[test]
fn verify_names_what_gives_the_answer_away_or_contradicts_itself() {
    for (from, to, expected) in [
        ("no space left", "seen in disk-full-test", "entry 1 carries the label `disk_full`"),
        ("no space left", "pod c-1: no space left", "entry 1 carries the name of its capture, `c-1`"),
        ("\"app\":\"prometheus\"", "\"app\":\"disk-full\"", "stream 0 carries the label `disk_full`"),
        ("\"disk_full\"", "\"disk_fool\"", "not a label"),
        ("\"decisive\":[1]", "\"decisive\":[]", "0 decisive entries"),
        ("\"disk_full\"", "\"none\"", "`none` with severity error"),
        (",\"review\":{\"by\":\"fault\"}", "", "nobody answers"),
        ("\"The disk is full.\"", "\"\"", "has 0 words"),
    ] {
        let found = defects(&CASE.replace(from, to));
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(found.contains("golden/g/cases.jsonl:1"), "{found}");
    }
}

#[test]
fn every_right_answer_is_looked_for_and_only_whole_names() {
    let accepting = CASE.replace("\"components\"", "\"accept\":[\"rate_limited\"],\"components\"");
    assert!(defects(&accepting.replace("no space left", "it is rate-limited")).contains("label `rate_limited`"));
    assert_eq!(defects(&CASE.replace("no space left", "abc-12, c-1x")), "", "not the capture `c-1`");
}

#[test]
fn malformed_cases_name_line_field_and_value() {
    for (from, to, expected) in [
        ("[\"2\",0", "[\"0\",0", "entries[1]"),
        ("[\"2\",0", "[\"2\",7", "stream 7 of 1"),
        ("[\"2\",0", "[\"two\",0", "`two` is not a time"),
        ("[1]}", "[5]}", "entry 5 of 2"),
        ("\"easy\"", "\"esay\"", "did you mean `easy`?"),
        ("\"cluster\"", "\"clutser\"", "did you mean `cluster`?"),
    ] {
        let problem = Case::parse("c.jsonl", 4, &CASE.replace(from, to)).unwrap_err().to_string();
        assert!(problem.starts_with("c.jsonl:4") && problem.contains(expected), "{expected}: {problem}");
    }
    let twice = format!("{CASE}\n{CASE}\n");
    assert!(Case::parse_lines("c.jsonl", &twice).unwrap_err().to_string().contains("already on line 1"));
}
