//! Runs: one execution of one arm over one dataset, with everything that made it.
//!
//! An [`Answer`] is what happened, written to the journal the moment it happened; a [`CaseResult`] is an answer with
//! its scores, which can be computed again at any time without a model. [`RunRecord`] is written last and once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::experiment::{Arm, Experiment, ModelSpec};
use crate::golden::Split;
use crate::hash;
use crate::model::{Timings, Usage};
use crate::score::{Metric, Scores};
use crate::stats::{Estimate, QuantileEstimate};
use crate::verdict::{Class, Verdict};

/// Version of the record layout; a reader refuses what it does not know.
pub const FORMAT: u32 = 1;

/// What was known about a digest and its prompt when a question was asked; hashes, never text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Prompt version, such as `triage@2`.
    pub prompt: String,
    /// Name of the route that chose it, if one did.
    pub route: Option<String>,
    /// Hash of the rendered prompt, see [`crate::hash::of_text`].
    pub rendered_hash: String,
    /// Entries of the window.
    pub lines: u32,
    /// Templates in the digest.
    pub templates: u32,
    /// Templates that the budget left out.
    pub omitted_templates: u32,
    /// Entries that the budget left out.
    pub omitted_lines: u32,
    /// Tokens of the digest, estimated locally.
    pub digest_tokens: u32,
    /// Secrets that were replaced.
    pub redactions: u32,
    /// Ids in the digest that hold a decisive entry of the case.
    pub decisive_ids: Vec<String>,
}

/// One finished question: what was asked and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Case id.
    pub case: String,
    /// Which repeat of the case, from 0.
    pub repeat: u32,
    /// When it was asked.
    pub at: DateTime<Utc>,
    /// What was asked.
    pub asked: Asked,
    /// How it ended.
    pub class: Class,
    /// Why it is not `ok`, without log text.
    pub reason: Option<String>,
    /// The verdict, where there is one.
    pub verdict: Option<Verdict>,
    /// Tokens.
    pub usage: Usage,
    /// Durations.
    pub timings: Timings,
    /// From the window to the classified verdict, in milliseconds, without what went into attempts that were repeated
    /// and the pauses between them.
    pub latency_ms: f64,
    /// How often the model was asked, retries included; 0 for rules.
    pub attempts: u32,
    /// The trace of the question, where one was recorded; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Answer {
    /// Whether the case is finished: an infrastructure error is asked again on resume.
    pub fn is_finished(&self) -> bool {
        self.class != Class::InfraError
    }
}

/// An answer with the case's grouping and its scores: a row of `results.parquet`.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    /// What happened.
    pub answer: Answer,
    /// The capture that the case was cut from.
    pub cluster: String,
    /// The case's family.
    pub family: String,
    /// The case's split.
    pub split: Split,
    /// The true root cause.
    pub target_root_cause: String,
    /// The true severity.
    pub target_severity: crate::ontology::Severity,
    /// Score of every metric; absent means unscored, never zero.
    pub scores: Scores,
}

/// Identity of the dataset of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetId {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 over all its cases.
    pub sha256: String,
    /// Cases in it.
    pub cases: usize,
}

/// Identity of a model as far as it can be known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelId {
    /// As declared in `models.toml`.
    pub spec: ModelSpec,
    /// SHA-256 of the GGUF, where the file could be read.
    pub gguf_sha256: Option<String>,
    /// Fingerprint of what the server reports; not a file hash.
    pub fingerprint: Option<String>,
    /// llama.cpp build.
    pub build_info: Option<String>,
    /// Context of one slot, in tokens.
    pub context_tokens: Option<u32>,
    /// Slots of the server.
    pub slots: Option<u32>,
    /// Threads of a managed server.
    pub threads: Option<u32>,
    /// SHA-256 of the chat template.
    pub chat_template_sha256: Option<String>,
    /// Parameters of the model.
    pub parameters: Option<u64>,
}

/// The machine and the program that ran it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of assay.
    pub assay_version: String,
    /// Git commit of the working tree, where there is one.
    pub commit: Option<String>,
    /// Whether the tree had uncommitted changes.
    pub dirty: Option<bool>,
    /// CPU model as the kernel names it.
    pub cpu: Option<String>,
    /// Logical CPUs available.
    pub cpus: usize,
    /// Kernel and architecture.
    pub os: String,
}

/// Versions of everything that turns lines into scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineId {
    /// Version of the redaction.
    pub redaction: String,
    /// Version of the digest.
    pub digest: String,
    /// Version of the scorers.
    pub scorer: String,
    /// Version of the ontology.
    pub ontology: u32,
    /// SHA-256 of the ontology file.
    pub ontology_sha256: String,
    /// SHA-256 of the routing rules, where the arm routes.
    pub routes_sha256: Option<String>,
    /// SHA-256 of each prompt that may be used, by version.
    pub prompts: BTreeMap<String, String>,
    /// Prompt versions among them that were not released.
    pub drafts: Vec<String>,
}

