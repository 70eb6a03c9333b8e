//! Many askers, one model: one flight for each question, a bounded queue, organisations in turn, and an end when nobody waits.

use std::time::Duration;

use assay::live::{Capacity, Failure, Freshness, Origin, Purpose, Refresh, Source, Stage};
use assay::loki::{Auth, Client, Secret, Settings};
use futures::future::join_all;

use super::rig::{CALM, FULL, Rig, answer, done, end, look, question, reads, response, tiny, until};
use crate::canned::{Act, Canned};
use crate::gguf::Habit;
use crate::llama::live::launch;

/// Fifty panels show the same question while a real llama-server answers: Loki is read once, the model asked once.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_askers_of_one_question_share_a_flight() {
    let folder = tempfile::tempdir().unwrap();
    let mut launch = launch(&folder, Habit::Brief, assay::llama::Profile::Throughput { slots: 2 });
    launch.context = 8192;
    let (server, _) = assay::llama::Server::start(&launch).await.unwrap();
    let rig = Rig::new();
    let logs = super::rig::Logs::default();
    logs.write(rig.moment.ns() - 1_000_000_000, &[CALM[0], FULL]);
    let loki = logs.serve().await;
    let models = vec![tiny(server.client())];
    let desk = rig.open(Source { models, default_model: "tiny".to_owned(), ..rig.source(loki.url()) });
    let question = question("{namespace=\"monitoring\"}");
    let looks = join_all((0..50).map(|_| look(&desk, &question))).await;
    assert!(looks.iter().all(|look| look.key == looks[0].key && matches!(look.refresh, Refresh::UnderWay(_))));
    let mut viewer = desk.view(&looks[0].key).await.unwrap();
    let (mut tokens, mut words, mut last) = (0, Vec::new(), None);
    while let Some(progress) = viewer.next().await {
        if let Stage::Asking { tokens: made, ref model, .. } = progress.stage {
            assert_eq!(model, "tiny");
            tokens = tokens.max(made);
        }
        words.push(progress.stage.word());
        last = Some(progress.stage);
    }
    words.dedup();
    assert!(words.ends_with(&["model", "done"]) || words.ends_with(&["model", "failed"]), "{words:?}");
    assert!(tokens > 0, "tokens arrive one by one");
    assert_eq!(reads(&loki), 1);
    let asked = server.client().metrics().await.unwrap_or_default();
    let lines = rig.lines(looks[0].key.as_str(), 1).await;
    assert_eq!((lines.len(), lines[0].attempts), (1, 1), "{asked:?}");
    let counts = desk.counts();
    assert_eq!((counts.answered + counts.failed, counts.flying, counts.waiting), (1, 0, 0));
    if let Some(Stage::Done(kept)) = last {
        assert_eq!((kept.record.model.as_str(), kept.record.quantization.as_str()), ("tiny", "F32"));
        assert!(kept.record.output_hash.is_some() && kept.record.usage.completion_tokens > 0);
        assert!(kept.record.fingerprint.as_ref().unwrap().starts_with("not-a-file-hash:"));
    }
}

#[tokio::test]
async fn a_verdict_gets_old_by_the_clock_and_is_asked_again_in_the_background() {
    let rig = Rig::new();
    let (desk, _, loki) = rig.desk(&[CALM[0], FULL]).await;
    let question = question("{namespace=\"monitoring\"}");
    let first = look(&desk, &question).await;
    assert!(first.last.is_none() && first.freshness.is_none() && matches!(first.refresh, Refresh::UnderWay(_)));
    let kept = done(end(&desk, &first.key).await);
    let verdict = kept.record.verdict.as_ref().unwrap();
    assert_eq!(
        (verdict.root_cause.as_str(), kept.record.components.as_slice()),
        ("disk_full", &["prometheus".to_owned()][..])
    );
    assert_eq!((kept.record.namespaces.as_slice(), kept.complete), (&["monitoring".to_owned()][..], true));

    rig.moment.pass(299);
    let fresh = look(&desk, &question).await;
    assert_eq!((fresh.freshness, fresh.age), (Some(Freshness::Fresh), Some(Duration::from_secs(299))));
    assert!(matches!(fresh.refresh, Refresh::NotNeeded));
    rig.moment.pass(2);
    let stale = look(&desk, &question).await;
    assert!(stale.last.is_some() && matches!(stale.refresh, Refresh::UnderWay(_)));
    assert_eq!(stale.freshness, Some(Freshness::Stale));
    done(end(&desk, &first.key).await);
    assert_eq!(reads(&loki), 2);
    rig.moment.pass(3601);
    assert_eq!(look(&desk, &question).await.freshness, Some(Freshness::TooOld));
}

