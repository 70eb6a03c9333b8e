//! What holds of every digest, and how one reads.

use proptest::prelude::*;

use super::*;
use crate::stream::{Entry, Labels};

fn labels(container: &str) -> Labels {
    [("container", container)].into_iter().collect()
}

fn alerts() -> Window {
    const SECOND: i64 = 1_000_000_000;
    let mut entries =
        vec![Entry { ts: 0, stream: 0, line: r#"ts=2026-11-23T22:02:31.675Z level=info msg="Starting""#.to_owned() }];
    for n in 0..8 {
        let port = if n == 5 { 9094 } else { 9093 };
        let line = format!(
            r#"ts=2026-11-23T22:02:31.675Z level=error msg="Error sending alert" err="dial tcp 10.0.0.3:{port}: connect: connection refused""#
        );
        entries.push(Entry { ts: (n + 2) * SECOND, stream: 0, line });
    }
    Window::new(vec![labels("prometheus")], entries)
}

#[test]
fn the_text_reads_as_agreed() {
    let digest = digest(&alerts(), Budget::new(2000));
    assert_eq!(
        digest.text,
        "LOGS 9 lines, 00:00:00 to 00:00:09, 1 streams\n\
         T1 00:00:00 x1 prometheus | level=info msg=\"Starting\"\n\
         T2 00:00:02..00:00:09 x8 prometheus | level=error msg=\"Error sending alert\" err=\"dial tcp 10.0.0.3:9093: connect: connection refused\"\n\
         \x20 varies: 10.0.0.3:9093 x7, 10.0.0.3:9094 x1"
    );
    assert_eq!(digest.template_of(3), Some("T2"));
    assert!(digest.has("T2") && !digest.has("T3") && digest.template_of(9).is_none());
    assert_eq!(digest.omitted, Omitted::default());
}

/// Forty refusals, most of them within three seconds of an hour; one is of another disk, and one write is slow.
fn refusals() -> Window {
    const SECOND: i64 = 1_000_000_000;
    let refusal = |n: i64| {
        let (host, disk) = (["db-0", "db-1", "db-2"][n as usize % 3], if n == 21 { "spare" } else { "main" });
        let took = if n == 30 { 12_000 } else { 20 + n % 3 };
        let line = format!(r#"level=error msg="write refused" host={host} disk={disk} took={took}ms"#);
        Entry { ts: if n < 38 { 600 + n / 13 } else { n * 90 } * SECOND, stream: 0, line }
    };
    Window::new(vec![labels("db")], (0..40).map(refusal).collect())
}

#[test]
fn bursts_rare_lines_and_values_of_every_variable_are_shown_below() {
    let made = digest(&refusals(), Budget::new(2000));
    assert_eq!(
        made.text,
        "LOGS 40 lines, 00:10:00 to 00:58:30, 1 streams\n\
         T1 00:10:00..00:58:30 x40 db | level=error msg=\"write refused\" host=db-0 disk=main took=20ms\n\
         \x20 burst 00:10:00..00:10:02 x38\n\
         \x20 also 00:10:01 | level=error msg=\"write refused\" host=db-0 disk=spare took=20ms\n\
         \x20 also 00:10:02 | level=error msg=\"write refused\" host=db-0 disk=main took=12000ms\n\
         \x20 varies: db-0 x14, db-1 x13, db-2 x13; main x39, spare x1"
    );
    let shown = &made.templates[0];
    assert_eq!(shown.burst.map(|burst| (burst.first_ns / 1_000_000_000, burst.count)), Some((600, 38)));
    assert_eq!((shown.further.as_slice(), shown.values.len()), (&[21, 30][..], 2));
    assert!(shown.why.contains(&"bursting"), "{:?}", shown.why);
}

#[test]
fn no_template_gives_way_to_what_is_shown_beside_another() {
    let mut window = refusals();
    window.entries.push(Entry {
        ts: 4_000_000_000_000,
        stream: 0,
        line: "level=info msg=\"the last line\"".to_owned(),
    });
    let all = digest(&window, Budget::new(2000));
    let extras: usize = all.text.lines().filter(|line| line.starts_with(' ')).map(|line| line.len() + 1).sum();
    // Some bytes more than both lines have: choosing keeps room for the count of what is dropped.
    for bytes in all.text.len() - extras + 90..all.text.len() {
        let made = digest(&window, Budget { tokens: bytes, bytes_per_token: 1.0 });
        assert_eq!(made.templates.len(), 2, "{}", made.text);
    }
}

#[test]
fn what_is_dropped_is_counted() {
    let mut window = alerts();
    for word in ["one", "other"] {
        window.entries.push(Entry {
            ts: 10_000_000_000,
            stream: 0,
            line: format!("level=info msg=\"the {word} thing\""),
        });
    }
    let digest = digest(&window, Budget::new(80));
    assert!(digest.text.ends_with("\nOMITTED 3 templates, 3 lines: 3 info"), "{}", digest.text);
    assert_eq!(digest.template_of(1), Some("T1"));
}

#[test]
fn a_megabyte_line_and_a_budget_of_nothing_are_no_trouble() {
    let line = format!("level=error err=\"{}: no space left on device\"", "é".repeat(1 << 20));
    let window = Window::from_text(labels("x"), 0, &line);
    for tokens in [0, 1, 5, 20, 60, 100, 1000] {
        let digest = digest(&window, Budget::new(tokens));
        assert!(digest.estimated_tokens <= tokens, "{tokens}: {}", digest.text);
        assert!(tokens < 100 || digest.text.contains("no space left"), "{tokens}: {}", digest.text);
    }
}

#[test]
fn an_empty_window_has_an_empty_digest() {
    assert_eq!(digest(&Window::default(), Budget::new(100)).text, "LOGS 0 lines");
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z0-9 =\"{}:.\\[\\]<>\u{e9}\n\t-]{0,80}",
        "(level=|ts=2026-11-23T22:02:31Z|E1123 22:12:03.1 |panic: |\t| |Traceback \\(most recent call last\\):|err=\"){1,4}",
    ]
}

fn window() -> impl Strategy<Value = Window> {
    let entry = (any::<i64>(), 0u32..4, line());
    proptest::collection::vec(entry, 0..60).prop_map(|entries| {
        let entries = entries.into_iter().map(|(ts, stream, line)| Entry { ts, stream, line }).collect();
        Window::new(vec![labels("a"), labels("b | \u{1b}[0m\nc"), Labels::default()], entries)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_digest_keeps_its_promises(window in window(), tokens in 0usize..400, rate in 0.1f64..8.0) {
        let budget = Budget { tokens, bytes_per_token: rate };
        let made = digest(&window, budget);
        prop_assert!(made.estimated_tokens <= tokens);
        prop_assert_eq!(made.estimated_tokens, budget.estimate(&made.text));
        prop_assert_eq!(&made, &digest(&window, budget));
        let shown: usize = made.templates.iter().map(|t| t.entries.len()).sum();
        prop_assert_eq!(shown + made.omitted.lines, window.entries.len());
        prop_assert_eq!(made.omitted.by_level.values().sum::<usize>(), made.omitted.lines);
        let heads = made.text.lines().filter(|l| l.starts_with('T')).count();
        prop_assert_eq!(heads, made.templates.len());
        prop_assert!(made.text.chars().all(|c| c == '\n' || !c.is_control()));
        for (n, shown) in made.templates.iter().enumerate() {
            prop_assert_eq!(&shown.id, &format!("T{}", n + 1));
            prop_assert!(shown.entries.binary_search(&(shown.exemplar as u32)).is_ok());
            prop_assert_eq!(made.template_of(shown.exemplar), Some(shown.id.as_str()));
            prop_assert!(shown.further.iter().all(|&entry| entry != shown.exemplar
                && shown.entries.binary_search(&(entry as u32)).is_ok()));
        }
    }
}

/// Lines as programs write them, some of them the end of a traceback, with words that make shapes of their own.
fn busy() -> impl Strategy<Value = Vec<String>> {
    let word = prop::sample::select(vec!["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]);
    let line = (word.clone(), word, 0..9_000u32, prop::sample::select(vec!["info", "error"]), 0..40u32);
    let line = line.prop_map(|(a, b, n, level, kind)| match kind {
        0 => "Traceback (most recent call last):".to_owned(),
        1 => format!("  File \"{a}.py\", line {n}"),
        2 => format!("{{\"level\":\"{level}\",\"msg\":\"{a} {b}\",\"n\":{n}}}"),
        3 => format!("{a}Error: {b} of {n}"),
        _ => format!("level={level} msg=\"{a} took {n}ms\" user={b}-{}", kind % 3),
    });
    prop::collection::vec(line, 2_000..4_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn threads_change_no_byte(lines in busy(), tokens in 50usize..2_000) {
        let window = Window::from_text(labels("app"), 0, &lines.join("\n"));
        let one = digest_on(&window, Budget::new(tokens), NonZeroUsize::MIN);
        for threads in [2, 5] {
            let many = digest_on(&window, Budget::new(tokens), NonZeroUsize::new(threads).unwrap());
            prop_assert_eq!(&many, &one);
        }
        prop_assert_eq!(digest(&window, Budget::new(tokens)), one);
    }
}
