//! What made each run: a row per fact, once where all runs share it.

use serde::Serialize;

use crate::experiment::Kind;
use crate::run::Run;

/// A fact across the runs. What is not known says so.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: &'static str,
    /// One entry if all runs agree, else one per run; each a list of lines.
    values: Vec<Vec<String>>,
    /// Whether all runs agree.
    shared: bool,
}

type Fact = (&'static str, fn(&Run) -> Vec<String>);

const FACTS: [Fact; 24] = [
    ("run", |run| vec![run.record.plan.id.clone()]),
    ("experiment", |run| vec![run.record.plan.experiment.name.clone()]),
    ("dataset", |run| {
        let data = &run.record.plan.dataset;
        vec![
            format!("{}, version {}, {} cases", data.name, data.version, data.cases),
            format!("sha256 {}", data.sha256),
        ]
    }),
    ("ontology", |run| {
        let pipeline = &run.record.plan.pipeline;
        vec![format!("version {}", pipeline.ontology), format!("sha256 {}", pipeline.ontology_sha256)]
    }),
    ("prompts", prompts),
    ("routes", |run| {
        let routes = &run.record.plan.pipeline.routes_sha256;
        vec![routes.as_ref().map_or("not used: one prompt for all".to_owned(), |hash| format!("sha256 {hash}"))]
    }),
    ("redaction, digest, scorer", |run| {
        let pipeline = &run.record.plan.pipeline;
        vec![format!("{}, {}, {}", pipeline.redaction, pipeline.digest, pipeline.scorer)]
    }),
    ("digest budget", |run| vec![format!("{} tokens", run.record.plan.arm.digest_tokens)]),
    ("model", |run| {
        let spec = &run.record.plan.model.spec;
        let demo = if spec.demo { "; a demo model" } else { "" };
        vec![format!("{}: {}{demo}", spec.name, spec.description)]
    }),
    ("quantization", |run| vec![run.record.plan.model.spec.quantization.clone()]),
    ("model file", |run| {
        let hash = run.record.plan.model.gguf_sha256.as_ref();
        vec![known(run, hash.map(|hash| format!("sha256 {hash}")))]
    }),
    ("server fingerprint", |run| vec![known(run, run.record.plan.model.fingerprint.clone())]),
    ("llama.cpp build", |run| vec![known(run, run.record.plan.model.build_info.clone())]),
    ("chat template", |run| {
        let hash = run.record.plan.model.chat_template_sha256.as_ref();
        vec![known(run, hash.map(|hash| format!("sha256 {hash}")))]
    }),
    ("context, slots, threads", |run| {
        let model = &run.record.plan.model;
        let shown = |number: Option<u32>| known(run, number.map(|number| number.to_string()));
        let all = [model.context_tokens, model.slots, model.threads].map(shown);
        vec![if all[0] == all[1] && all[1] == all[2] { all[0].clone() } else { all.join(", ") }]
    }),
    ("sampling", |run| {
        let s = &run.record.plan.arm.sampling;
        if run.record.plan.model.spec.kind == Kind::Rules {
            return vec![NO_MODEL.to_owned()];
        }
        let text = format!("temperature {}, top_p {}, seed {}", s.temperature, s.top_p, s.seed);
        vec![format!("{text}, at most {} tokens", s.max_tokens)]
    }),
    ("profile, repeats", |run| {
        let experiment = &run.record.plan.experiment;
        vec![format!("{}, {}", experiment.profile.as_str(), experiment.repeats)]
    }),
    ("time limit, statistics seed", |run| {
        let experiment = &run.record.plan.experiment;
        vec![format!("{} s, {}", experiment.timeout_s, experiment.seed)]
    }),
    ("assay", |run| vec![run.record.plan.environment.assay_version.clone()]),
    ("commit", |run| {
        let environment = &run.record.plan.environment;
        let state = match environment.dirty {
            Some(true) => ", with uncommitted changes",
            Some(false) => "",
            None => ", state of the tree unknown",
        };
        vec![environment.commit.as_ref().map_or("unknown".to_owned(), |commit| format!("{commit}{state}"))]
    }),
    ("host", |run| {
        let environment = &run.record.plan.environment;
        let cpu = environment.cpu.as_deref().unwrap_or("CPU unknown");
        let here = vec![format!("{cpu}, {} CPUs", environment.cpus), environment.os.clone()];
        here.into_iter().chain(run.record.plan.moves()).collect()
    }),
    ("started", |run| vec![run.record.plan.started.format("%F %T UTC").to_string()]),
    ("finished", |run| {
        let resumed = match run.record.resumed {
            0 => String::new(),
            times => format!(", resumed {times} times"),
        };
        vec![format!("{}{resumed}", run.record.finished.format("%F %T UTC"))]
    }),
    ("results", |run| vec![format!("sha256 {}", run.record.results_sha256)]),
];

const NO_MODEL: &str = "no model: rules";

/// What is not known of a model; rules have none of it.
fn known(run: &Run, value: Option<String>) -> String {
    let unknown = if run.record.plan.model.spec.kind == Kind::Rules { NO_MODEL } else { "unknown" };
    value.unwrap_or_else(|| unknown.to_owned())
}

fn prompts(run: &Run) -> Vec<String> {
    let pipeline = &run.record.plan.pipeline;
    let line = |(id, hash): (&String, &String)| {
        let draft = if pipeline.drafts.contains(id) { " (draft, not released)" } else { "" };
        format!("{id}{draft} sha256 {hash}")
    };
    pipeline.prompts.iter().map(line).collect()
}

/// The facts in their order.
pub(super) fn rows(runs: &[Run]) -> Vec<Row> {
    let row = |(name, fact): Fact| {
        let mut values: Vec<Vec<String>> = runs.iter().map(fact).collect();
        let shared = values.iter().all(|value| *value == values[0]);
        if shared {
            values.truncate(1);
        }
        Row { name, values, shared }
    };
    FACTS.into_iter().map(row).collect()
}
