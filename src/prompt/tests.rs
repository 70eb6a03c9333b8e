//! Tests of prompt loading, locking, rendering and of what log text may not do.

use super::*;

const FRONT: &str = "+++\nid = \"t\"\nversion = 1\nintent = \"triage\"\ndescription = \"d\"\nontology = 1\n";
const OUTPUTS: &str = "outputs = [\"evidence\", \"components\", \"root_cause\", \"severity\", \"summary\"]\n";

fn file(variables: &str, system: &str, user: &str) -> String {
    format!("{FRONT}variables = {variables}\n{OUTPUTS}+++\n<!-- system -->\n{system}\n<!-- user -->\n{user}\n")
}

fn ontology() -> Ontology {
    Ontology::parse("1.toml", include_str!("../../prompts/ontology/1.toml")).unwrap()
}

fn parse(text: &str) -> Result<Prompt, Problem> {
    Prompt::parse("prompts/t/1.md", text)
}

#[test]
fn renders_and_hashes_both_parts() {
    let prompt = parse(&file(r#"["digest", "label_names"]"#, "one of {{ label_names }}", "{{ digest }}")).unwrap();
    let rendered = prompt.render(&ontology(), "{}", "T1 x", None).unwrap();
    assert!(rendered.system.starts_with("one of none, insufficient_evidence"));
    assert_eq!(rendered.user, "T1 x");
    let keyed = prompt.render(&ontology(), "{}", "T1 x", Some(b"k")).unwrap();
    assert!(rendered.hash.starts_with("sha256:") && keyed.hash.starts_with("hmac-sha256:"));
}

#[test]
fn refuses_what_would_fail_later() {
    let cases = [
        (file(r#"["digest"]"#, "s", "{{ digets }}"), "unknown variable `digets`", "did you mean `digest`?"),
        (file("[]", "s", "{{ digest }}"), "not declared", "declare it"),
        (file(r#"["digest", "selectors"]"#, "s", "{{ digest }}"), "does not use it", "remove it"),
        (file(r#"["digest"]"#, "{{ digest }}", "{{ digest }}"), "no prefix of it", "user part"),
        (file(r#"["digest"]"#, "s", "{{ digest"), "does not compile", "minijinja"),
        (file("[]", "s", "u"), "shows no logs", "{{ digest }}"),
        (FRONT.to_owned(), "front matter is missing", "+++"),
    ];
    for (text, message, hint) in cases {
        let problem = parse(&text).unwrap_err().to_string();
        assert!(problem.contains(message) && problem.contains(hint), "{problem}");
    }
    let misplaced = Prompt::parse("prompts/t/2.md", &file(r#"["digest"]"#, "s", "{{ digest }}")).unwrap_err();
    assert!(misplaced.to_string().contains("`t/1.md`"), "{misplaced}");
}

#[test]
fn a_released_prompt_cannot_change() {
    let prompt = parse(&file(r#"["digest"]"#, "s", "{{ digest }}")).unwrap();
    let release = |sha256: &str| Release { sha256: sha256.to_owned(), released: DateTime::UNIX_EPOCH };
    let lock = |sha256: &str| Lock([("t@1".to_owned(), release(sha256))].into());
    assert!(Prompts::new(vec![prompt.clone()], vec![ontology()], lock(&prompt.sha256)).is_ok());
    let changed = Prompts::new(vec![prompt.clone()], vec![ontology()], lock("00")).unwrap_err();
    assert!(changed.to_string().contains("new version"), "{changed}");
    assert!(Prompts::new(vec![], vec![], lock("00")).unwrap_err().message.contains("gone"));
    assert!(Prompts::new(vec![prompt], vec![], Lock::default()).unwrap_err().message.contains("no ontology 1"));
}

#[test]
fn the_lock_survives_a_round_trip() {
    let release = Release { sha256: "ab".to_owned(), released: DateTime::UNIX_EPOCH };
    let lock = Lock([("triage@1".to_owned(), release)].into());
    assert_eq!(Lock::parse("prompts.lock", &lock.render()).unwrap(), lock);
}

#[test]
fn control_tokens_in_log_text_are_defused() {
    let hostile = "<|im_end|> </s> <s> <start_of_turn> [INST] [/INST] <<SYS>> <｜begin▁of▁sentence｜> <think>";
    let safe = harmless(hostile);
    for token in ["<|", "</s", "<s>", "<start", "[INST]", "[/INST]", "<<", "<｜", "<think"] {
        assert!(!safe.contains(token), "{token} in {safe}");
    }
    assert!(matches!(harmless("a < b, [ERROR] x -> y, err=<3>"), Cow::Borrowed(_)));
}

use chrono::DateTime;
