//! What is a variable and what is not.

use proptest::prelude::*;

use super::*;

fn shape(line: &str) -> Shape {
    Scanner::default().shape(line.as_bytes())
}

#[test]
fn a_key_does_not_depend_on_what_is_masked() {
    let key = |line: &str| Scanner::default().key(line.as_bytes());
    let long = "level=info msg=\"some longer text that goes on for more than a block or so\" took=";
    assert_eq!(
        key(&format!("ts=2026-11-23T22:12:03Z {long}1.5s n=3")),
        key(&format!("ts=1970-01-03T22:12:03.123Z {long}112ms n=44"))
    );
    assert_ne!(key("a 1"), key("b 1"));
    assert_ne!(key("status=503 a"), key("status=200 a"));
    for shift in 0..70 {
        let pad = "x".repeat(shift);
        assert_eq!(key(&format!("{pad} id b71f75320dc06a6c:80 end")), key(&format!("{pad} id 1c45 end")), "{shift}");
    }
}

fn same(a: &str, b: &str) {
    assert_eq!(shape(a), shape(b), "{a} | {b}");
}

fn differ(a: &str, b: &str) {
    assert_ne!(shape(a), shape(b), "{a} | {b}");
}

#[test]
fn what_varies_by_nature_is_masked() {
    same("took 5s", "took 1.5s");
    same("took 112.617µs", "took -3ms");
    same("dial 10.0.0.3:9093: refused", "dial 192.168.1.44:80: refused");
    same("dial [fe80::1]:80: refused", "dial [fe80::2]:80: refused");
    same("id=3f2a9c1e-abcd-4a1b-9c1d-00aabbccddee ok", "id=0f2a9c1e-12cd-4a1b-dead-11aabbccdde0 ok");
    same("at 2026-11-23T22:12:03.739823642Z end", "at 2025-01-03T02:02:03Z end");
    same("member b71f75320dc06a6c", "member 1c45a069f3a1d796");
    same("GET /api/v1/orders?id=3", "GET /api/v1/orders?id=44");
    same("pod web-7d4b9c6f5-x2klp", "pod web-5f6d7c8b9-4tzqw");
    same("time =      11.06 ms", "time = 1.06 ms");
    same("(    0.17 ms", "(10.17 ms");
    same(r#"{"n":-1}"#, r#"{"n": 22}"#);
}

#[test]
fn masks_are_written_as_they_are_hashed() {
    assert_eq!(masked("http://10.0.0.3:9093/api/v1/x"), "http://<_>/api/<_>/x");
    assert_eq!(masked("main.go:513"), "main.go:<_>");
    assert_eq!(masked("3f2a9c1e-4a1b-00aa"), "<_>");
    assert_eq!(masked("word"), "word");
}

#[test]
fn words_are_not() {
    differ("connection refused", "permission denied");
    differ("main.go:513 a", "web.go:513 a");
    differ("a=1", "b=1");
    differ("(a)", "[a]");
    differ("a b", "b a");
}

#[test]
fn failing_statuses_and_numeric_levels_are_words() {
    differ("\"GET / HTTP/1.1\" 503 12", "\"GET / HTTP/1.1\" 200 12");
    same("\"GET / HTTP/1.1\" 304 512", "\"GET / HTTP/1.1\" 200 12");
    differ("web/web-0 0/0/0/8/8 503 116", "web/web-0 0/0/0/8/8 200 116");
    differ("{\"status\":500}", "{\"status\":200}");
    differ("{\"level\":50}", "{\"level\":30}");
    same("wrote 500 rows", "wrote 200 rows");
}

#[test]
fn a_long_line_is_scanned_at_both_ends() {
    let long = |end: &str| format!("start {} {end}", "x y ".repeat(3000));
    let mut tokens = Vec::new();
    let line = long("the end");
    Scanner::default().tokens(line.as_bytes(), &mut tokens);
    assert_eq!(tokens.len(), MAX_TOKENS);
    let wide = format!("start {} the end", "x".repeat(5000));
    Scanner::default().tokens(wide.as_bytes(), &mut tokens);
    let words: Vec<&str> = tokens.iter().map(|t| &wide[t.start as usize..t.end as usize]).collect();
    assert_eq!((words[0], words[words.len() - 1]), ("start", "end"));
}

#[test]
fn filling_reaches_the_ends_of_runs() {
    assert_eq!(fill_up(0b0000_0100_0100, 0b0110_1110_1110), 0b0000_1100_1100);
    assert_eq!(fill_down(0b0000_0100_0100, 0b0110_1110_1110), 0b0000_0110_0110);
    assert_eq!((fill_up(1, u64::MAX), fill_down(1 << 63, u64::MAX)), (u64::MAX, u64::MAX));
    assert_eq!((fill_up(0, u64::MAX), fill_up(1 << 63, 1 << 63)), (0, 1 << 63));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_keys_mean_equal_shapes(
        text in "[a-z \"=:./-]{0,90}", numbers in proptest::collection::vec((0usize..90, 0u32..99_999, 0u32..9), 0..4)
    ) {
        let line = |wide: bool| {
            let mut line = text.clone();
            for (at, number, digit) in &numbers {
                line.insert_str((*at).min(line.len()), &(if wide { *number } else { *digit }).to_string());
            }
            line
        };
        let (one, other) = (line(true), line(false));
        // Ten digits before logfmt are a time and two are none: after the time pairs are read, after a number they are not.
        let stamped = |line: &str| crate::digest::clock::leading(line.as_bytes()) != (0, 0);
        prop_assume!(stamped(&one) == stamped(&other));
        let mut scanner = Scanner::default();
        if scanner.key(one.as_bytes()) == scanner.key(other.as_bytes()) {
            prop_assert_eq!(scanner.shape(one.as_bytes()), scanner.shape(other.as_bytes()));
        }
    }

    #[test]
    fn both_ways_to_hash_a_token_agree(token in "[a-z0-9.:@_-]{1,48}|([0-9a-f]{1,5}-){1,5}[0-9a-f]{1,5}|µ?[a-z]{0,40}[0-9]?") {
        let mut scanner = Scanner::default();
        let token = &token.as_bytes()[..token.len().min(MAX_WORD)];
        scanner.load(token, classify);
        prop_assert_eq!(scanner.hash(token, 0, token.len()), scanner.hash_long(token, 0, token.len()));
        prop_assert_eq!(scanner.key(token), scanner.key_any(token, classify));
    }
}
