//! Journals that were cut, copied, damaged, and taken up by whoever did not write them.

use chrono::DateTime;

use super::*;
use crate::model::{Timings, Usage};
use crate::run::Asked;
use crate::verdict::Class;

fn answer(case: &str, class: Class) -> Answer {
    Answer {
        case: case.to_owned(),
        repeat: 0,
        at: DateTime::UNIX_EPOCH,
        asked: Asked {
            prompt: "t@1".to_owned(),
            route: None,
            rendered_hash: "sha256:0".to_owned(),
            lines: 1,
            templates: 1,
            omitted_templates: 0,
            omitted_lines: 0,
            digest_tokens: 9,
            redactions: 0,
            decisive_ids: vec![],
        },
        class,
        reason: None,
        verdict: None,
        usage: Usage::default(),
        timings: Timings::default(),
        latency_ms: 1.5,
        attempts: 1,
        trace_id: None,
    }
}

/// Questions about `a`, `b` and `c`.
fn open(path: &Path) -> Result<Journal, JournalError> {
    Journal::open(path, 3, |case, repeat| ["a", "b", "c"].iter().position(|known| *known == case && repeat == 0))
}

#[test]
fn a_cut_last_line_is_dropped_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut journal = open(&path).unwrap();
    journal.append(0, &answer("a", Class::Ok)).unwrap();
    let first = std::fs::metadata(&path).unwrap().len() as usize;
    journal.append(1, &answer("b", Class::Timeout)).unwrap();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = open(&path).unwrap();
        assert_eq!(journal.finished(), usize::from(cut >= first) + usize::from(cut == whole.len()), "cut at {cut}");
        journal.append(2, &answer("c", Class::Ok)).unwrap();
        assert_eq!(journal.answer(2).unwrap().unwrap().case, "c");
        drop(journal);
        assert!(open(&path).unwrap().is_finished(2));
    }
}

#[test]
fn a_journal_and_its_copy_get_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let [a, b, c] =
        [("a", Class::Ok), ("b", Class::InfraError), ("b", Class::Ok)].map(|(c, k)| line_of(&answer(c, k), 0));
    // Here `a`, then `b` in vain and the beginning of a line; there `a` and `b`.
    std::fs::write(&path, [&a[..], &b, b"{\"case\""].concat()).unwrap();
    let copy = [&a[..], &c].concat();
    let number = |case: &str, _| ["a", "b"].iter().position(|known| *known == case);
    let (mut journal, lacking) = Journal::open_with(&path, &copy, 2, number).unwrap();
    assert_eq!(lacking, b);
    assert_eq!((journal.finished(), journal.answer(1).unwrap().unwrap().class), (2, Class::Ok));
    drop(journal);
    assert_eq!(std::fs::read(&path).unwrap(), [&a[..], &b, &c].concat());
}

#[test]
fn the_newest_answer_counts_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut journal = open(&path).unwrap();
    journal.append(0, &answer("a", Class::InfraError)).unwrap();
    assert!(!journal.is_finished(0));
    journal.append(0, &answer("a", Class::Ok)).unwrap();
    assert!(matches!(open(&path), Err(JournalError::Locked { .. })));
    drop(journal);
    let mut journal = open(&path).unwrap();
    assert_eq!(journal.answer(0).unwrap().unwrap().class, Class::Ok);
    assert!(journal.answer(1).unwrap().is_none());
    drop(journal);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{{broken\n{text}")).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("journal.jsonl:1") && error.contains("asked again"), "{error}");
}

#[test]
fn what_was_not_recognised_is_open_again_to_whoever_doubts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut journal = open(&path).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|case| answer(case, Class::Ok));
    journal.append(0, &a).unwrap();
    journal.append(1, &b).unwrap();
    journal.recognise(&[(0, &a), (1, &b)]).unwrap();
    journal.append(2, &c).unwrap();
    // Answered once more, and not recognised since.
    journal.append(1, &b).unwrap();
    assert_eq!(journal.finished(), 3);
    drop(journal);
    let mut journal = open(&path).unwrap();
    assert_eq!((journal.finished(), journal.doubt(), journal.finished()), (3, 2, 1));
    assert!(journal.is_finished(0) && journal.answer(2).unwrap().is_some());
    assert_eq!(journal.doubt(), 0);
}
