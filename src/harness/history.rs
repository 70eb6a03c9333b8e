//! Sample history put into a store: nights resampled from real runs, scored by the scorers and held against baselines
//! as real nights are, but without a model. See [`crate::sample`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};

use super::error::HarnessError;
use super::plan::identify;
use super::publish::graded;
use crate::compare::{Baseline, GateRecord, RunGate, gate_runs};
use crate::experiment::Kind;
use crate::golden::{Case, Dataset};
use crate::installation::Installation;
use crate::ontology::Ontology;
use crate::run::{FORMAT, Run};
use crate::sample::{Sampler, Slot, Story};
use crate::store::{Ledger, Store};
use crate::summary::summarise;

/// How far back the ledger goes at most.
const LEDGER: TimeDelta = TimeDelta::days(7);

/// What was put into a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Runs published.
    pub runs: usize,
    /// Gates asked.
    pub gates: usize,
    /// Gates among them that did not pass.
    pub closed: usize,
    /// Answers to standing questions in the ledger.
    pub verdicts: usize,
}

/// What all nights share.
struct Source {
    runs: Vec<Run>,
    dataset: Dataset,
    /// Where each case stands in the dataset.
    places: HashMap<String, usize>,
    ontology: Ontology,
    story: Story,
}

/// Writes the history that `story` tells of `runs`, the newest of each arm, into `store`. Nights are summarised in
/// parallel, because the intervals of a run take a core for a while.
///
/// # Errors
/// A dataset or an ontology that is not the one of the runs, runs of different datasets, or a failing store.
pub async fn write_history(
    installation: &Installation,
    runs: Vec<Run>,
    story: Story,
    store: &Store,
) -> Result<Told, HarnessError> {
    let source = Arc::new(source(installation, runs, story)?);
    let arms = source.runs.len();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let nights = (0..story.nights).flat_map(|night| (0..arms).map(move |arm| (night, arm)));
    let made = stream::iter(nights).map(|(night, arm)| {
        let source = Arc::clone(&source);
        async move {
            let made = tokio::task::spawn_blocking(move || source.run(arm, night)).await;
            (night, arm, made.expect("the task is awaited and does not panic"))
        }
    });
    let mut made = std::pin::pin!(made.buffered(cores));
    let (mut told, mut baselines) = (Told::default(), BTreeMap::<usize, Run>::new());
    // The arm that standing questions go to: the first that asks a model.
    let asked = source.runs.iter().position(|run| run.record.plan.model.spec.kind != Kind::Rules).unwrap_or(0);
    let mut live: BTreeMap<bool, Run> = BTreeMap::new();
    while let Some((night, arm, run)) = made.next().await {
        // A night beyond the calendar.
        let Some(mut run) = run else { continue };
        store.put_plan(&run.record.plan).await?;
        store.commit(&mut run).await?;
        told.runs += 1;
        if let Some(baseline) = baselines.get(&arm).filter(|_| story.is_gated(night)) {
            let gate = gate(baseline, &run)?;
            told.closed += usize::from(gate.result.gate.outcome != crate::stats::GateOutcome::NonInferior);
            store.put_gate(&gate).await?;
            told.gates += 1;
        }
        if story.is_pinned(night) {
            pin(store, &run).await?;
            baselines.insert(arm, run.clone());
        }
        if arm == asked {
            live.insert(story.is_changed(night), run);
        }
    }
    store.keep_catalogue().await;
    told.verdicts = write_ledger(store, story, &live).await?;
    Ok(told)
}

/// Gives standing questions about each family their answers, from the newest night before and after the change.
async fn write_ledger(store: &Store, story: Story, live: &BTreeMap<bool, Run>) -> Result<usize, HarnessError> {
    let rows = live.values().flat_map(|run| &run.results);
    let families: BTreeSet<&str> = rows.map(|row| row.family.as_str()).collect();
    let families: Vec<&str> = families.into_iter().collect();
    let ledger = Ledger::new(store, 1, "assay");
    let length = TimeDelta::days(i64::from(story.nights)).min(LEDGER);
    let mut written = 0;
    for slot in Slot::all(families.len(), length, story.seed) {
        let at = slot.at(story.until);
        let changed = story.is_changed_at(at);
        let Some(run) = live.get(&changed).or_else(|| live.values().next()) else { continue };
        let record = slot.record(&run.record.plan, &run.results, families[slot.question], at, changed);
        if let Some(record) = record {
            ledger.append(&record).await?;
            written += 1;
        }
    }
    ledger.flush().await?;
    Ok(written)
}

