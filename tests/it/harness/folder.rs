//! A small installation: the shipped prompts, four cases, and a model with random weights.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gguf::{Habit, Tiny};
use crate::llama::program;

/// A folder that `assay --root` accepts.
pub(super) struct Folder {
    pub(super) dir: TempDir,
}

impl Folder {
    /// Prompts as shipped, `cases` golden cases, and a model of the given habit under the name `tiny`.
    pub(super) fn new(cases: usize, habit: Habit) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts"), &dir.path().join("prompts"));
        let folder = Self { dir };
        folder.write_dataset(cases);
        std::fs::create_dir_all(folder.path("models")).unwrap();
        let model = Tiny { seed: 1, context: 16_384, habit }.write(&folder.path("models"));
        let sha256 = assay::hash::sha256(std::fs::read(&model).unwrap());
        let file = model.file_name().unwrap().to_string_lossy();
        folder.write(
            "models/models.toml",
            &format!(
                "[[model]]\nname = 'rules'\ndescription = 'rules'\nkind = 'rules'\n\n[[model]]\nname = 'tiny'\n\
                 description = 'random weights'\nkind = 'managed'\nfile = '{file}'\nsha256 = '{sha256}'\n\
                 context = 8192\nbytes_per_token = 1.2\n"
            ),
        );
        folder.write("experiment.toml", &experiment("reproducible"));
        folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Replaces a piece of a file that must be there.
    pub(super) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, &text.replacen(from, to, 1));
    }

    /// `assay` with arguments, in this folder, with its own store.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.current_dir(self.dir.path()).args(arguments);
        command.env("ASSAY_LLAMA_SERVER", program()).env("ASSAY_STORE", self.path("store")).env_remove("ASSAY_ROOT");
        command
    }

    pub(super) fn assay(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts the experiment in the background and waits until its journals hold that many answers.
    pub(super) fn run_until(&self, answers: usize) -> Child {
        let mut command = self.command(&["eval", "run", "experiment.toml"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while self.journaled().len() < answers {
            assert!(started.elapsed() < Duration::from_secs(120), "nothing is answered");
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }

    /// Runs a command that must succeed and print JSON.
    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.assay(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Answers in all journals.
    pub(super) fn journaled(&self) -> Vec<Value> {
        let runs = std::fs::read_dir(self.path("store/runs")).into_iter().flatten().flatten();
        let texts = runs.filter_map(|run| std::fs::read_to_string(run.path().join("journal.jsonl")).ok());
        texts
            .flat_map(|text| text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>())
            .filter(|line| line["case"].is_string())
            .collect()
    }

    pub(super) fn write_dataset(&self, cases: usize) {
        let mut lines = String::new();
        for index in 0..cases {
            writeln!(lines, "{}", case(index)).unwrap();
        }
        std::fs::create_dir_all(self.path("golden/small")).unwrap();
        self.write("golden/small/cases.jsonl", &lines);
        let parsed = assay::golden::Case::parse_lines("cases.jsonl", &lines).unwrap();
        let manifest = assay::golden::Manifest {
            name: "small".to_owned(),
            version: 1,
            ontology: 1,
            frozen: true,
            sha256: assay::hash::sha256(&lines),
            counts: assay::golden::Coverage::of(&parsed),
        };
        self.write("golden/small/dataset.toml", &toml::to_string(&manifest).unwrap());
    }
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Three arms, two of which ask the model.
pub(super) fn experiment(profile: &str) -> String {
    format!(
        "name = 'small'\nquestion = 'does it run?'\ndataset = 'small'\nprimary = 'root_cause'\nmargin = 0.05\n\
         profile = '{profile}'\ndigest_tokens = 300\ntimeout_s = 120\n\
         [[arm]]\nname = 'rules'\nprompt = 'triage@1'\nmodel = 'rules'\n\
         [[arm]]\nname = 'a'\nprompt = 'triage@1'\nmodel = 'tiny'\n\
         [[arm]]\nname = 'b'\nroute = true\nmodel = 'tiny'\n\
         [[compare]]\na = 'a'\nb = 'b'\n"
    )
}

fn case(index: usize) -> Value {
    let fault = index.is_multiple_of(2);
    let last = if fault { "write /data/wal: no space left on device" } else { "compaction finished" };
    let level = if fault { "error" } else { "info" };
    let second = 1_700_000_000_000_000_000_u64 + index as u64 * 1_000_000_000;
    let entries: Vec<Value> = (0..5)
        .map(|n| (format!("level=info msg=\"request {n} served\" took={n}ms"), n))
        .chain([(format!("level={level} msg=\"{last}\""), 5)])
        .map(|(line, n)| json!([(second + n * 1_000_000).to_string(), 0, line]))
        .collect();
    json!({
        "id": format!("s-{index:03}"), "family": "monitoring", "split": if fault { "standard" } else { "no-fault" },
        "difficulty": "easy", "cluster": format!("c-{index:03}"),
        "streams": [{ "namespace": "monitoring", "container": "prometheus" }],
        "entries": entries,
        "target": {
            "severity": if fault { "error" } else { "info" },
            "root_cause": if fault { "disk_full" } else { "none" },
            "components": if fault { vec!["prometheus"] } else { vec![] },
            "summary": "Made for a test.", "decisive": if fault { vec![5] } else { vec![] }
        },
        "provenance": { "program": "none", "version": "0", "fault": "made for a test" },
        "review": { "by": "fault" }
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
