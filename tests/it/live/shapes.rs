//! Logs that keep their shape keep their verdict.

use assay::digest;
use assay::live::{Refresh, Source, Stage};

use super::rig::{CALM, FULL, Logs, Rig, answer, done, look, question, tiny};
use crate::canned::Canned;
use crate::llama::{Act, captured_body, http};

const S: i64 = 1_000_000_000;

#[tokio::test]
async fn the_same_again_is_not_asked_again_and_says_so() {
    let rig = Rig::new();
    let (desk, logs, _loki) = rig.desk(&[CALM[0], FULL]).await;
    let question = question("{namespace=\"monitoring\"}");
    let first = done(answer(&desk, &question).await);
    assert_eq!((first.reused, first.record.reused, first.record.unseen), (0, false, None));

    rig.moment.pass(301);
    logs.write(rig.moment.ns() - S, &[&CALM[0].replace("1", "77"), FULL, FULL]);
    let second = done(answer(&desk, &question).await);
    assert_eq!((second.reused, second.record.at), (1, first.record.at), "since when it stands is known");
    assert_eq!((second.confirmed - first.confirmed).num_seconds(), 301);
    assert!(matches!(look(&desk, &question).await.refresh, Refresh::NotNeeded));

    rig.moment.pass(301);
    logs.write(rig.moment.ns() - S, &["level=error msg=\"panic: lost quorum of 3 members\""]);
    let third = done(answer(&desk, &question).await);
    assert_eq!(third.reused, 0, "a new template is asked about");
    assert!(third.record.at > second.record.at && third.record.unseen.unwrap() > 0.0);
    let counts = desk.counts();
    assert_eq!((counts.answered, counts.reused), (2, 1));
    let lines = rig.lines(third.key.as_str(), 3).await;
    let reused: Vec<bool> = lines.iter().map(|record| record.reused).collect();
    assert_eq!(reused, [false, true, false]);
    assert_eq!((lines[1].unseen, lines[1].attempts), (Some(0.0), 0));
}

#[tokio::test]
async fn a_verdict_that_stands_says_of_the_newest_reading_whether_it_is_whole() {
    let rig = Rig::new();
    let logs = Logs::default();
    logs.write(rig.moment.ns() - S, &[FULL; 3]);
    let loki = logs.serve().await;
    let mut source = rig.source(loki.url());
    source.limits.max_lines = 2;
    let desk = rig.open(source);
    let question = question("{namespace=\"monitoring\"}");
    let first = done(answer(&desk, &question).await);
    assert_eq!((first.complete, first.reused), (false, 0));
    for (lines, complete) in [(1, true), (3, false)] {
        rig.moment.pass(1000);
        logs.write(rig.moment.ns() - S, &vec![FULL; lines]);
        let again = done(answer(&desk, &question).await);
        assert_eq!((again.complete, again.record.at), (complete, first.record.at), "{lines} lines");
    }
}

#[tokio::test]
async fn a_verdict_stands_no_longer_than_its_stated_age() {
    let rig = Rig::new();
    let (desk, logs, _loki) = rig.desk(&[FULL]).await;
    let question = question("{namespace=\"monitoring\"}");
    let first = done(answer(&desk, &question).await);
    rig.moment.pass(3601);
    logs.write(rig.moment.ns() - S, &[FULL]);
    let second = done(answer(&desk, &question).await);
    assert!(second.reused == 0 && second.record.at > first.record.at);
}

/// A server that answers every question with one verdict.
async fn server() -> Canned {
    Canned::acting(acts()).await
}

pub(super) fn acts() -> Vec<Act> {
    let body = |name: &str| captured_body(&format!("debian-0.7.0/{name}.json"));
    let json = |body: String| http(200, "application/json", body.as_bytes());
    let verdict = r#"{\"evidence\":[\"T1\"],\"components\":[],\"root_cause\":\"none\",\"severity\":\"info\",\"summary\":\"calm\"}"#;
    let chunk = |delta: &str, finish: &str| {
        format!("data: {{\"choices\":[{{\"finish_reason\":{finish},\"index\":0,\"delta\":{{{delta}}}}}]}}\n\n")
    };
    let counts = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":6,\"prompt_tokens\":9000,\
                  \"prompt_tokens_details\":{\"cached_tokens\":0}},\"timings\":{\"cache_n\":0,\"prompt_ms\":0.5,\
                  \"predicted_ms\":1.5}}\n\ndata: [DONE]\n\n";
    let text =
        [chunk(&format!("\"content\":\"{verdict}\""), "null"), chunk("", "\"stop\""), counts.to_owned()].concat();
    vec![Act::Route(vec![
        ("/props", json(body("props"))),
        ("/v1/models", json(body("v1_models"))),
        ("/v1/chat/completions/input_tokens", json("{\"input_tokens\":200}".to_owned())),
        ("/v1/chat/completions", http(200, "text/event-stream", text.as_bytes())),
    ])]
}

/// How often a canned model was asked.
fn asked(model: &Canned) -> usize {
    model.requests().iter().filter(|request| request.target == "/v1/chat/completions").count()
}

#[tokio::test]
async fn no_model_is_asked_about_an_unchanged_shape_and_a_swapped_one_is() {
    let rig = Rig::new();
    let logs = Logs::default();
    logs.write(rig.moment.ns() - S, &CALM);
    let (loki, model) = (logs.serve().await, server().await);
    let source = |model: &Canned| {
        let models = vec![tiny(model.client())];
        Source { models, default_model: "tiny".to_owned(), ..rig.source(loki.url()) }
    };
    let desk = rig.open(source(&model));
    let question = question("{namespace=\"monitoring\"}");
    let stage = answer(&desk, &question).await;
    let first = done(stage);
    assert_eq!((first.record.model.as_str(), asked(&model)), ("tiny", 1));
    rig.moment.pass(400);
    logs.write(rig.moment.ns() - S, &CALM);
    assert_eq!((done(answer(&desk, &question).await).reused, asked(&model)), (1, 1));

    // The verdict of a server that has another fingerprint now does not stand.
    let file = rig.dir.path().join(format!("verdicts/{}.json", first.key));
    let text = std::fs::read_to_string(&file).unwrap();
    let fingerprint = first.record.fingerprint.as_ref().unwrap();
    std::fs::write(&file, text.replace(fingerprint, "not-a-file-hash:other")).unwrap();
    let desk = rig.open(source(&model));
    rig.moment.pass(400);
    logs.write(rig.moment.ns() - S, &CALM);
    let stage = answer(&desk, &question).await;
    assert!(matches!(&stage, Stage::Done(kept) if kept.reused == 0), "{stage:?}");
    assert_eq!(asked(&model), 2);
    assert_eq!(first.record.digest, digest::VERSION);
}