#[tokio::test]
async fn another_expression_window_prompt_or_model_is_another_question() {
    let rig = Rig::new();
    let (desk, _, _loki) = rig.desk(&CALM).await;
    let base = question("{app=\"a\"}");
    let key = |question: &_| desk.key(question, None).unwrap();
    let mut others = [question("{app=\"b\"}"), base.clone(), base.clone(), base.clone()];
    others[1].span = assay::live::Span::latest(Duration::from_secs(60));
    others[2].prompt = None;
    others[3].model = Some("rules".to_owned());
    let mut keys: Vec<_> = others[..3].iter().map(key).chain([key(&base)]).collect();
    keys.push(desk.key(&base, Some("ada")).unwrap());
    keys.push(desk.key(&base, Some("bob")).unwrap());
    let other_org = rig.open(Source { org: 2, ..rig.source("http://127.0.0.1:9") });
    keys.push(other_org.key(&base, None).unwrap());
    let tenant = rig.open(Source { tenant: Some("t".to_owned()), ..rig.source("http://127.0.0.1:9") });
    keys.push(tenant.key(&base, None).unwrap());
    type Change = fn(&mut Settings);
    let changes: [Change; 6] = [
        |_| (),
        |s| s.url = "http://127.0.0.1:9/other".to_owned(),
        |s| s.headers = vec![("X-Scope-OrgID".to_owned(), Secret::new("a"))],
        |s| s.headers = vec![("X-Scope-OrgID".to_owned(), Secret::new("b"))],
        |s| s.auth = Auth::Basic { user: "ada".to_owned(), password: Secret::new("x") },
        |s| s.auth = Auth::Bearer(Secret::new("x")),
    ];
    for change in changes {
        let mut settings = Settings::new("http://127.0.0.1:9");
        change(&mut settings);
        let loki = Client::new(&settings).unwrap();
        keys.push(rig.open(Source { loki, ..rig.source("http://127.0.0.1:9") }).key(&base, None).unwrap());
    }
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
    assert_eq!(key(&question(" {app=\"a\"}\n")), key(&base));
    assert_eq!(key(&others[3]), key(&base), "the default by its name is the same question");

    let unknown = assay::live::Question { model: Some("ruels".to_owned()), ..base.clone() };
    let refused = desk.key(&unknown, None).unwrap_err();
    assert!(refused.to_string().contains("did you mean `rules`?") && refused.status() == 400, "{refused}");
    let unknown = assay::live::Question { prompt: Some("triage@99".parse().unwrap()), ..base };
    assert!(desk.key(&unknown, None).unwrap_err().to_string().contains("triage@99"));
}

#[tokio::test]
async fn a_full_queue_refuses_with_words() {
    let rig = Rig { capacity: Capacity::new(2), ..Rig::new() };
    let loki = Canned::acting(vec![Act::AwaitClose]).await;
    let mut source = rig.source(loki.url());
    source.limits.queue = 3;
    let desk = rig.open(source);
    for index in 0..5 {
        let look = look(&desk, &question(&format!("{{app=\"{index}\"}}"))).await;
        assert!(matches!(look.refresh, Refresh::UnderWay(_)), "{index}: {look:?}");
    }
    let refused = look(&desk, &question("{app=\"one too many\"}")).await.refresh;
    let Refresh::Refused(failure) = refused else { panic!("{refused:?}") };
    assert_eq!(failure, Failure::Full { waiting: 3, limit: 3 });
    assert!(failure.to_string().starts_with("3 questions wait for their turn already") && failure.status() == 429);
    assert_eq!((desk.counts().flying, desk.counts().waiting, desk.counts().refused), (5, 3, 1));
    let again = look(&desk, &question("{app=\"0\"}")).await;
    assert!(matches!(again.refresh, Refresh::UnderWay(_)), "what is under way needs no place");
}

