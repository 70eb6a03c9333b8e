//! Records in, signals out.

use super::*;
use chrono::TimeDelta;

use crate::ontology::Severity;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
}

pub(crate) fn record(question: &str, minute: i64, class: Class) -> Record {
    let verdict = Verdict {
        evidence: vec![],
        components: vec![],
        root_cause: "disk_full".to_owned(),
        severity: Severity::Error,
        summary: "No space.".to_owned(),
    };
    Record {
        format: FORMAT,
        at: at(minute),
        org: 1,
        datasource: "assay".to_owned(),
        question: question.to_owned(),
        name: None,
        purpose: Purpose::Panel,
        latest: true,
        namespaces: vec![],
        components: vec![],
        asked: Asked {
            prompt: "triage@2".to_owned(),
            route: Some("rest".to_owned()),
            rendered_hash: "sha256:aaaabbbbcccc".to_owned(),
            lines: 10,
            templates: 2,
            omitted_templates: 0,
            omitted_lines: 0,
            digest_tokens: 50,
            redactions: 0,
            decisive_ids: vec![],
        },
        prompt_sha256: String::new(),
        redaction: "1".to_owned(),
        digest: "2".to_owned(),
        model: "tiny".to_owned(),
        quantization: "Q8_0".to_owned(),
        demo: false,
        fingerprint: None,
        build_info: None,
        class,
        reason: None,
        verdict: matches!(class, Class::Ok | Class::Abstained | Class::Ungrounded).then_some(verdict),
        output_hash: Some("hmac-sha256:ddddeeeeffff".to_owned()),
        usage: Usage::default(),
        timings: Timings::default(),
        attempts: 1,
        queued_ms: 0.0,
        loki_ms: 1.0,
        latency_ms: 2.0,
        unseen: Some(0.5),
        reused: false,
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
    }
}

#[test]
fn the_newest_verdict_of_each_question_is_found_whatever_the_order() {
    let records = [
        record("q1", 5, Class::Ok),
        record("q1", 7, Class::Timeout),
        record("q2", 6, Class::Abstained),
        record("q1", 1, Class::Ok),
        record("q3", 9, Class::InfraError),
    ];
    let found: Vec<(&str, DateTime<Utc>)> = newest(&records).iter().map(|r| (r.question.as_str(), r.at)).collect();
    assert_eq!(found, [("q2", at(6)), ("q1", at(5))], "an attempt without verdict hides none");
}

#[test]
fn alerts_rest_on_what_is_watched_and_on_one_verdict_for_each_of_it() {
    let standing = |question: &str, minute, name: &str| Record {
        name: Some(name.to_owned()),
        purpose: Purpose::Standing,
        ..record(question, minute, Class::Ok)
    };
    let alert = |question: &str, latest| Record { purpose: Purpose::Alert, latest, ..record(question, 1, Class::Ok) };
    let records = [
        record("looked into", 9, Class::Ok),
        standing("old prompt", 1, "shop"),
        standing("new prompt", 5, "shop"),
        standing("renamed", 2, "before"),
        standing("renamed", 3, "after"),
        alert("rule", true),
        record("rule", 4, Class::Ok),
        alert("of a past day", false),
    ];
    let found: Vec<(&str, DateTime<Utc>)> = watched(records.iter()).iter().map(|r| (r.title(), r.at)).collect();
    assert_eq!(found, [("shop", at(5)), ("rule", at(4)), ("after", at(3))]);
}

#[test]
fn a_line_from_before_windows_were_told_apart_is_read() {
    let mut line = serde_json::to_value(record("q", 3, Class::Ok)).unwrap();
    line.as_object_mut().unwrap().remove("latest").unwrap();
    assert_eq!(serde_json::from_value::<Record>(line).unwrap(), Record { latest: false, ..record("q", 3, Class::Ok) });
}