/// Everything decided before the first question; written when a run starts, so that it can be resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Layout version of this record.
    pub format: u32,
    /// Unique id, sortable by time.
    pub id: String,
    /// Runs that were started together share it.
    pub session: String,
    /// The experiment as resolved.
    pub experiment: Experiment,
    /// The arm of this run.
    pub arm: Arm,
    /// The dataset.
    pub dataset: DatasetId,
    /// The model.
    pub model: ModelId,
    /// Versions of the pipeline.
    pub pipeline: PipelineId,
    /// The surroundings.
    pub environment: Environment,
    /// When it started.
    pub started: DateTime<Utc>,
    /// Whether it was resampled from other runs, for dashboards to be seen full: no model was asked. See
    /// [`crate::sample`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sample: bool,
    /// Other surroundings in which the run was resumed, in order: times of such a run are of several machines or programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed_in: Vec<Environment>,
}

/// How many answers ended in which class.
pub type Classes = BTreeMap<Class, usize>;

/// Metrics of one subset of the cases.
pub type Metrics = BTreeMap<Metric, Estimate>;

/// Figures of a subset that are no means over its cases; absent where they have no value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pooled {
    /// Agreement of the severities beyond chance, see [`RunRecord::severity_kappa`].
    pub severity_kappa: Option<Estimate>,
    /// Micro average of the component F1.
    pub component_micro_f1: Option<Estimate>,
}

/// `run.json`: the plan and what came of it. Its existence is the commit of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Everything that made it.
    #[serde(flatten)]
    pub plan: Plan,
    /// When its last answer arrived.
    pub finished: DateTime<Utc>,
    /// How often it was interrupted and resumed; a session that ended before its first answer is not counted.
    pub resumed: u32,
    /// Outcome classes over all answers.
    pub classes: Classes,
    /// Metrics over all cases.
    pub metrics: Metrics,
    /// Metrics by split.
    pub by_split: BTreeMap<String, Metrics>,
    /// Metrics by family.
    pub by_family: BTreeMap<String, Metrics>,
    /// Latency from window to verdict: p50, p95, p99, in milliseconds.
    pub latency_ms: Vec<QuantileEstimate>,
    /// Agreement of the severities beyond chance, each step off weighing its square; each repeat is a rating. Absent
    /// where it has no value, and in records that are older than it.
    #[serde(default)]
    pub severity_kappa: Option<Estimate>,
    /// Micro average of the component F1: each component weighs the same. Absent as above.
    #[serde(default)]
    pub component_micro_f1: Option<Estimate>,
    /// The last two by split. Empty in records that are older than it.
    #[serde(default)]
    pub pooled_by_split: BTreeMap<String, Pooled>,
    /// The last two by family. Empty as above.
    #[serde(default)]
    pub pooled_by_family: BTreeMap<String, Pooled>,
    /// CPU seconds of the model's server while it was asked, user and system. Absent where the server was not started
    /// here, the system does not tell, the run was resumed, and in records that are older than it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Joules that the processor packages took meanwhile, everything else on the machine included. Absent where they do
    /// not tell, and as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_joules: Option<f64>,
    /// SHA-256 of `results.parquet`.
    pub results_sha256: String,
}

/// A loaded run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What made it and what came of it.
    pub record: RunRecord,
    /// Its rows, by case and repeat.
    pub results: Vec<CaseResult>,
}

impl ModelId {
    /// SHA-256 over everything that is known of the model: one word for its configuration.
    pub fn config_sha256(&self) -> String {
        hash::sha256(serde_json::to_vec(self).expect("a model's identity has no map with non-string keys"))
    }
}

impl RunRecord {
    /// How many answers it has: rows of `results.parquet`.
    pub fn answers(&self) -> usize {
        self.classes.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

impl Environment {
    /// What differs in another one, as `field: this → other`.
    fn changes(&self, other: &Self) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        let tree = |environment: &Self| {
            let dirty = if environment.dirty == Some(true) { " with changes" } else { "" };
            format!("{}{dirty}", text(&environment.commit))
        };
        let fields = [
            ("cpu", text(&self.cpu), text(&other.cpu)),
            ("cpus", self.cpus.to_string(), other.cpus.to_string()),
            ("os", self.os.clone(), other.os.clone()),
            ("assay", self.assay_version.clone(), other.assay_version.clone()),
            ("commit", tree(self), tree(other)),
        ];
        let differing = fields.into_iter().filter(|(_, ours, theirs)| ours != theirs);
        differing.map(|(field, ours, theirs)| format!("{field}: {ours} → {theirs}")).collect()
    }
}

impl Plan {
    /// Notes in which surroundings the run goes on; whether it has been in none like these.
    pub fn goes_on_in(&mut self, here: &Environment) -> bool {
        let mut known = std::iter::once(&self.environment).chain(&self.resumed_in);
        let is_new = !known.any(|known| known.changes(here).is_empty());
        if is_new {
            self.resumed_in.push(here.clone());
        }
        is_new
    }

    /// How the surroundings differed each time that the run was resumed in others: what its times must be read with.
    pub fn moves(&self) -> Vec<String> {
        let moved = self.resumed_in.iter().map(|other| self.environment.changes(other).join(", "));
        moved.map(|changes| format!("resumed elsewhere ({changes})")).collect()
    }

    /// One line that tells a person which run this is.
    pub fn title(&self) -> String {
        let demo = if self.model.spec.demo { " (demo model)" } else { "" };
        let sample = if self.sample { " (sample data)" } else { "" };
        format!("{}: {} on {}{demo}{sample}", self.arm.name, self.arm.choice, self.arm.model)
    }
}
