//! Standing questions: asked on their own, by the clock on the wall, until the desk is closed.

use std::time::Duration;

use assay::live::{Purpose, Source, Stage, Standing};

use super::rig::{FULL, Logs, Rig, end, look, question, reads, until};
use crate::canned::{Act, Canned};

fn standing(expr: &str) -> Vec<Standing> {
    vec![Standing { name: "monitoring".to_owned(), question: question(expr), every: Duration::from_secs(1) }]
}

#[tokio::test]
async fn a_standing_question_needs_no_panel_and_ends_with_its_desk() {
    let rig = Rig::new();
    let logs = Logs::default();
    logs.write(rig.moment.ns() - 1_000_000_000, &[FULL]);
    let loki = logs.serve().await;
    let desk = rig.open(Source { standing: standing("{namespace=\"monitoring\"}"), ..rig.source(loki.url()) });
    until("two rounds", || reads(&loki) >= 2).await;
    let asked = desk.standing("monitoring").unwrap().question.clone();
    let seen = look(&desk, &asked).await;
    let Stage::Done(kept) = end(&desk, &seen.key).await else { panic!("no verdict") };
    assert_eq!((kept.record.name.as_deref(), kept.record.purpose), (Some("monitoring"), Purpose::Standing));
    let unknown = desk.standing("monitorin").unwrap_err();
    assert!(unknown.to_string().contains("did you mean `monitoring`?"), "{unknown}");
    drop(desk);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = reads(&loki);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(reads(&loki), before);
}

#[tokio::test]
async fn where_nobody_can_ask_for_them_standing_questions_wait_to_be_asked() {
    let rig = Rig::new();
    let loki = Logs::default().serve().await;
    let standing = standing("{namespace=\"monitoring\"}");
    let desk = rig.open(Source { standing, scheduled: false, ..rig.source(loki.url()) });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!((reads(&loki), desk.counts().failed), (0, 0));
    assert_eq!(desk.standing("monitoring").unwrap().name, "monitoring");
}

#[tokio::test]
async fn rounds_do_not_pile_up_before_a_slow_loki() {
    let rig = Rig::new();
    let loki = Canned::acting(vec![Act::AwaitClose]).await;
    let desk = rig.open(Source { standing: standing("{namespace=\"monitoring\"}"), ..rig.source(loki.url()) });
    until("the first round", || reads(&loki) == 1).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((reads(&loki), desk.counts().flying, desk.counts().waiting), (1, 1, 0));
}

#[tokio::test]
async fn a_standing_question_that_cannot_be_asked_is_refused_when_the_desk_is_opened() {
    let rig = Rig::new();
    let mut standing = standing("{a=\"b\"}");
    standing[0].question.prompt = Some("triage@99".parse().unwrap());
    let refused = assay::live::Desk::open(Source { standing, ..rig.source("http://127.0.0.1:9") }, &rig.capacity);
    assert!(refused.unwrap_err().to_string().contains("triage@99"));
}