/// Ten thousand panels, each with a question of its own: what has no place is refused, nothing piles up, all of it ends.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_questions_do_not_pile_up() {
    let rig = Rig::new();
    let loki = Canned::answering(response(&CALM)).await;
    let desk = rig.open(rig.source(loki.url()));
    let mut refused = 0;
    for index in 0..10_000 {
        let look = look(&desk, &question(&format!("{{app=\"{index}\"}}"))).await;
        refused += usize::from(matches!(look.refresh, Refresh::Refused(_)));
        let counts = desk.counts();
        assert!(counts.flying <= 8 + 32 + 8 && counts.waiting <= 32, "{counts:?}");
    }
    until("all of them to land", || desk.counts().flying == 0).await;
    let counts = desk.counts();
    assert_eq!(counts.answered as usize + refused, 10_000, "{counts:?}");
    assert!(std::fs::read_dir(rig.dir.path().join("verdicts")).unwrap().count() <= 2000);
}

#[tokio::test]
async fn an_organisation_with_many_questions_does_not_keep_another_waiting() {
    let rig = Rig { capacity: Capacity::new(1), ..Rig::new() };
    let slow = vec![Act::Pause(Duration::from_millis(400)), Act::Send(response(&CALM))];
    let loki = Canned::serve(vec![slow, vec![Act::Send(response(&CALM))]]).await;
    let many = rig.open(rig.source(loki.url()));
    let one = rig.open(Source { org: 2, ..rig.source(loki.url()) });
    for index in 0..10 {
        look(&many, &question(&format!("{{many=\"{index}\"}}"))).await;
    }
    until("the first to be in work", || reads(&loki) == 1).await;
    let key = look(&one, &question("{one=\"0\"}")).await.key;
    let viewer = one.view(&key).await.unwrap();
    let first = viewer.now().stage;
    assert!(matches!(first, Stage::Queued { .. }), "{first:?}");
    until("all of them to be read", || reads(&loki) == 11).await;
    assert!(loki.requests()[1].target.contains("one%3D"), "{}", loki.requests()[1].target);
}

#[tokio::test]
async fn a_flight_ends_with_its_last_viewer() {
    let rig = Rig::new();
    let loki = Canned::acting(vec![Act::AwaitClose]).await;
    let desk = rig.open(rig.source(loki.url()));
    let question = question("{namespace=\"monitoring\"}");
    let key = look(&desk, &question).await.key;
    let (first, second) = (desk.view(&key).await.unwrap(), desk.view(&key).await.unwrap());
    until("Loki to be asked", || reads(&loki) == 1).await;
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((desk.counts().flying, loki.left()), (1, 0), "somebody still watches");
    drop(second);
    until("the connection to be closed", || loki.left() == 1).await;
    until("the flight to end", || desk.counts().flying == 0).await;
    assert_eq!(desk.counts().cancelled, 1);
    let again = look(&desk, &question).await;
    assert!(matches!(again.refresh, Refresh::UnderWay(_)) && again.failure.is_none(), "{again:?}");
}

