//! What alert rules get of live questions: what is on watch and nothing else, once, about the time that they mean.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::host::{DataResponse, Host, frames};
use super::live::{Rig, alert, ask_until, has_verdict, meta, question, rig};
use super::loki::replayed;
use super::store::text;

const MINUTE: i64 = 60_000;

fn standing(prompt: &str) -> Value {
    json!([{"name": "the shop", "expr": "{namespace=\"shop\"}", "every": "10s", "window": "1h", "prompt": prompt}])
}

fn verdicts() -> Value {
    json!({"queryType": "verdicts"})
}

/// What the series of an answer are told apart by.
fn questions(answer: &DataResponse) -> Vec<String> {
    let labels = frames(answer).into_iter().map(|(schema, _)| {
        let labels: HashMap<String, String> = serde_json::from_str(&schema.field(0).metadata()["labels"]).unwrap();
        labels["question"].clone()
    });
    labels.collect()
}

/// The range from so many minutes ago to so many minutes ago.
fn range(from: i64, to: i64) -> Option<(i64, i64)> {
    let now = chrono::Utc::now().timestamp_millis();
    Some((now - from * MINUTE, now - to * MINUTE))
}

/// Asks as somebody who refreshes: each time about a later range.
async fn refresh_until(host: &mut Host, query: &Value, minutes: [i64; 2], wanted: impl Fn(&DataResponse) -> bool) {
    for _ in 0..600 {
        host.range = range(minutes[0], minutes[1]);
        if wanted(&host.ask_one(query.clone()).await) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{query} never got there");
}

#[tokio::test]
async fn whatever_a_request_is_about_it_starts_the_standing_questions() {
    let rig = rig(replayed().await, json!({"standingQuestions": standing("triage@1")})).await;
    rig.host.ask_one(json!({"queryType": "runs"})).await;
    let asked = || rig.loki.requests().iter().any(|request| request.target.contains("/query_range"));
    for _ in 0..600 {
        if asked() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the standing question was never asked");
}

#[tokio::test]
async fn standing_questions_that_cannot_be_asked_are_no_good_news() {
    let mut rig = rig(replayed().await, json!({"standingQuestions": standing("triage@99")})).await;
    alert(&mut rig.host);
    let answer = rig.host.ask_one(verdicts()).await;
    assert!(answer.status == 400 && answer.error.contains("triage@99"), "{}", answer.error);
}

#[tokio::test]
async fn what_a_person_looks_into_wakes_nobody() {
    let mut rig: Rig = rig(replayed().await, json!({})).await;
    rig.host.range = range(2 * 24 * 60, 24 * 60);
    let of_yesterday = json!({"queryType": "analyze", "expr": "{namespace=\"shop\"}", "prompt": "triage@1"});
    for query in [&question(), &of_yesterday] {
        ask_until(&rig.host, query, has_verdict).await;
    }
    rig.host.range = None;
    let listed = |answer: &DataResponse| text(&frames(answer)[0].1, "question").len();
    ask_until(&rig.host, &verdicts(), |answer| listed(answer) == 2).await;
    alert(&mut rig.host);
    assert_eq!(questions(&rig.host.ask_one(verdicts()).await).len(), 0);
    let mut by_a_rule = question();
    by_a_rule["prompt"] = json!("triage@2");
    ask_until(&rig.host, &by_a_rule, |answer| !answer.frames.is_empty()).await;
    ask_until(&rig.host, &verdicts(), |answer| questions(answer).len() == 1).await;
}

#[tokio::test]
async fn a_standing_question_whose_prompt_has_changed_is_one_series() {
    let mut rig = rig(replayed().await, json!({"standingQuestions": standing("triage@1")})).await;
    rig.host.range = None;
    let prompts = |answer: &DataResponse| text(&frames(answer)[0].1, "prompt");
    ask_until(&rig.host, &verdicts(), |answer| prompts(answer) == ["triage@1"]).await;
    rig.host.settings["standingQuestions"] = standing("triage@2");
    rig.host.updated += 1;
    ask_until(&rig.host, &verdicts(), |answer| prompts(answer) == ["triage@2", "triage@1"]).await;
    alert(&mut rig.host);
    assert_eq!(questions(&rig.host.ask_one(verdicts()).await), ["the shop"]);
}

#[tokio::test]
async fn a_range_that_stays_behind_the_clock_is_one_question() {
    let mut rig = rig(replayed().await, json!({})).await;
    let mut query = json!({"queryType": "analyze", "expr": "{namespace=\"shop\"}", "prompt": "triage@1"});
    alert(&mut rig.host);
    refresh_until(&mut rig.host, &query, [65, 5], |answer| !answer.frames.is_empty()).await;
    rig.host.headers.clear();
    query["relative"] = json!(true);
    let told = "over the last 3600 s up to 300 s ago";
    refresh_until(&mut rig.host, &query, [65, 5], |answer| {
        has_verdict(answer) && meta(answer)["executedQueryString"].as_str().unwrap().contains(told)
    })
    .await;
    let reads = rig.loki.requests().iter().filter(|request| request.target.contains("/query_range")).count();
    assert_eq!(reads, 1, "it is the alert rule's question");
}

#[tokio::test]
async fn of_today_what_has_passed_is_looked_at() {
    let mut rig = rig(replayed().await, json!({})).await;
    let query = json!({"queryType": "analyze", "expr": "{namespace=\"shop\"}", "prompt": "triage@1"});
    rig.host.range = range(60, -8 * 60);
    let answer = ask_until(&rig.host, &query, has_verdict).await;
    let executed = meta(&answer)["executedQueryString"].as_str().unwrap().to_owned();
    assert!(executed.contains("over the last 3900 s"), "{executed}");
    rig.host.range = range(-60, -120);
    let answer = rig.host.ask_one(query).await;
    assert!(answer.status == 400 && answer.error.contains("before now"), "{}", answer.error);
}
