//! From an experiment to plans: everything that a run will be held to, decided before its first question.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::backend::Backends;
use super::environment::environment;
use super::error::HarnessError;
use crate::digest;
use crate::experiment::{Arm, Choice, Experiment};
use crate::golden::Manifest;
use crate::installation::{Installation, Shelf};
use crate::prompt::{Prompt, PromptId};
use crate::redact;
use crate::run::{DatasetId, FORMAT, PipelineId, Plan};
use crate::score;
use crate::store::Store;

/// The name of a session that starts at `started`; the ids of its runs begin with it.
pub(super) fn session_name(started: DateTime<Utc>) -> String {
    started.format("%Y%m%dT%H%M%S%3fZ").to_string()
}

/// `now`, or the next moment that no session in the store is named after: a wall clock that was set back, or a second
/// harness, must not lead into another session's runs.
pub(super) async fn unused_moment(store: &Store, now: DateTime<Utc>) -> Result<DateTime<Utc>, HarnessError> {
    let ids = store.ids().await?;
    let mut moment = now;
    while ids.iter().any(|id| id.starts_with(&session_name(moment))) {
        moment += TimeDelta::milliseconds(1);
    }
    Ok(moment)
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
            resumed_in: Vec::new(),
        })
    };
    experiment.arms.iter().map(plan).collect()
}

/// Refuses what cannot be run or would prove nothing, before a model is started.
pub(super) fn check(installation: &Installation, experiment: &Experiment, shelf: &Shelf) -> Result<(), HarnessError> {
    for arm in &experiment.arms {
        pipeline(installation, &shelf.manifest, arm)?;
    }
    // One that is missing was just refused.
    let ontology = installation.pipeline.prompts.ontologies().get(&shelf.manifest.ontology);
    Ok(ontology.map_or(Ok(()), |ontology| shelf.check(ontology))?)
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