/// Holds the installation to what the runs were made with: their answers are scored against its truth.
fn source(installation: &Installation, runs: Vec<Run>, story: Story) -> Result<Source, HarnessError> {
    let plan = &runs
        .first()
        .ok_or_else(|| HarnessError::Arm { arm: "-".to_owned(), reason: "there is no run to resample".to_owned() })?;
    let plan = &plan.record.plan;
    let dataset = installation.dataset(&plan.experiment.dataset)?;
    let sha256 = identify(&dataset.manifest).sha256;
    let changed = |id: &str, field, planned: &str, found: &str| {
        let (id, wanted) = (id.to_owned(), "resampled");
        let (planned, found) = (planned.to_owned(), found.to_owned());
        if planned == found { Ok(()) } else { Err(HarnessError::Changed { id, wanted, field, planned, found }) }
    };
    let found = installation.pipeline.prompts.ontologies().get(&plan.pipeline.ontology);
    for run in &runs {
        let of = &run.record.plan;
        changed(&of.id, "dataset.sha256", &of.dataset.sha256, &sha256)?;
        let ontology = found.map_or("not there", |ontology| ontology.sha256.as_str());
        changed(&of.id, "pipeline.ontology_sha256", &of.pipeline.ontology_sha256, ontology)?;
    }
    let ontology = found.expect("a missing one has no hash and was refused").clone();
    let places = dataset.cases.iter().zip(0..).map(|(case, place)| (case.id.clone(), place)).collect();
    Ok(Source { runs, dataset, places, ontology, story })
}

impl Source {
    fn case(&self, id: &str) -> Option<&Case> {
        self.dataset.cases.get(*self.places.get(id)?)
    }

    /// A night's run of an arm, scored and summarised.
    fn run(&self, arm: usize, night: u32) -> Option<Run> {
        let sampler = Sampler::new(self.story, &self.runs);
        let run = &self.runs[arm];
        let plan = sampler.plan(run, night)?;
        let answers = sampler.answers(run, &plan, night).into_iter();
        let results: Vec<_> =
            answers.filter_map(|answer| Some(graded(self.case(&answer.case)?, answer, &self.ontology))).collect();
        let finished = results.iter().map(finished).max().unwrap_or(plan.started);
        let record = summarise(&results, plan.experiment.seed).into_record(plan, finished, 0);
        Some(Run { record, results })
    }
}

fn finished(row: &crate::run::CaseResult) -> DateTime<Utc> {
    row.answer.at + TimeDelta::microseconds((row.answer.latency_ms * 1e3) as i64)
}

async fn pin(store: &Store, run: &Run) -> Result<(), HarnessError> {
    let plan = &run.record.plan;
    let baseline = Baseline {
        format: FORMAT,
        name: format!("sample-{}", plan.arm.slug()),
        run: plan.id.clone(),
        results_sha256: run.record.results_sha256.clone(),
        record_sha256: store.record_sha256(&plan.id).await?,
        set: run.record.finished + TimeDelta::minutes(5),
    };
    store.put_baseline(&baseline).await?;
    Ok(())
}

/// What `assay eval gate` would have kept that night.
fn gate(baseline: &Run, run: &Run) -> Result<GateRecord, HarnessError> {
    let plan = &run.record.plan;
    let experiment = &plan.experiment;
    let asked = gate_runs(baseline, run, experiment.primary, experiment.margin, experiment.seed);
    let result: RunGate =
        asked.map_err(|refusal| HarnessError::Arm { arm: plan.arm.name.clone(), reason: refusal.to_string() })?;
    let at = run.record.finished + TimeDelta::minutes(5);
    Ok(GateRecord {
        format: FORMAT,
        id: format!("{}-sample-{}-{}", at.format("%Y%m%dT%H%M%S%3fZ"), result.metric, plan.arm.slug()),
        at,
        baseline_name: Some(format!("sample-{}", plan.arm.slug())),
        dataset: plan.dataset.name.clone(),
        run_results_sha256: run.record.results_sha256.clone(),
        baseline_results_sha256: baseline.record.results_sha256.clone(),
        assay_version: env!("CARGO_PKG_VERSION").to_owned(),
        result,
    })
}
