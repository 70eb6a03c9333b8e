//! What goes wrong behind a live question: each fault ends in words, and the last verdict is still shown.

use std::time::Duration;

use assay::experiment::Kind;
use assay::guard::{Guard, Mode};
use assay::live::{Failure, Refresh, Source, Stage};
use assay::loki::LokiError;
use assay::verdict::Class;

use super::rig::{CALM, FULL, Logs, Rig, answer, done, end, failed, look, question, reads, response, tiny};
use crate::canned::{Act, Canned, http};
use crate::gguf::Habit;
use crate::llama::live::launch;

/// Fault: Loki fails in every way it can. Injected: seven kinds of broken answers after one good one. Outcome: the last verdict stays with the failure beside it; the question rests before it is asked again.
#[tokio::test]
async fn a_broken_loki_leaves_the_last_verdict_and_a_rest() {
    let good = response(&[FULL]);
    let busy = b"HTTP/1.1 429 X\r\nretry-after: 60\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow".to_vec();
    let faults: [(&str, Vec<Act>, &str, i64); 7] = [
        ("closed at once", vec![], "cannot reach", 15),
        ("reset", vec![Act::Reset], "cannot reach", 15),
        ("cut mid-body", vec![Act::Send(good[..good.len() / 2].to_vec())], "body", 15),
        ("busy", vec![Act::Send(busy)], "try again in 60 s", 60),
        ("gateway", vec![Act::Send(http(502, "text/html", b"<html>"))], "a gateway answers", 15),
        ("broken", vec![Act::Send(http(500, "text/plain", b"oops"))], "status 500", 15),
        ("slow", vec![Act::Pause(Duration::from_secs(60))], "took longer than", 15),
    ];
    for (name, acts, expected, rest) in faults {
        let rig = Rig::new();
        let loki = Canned::serve(vec![vec![Act::Send(good.clone())], acts]).await;
        let mut source = rig.source(loki.url());
        source.limits.timeout = Duration::from_millis(500);
        let desk = rig.open(source);
        let question = question("{namespace=\"monitoring\"}");
        done(answer(&desk, &question).await);
        rig.moment.pass(301);
        let failure = failed(answer(&desk, &question).await);
        assert!(matches!(failure, Failure::Loki(_)) && failure.to_string().contains(expected), "{name}: {failure}");
        let seen = look(&desk, &question).await;
        assert!(seen.last.is_some(), "{name}: the verdict is still there");
        assert_eq!(seen.failure.as_ref().unwrap().failure, failure);
        assert!(matches!(seen.refresh, Refresh::HeldOff { .. }), "{name}: {:?}", seen.refresh);
        rig.moment.pass(rest - 1);
        assert!(matches!(look(&desk, &question).await.refresh, Refresh::HeldOff { .. }), "{name}");
        rig.moment.pass(1);
        assert!(matches!(look(&desk, &question).await.refresh, Refresh::UnderWay(_)), "{name}");
        assert_eq!(rig.lines(seen.key.as_str(), 1).await.len(), 1, "{name}: only a verdict has a line");
    }
}

#[tokio::test]
async fn what_loki_refuses_and_what_is_not_there_are_told_apart() {
    let rig = Rig::new();
    let text = b"parse error at line 1, col 2: syntax error: unexpected }";
    let loki = Canned::answering(http(400, "text/plain", text)).await;
    let desk = rig.open(rig.source(loki.url()));
    let failure = failed(answer(&desk, &question("{}")).await);
    assert!(matches!(failure, Failure::Loki(LokiError::Query { .. })) && failure.status() == 400, "{failure}");

    let (desk, _, _loki) = rig.desk(&[]).await;
    let failure = failed(answer(&desk, &question("{app=\"silent\"}")).await);
    assert!(failure.to_string().contains("`{app=\"silent\"}` gives no log lines in 900 s"), "{failure}");
    assert_eq!((failure.status(), desk.counts().failed), (404, 1));
}

