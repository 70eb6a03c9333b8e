//! Every parser of a file that people write: whatever the file holds, it is read or refused in words.

use assay::experiment::{Experiment, Models};
use assay::golden::{Case, Dataset};
use assay::ontology::Ontology;
use assay::prompt::{Lock, Prompt};
use assay::route::Routes;
use proptest::prelude::*;

/// A file as it should be, and the parser's word about a text in its place.
struct Parser {
    sound: String,
    refusal: fn(&str) -> Option<String>,
}

const CASE: &str = r#"{"id":"s-1","family":"monitoring","split":"standard","difficulty":"easy","cluster":"c-1","streams":[{"container":"prometheus"}],"entries":[["1700000000000000000",0,"level=error msg=\"no space left on device\""],["1700000000000000001",0,"ok"]],"target":{"severity":"error","root_cause":"disk_full","components":["prometheus"],"summary":"Full.","decisive":[0]}}"#;
const MANIFEST: &str = "name = 'small'\nversion = 1\nontology = 1\nfrozen = false\nsha256 = ''\n\n[counts]\ntotal = 1\n\
                        clusters = 1\nentries = 2\nreviewed_twice = 0\n[counts.family]\nmonitoring = 1\n\
                        [counts.split]\nstandard = 1\n[counts.difficulty]\neasy = 1\n[counts.severity]\nerror = 1\n\
                        [counts.root_cause]\ndisk_full = 1\n";
const EXPERIMENT: &str = "name = 'm'\nquestion = '?'\ndataset = 'small'\nprimary = 'root_cause'\nmargin = 0.05\n\
                          repeats = 2\nseed = 7\n[matrix]\nprompt = ['triage@1', 'triage@2']\nroute = [true]\n\
                          model = ['rules']\ndigest_tokens = [100, 200]\nsampling = [{ temperature = 0.5 }]\n\
                          [[arm]]\nname = 'a'\nprompt = 'triage@1'\nmodel = 'tiny'\n\
                          [[compare]]\na = 'a'\nb = 'routed/rules/d100/t0.5-p1-s1-n256'\n";

fn shipped(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn words<T>(parsed: Result<T, assay::problem::Problem>) -> Option<String> {
    parsed.err().map(|problem| problem.to_string())
}

fn parsers() -> Vec<Parser> {
    let parser = |sound: &str, refusal| Parser { sound: sound.to_owned(), refusal };
    vec![
        parser(EXPERIMENT, |text| words(Experiment::parse("x.toml", text))),
        parser(&shipped("experiments/demo.toml"), |text| words(Experiment::parse("demo.toml", text))),
        parser(&shipped("models/models.toml"), |text| words(Models::parse("models.toml", text))),
        parser(&shipped("prompts/routes.toml"), |text| words(Routes::parse("routes.toml", text))),
        parser(&shipped("prompts/triage/2.md"), |text| words(Prompt::parse("prompts/triage/2.md", text))),
        parser(&shipped("prompts/ontology/1.toml"), |text| words(Ontology::parse("prompts/ontology/1.toml", text))),
        parser(&shipped("prompts/prompts.lock"), |text| words(Lock::parse("prompts.lock", text))),
        parser(CASE, |text| words(Case::parse_lines("cases.jsonl", text))),
        parser(MANIFEST, |text| words(Dataset::parse("golden/small", text, CASE))),
    ]
}

#[test]
fn the_files_themselves_are_sound() {
    for (index, parser) in parsers().iter().enumerate() {
        assert_eq!((parser.refusal)(&parser.sound), None, "parser {index}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..200).prop_map(|text| text.into_iter().collect())
}

/// Pieces that mean something in one of the formats.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "\n",
        "\r\n",
        "---\n",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "'",
        "'''",
        "=",
        "\0",
        "\u{feff}",
        "-1",
        "1e999",
        "nan",
        "\\u",
        "99999999999999999999",
        "[]",
        "{{ digest }}",
        "{% for %}",
        "name",
        "[[arm]]",
        "@",
        "null",
        "\u{202e}",
        "é",
    ];
    prop_oneof![proptest::sample::select(known.to_vec()).prop_map(str::to_owned), any_text()]
}

/// `text` with a stretch of it replaced; positions are shares of its length.
fn spliced(text: &str, from: f64, length: f64, with: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let start = (from * chars.len() as f64) as usize;
    let end = (start + (length * length * length * chars.len() as f64) as usize).min(chars.len());
    chars[..start].iter().copied().chain(with.chars()).chain(chars[end..].iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in any_text()) {
        for parser in parsers() {
            let refusal = (parser.refusal)(&text);
            prop_assert!(refusal.is_none_or(|words| !words.trim().is_empty()));
        }
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(
        from in 0.0..1.0_f64, length in 0.0..1.0_f64, with in piece(), again in 0.0..1.0_f64, other in piece(),
    ) {
        for parser in parsers() {
            let once = spliced(&parser.sound, from, length, &with);
            let twice = spliced(&once, again, 0.0, &other);
            for text in [once, twice] {
                let refusal = (parser.refusal)(&text);
                prop_assert!(refusal.is_none_or(|words| !words.trim().is_empty()));
            }
        }
    }
}
