//! The ledger on disk: appended to, read by time and by name, and robust against what a crash leaves.

use std::io::Write;
use std::time::Duration;

use assay::ledger::{By, Record, newest, signals};
use assay::store::{Ledger, Store};
use chrono::{DateTime, TimeDelta, Utc};

use super::rig::{FULL, Rig, answer, done, question};
use crate::s3::{Gate, Server, Writes};

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
    assert_eq!(ours.find("aaaaaaaa").await.unwrap().records.len(), 70, "who looks for lines sees its own");
    ours.flush().await.unwrap();
    other.append(&day(&first, 1, "bbbbbbbb1")).await.unwrap();
    other.flush().await.unwrap();
    let days = |from, to| (first.at + TimeDelta::days(from), first.at + TimeDelta::days(to));
    for (from, to, expected) in [(0, 1, 70), (1, 2, 1), (0, 2, 71), (2, 3, 0)] {
        let (from, to) = days(from, to);
        assert_eq!(ours.between(from, to).await.unwrap().records.len(), expected);
    }
}

async fn found(ledger: &Ledger) -> usize {
    ledger.find("aaaaaaaa").await.unwrap().records.len()
}

async fn until_found(ledger: &Ledger, many: usize) {
    for _ in 0..600 {
        if found(ledger).await >= many {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited a minute for {many} lines");
}

/// Fault: a bucket that refuses to be written, or takes long for it. Injected: 403 for each PUT, then a PUT that is held up while who asked for it goes away. Outcome: reading goes on, and every line gets there once.
#[tokio::test]
async fn a_bucket_that_takes_no_lines_costs_neither_a_line_nor_an_answer() {
    let Some(server) = Server::start().await else { return };
    let rig = Rig::new();
    let first = record(&rig).await;
    let gate = Gate::before(&server).await;
    let ledger = |access| Ledger::new(&Store::attach("s3://assay/team", access).unwrap(), 1, "assay");
    let (ours, other) = (ledger(&gate.access), ledger(&server.access()));
    let record = |number: usize| day(&first, 0, &format!("aaaaaaaa{number}"));

    gate.writes.send_replace(Writes::Refused);
    for number in 0..70 {
        let written = ours.append(&record(number)).await;
        assert_eq!(written.is_err(), number == 63, "{number}: 64 lines are an object");
    }
    assert!(ours.flush().await.is_err());
    assert_eq!((found(&ours).await, found(&other).await), (70, 0));
    gate.writes.send_replace(Writes::Pass);
    // Nobody asks for it: it is tried again in time.
    until_found(&other, 70).await;
    assert_eq!((found(&ours).await, found(&other).await), (70, 70));

    gate.writes.send_replace(Writes::Held);
    ours.append(&record(70)).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(300), ours.flush()).await;
    assert!(wait.is_err(), "the bucket holds it up");
    gate.writes.send_replace(Writes::Pass);
    until_found(&other, 71).await;
    assert_eq!((found(&ours).await, found(&other).await), (71, 71));
}

/// A day of 70 MiB is more than is read of it: its newest lines are there, and it is said that others are not, but only where
/// those could matter.
#[tokio::test]
async fn of_a_day_that_is_too_large_the_newest_lines_are_read() {
    let rig = Rig::new();
    let first = record(&rig).await;
    let folder = rig.dir.path().join("store/ledger/2-large");
    std::fs::create_dir_all(&folder).unwrap();
    let begin = first.at.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc() + TimeDelta::days(1);
    let at = |minutes| begin + TimeDelta::minutes(minutes);
    let line = |minute| {
        let reason = Some("x".repeat(1 << 20));
        serde_json::to_string(&Record { at: at(minute), reason, ..day(&first, 0, "aaaaaaaa1") }).unwrap() + "\n"
    };
    let file = folder.join(format!("{}.jsonl", begin.format("%Y-%m-%d")));
    std::fs::write(&file, (0..70).map(line).collect::<String>()).unwrap();
    let store = Store::open(&rig.dir.path().join("store").display().to_string()).unwrap();
    let ledger = Ledger::new(&store, 2, "large");
    let all = ledger.between(begin, at(100)).await.unwrap();
    let newest = all.records.last().unwrap().at;
    assert_eq!((all.records.len(), newest, all.left_out, all.unreadable), (63, at(69), 1, 0));
    let late = ledger.between(at(40), at(100)).await.unwrap();
    assert_eq!((late.records.len(), late.left_out), (30, 0), "nothing of that time is left out");
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(line(70).as_bytes()).unwrap();
    let grown = ledger.between(at(40), at(100)).await.unwrap();
    assert_eq!((grown.records.len(), grown.left_out), (31, 0));
}
