//! What goes wrong between Loki and us, with real sockets; and what is sent, to whom, and never shown.

use std::time::Duration;

use assay::loki::{Auth, Client, LokiError, Secret, Settings};

use crate::canned::{Act, Canned, http, open_ended};

use super::{Exchange, HOUR, client};

/// Beyond the client's bound the kernel takes what its socket buffers grow to (`tcp_rmem` allows 32 MiB).
const BUFFERS: usize = 128 << 20;

async fn ask(client: &Client) -> LokiError {
    client.window("{app=\"x\"}", HOUR, 10).await.expect_err("an answer")
}

async fn fails(name: &str, acts: Vec<Act>) -> LokiError {
    let server = Canned::acting(acts).await;
    let error = ask(&client(&server)).await;
    assert!(!error.to_string().contains('\n'), "{name}: {error}");
    error
}

fn send(bytes: impl Into<Vec<u8>>) -> Vec<Act> {
    vec![Act::Send(bytes.into())]
}

#[tokio::test]
async fn a_broken_conversation_is_named() {
    let whole = Exchange::load("query_range-streams-multi").response();
    let zipped = Exchange::load("query_range-gzip").response();
    let chunked = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let garbage = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!";
    let cases: [(&str, Vec<Act>, &str); 10] = [
        ("closed at once", vec![], "cannot reach"),
        ("reset", vec![Act::Reset], "cannot reach"),
        ("no http", send(*b"\x00\x01\xfe\xff not http\r\n\r\n"), "cannot reach"),
        ("half a head", send(*b"HTTP/1.1 200 OK\r\ncontent-"), "cannot reach"),
        ("half a body", send(&whole[..whole.len() / 2]), "body"),
        ("bad chunk size", send(*chunked), "body"),
        ("half a compressed body", send(&zipped[..zipped.len() / 2]), "body"),
        ("bad compression", send(*garbage), "gzip header"),
        ("no json", send(http(200, "application/json", b"{oops")), "cannot be read"),
        ("a login page", send(http(200, "text/html; charset=utf-8", b"<html>")), "sends a web page"),
    ];
    for (name, acts, expected) in cases {
        let error = fails(name, acts).await;
        let shown = error.to_string();
        assert!(shown.contains(expected) && shown.contains("http://127.0.0.1"), "{name}: {shown}");
        assert!(matches!(error, LokiError::Unreachable { .. } | LokiError::NotLoki { .. }), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::new(&Settings::new(format!("http://127.0.0.1:{port}"))).unwrap();
    let error = ask(&client).await;
    assert!(error.is_temporary() && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_gateway_answers_in_place_of_loki() {
    let page = b"<html><h1>502 Bad Gateway</h1></html>";
    for (status, expected) in [(502, "a gateway answers, not Loki"), (503, "status 503"), (504, "took longer")] {
        let error = fails("gateway", send(http(status, "text/html", page))).await;
        assert!(error.is_temporary() && error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains("<html>"), "{error}");
    }
    let error = fails("denied", send(http(403, "text/html", page))).await;
    assert!(matches!(error, LokiError::Denied { status: 403, .. }), "{error:?}");
    let error = fails("silent", send(http(500, "text/plain", b""))).await;
    assert!(error.to_string().contains("without an explanation"), "{error}");
}

#[tokio::test]
async fn a_busy_loki_says_when_to_come_back() {
    let busy = b"HTTP/1.1 429 X\r\nretry-after: 12\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow";
    let error = fails("busy", send(*busy)).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(12)));
    assert!(error.to_string().ends_with("is busy: slow; try again in 12 s"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Canned::answering(http(200, "application/json", b"{}")).await;
    let moved = format!("HTTP/1.1 302 X\r\nlocation: {}/login\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let error = fails("redirect", send(moved)).await;
    assert!(error.to_string().contains("redirects are not followed"), "{error}");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_a_bound() {
    let limited =
        |server: &Canned| Client::new(&Settings { max_bytes: 1 << 20, ..Settings::new(server.url()) }).unwrap();
    let endless = vec![Act::Send(open_ended(200, "application/json")), Act::Forever(vec![b' '; 8000])];
    let server = Canned::acting(endless).await;
    assert_eq!(ask(&limited(&server)).await, LokiError::TooLarge { query: "{app=\"x\"}".to_owned(), limit: 1 << 20 });
    assert!(server.sent() < BUFFERS, "{}", server.sent());

    let endless = vec![Act::Send(open_ended(500, "text/plain")), Act::Forever(vec![b'e'; 8000])];
    let server = Canned::acting(endless).await;
    let error = ask(&limited(&server)).await;
    assert!(matches!(error, LokiError::Unavailable { .. }) && error.to_string().len() < 600, "{error}");
    assert!(server.sent() < BUFFERS, "{}", server.sent());

    // 16 KiB on the wire that unfold to 16 MiB.
    let bomb = include_bytes!("zeros-16MiB.gz");
    let head = format!("HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let server = Canned::answering([head.as_bytes(), bomb].concat()).await;
    assert!(matches!(ask(&limited(&server)).await, LokiError::TooLarge { .. }));
}

#[tokio::test]
async fn patience_ends_before_the_answer_and_while_it_drips() {
    let budget = Duration::from_millis(300);
    let drops = (0..1000).flat_map(|_| [Act::Send(b" ".to_vec()), Act::Pause(Duration::from_millis(20))]).collect();
    let drip = [vec![Act::Send(open_ended(200, "application/json"))], drops].concat();
    for acts in [vec![Act::Pause(Duration::from_secs(30))], drip] {
        let server = Canned::acting(acts).await;
        let client = Client::new(&Settings { timeout: budget, ..Settings::new(server.url()) }).unwrap();
        let error = ask(&client).await;
        assert_eq!(error, LokiError::Timeout { query: "{app=\"x\"}".to_owned(), budget: Some(budget) });
        assert!(error.to_string().contains("took longer than 0.3 s"), "{error}");
    }
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_ends() {
    let server = Canned::acting(vec![Act::AwaitClose]).await;
    let client = client(&server);
    let question = tokio::spawn(async move { client.window("{app=\"x\"}", HOUR, 10).await });
    while server.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.left(), 0);
    question.abort();
    let closed = async {
        while server.left() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the connection is closed");
}

/// A server that answers every question and repeats its head.
async fn echo() -> Canned {
    Canned::speaking(|request| http(500, "text/plain", request.raw.as_bytes())).await
}

#[tokio::test]
async fn credentials_reach_loki_and_nobody_else() {
    let server = echo().await;
    let mut settings = Settings::new(server.url());
    settings.org_id = Some("team-a".to_owned());
    settings.headers = vec![("X-Gateway".to_owned(), Secret::new("canary-header"))];
    settings.auth = Auth::Basic { user: "me".to_owned(), password: Secret::new("canary-pass") };
    let basic = Client::new(&settings).unwrap();
    settings.auth = Auth::Bearer(Secret::new("canary-token"));
    let bearer = Client::new(&settings).unwrap();
    let user =
        [("Authorization", "Bearer canary-user"), ("X-Id-Token", "canary-id"), ("X-Evil", "1"), ("Host", "evil")];
    let user = bearer.on_behalf(user).unwrap();

    for client in [&basic, &bearer, &user] {
        let error = ask(client).await.to_string();
        let shown = format!("{error} {client:?} {settings:?}");
        assert!(error.contains("***") && !shown.contains("canary"), "{shown}");
        // `me:canary-pass`, as it goes over the wire.
        assert!(!shown.contains("bWU6Y2FuYXJ5LXBhc3M="), "{shown}");
    }
    let heads: Vec<String> = server.requests().into_iter().map(|request| request.head).collect();
    assert!(
        heads.iter().all(|head| head.contains("x-scope-orgid: team-a") && head.contains("x-gateway: canary-header"))
    );
    assert!(heads[0].contains("authorization: basic bwu6y2fuyxj5lxbhc3m="), "{}", heads[0]);
    assert!(heads[1].contains("authorization: bearer canary-token"), "{}", heads[1]);
    assert!(heads[2].contains("authorization: bearer canary-user") && heads[2].contains("x-id-token: canary-id"));
    assert!(!heads[2].contains("canary-token") && !heads[2].contains("evil"), "{}", heads[2]);
    assert!(user.on_behalf([("cookie", "a\nb")]).unwrap_err().to_string().contains("cookie"));
}

#[tokio::test]
async fn a_loki_below_a_path_is_asked_there() {
    let server = echo().await;
    let client = Client::new(&Settings::new(format!("{}/gateway/", server.url()))).unwrap();
    ask(&client).await;
    assert!(server.requests()[0].target.starts_with("/gateway/loki/api/v1/query_range?"));
}