#[tokio::test]
async fn what_an_alert_asked_for_flies_on_and_all_ends_with_the_desk() {
    let rig = Rig::new();
    let loki = Canned::acting(vec![Act::AwaitClose]).await;
    let desk = rig.open(rig.source(loki.url()));
    let question = question("{namespace=\"monitoring\"}");
    let key = look(&desk, &question).await.key;
    let viewer = desk.view(&key).await.unwrap();
    desk.look(&question, &Origin::new(Purpose::Alert)).await.unwrap();
    drop(viewer);
    until("Loki to be asked", || reads(&loki) == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((desk.counts().flying, loki.left()), (1, 0));
    let mut viewer = desk.view(&key).await.unwrap();
    drop(desk);
    let mut last = None;
    while let Some(progress) = viewer.next().await {
        last = Some(progress.stage);
    }
    assert!(matches!(last, Some(Stage::Failed(failed)) if failed.failure == Failure::Cancelled));
    until("the connection to be closed", || loki.left() == 1).await;
}

#[tokio::test]
async fn a_verdict_survives_a_restart_and_its_lines_are_read_again() {
    let rig = Rig::new();
    let (desk, logs, loki) = rig.desk(&[CALM[0], FULL, CALM[1]]).await;
    let question = question("{namespace=\"monitoring\"}");
    let before = done(answer(&desk, &question).await);
    let lines = desk.evidence(&question, &before).await.unwrap();
    assert_eq!(lines[0].line, FULL);
    drop(desk);

    let desk = rig.open(rig.source(loki.url()));
    let seen = look(&desk, &question).await;
    assert!(matches!(seen.refresh, Refresh::NotNeeded));
    let after = seen.last.unwrap();
    assert_eq!((&after.record, &after.evidence), (&before.record, &before.evidence));
    assert_eq!(*desk.evidence(&question, &after).await.unwrap(), *lines);
    assert!(matches!(end(&desk, &seen.key).await, Stage::Done(_)), "a viewer sees it at once");
    assert_eq!(reads(&loki), 2, "once for the window, once for the line");

    let desk = rig.open(rig.source(loki.url()));
    logs.clear();
    let reason = desk.evidence(&question, &after).await.unwrap_err();
    assert!(reason.contains("no longer as the model saw it"), "{reason}");
    let before = reads(&loki);
    let asked = futures::future::join_all((0..5).map(|_| desk.evidence(&question, &after))).await;
    assert!(asked.into_iter().all(|lines| lines.as_ref() == Err(&reason)));
    assert_eq!(reads(&loki), before, "every refresh of a panel would ask Loki again");
    rig.moment.pass(15);
    logs.write(after.evidence[0].ts, &[FULL]);
    assert_eq!(*desk.evidence(&question, &after).await.unwrap(), *lines);
}

#[tokio::test]
async fn a_verdict_on_the_logs_of_one_loki_is_none_on_those_of_another() {
    let rig = Rig::new();
    let (desk, _, _loki) = rig.desk(&[FULL]).await;
    let question = question("{namespace=\"monitoring\"}");
    done(answer(&desk, &question).await);
    drop(desk);
    let (desk, _, _other) = rig.desk(&CALM).await;
    assert!(look(&desk, &question).await.last.is_none());
    let found = done(answer(&desk, &question).await);
    assert_eq!(found.record.verdict.as_ref().unwrap().root_cause, "none");
}

#[tokio::test]
async fn a_damaged_file_is_ignored_and_replaced() {
    let rig = Rig::new();
    let (desk, _, loki) = rig.desk(&[FULL]).await;
    let question = question("{namespace=\"monitoring\"}");
    let kept = done(answer(&desk, &question).await);
    let file = rig.dir.path().join(format!("verdicts/{}.json", kept.key));
    let sound = std::fs::read_to_string(&file).unwrap();
    for damaged in
        [&sound[..sound.len() / 2], "", "\u{0}\u{1}", "{}", &sound.replacen("\"format\":1", "\"format\":2", 1)]
    {
        std::fs::write(&file, damaged).unwrap();
        let desk = rig.open(rig.source(loki.url()));
        let look = look(&desk, &question).await;
        assert!(look.last.is_none() && matches!(look.refresh, Refresh::UnderWay(_)), "{damaged}");
        done(end(&desk, &look.key).await);
        assert_ne!(std::fs::read_to_string(&file).unwrap(), damaged);
    }
}
