//! `assay doctor`: each thing that can be wrong, by name.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::{Desk, stderr, stdout};

/// An installation that can be broken: the checkout's prompts, the rules, no dataset.
fn installation() -> Desk {
    let desk = Desk::new();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&checkout.join("prompts"), &desk.path("prompts"));
    std::fs::create_dir(desk.path("models")).unwrap();
    desk.write("models/models.toml", b"[[model]]\nname = 'rules'\ndescription = 'rules'\nkind = 'rules'\n");
    desk
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn doctor(desk: &Desk, arguments: &[&str]) -> Output {
    let mut command = desk.command(&["doctor"]);
    command.args(arguments).env("ASSAY_ROOT", desk.dir.path());
    command.env_remove("ASSAY_LLAMA_SERVER").env("PATH", "/nonexistent").output().unwrap()
}

/// State and detail of one check.
fn finding(desk: &Desk, check: &str) -> (String, String) {
    let findings: Value = serde_json::from_slice(&doctor(desk, &["--json"]).stdout).unwrap();
    let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check} in {findings}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("state"), format!("{} -> {}", text("detail"), text("fix")))
}

#[test]
fn a_usable_installation_passes_with_a_line_for_each_check() {
    let desk = installation();
    let output = doctor(&desk, &[]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    for expected in [
        "ok    prompts: ",
        "ok    routes: ",
        "ok    model rules: ",
        "ok    store: ",
        "warn  llama-server: ",
        "  git: ",
        "  processors: ",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(!desk.path("store").exists(), "the doctor changes nothing");
    for line in text.lines() {
        assert!(line.starts_with("ok    ") || line.contains(" -> "), "no way out in: {line}");
    }
}

#[test]
fn the_checkout_itself_is_sound() {
    let desk = Desk::new();
    let text = stdout(&desk.assay(&["doctor"]));
    assert!(text.contains("ok    dataset golden-v1: ") && text.contains("ok    prompts: "), "{text}");
}

#[test]
fn what_is_broken_fails_and_says_how_to_mend_it() {
    let desk = installation();
    let prompt = std::fs::read_to_string(desk.path("prompts/triage/1.md")).unwrap();
    desk.write("prompts/triage/1.md", format!("{prompt}\nand more").as_bytes());
    let (state, detail) = finding(&desk, "prompts");
    assert!(state == "fail" && detail.contains("was released as") && detail.contains("new version"), "{detail}");
    let output = doctor(&desk, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("1 check failed"), "{}", stderr(&output));
    desk.write("prompts/triage/1.md", prompt.as_bytes());

    let model = "[[model]]\nname = 'big'\ndescription = 'd'\nkind = 'managed'\nfile = 'big.gguf'\nsha256 = 'aa'\ncontext = 512\n";
    desk.write("models/models.toml", model.as_bytes());
    let (state, detail) = finding(&desk, "model big");
    assert!(state == "fail" && detail.contains("big.gguf cannot be read"), "{detail}");
    assert_eq!(finding(&desk, "llama-server").0, "fail", "a managed model needs it");
    desk.write("models/big.gguf", b"GGUF");
    let (state, detail) = finding(&desk, "model big");
    assert!(state == "fail" && detail.contains("models.toml says aa"), "{detail}");
    desk.write("models/models.toml", b"[[model]]\nname = 3\n");
    assert_eq!(finding(&desk, "models").0, "fail");

    std::fs::create_dir_all(desk.path("golden/mine")).unwrap();
    desk.write("golden/mine/dataset.toml", b"name = 'mine'\n");
    assert_eq!(finding(&desk, "dataset mine").0, "fail");
}

#[test]
fn a_damaged_run_is_named_and_an_unfinished_one_counted() {
    let desk = installation();
    std::fs::create_dir_all(desk.path("store/runs/bad")).unwrap();
    std::fs::create_dir_all(desk.path("store/runs/open")).unwrap();
    desk.write("store/runs/bad/run.json", b"{ not json");
    desk.write("store/runs/open/journal.jsonl", b"");
    let (state, detail) = finding(&desk, "run bad");
    assert!(state == "warn" && detail.contains("is damaged"), "{detail}");
    let (state, detail) = finding(&desk, "store");
    assert!(state == "warn" && detail.contains("1 unfinished") && detail.contains("assay eval resume"), "{detail}");
    desk.write("file", b"");
    let output = doctor(&desk, &["--store", "file/store"]);
    assert!(stdout(&output).contains("fail  store: "), "{}", stdout(&output));
}
