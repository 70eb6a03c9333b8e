//! The ledger on disk: appended to, read by time and by name, and robust against what a crash leaves.

use std::io::Write;

use assay::ledger::{By, Record, newest, signals};
use assay::store::{Ledger, Store};
use chrono::{DateTime, TimeDelta, Utc};

use super::rig::{FULL, Rig, answer, done, question};
use crate::s3::Server;

/// Records of several days, made of one that a desk wrote.
async fn record(rig: &Rig) -> Record {
    let (desk, _, _loki) = rig.desk(&[FULL]).await;
    let kept = done(answer(&desk, &question("{a=\"b\"}")).await);
    let records = rig.lines(kept.key.as_str(), 1).await;
    assert_eq!(*records[0], kept.record);
    (*records[0]).clone()
}

fn day(record: &Record, days: i64, question: &str) -> Record {
    Record { at: record.at + TimeDelta::days(days), question: question.to_owned(), ..record.clone() }
}

#[tokio::test]
async fn lines_are_read_by_time_and_a_file_that_grew_costs_its_new_lines() {
    let rig = Rig::new();
    let first = record(&rig).await;
    let ledger = rig.ledger();
    for (days, question) in [(1, "aaaaaaaa1"), (2, "bbbbbbbb2"), (2, "aaaaaaaa1"), (4, "cccccccc3")] {
        ledger.append(&day(&first, days, question)).await.unwrap();
    }
    let at = |days| first.at + TimeDelta::days(days);
    let count = async |from: DateTime<Utc>, to| ledger.between(from, to).await.unwrap().records.len();
    assert_eq!([count(at(0), at(1)).await, count(at(1), at(3)).await, count(at(-9), at(9)).await], [1, 3, 5]);
    let hour = TimeDelta::hours(1);
    assert_eq!([count(at(2) - hour, at(2)).await, count(at(3), at(3)).await, count(at(9), at(0)).await], [0, 0, 0]);
    ledger.append(&day(&first, 4, "dddddddd4")).await.unwrap();
    assert_eq!(count(at(4), at(5)).await, 2, "a line that came later is seen");

    let lines = ledger.between(at(-9), at(9)).await.unwrap();
    let questions: Vec<&str> = newest(lines.records.iter().map(|r| &**r)).iter().map(|r| r.question.as_str()).collect();
    assert_eq!(questions[..3], ["cccccccc3", "dddddddd4", "aaaaaaaa1"]);
    let series = signals(lines.records.iter().map(|record| &**record), By::All, at(0), at(5), 5);
    let answers: Vec<usize> = series[0].points.iter().map(|point| point.answers).collect();
    assert_eq!(answers, [1, 1, 2, 0, 2]);
    assert_eq!(ledger.find("aaaaaaaa").await.unwrap().records.len(), 2);
    assert_eq!(ledger.find("aaaaaa").await.unwrap().records.len(), 0, "too few digits");
}

#[tokio::test]
async fn what_a_crash_left_costs_its_own_line_and_no_other() {
    let rig = Rig::new();
    let first = record(&rig).await;
    let file = rig.dir.path().join(format!("store/ledger/1-assay/{}.jsonl", first.at.format("%Y-%m-%d")));
    let mut torn = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"format\":1,\"at\":\"20").unwrap();
    let ledger = rig.ledger();
    let all = async || ledger.between(DateTime::UNIX_EPOCH, first.at + TimeDelta::days(1)).await.unwrap();
    assert_eq!((all().await.records.len(), all().await.unreadable), (1, 0), "half a line may still become one");
    ledger.append(&day(&first, 0, "eeeeeeee5")).await.unwrap();
    let mut later = serde_json::to_value(&first).unwrap();
    later["format"] = 2.into();
    writeln!(torn, "{later}").unwrap();
    assert_eq!((all().await.records.len(), all().await.unreadable), (2, 2));
}

#[tokio::test]
async fn a_data_source_sees_its_own_lines() {
    let rig = Rig::new();
    let first = record(&rig).await;
    let store = Store::open(&rig.dir.path().join("store").display().to_string()).unwrap();
    for (org, uid) in [(2, "assay"), (1, "other"), (1, "../1-assay")] {
        let ledger = Ledger::new(&store, org, uid);
        assert!(ledger.find(&first.question).await.unwrap().records.is_empty(), "{org} {uid}");
    }
}

#[tokio::test]
async fn a_bucket_takes_lines_by_the_object() {
    let Some(server) = Server::start().await else { return };
    let rig = Rig::new();
    let first = record(&rig).await;
    let store = Store::attach("s3://assay/team", &server.access()).unwrap();
    let ours = Ledger::new(&store, 1, "assay");
    for number in 0..70 {
        ours.append(&day(&first, 0, &format!("aaaaaaaa{number}"))).await.unwrap();
    }
    let other = Ledger::new(&store, 1, "assay");
    assert_eq!(other.find("aaaaaaaa").await.unwrap().records.len(), 64, "64 lines are an object");
    assert_eq!(ours.find("aaaaaaaa").await.unwrap().records.len(), 70, "who looks for lines writes its own first");
    other.append(&day(&first, 1, "bbbbbbbb1")).await.unwrap();
    other.flush().await.unwrap();
    let days = |from, to| (first.at + TimeDelta::days(from), first.at + TimeDelta::days(to));
    for (from, to, expected) in [(0, 1, 70), (1, 2, 1), (0, 2, 71), (2, 3, 0)] {
        let (from, to) = days(from, to);
        assert_eq!(ours.between(from, to).await.unwrap().records.len(), expected);
    }
}
