//! From an experiment to plans: everything that a run will be held to, decided before its first question.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::backend::Backends;
use super::environment::environment;
use super::error::HarnessError;
use crate::digest;
use crate::experiment::{Arm, Choice, Experiment};
use crate::golden::Manifest;
use crate::installation::Installation;
use crate::prompt::{Prompt, PromptId};
use crate::redact;
use crate::run::{DatasetId, FORMAT, PipelineId, Plan};
use crate::score;

/// The name of a session that starts at `started`; the ids of its runs begin with it.
pub(super) fn session_name(started: DateTime<Utc>) -> String {
    started.format("%Y%m%dT%H%M%S%3fZ").to_string()
}

/// One plan per arm. `started` gives the ids, so that runs of one session sort together.
pub(super) fn plans(
    installation: &Installation,
    experiment: &Experiment,
    dataset: &Manifest,
    backends: &Backends,
    started: DateTime<Utc>,
) -> Result<Vec<Plan>, HarnessError> {
    let environment = environment(&installation.root);
    let session = session_name(started);
    let plan = |arm: &Arm| {
        let pipeline = pipeline(installation, dataset, arm)?;
        let backend = backends.get(&arm.model).ok_or_else(|| HarnessError::Arm {
            arm: arm.name.clone(),
            reason: format!("model `{}` was not started", arm.model),
        })?;
        Ok(Plan {
            format: FORMAT,
            id: format!("{session}-{}", arm.slug()),
            session: session.clone(),
            experiment: experiment.clone(),
            arm: arm.clone(),
            dataset: identify(dataset),
            model: backend.id.clone(),
            pipeline,
            environment: environment.clone(),
            started,
            sample: false,
        })
    };
    experiment.arms.iter().map(plan).collect()
}

pub(super) fn identify(dataset: &Manifest) -> DatasetId {
    DatasetId {
        name: dataset.name.clone(),
        version: dataset.version,
        sha256: dataset.sha256.clone(),
        cases: dataset.counts.total,
    }
}

/// Versions and hashes of everything that an arm's questions pass through.
pub(super) fn pipeline(installation: &Installation, dataset: &Manifest, arm: &Arm) -> Result<PipelineId, HarnessError> {
    let registry = &installation.pipeline.prompts;
    let refuse = |reason: String| HarnessError::Arm { arm: arm.name.clone(), reason };
    let mut prompts: Vec<&Prompt> = Vec::new();
    for id in candidates(installation, &arm.choice) {
        prompts.push(registry.get(id).map_err(refuse)?);
    }
    let ontology = registry.ontologies().get(&dataset.ontology).ok_or_else(|| {
        refuse(format!("the dataset is labelled with ontology {}, which is not there", dataset.ontology))
    })?;
    if let Some(other) = prompts.iter().find(|prompt| prompt.ontology != ontology.version) {
        let (id, theirs, ours) = (&other.id, other.ontology, ontology.version);
        return Err(refuse(format!("prompt {id} is written for ontology {theirs}, the dataset for {ours}")));
    }
    let is_draft = |prompt: &&&Prompt| registry.lock.released(&prompt.id.to_string()).is_none();
    Ok(PipelineId {
        redaction: redact::VERSION.to_owned(),
        digest: digest::VERSION.to_owned(),
        scorer: score::VERSION.to_owned(),
        ontology: ontology.version,
        ontology_sha256: ontology.sha256.clone(),
        routes_sha256: (arm.choice == Choice::Route).then(|| installation.pipeline.routes.sha256.clone()),
        prompts: prompts.iter().map(|p| (p.id.to_string(), p.sha256.clone())).collect::<BTreeMap<_, _>>(),
        drafts: prompts.iter().filter(is_draft).map(|prompt| prompt.id.to_string()).collect(),
    })
}

fn candidates<'a>(installation: &'a Installation, choice: &'a Choice) -> Vec<&'a PromptId> {
    match choice {
        Choice::Prompt(id) => vec![id],
        Choice::Route => installation.pipeline.routes.iter().map(|route| &route.prompt).collect(),
    }
}
