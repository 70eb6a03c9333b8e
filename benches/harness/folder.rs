//! An installation of generated cases, and `assay` run in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use assay::digest::Budget;
use assay::golden::{Case, Coverage, Manifest};
use assay::hash;
use assay::installation::Installation;
use assay::model::Question;
use assay::verdict;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Log lines of a case; golden windows have more.
const LINES: usize = 60;
/// How often the peak is read; the kernel keeps it, so that only the last moments can be missed.
const LOOK: Duration = Duration::from_millis(5);

/// What `assay` did.
pub(crate) struct Ran {
    pub(crate) took: Duration,
    /// Peak of its resident memory, in bytes; 0 where the system does not tell.
    pub(crate) peak: u64,
}

/// A folder that `assay` accepts as root.
pub(crate) struct Folder {
    dir: TempDir,
}

impl Folder {
    /// The prompts as shipped and `cases` cases.
    pub(crate) fn new(cases: usize) -> Result<Self> {
        let folder = Self { dir: tempfile::tempdir()? };
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts"), &folder.path("prompts"))?;
        std::fs::create_dir_all(folder.path("models"))?;
        std::fs::create_dir_all(folder.path("golden/made"))?;
        let mut lines = String::new();
        for index in 0..cases {
            writeln!(lines, "{}", case(index))?;
        }
        let counts = Coverage::of(&Case::parse_lines("cases.jsonl", &lines)?);
        let sha256 = hash::sha256(&lines);
        let manifest = Manifest { name: "made".to_owned(), version: 1, ontology: 1, frozen: true, sha256, counts };
        folder.write("golden/made/cases.jsonl", &lines)?;
        folder.write("golden/made/dataset.toml", &toml::to_string(&manifest)?)?;
        Ok(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.path(name), text).with_context(|| format!("cannot write {name}"))
    }

    /// Declares the rules and, at a URL with its bytes per token, an external `model`.
    pub(crate) fn models(&self, model: Option<(&str, f64)>) -> Result<()> {
        let mut text = "[[model]]\nname = 'rules'\ndescription = 'rules'\nkind = 'rules'\n".to_owned();
        if let Some((url, bytes)) = model {
            let (kind, per) = (format!("kind = 'external'\nurl = '{url}'"), format!("bytes_per_token = {bytes}"));
            write!(text, "[[model]]\nname = 'model'\ndescription = 'a server'\n{kind}\n{per}\n")?;
        }
        self.write("models/models.toml", &text)
    }

    /// Writes the experiment; an arm is its name, prompt and model.
    pub(crate) fn experiment(&self, profile: &str, arms: &[(&str, &str, &str)]) -> Result<()> {
        let mut text = format!(
            "name = 'made'\nquestion = 'what does it cost?'\ndataset = 'made'\nprimary = 'root_cause'\nmargin = 0.05\n\
             profile = '{profile}'\ndigest_tokens = 300\ntimeout_s = 120\nsampling = {{ max_tokens = 48 }}\n"
        );
        for (name, prompt, model) in arms {
            write!(text, "[[arm]]\nname = '{name}'\nprompt = '{prompt}'\nmodel = '{model}'\n")?;
        }
        self.write("experiment.toml", &text)
    }

