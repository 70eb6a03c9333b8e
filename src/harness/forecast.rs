//! What an experiment would ask, and how long that would take, before anything is started.
//!
//! Times come from earlier runs in the store and from nowhere else: a model that never ran here has none.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::HarnessError;
use super::plan;
use crate::digest::Budget;
use crate::experiment::{Arm, Experiment, Kind, ModelSpec, Profile};
use crate::installation::{Installation, Shelf};
use crate::run::RunRecord;
use crate::score::Metric;
use crate::store::Store;

/// What one arm would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Its name.
    pub arm: String,
    /// Prompt version, or that the routing rules choose.
    pub prompt: String,
    /// Name of the model.
    pub model: String,
    /// Questions: cases times repeats.
    pub questions: usize,
    /// Tokens of one prompt, estimated locally: the mean over cases.
    pub prompt_tokens_mean: f64,
    /// Tokens of the longest prompt.
    pub prompt_tokens_most: f64,
    /// Expected duration, in seconds; `None` where the model never ran here.
    pub seconds: Option<f64>,
    /// The run that the duration comes from.
    pub from: Option<String>,
    /// Whether that run asked with the same prompt, budget and sampling.
    pub same_questions: bool,
    /// The model's file, where it should be and is not.
    pub missing_file: Option<String>,
}

/// Looks ahead at every arm of an experiment; the models are not started. Without a store nothing ran earlier.
///
/// # Errors
/// What a run would refuse before it starts its models: dataset, prompts, models that do not exist.
pub async fn forecast(
    installation: &Installation,
    store: Option<&Store>,
    experiment: &Experiment,
) -> Result<Vec<Forecast>, HarnessError> {
    let shelf = installation.shelf(&experiment.dataset)?;
    plan::check(installation, experiment, &shelf)?;
    let mut specs = BTreeMap::new();
    for arm in &experiment.arms {
        let refuse = |reason| HarnessError::Arm { arm: arm.name.clone(), reason };
        specs.insert(arm.model.clone(), installation.models.get(&arm.model).map_err(refuse)?);
    }
    let earlier = match store {
        Some(store) => records(store).await?,
        None => Vec::new(),
    };
    let prompts = prompts(installation, experiment, &shelf, &specs)?;
    let cases = shelf.ids().len();
    let look = |(arm, prompts): (&Arm, Prompts)| {
        look(installation, experiment, (cases, prompts), arm, specs[&arm.model], &earlier)
    };
    Ok(experiment.arms.iter().zip(prompts).map(look).collect())
}

/// Lengths of an arm's prompts, in estimated tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Prompts {
    total: f64,
    most: f64,
}

/// Renders every prompt of every arm, one case after the other.
fn prompts(
    installation: &Installation,
    experiment: &Experiment,
    shelf: &Shelf,
    specs: &BTreeMap<String, &ModelSpec>,
) -> Result<Vec<Prompts>, HarnessError> {
    let mut found = vec![Prompts::default(); experiment.arms.len()];
    for case in shelf.cases() {
        let window = case?.window;
        for (arm, prompts) in experiment.arms.iter().zip(&mut found) {
            let bytes_per_token = specs[&arm.model].bytes_per_token;
            let budget = Budget { tokens: arm.digest_tokens, bytes_per_token };
            let prepared = installation.pipeline.prepare(window.clone(), &arm.choice, budget);
            let rendered = prepared.map_err(|reason| HarnessError::Arm { arm: arm.name.clone(), reason })?.rendered;
            let tokens = (rendered.system.len() + rendered.user.len()) as f64 / bytes_per_token;
            prompts.total += tokens;
            prompts.most = prompts.most.max(tokens);
        }
    }
    Ok(found)
}

/// Published runs, newest first; a damaged one foretells nothing, and neither does one that was made up.
async fn records(store: &Store) -> Result<Vec<RunRecord>, HarnessError> {
    let mut records = Vec::new();
    for id in store.ids().await?.into_iter().rev() {
        match store.record(&id).await {
            Ok(record) => records.extend(record.filter(|record| !record.plan.sample)),
            Err(error) => tracing::warn!(%error, "a run is left out of the forecast"),
        }
    }
    Ok(records)
}

fn look(
    installation: &Installation,
    experiment: &Experiment,
    (cases, prompts): (usize, Prompts),
    arm: &Arm,
    spec: &ModelSpec,
    earlier: &[RunRecord],
) -> Forecast {
    let questions = cases * experiment.repeats as usize;
    let asked = |record: &&RunRecord| asks_the_same(&record.plan.arm, arm);
    let mut of_model = earlier
        .iter()
        .filter(|r| r.plan.model.spec.kind == spec.kind && r.plan.experiment.profile == experiment.profile);
    let basis = of_model.clone().find(asked).or_else(|| of_model.next());
    Forecast {
        arm: arm.name.clone(),
        prompt: arm.choice.to_string(),
        model: arm.model.clone(),
        questions,
        prompt_tokens_mean: prompts.total / cases.max(1) as f64,
        prompt_tokens_most: prompts.most,
        seconds: basis.and_then(|record| Some(seconds_per_question(record)? * questions as f64)),
        from: basis.map(|record| record.plan.id.clone()),
        same_questions: basis.as_ref().is_some_and(asked),
        missing_file: missing_file(installation, &spec.kind),
    }
}

fn asks_the_same(a: &Arm, b: &Arm) -> bool {
    a.choice == b.choice && a.digest_tokens == b.digest_tokens && a.sampling == b.sampling
}

/// The mean latency; shared by the questions that are under way at once.
fn seconds_per_question(record: &RunRecord) -> Option<f64> {
    let at_once = match record.plan.experiment.profile {
        Profile::Reproducible => 1,
        Profile::Throughput => record.plan.model.slots.unwrap_or(1),
    };
    Some(record.metrics.get(&Metric::LatencyMs)?.value / 1e3 / f64::from(at_once.max(1)))
}

fn missing_file(installation: &Installation, kind: &Kind) -> Option<String> {
    let Kind::Managed { file, .. } = kind else { return None };
    let path = installation.root.join("models").join(file);
    (!path.is_file()).then(|| path.display().to_string())
}