#[tokio::test]
async fn the_guard_rules_before_a_line_is_read() {
    let rig = Rig::new();
    let logs = Logs::default();
    logs.write(rig.moment.ns() - 1, &CALM);
    let loki = logs.serve().await;
    let guard = Guard { mode: Mode::Enforce, max_bytes: Some(1 << 20), ..Guard::default() };
    let desk = rig.open(Source { guard, ..rig.source(loki.url()) });
    let failure = failed(answer(&desk, &question("{app=\"a\"}")).await);
    assert!(matches!(&failure, Failure::Guard(reason) if reason.contains("narrow the time range")), "{failure}");
    assert_eq!((reads(&loki), failure.status()), (0, 422));

    let guard = Guard { mode: Mode::Warn, ..guard };
    let desk = rig.open(Source { guard, ..rig.source(loki.url()) });
    let kept = done(answer(&desk, &question("{app=\"a\"}")).await);
    assert!(kept.notices[0].contains("more than the limit of 1.0 MiB"), "{:?}", kept.notices);
}

#[tokio::test]
async fn of_too_many_entries_the_newest_are_read_and_it_is_said() {
    let rig = Rig::new();
    let logs = Logs::default();
    for second in 0..30 {
        logs.write(rig.moment.ns() - (30 - second) * 1_000_000_000, &[CALM[0]]);
    }
    let loki = logs.serve().await;
    let mut source = rig.source(loki.url());
    source.limits.max_lines = 10;
    let desk = rig.open(source);
    let kept = done(answer(&desk, &question("{app=\"a\"}")).await);
    assert_eq!((kept.complete, kept.record.asked.lines), (false, 10));
}

/// Fault: a server serves another model than is pinned. Injected: a fingerprint that it does not show. Outcome: the words
/// that say what to do, and a rest as long as a verdict would be fresh; they stay beside the next attempt.
#[tokio::test]
async fn what_needs_a_person_rests_as_long_as_a_verdict_would_be_fresh() {
    let rig = Rig::new();
    let logs = Logs::default();
    logs.write(rig.moment.ns() - 1, &CALM);
    let (loki, server) = (logs.serve().await, Canned::acting(super::shapes::acts()).await);
    let mut model = tiny(server.client());
    model.spec.kind = Kind::External { url: server.url().to_owned(), fingerprint: Some("of another".to_owned()) };
    let desk = rig.open(Source { models: vec![model], default_model: "tiny".to_owned(), ..rig.source(loki.url()) });
    let question = question("{app=\"a\"}");
    let failure = failed(answer(&desk, &question).await);
    assert!(matches!(&failure, Failure::Setup(text) if text.contains("models.toml expects of another")), "{failure}");
    rig.moment.pass(299);
    assert!(matches!(look(&desk, &question).await.refresh, Refresh::HeldOff { .. }));
    assert_eq!(reads(&loki), 1);
    rig.moment.pass(1);
    let again = look(&desk, &question).await;
    assert!(matches!(again.refresh, Refresh::UnderWay(_)) && again.failure.unwrap().failure == failure);
}

/// Fault: the clock is set back by an hour. Injected: Loki is away before and after. Outcome: the question does not rest
/// until the clock has caught up.
#[tokio::test]
async fn a_clock_that_is_set_back_holds_no_question_off() {
    let rig = Rig::new();
    let loki = Canned::acting(vec![]).await;
    let desk = rig.open(rig.source(loki.url()));
    let question = question("{app=\"a\"}");
    failed(answer(&desk, &question).await);
    assert!(matches!(look(&desk, &question).await.refresh, Refresh::HeldOff { .. }));
    rig.moment.pass(-3600);
    assert!(matches!(look(&desk, &question).await.refresh, Refresh::UnderWay(_)));
}

