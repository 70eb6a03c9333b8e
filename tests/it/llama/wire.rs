//! What goes over the wire and what is read from it, against recorded exchanges.

use assay::llama::{Client, Secret};
use assay::model::{FinishReason, Model, Sampling, Usage};
use serde_json::{Value, json};

use super::canned::{Act, Canned, captured_response, http, json as json_response};
use super::question;

#[tokio::test]
async fn a_recorded_answer_is_read_whole_in_both_versions_and_in_any_pieces() {
    for version in ["debian-0.7.0", "sdist-0.5.0-dev"] {
        let response = captured_response(&format!("{version}/chat_stream.json"));
        let pieces: Vec<Act> = response.chunks(97).map(|piece| Act::Send(piece.to_vec())).collect();
        let server = Canned::acting(pieces).await;
        let reply = server.client().ask(&question("x")).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("{\"sever", FinishReason::Length));
        assert_eq!(reply.usage, Usage { prompt_tokens: 287, cached_tokens: 286, completion_tokens: 6 });
        let timings = reply.timings;
        assert!(timings.prompt_ms.is_some_and(|ms| ms > 0.0) && timings.decode_ms.is_some_and(|ms| ms > 0.0));
        assert!(timings.first_token_ms.is_some_and(|ms| ms > 0.0 && ms <= timings.total_ms));
    }
}

#[tokio::test]
async fn a_request_says_everything_that_shapes_the_answer() {
    let server = Canned::answering(captured_response("debian-0.7.0/chat_stream.json")).await;
    let client = Client::new(server.url(), Some(&Secret::new("sesame"))).unwrap();
    let mut question = question("T1 x1 etcd | no leader");
    question.sampling = Sampling { temperature: 0.5, top_p: 0.9, seed: 42, max_tokens: 77 };
    client.ask(&question).await.unwrap();
    let request = server.requests().remove(0);
    assert!(request.head.starts_with("post /v1/chat/completions"), "{}", request.head);
    assert!(request.head.contains("authorization: bearer sesame"), "{}", request.head);
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let expected = json!({
        "messages": [
            { "role": "system", "content": question.system },
            { "role": "user", "content": "T1 x1 etcd | no leader" }
        ],
        "chat_template_kwargs": { "enable_thinking": false },
        "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "verdict", "strict": true, "schema": question.schema }
        },
        "reasoning_format": "none",
        "seed": 42, "temperature": 0.5, "top_p": 0.9, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0,
        "max_tokens": 77, "cache_prompt": false,
        "stream": true, "stream_options": { "include_usage": true }, "return_progress": false
    });
    assert_eq!(body, expected);
    // Order decides in which order the model writes, so it is compared in the text.
    let place = |key: &str| request.body.find(key).unwrap();
    assert!(place("\"severity\":") < place("\"root_cause\":") && place("\"root_cause\":") < place("\"components\":"));
    assert!(request.body.contains(&question.schema.to_string()));
}

#[tokio::test]
async fn tokens_are_counted_directly_or_by_way_of_the_template() {
    let count = captured_response("debian-0.7.0/chat_input_tokens.json");
    assert_eq!(Canned::answering(count).await.client().count_tokens("s", "u").await.unwrap(), 287);

    let missing = captured_response("debian-0.7.0/err_404.json");
    let template = captured_response("debian-0.7.0/apply_template.json");
    let tokens = captured_response("debian-0.7.0/tokenize.json");
    let server = Canned::serve([missing, template, tokens].map(|response| vec![Act::Send(response)]).to_vec()).await;
    assert_eq!(server.client().count_tokens("s", "u").await.unwrap(), 12);
    let requests = server.requests();
    let paths: Vec<&str> = requests.iter().filter_map(|request| request.head.split(' ').nth(1)).collect();
    assert_eq!(paths, ["/v1/chat/completions/input_tokens", "/apply-template", "/tokenize"]);
    let tokenize: Value = serde_json::from_str(&requests[2].body).unwrap();
    assert!(tokenize["content"].as_str().unwrap().starts_with("<|im_start|>system"));
    assert_eq!((&tokenize["add_special"], &tokenize["parse_special"]), (&json!(true), &json!(true)));
}

async fn identity_of(version: &str) -> assay::llama::Identity {
    let response = |name: &str| captured_response(&format!("{version}/{name}.json"));
    let server =
        Canned::acting(vec![Act::Route(vec![("/props", response("props")), ("/v1/models", response("v1_models"))])]);
    server.await.client().identify().await.unwrap()
}

#[tokio::test]
async fn both_versions_are_identified() {
    let new = identity_of("debian-0.7.0").await;
    assert_eq!((new.build_info.as_str(), new.model_path.as_str()), ("b11669-Debian", "/models/random-ascii.gguf"));
    assert_eq!((new.n_ctx, new.n_ctx_train, new.total_slots), (2048, 2048, 2));
    assert_eq!((new.n_params, new.n_vocab, new.size_bytes), (108_992, 273, 435_968));
    assert_eq!(new.model_ftype, "all F32");
    assert!(new.fingerprint.starts_with("not-a-file-hash:"), "{}", new.fingerprint);

    let old = identity_of("sdist-0.5.0-dev").await;
    assert_eq!(old.build_info, "b0-unknown");
    assert_eq!(old.chat_template_sha256, new.chat_template_sha256);
    assert_ne!(old.fingerprint, new.fingerprint);
}

#[tokio::test]
async fn counters_are_read_from_the_metrics() {
    let server = Canned::answering(captured_response("debian-0.7.0/metrics.json")).await;
    let metrics = server.client().metrics().await.unwrap();
    assert_eq!(metrics["prompt_tokens_cached_total"], 5452.0);
    assert_eq!(metrics["requests_deferred"], 0.0);
    let slots = Canned::answering(captured_response("debian-0.7.0/slots.json")).await;
    assert_eq!(slots.client().busy_slots().await.unwrap(), 0);
}

#[tokio::test]
async fn housekeeping_meets_nonsense() {
    for body in [json!({}), json!({ "input_tokens": -1 }), json!("x")] {
        let server = Canned::answering(json_response(200, &body)).await;
        assert!(server.client().count_tokens("s", "u").await.is_err(), "{body}");
        assert!(server.client().identify().await.is_err(), "{body}");
    }
    let server = Canned::answering(http(200, "text/plain", b"\xff")).await;
    assert!(server.client().metrics().await.unwrap_err().to_string().contains("not UTF-8"));
}