    pub(crate) fn dataset_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.path("golden/made/cases.jsonl"))?.len())
    }

    /// The questions of the experiment's first arm, as the harness asks them.
    pub(crate) fn questions(&self, cache_prompt: bool) -> Result<Vec<Question>> {
        let installation = Installation::load(self.dir.path())?;
        let experiment = installation.experiment(&self.path("experiment.toml"))?;
        let arm = &experiment.arms[0];
        let spec = installation.models.get(&arm.model).map_err(anyhow::Error::msg)?;
        let budget = Budget { tokens: arm.digest_tokens, bytes_per_token: spec.bytes_per_token };
        let question = |case: Case| {
            let prepared = installation.pipeline.prepare(case.window, &arm.choice, budget);
            let prepared = prepared.map_err(anyhow::Error::msg)?;
            Ok(Question {
                system: prepared.rendered.system.clone(),
                user: prepared.rendered.user.clone(),
                schema: verdict::schema(prepared.ontology),
                sampling: arm.sampling,
                cache_prompt,
                timeout: Duration::from_secs_f64(experiment.timeout_s),
            })
        };
        installation.dataset("made")?.cases.into_iter().map(question).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.current_dir(self.dir.path()).args(arguments).env("ASSAY_STORE", self.path("store"));
        command.env_remove("ASSAY_ROOT").stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs `assay`, which must succeed.
    pub(crate) fn assay(&self, arguments: &[&str]) -> Result<Ran> {
        self.assay_in(arguments, &[])
    }

    /// The same, with further variables in its environment.
    pub(crate) fn assay_in(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Ran> {
        let start = Instant::now();
        let mut child = self.command(arguments).envs(variables.iter().copied()).stdout(Stdio::piped()).spawn()?;
        let mut output = child.stdout.take().context("its output is piped")?;
        let reader = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let mut most = 0;
        let (status, took) = loop {
            most = most.max(peak(child.id()).unwrap_or_default());
            if reader.is_finished() {
                break (child.wait()?, start.elapsed());
            }
            std::thread::sleep(LOOK);
        };
        ensure!(status.success(), "assay {arguments:?} ended with {status}");
        reader.join().map_err(|_| anyhow::anyhow!("the reader failed"))??;
        Ok(Ran { took, peak: most })
    }

    /// Starts the experiment and kills it when its journal has `answers` answers; returns how many it has then.
    pub(crate) fn killed_after(&self, answers: usize) -> Result<usize> {
        let mut child = self.command(&["eval", "run", "experiment.toml"]).stdout(Stdio::null()).spawn()?;
        while self.answers()? < answers {
            ensure!(child.try_wait()?.is_none(), "it ended before it could be killed");
            std::thread::sleep(LOOK);
        }
        child.kill()?;
        child.wait()?;
        self.answers()
    }

    fn answers(&self) -> Result<usize> {
        let Ok(runs) = std::fs::read_dir(self.path("store/runs")) else { return Ok(0) };
        let mut lines = 0;
        for run in runs {
            let journal = std::fs::read_to_string(run?.path().join("journal.jsonl")).unwrap_or_default();
            lines += journal
                .split_inclusive('\n')
                .filter(|line| line.starts_with("{\"case\"") && line.ends_with('\n'))
                .count();
        }
        Ok(lines)
    }
}

/// Peak of a process's resident memory, in bytes.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

fn case(index: usize) -> Value {
    let fault = index.is_multiple_of(2);
    let last = if fault { "write /data/wal: no space left on device" } else { "compaction finished" };
    let level = if fault { "error" } else { "info" };
    let second = 1_700_000_000_000_000_000_u64 + index as u64 * 1_000_000_000;
    let served = |n: usize| {
        let (path, took) = (["query", "labels", "series", "push"][n % 4], (n * 7 + index) % 900);
        format!("level=info component=web-{} msg=\"request {path}/{index} served\" took={took}ms status=200", n % 5)
    };
    let lines = (0..LINES).map(served).chain([format!("level={level} component=tsdb msg=\"{last}\"")]);
    let entries: Vec<Value> =
        lines.enumerate().map(|(n, line)| json!([(second + n as u64 * 1_000_000).to_string(), 0, line])).collect();
    json!({
        "id": format!("s-{index:05}"), "family": "monitoring", "split": if fault { "standard" } else { "no-fault" },
        "difficulty": "easy", "cluster": format!("c-{index:05}"),
        "streams": [{ "namespace": "monitoring", "container": "prometheus" }],
        "entries": entries,
        "target": {
            "severity": if fault { "error" } else { "info" },
            "root_cause": if fault { "disk_full" } else { "none" },
            "components": if fault { vec!["prometheus"] } else { vec![] },
            "summary": "Made for a benchmark.", "decisive": if fault { vec![LINES] } else { vec![] }
        }
    })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?
        } else {
            std::fs::copy(entry.path(), target).map(|_| ())?
        }
    }
    Ok(())
}
