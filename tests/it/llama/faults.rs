//! Every way in which a server can fail, and the class that each is given.

use std::time::Duration;

use assay::llama::{Client, Progress, Retry, retry};
use assay::model::{FinishReason, Model, ModelError, Question};
use serde_json::json;

use super::canned::{Act, Canned, capture, captured_response, events, http, json as json_response, open_ended};
use super::question;

/// The bound of the client is 16 MiB; beyond it the kernel takes what its socket buffers grow to (`tcp_rmem` allows 32 MiB).
const READ_AT_MOST: usize = 128 << 20;

async fn ask(server: &Canned) -> Result<assay::model::Reply, ModelError> {
    server.client().ask(&question("x")).await
}

async fn fails_as_infra(name: &str, acts: Vec<Act>, reason: &str) {
    let server = Canned::acting(acts).await;
    let error = ask(&server).await.expect_err(name);
    let shown = error.to_string();
    assert!(matches!(error, ModelError::Infra { .. }) && shown.contains(reason), "{name}: {shown}");
    assert!(shown.contains(server.url()), "{name}: {shown}");
}

fn send(bytes: impl Into<Vec<u8>>) -> Vec<Act> {
    vec![Act::Send(bytes.into())]
}

#[tokio::test]
async fn a_broken_conversation_is_an_infrastructure_failure() {
    let whole = captured_response("debian-0.7.0/chat_stream.json");
    let half = &whole[..whole.len() / 2];
    let chunked = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let cases: [(&str, Vec<Act>, &str); 9] = [
        ("closed at once", vec![], "error sending request"),
        ("reset", vec![Act::Reset], "error sending request"),
        ("garbage", send(*b"\x00\x01\xfe\xff not http\r\n\r\n"), "error sending request"),
        ("half a head", send(*b"HTTP/1.1 200 OK\r\ncontent-"), "error sending request"),
        ("half a body", send(half), "body"),
        ("bad chunk size", send(*chunked), "body"),
        ("a web page", send(http(200, "text/html", b"<html>")), "got `text/html`"),
        ("a page that claims to be events", send(events(b"<html>\n")), "no `data:` field"),
        ("not JSON", send(events(b"data: {oops\n\n")), "an event cannot be read"),
    ];
    for (name, acts, reason) in cases {
        fails_as_infra(name, acts, reason).await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_an_answer() {
    let exchange = captured_response("debian-0.7.0/chat_stream.json");
    let text = String::from_utf8(exchange).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let without_end = body.split_once("data: [DONE]").unwrap().0;
    fails_as_infra("no closing mark", send(events(without_end.as_bytes())), "broke off after 7 bytes").await;
    fails_as_infra("nothing at all", send(events(b"")), "broke off after 0 bytes").await;
    fails_as_infra("only the mark", send(events(b"data: [DONE]\n\n")), "without a finish_reason").await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_an_infrastructure_failure() {
    let event = b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n";
    fails_as_infra("invalid bytes", send(events(event)), "not UTF-8").await;
}

#[tokio::test]
async fn nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
    let error = client.ask(&question("x")).await.unwrap_err();
    assert!(matches!(error, ModelError::Infra { .. }) && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_endless_reply_is_cut_at_a_bound() {
    let text = "a".repeat(8000);
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let cases: [(&str, u16, Vec<u8>); 4] = [
        ("endless answer", 200, event.into_bytes()),
        ("endless line", 200, vec![b'a'; 8000]),
        ("endless comments", 200, b": ping\n\n".repeat(1000)),
        ("endless error", 500, vec![b'e'; 8000]),
    ];
    for (name, status, bytes) in cases {
        let acts = vec![Act::Send(open_ended(status, "text/event-stream")), Act::Forever(bytes)];
        let server = Canned::acting(acts).await;
        let error = ask(&server).await.expect_err(name);
        assert!(
            matches!(error, ModelError::Infra { .. }) && error.to_string().contains("longer than"),
            "{name}: {error}"
        );
        assert!(server.sent() < READ_AT_MOST, "{name}: {}", server.sent());
    }
}

#[tokio::test]
async fn a_slow_answer_ends_with_the_budget_and_a_slow_start_does_not() {
    let budget = Duration::from_millis(300);
    let dribble = [vec![Act::Send(open_ended(200, "text/event-stream"))], drops(b": ping\n\n", 1000)].concat();
    let impatient = Question { timeout: budget, ..question("x") };
    for acts in [dribble, vec![Act::Pause(Duration::from_secs(30))]] {
        let server = Canned::acting(acts).await;
        let error = server.client().ask(&impatient).await.unwrap_err();
        assert_eq!(error, ModelError::Timeout { url: server.url().to_owned(), budget });
    }
    let body = capture_body("debian-0.7.0/chat_stream.json");
    let start = [vec![Act::Send(open_ended(200, "text/event-stream"))], drops(b": ping\n\n", 3)].concat();
    let server = Canned::acting([start, send(body)].concat()).await;
    assert_eq!(ask(&server).await.unwrap().text, "{\"sever");
}

fn drops(bytes: &[u8], count: usize) -> Vec<Act> {
    (0..count).flat_map(|_| [Act::Send(bytes.to_vec()), Act::Pause(Duration::from_millis(20))]).collect()
}

fn capture_body(path: &str) -> Vec<u8> {
    let response = captured_response(path);
    let start = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    response[start..].to_vec()
}

#[tokio::test]
async fn an_error_in_the_stream_is_the_models_own_failure() {
    let body = capture("debian-0.7.0/chat_invalid_utf8_stream_default.txt");
    let server = Canned::answering(events(body.as_bytes())).await;
    let error = ask(&server).await.unwrap_err();
    assert!(matches!(&error, ModelError::Output { reason } if reason.contains("peg-native")), "{error}");
}

#[tokio::test]
async fn what_the_server_refuses_is_not_tried_again() {
    let overflow = captured_response("debian-0.7.0/err_context_overflow_stream.json");
    let expected = ModelError::ContextOverflow { prompt_tokens: 15419, context_tokens: 2048 };
    assert_eq!(ask(&Canned::answering(overflow).await).await.unwrap_err(), expected);
    let forbidden = json_response(403, &json!({ "error": { "message": "no" } }));
    for (response, expected, words) in [
        (captured_response("debian-0.7.0/chat_bad_key_401.json"), 401, "Invalid API Key"),
        (forbidden, 403, "no"),
        (captured_response("debian-0.7.0/err_404.json"), 404, "File Not Found"),
        (captured_response("debian-0.7.0/err_invalid_schema.json"), 400, "JSON schema error"),
        (captured_response("debian-0.7.0/err_embeddings.json"), 501, "--embeddings"),
    ] {
        let server = Canned::answering(response).await;
        let policy = Retry { first: Duration::from_millis(1), ..Retry::default() };
        let client = server.client();
        let error =
            retry(&policy, tokio::time::sleep, |_| async { client.ask(&question("x")).await }).await.unwrap_err();
        let ModelError::Refused { status, reason, .. } = error else { panic!("{expected}: {error}") };
        assert!(status == expected && reason.contains(words), "{status}: {reason}");
        assert_eq!(server.requests().len(), 1, "{expected}");
    }
}

#[tokio::test]
async fn a_redirect_takes_no_log_text_elsewhere() {
    let elsewhere = Canned::answering(captured_response("debian-0.7.0/chat_stream.json")).await;
    let head = format!("HTTP/1.1 307 X\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let server = Canned::answering(head.into_bytes()).await;
    assert!(matches!(ask(&server).await.unwrap_err(), ModelError::Refused { status: 307, .. }));
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_is_loading_is_asked_again() {
    let exchanges: serde_json::Value = serde_json::from_str(&capture("debian-0.7.0/startup_loading_503.json")).unwrap();
    let loading = exchanges.as_array().unwrap().iter().find(|exchange| exchange["path"] == "/v1/chat/completions");
    let loading = http(503, "application/json", loading.unwrap()["body"].as_str().unwrap().as_bytes());
    let answer = captured_response("debian-0.7.0/chat_stream.json");
    let server = Canned::serve(vec![send(loading.clone()), send(loading), send(answer)]).await;
    let error = ask(&server).await.unwrap_err();
    assert!(matches!(error, ModelError::Infra { .. }) && error.to_string().contains("Loading model"), "{error}");
    let (client, attempts) = (server.client(), std::cell::Cell::new(0));
    let policy = Retry { first: Duration::from_millis(1), ..Retry::default() };
    let reply = retry(&policy, tokio::time::sleep, |attempt| {
        attempts.set(attempt);
        let client = &client;
        async move { client.ask(&question("x")).await }
    });
    assert_eq!(reply.await.unwrap().finish, FinishReason::Length);
    assert_eq!(attempts.get(), 2);
}

#[tokio::test]
async fn progress_is_told_as_it_comes() {
    let mut body = capture_body("debian-0.7.0/chat_stream_progress.json");
    // That capture was asked without include_usage; the counts come from another.
    let counts = String::from_utf8(capture_body("debian-0.7.0/chat_stream.json")).unwrap();
    let counts = counts.lines().find(|line| line.contains("\"usage\"")).unwrap().to_owned();
    body = String::from_utf8(body).unwrap().replace("data: [DONE]", &format!("{counts}\n\ndata: [DONE]")).into_bytes();
    let server = Canned::answering(events(&body)).await;
    let mut seen = Vec::new();
    let mut note = |progress: Progress<'_>| {
        seen.push(match progress {
            Progress::Prompt { processed, total, .. } => format!("{processed}/{total}"),
            Progress::Text(text) => text.to_owned(),
        });
    };
    let reply = server.client().ask_with(&question("x"), &mut note).await.unwrap();
    assert_eq!(seen, ["0/287", "287/287", "\"", "\"", "\""]);
    assert_eq!(reply.text, "\"\"\"");
    assert!(server.requests()[0].body.contains("\"return_progress\":true"));
}

#[tokio::test]
async fn waiting_for_a_server_ends_with_the_time_given() {
    let silent = Canned::acting(vec![Act::Pause(Duration::from_secs(60))]).await;
    let error = silent.client().ready(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, ModelError::Timeout { .. }), "{error}");
    let loading = Canned::answering(json_response(503, &json!({ "error": { "message": "Loading model" } }))).await;
    let error = loading.client().ready(Duration::from_millis(100)).await.unwrap_err();
    assert!(error.to_string().contains("Loading model"), "{error}");
    assert!(loading.requests().len() > 1);
    let up = Canned::answering(json_response(200, &json!({ "status": "ok" }))).await;
    up.client().ready(Duration::from_secs(60)).await.unwrap();
}
