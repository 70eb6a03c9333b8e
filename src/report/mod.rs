//! One page about some runs: what may be said, the numbers with their intervals, plots, the worst cases, and what made
//! it all. As HTML for a person, as Markdown for a pull request.
//!
//! The same runs give the same bytes. The page is one file that asks for nothing: styles and plots stand in it, and it
//! has no script. Everything that comes from a log, a model or a file is text in it, never markup (`text`). What was
//! not measured is shown as such, never as 0, and a demo model's figures are marked wherever they stand.
//!
//! Refused: runs that must not be compared, the same run twice, and more runs than a reader can tell apart.
//!
//! # Layout
//! `pairing` (who is compared with whom, and what may be said), `tables` (numbers), `confusion`, `worst` (cases and
//! their digests), `provenance`, `plot` (SVG), `page` (templates).

mod confusion;
mod page;
mod pairing;
mod plot;
mod provenance;
mod tables;
mod text;
mod worst;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::analyze::Pipeline;
use crate::compare::{Refusal, comparable};
use crate::golden::{Case, Manifest};
use crate::run::Run;
use pairing::Pairing;

/// The most runs on one page: there are as many colours that can be told apart in light and in dark.
pub const MOST_RUNS: usize = 8;

/// What a page is made from.
pub struct Sources<'a> {
    /// The runs, in the order of the page; where they declare no comparison, the first is the reference.
    pub runs: &'a [Run],
    /// What log lines are shown from, or why none can be.
    pub logs: Result<Logs<'a>, String>,
}

/// What the digests of the cases are made from again: the store keeps no log lines.
#[derive(Clone, Copy)]
pub struct Logs<'a> {
    /// The dataset; one that is not the runs' own is not used.
    pub dataset: &'a Manifest,
    /// Finds one of its cases: of a large dataset a page shows few.
    pub case: &'a dyn Fn(&str) -> Option<Case>,
    /// The installation's pipeline.
    pub pipeline: &'a Pipeline,
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Nothing to report.
    #[error("a report needs a run: name one or more")]
    Empty,
    /// More runs than a reader can tell apart.
    #[error("{count} runs are too many for one page: name at most {MOST_RUNS}")]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// A run that was given twice.
    #[error("run `{run}` is named twice: name each run once")]
    Twice {
        /// Its id.
        run: String,
    },
    /// Runs with different primary metrics: no single metric would decide.
    #[error(
        "run `{run}` cannot stand beside run `{first}`: they differ in `experiment.primary`: {a} against {b}\n  \
         hint: make a page for each, or run both with one primary metric"
    )]
    Primary {
        /// The run that does not fit.
        run: String,
        /// The first run of the page.
        first: String,
        /// The first run's primary metric.
        a: crate::score::Metric,
        /// The other's.
        b: crate::score::Metric,
    },
    /// Runs whose difference would mean nothing.
    #[error("run `{run}` cannot stand beside run `{first}`: {source}")]
    Incomparable {
        /// The run that does not fit.
        run: String,
        /// The run that it was held against.
        first: String,
        /// The field that differs.
        source: Box<Refusal>,
    },
}

/// A page, worked out and ready to be written.
#[derive(Debug, Serialize)]
pub struct Report {
    title: String,
    question: String,
    arms: Vec<tables::ArmView>,
    demo: bool,
    sample: bool,
    dataset: tables::DatasetView,
    primary: String,
    margin: String,
    conclusions: Vec<pairing::Sentence>,
    metrics: Vec<tables::MetricRow>,
    subsets: Vec<tables::SubsetTable>,
    outcomes: tables::Outcomes,
    pairs: Vec<pairing::PairView>,
    severity: Vec<confusion::Matrix>,
    causes: Vec<confusion::Matrix>,
    outcome_plot: String,
    latency_plot: String,
    tradeoff_plot: Option<String>,
    worst: worst::Worst,
    provenance: Vec<provenance::Row>,
}

impl Report {
    /// Works a page out. Comparing resamples thousands of times: with several runs this takes seconds of one core.
    ///
    /// # Errors
    /// Runs that do not belong on one page; the error names the run and the field.
    pub fn new(sources: &Sources<'_>) -> Result<Self, Refused> {
        let runs = sources.runs;
        check(runs)?;
        let pairings = pairing::pair(runs)?;
        let plan = &runs[0].record.plan;
        let arms = tables::arms(runs);
        Ok(Self {
            title: title(runs),
            question: plan.experiment.question.clone(),
            demo: arms.iter().any(|arm| arm.demo),
            sample: runs.iter().any(|run| run.record.plan.sample),
            dataset: tables::dataset(runs),
            primary: plan.experiment.primary.to_string(),
            margin: crate::compare::amount(plan.experiment.primary, plan.experiment.margin),
            conclusions: pairing::sentences(runs, &pairings),
            metrics: tables::metrics(runs),
            subsets: tables::subsets(runs),
            outcomes: tables::outcomes(runs),
            pairs: pairings.iter().map(|pairing| view(runs, pairing)).collect(),
            severity: confusion::severity(runs),
            causes: confusion::root_causes(runs),
            outcome_plot: plot::outcomes(runs),
            latency_plot: plot::latency(runs),
            tradeoff_plot: plot::tradeoff(runs),
            worst: worst::worst(sources, &pairings),
            provenance: provenance::rows(runs),
            arms,
        })
    }

    /// The page as one HTML file.
    pub fn html(&self) -> String {
        page::html(self)
    }

    /// The same in short, for a comment on a pull request.
    pub fn markdown(&self) -> String {
        page::markdown(self)
    }
}

fn view(runs: &[Run], pairing: &Pairing) -> pairing::PairView {
    let metrics = plot::forest(runs, pairing, &pairing.metric_rows());
    let subsets = plot::forest(runs, pairing, &pairing.subset_rows());
    pairing.view(runs, metrics, subsets)
}

fn title(runs: &[Run]) -> String {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.record.plan.experiment.name.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn check(runs: &[Run]) -> Result<(), Refused> {
    let first = runs.first().ok_or(Refused::Empty)?;
    if runs.len() > MOST_RUNS {
        return Err(Refused::TooMany { count: runs.len() });
    }
    let mut seen = BTreeSet::new();
    for run in runs {
        let plan = &run.record.plan;
        let named = || (plan.id.clone(), first.record.plan.id.clone());
        if !seen.insert(&plan.id) {
            return Err(Refused::Twice { run: plan.id.clone() });
        }
        comparable(&first.record, &run.record).map_err(|source| {
            let (run, first) = named();
            Refused::Incomparable { run, first, source: Box::new(source) }
        })?;
        let (a, b) = (first.record.plan.experiment.primary, plan.experiment.primary);
        if a != b {
            let (run, first) = named();
            return Err(Refused::Primary { run, first, a, b });
        }
    }
    Ok(())
}