/// Fault: a model server that is still loading. Injected: `503 Loading model` twice, then the real thing. Outcome: it is asked again, and answers.
#[tokio::test]
async fn a_server_that_is_loading_is_waited_for() {
    let rig = Rig::new();
    let loading = http(
        503,
        "application/json",
        br#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
    );
    // Each time it is asked who it is by two requests.
    let mut scripts = vec![vec![Act::Send(loading)]; 4];
    scripts.push(super::shapes::acts());
    let front = Canned::serve(scripts).await;
    let logs = Logs::default();
    logs.write(rig.moment.ns() - 1, &CALM);
    let loki = logs.serve().await;
    let models = vec![tiny(front.client())];
    let mut source = Source { models, default_model: "tiny".to_owned(), ..rig.source(loki.url()) };
    source.limits.patience = Duration::from_secs(5);
    let desk = rig.open(source);
    assert_eq!(done(answer(&desk, &question("{app=\"a\"}")).await).record.model, "tiny");
}

/// Fault: a model server dies while it answers. Injected: a real llama-server is killed after its first tokens. Outcome: `infra_error`, in the ledger too; the next attempt waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_mid_answer_is_an_infrastructure_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut launch = launch(&folder, Habit::Endless, assay::llama::Profile::Reproducible);
    launch.context = 16_384;
    let (server, _) = assay::llama::Server::start(&launch).await.unwrap();
    let rig = Rig::new();
    let logs = Logs::default();
    logs.write(rig.moment.ns() - 1, &CALM);
    let loki = logs.serve().await;
    let models = vec![tiny(server.client())];
    let mut source = Source { models, default_model: "tiny".to_owned(), ..rig.source(loki.url()) };
    source.limits.sampling.max_tokens = 8000;
    let desk = rig.open(source);
    let question = question("{app=\"a\"}");
    let key = look(&desk, &question).await.key;
    let mut viewer = desk.view(&key).await.unwrap();
    loop {
        let progress = viewer.next().await.expect("it answers before it ends");
        if matches!(progress.stage, Stage::Asking { tokens: 1.., .. }) {
            break;
        }
        assert!(!progress.stage.is_last(), "{progress:?}");
    }
    drop(server);
    let failure = failed(viewer.last().await.unwrap().stage);
    assert!(matches!(&failure, Failure::Model { class: Class::InfraError, model, .. } if model == "tiny"), "{failure}");
    let records = rig.lines(key.as_str(), 1).await;
    assert_eq!((records[0].class, records[0].verdict.is_none()), (Class::InfraError, true));
    assert!(matches!(look(&desk, &question).await.refresh, Refresh::HeldOff { .. }));
    rig.moment.pass(16);
    let stage = {
        let look = look(&desk, &question).await;
        end(&desk, &look.key).await
    };
    assert!(failed(stage).to_string().contains("tiny gave no verdict (infra_error)"));
}

/// Fault: a model server that accepts connections and says nothing. Injected: silence. Outcome: it is asked once what it is, and every question fails by that.
#[tokio::test]
async fn a_silent_server_is_waited_for_once() {
    let rig = Rig::new();
    let silent = Canned::acting(vec![Act::AwaitClose]).await;
    let logs = Logs::default();
    logs.write(rig.moment.ns() - 1, &CALM);
    let loki = logs.serve().await;
    let models = vec![tiny(assay::llama::Client::new(silent.url(), None).unwrap())];
    let desk = rig.open(Source { models, default_model: "tiny".to_owned(), ..rig.source(loki.url()) });
    let questions = ["a", "b", "c", "d"].map(|app| question(&format!("{{app=\"{app}\"}}")));
    let stages = futures::future::join_all(questions.iter().map(|question| answer(&desk, question))).await;
    for stage in stages {
        let failure = failed(stage);
        assert!(matches!(failure, Failure::Model { class: Class::Timeout, .. }), "{failure:?}");
    }
    let asked: Vec<String> = silent.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked.len(), 2, "what it is takes two requests: {asked:?}");
}