#[test]
fn a_record_is_found_by_trace_question_and_hashes_but_not_by_a_few_digits() {
    let record = record("0123456789abcdef", 0, Class::Ok);
    for name in ["4BF92F35", "sha256:aaaabbbbcccc", "aaaabbbb", "ddddeeee", " 0123456789abcdef "] {
        assert!(record.is_named(name), "{name}");
    }
    for name in ["", "4bf92f3", "aaaabbbbcccd", "sha256:"] {
        assert!(!record.is_named(name), "{name}");
    }
    let early = Record { trace_id: Some("00117a7a32813b3c6d4e0e16e682ca1f".to_owned()), ..record };
    assert!(early.is_named("117a7a32813b3c6d4e0e16e682ca1f"), "as Tempo's search shows it");
    assert!(!early.is_named("17a7a32813b3c6d4e0e16e682ca1f"));
}

#[test]
fn shares_are_of_the_answers_with_wilsons_interval() {
    let mut records: Vec<Record> = (0..8).map(|_| record("q", 1, Class::Ok)).collect();
    records.extend([record("q", 1, Class::Abstained), record("q", 1, Class::Timeout)]);
    records.push(record("q", 1, Class::InfraError));
    records.push(Record { reused: true, unseen: Some(0.0), ..record("q", 1, Class::Ok) });
    let series = signals(&records, By::All, at(0), at(60), 6);
    let point = &series[0].points[0];
    assert_eq!((series.len(), series[0].points.len()), (1, 6));
    assert_eq!((point.answers, point.infra, point.reused), (10, 1, 1));
    let abstained = point.abstained.as_ref().unwrap();
    assert_eq!(abstained.method, crate::stats::Method::Wilson);
    // Wilson 1927 for 1 of 10 at 95 %: 0.0179 to 0.4042, as statsmodels' proportion_confint(1, 10, method="wilson").
    let (low, high) = (abstained.ci_low.unwrap(), abstained.ci_high.unwrap());
    assert!((low - 0.017_876).abs() < 1e-5 && (high - 0.404_150).abs() < 1e-5, "{low} {high}");
    assert_eq!((point.failed.as_ref().unwrap().value, point.ungrounded.as_ref().unwrap().value), (0.1, 0.0));
    assert!((point.unseen.unwrap() - 5.5 / 12.0).abs() < 1e-12);
    assert_eq!(point.latency_ms.as_ref().unwrap().value, 2.0);
    let empty = &series[0].points[3];
    assert_eq!((empty.at, empty.answers), (at(30), 0));
    assert!(empty.abstained.is_none() && empty.unseen.is_none() && empty.latency_ms.is_none());
}

#[test]
fn stretches_of_time_hold_their_first_instant_and_not_their_last() {
    let records = [record("q", 0, Class::Ok), record("q", 30, Class::Ok), record("q", 60, Class::Ok)];
    let series = signals(&records, By::Question, at(0), at(60), 2);
    let answers: Vec<usize> = series[0].points.iter().map(|point| point.answers).collect();
    assert_eq!((series[0].group.as_str(), answers), ("q", vec![1, 1]));
    for (from, to, buckets) in [(at(0), at(0), 5), (at(9), at(0), 5), (at(0), at(60), 0), (at(0), at(1), usize::MAX)] {
        let series = signals(&records, By::All, from, to, buckets);
        assert!(series.iter().all(|series| series.points.len() <= 10_000));
    }
}

#[test]
fn groups_are_what_was_asked_for() {
    let named = Record { name: Some("monitoring".to_owned()), ..record("q2", 0, Class::Ok) };
    let records = [record("q1", 0, Class::Ok), named];
    let groups = |by| signals(&records, by, at(0), at(1), 1).into_iter().map(|s| s.group).collect::<Vec<_>>();
    assert_eq!(groups(By::Question), ["monitoring", "q1"]);
    assert_eq!([groups(By::All), groups(By::Route), groups(By::Prompt)], [[""], ["rest"], ["triage@2"]]);
    assert_eq!(groups(By::Model), ["tiny"]);
}

#[test]
fn a_record_survives_its_line() {
    let line = serde_json::to_string(&record("q", 3, Class::Ungrounded)).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record("q", 3, Class::Ungrounded));
    assert!(!line.contains('\n'));
}
