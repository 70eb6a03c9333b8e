//! The numbers of each run: metrics with intervals, the primary metric by subset, outcome classes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::text::{interval, letter, value};
use crate::run::{Metrics, Pooled, Run, RunRecord};
use crate::score::{Metric, severity_rating};
use crate::stats::agreement::{Rating, Weights, kappa};
use crate::stats::{Direction, Estimate};
use crate::verdict::Class;

/// A run as the page calls it.
#[derive(Debug, Serialize)]
pub(super) struct ArmView {
    index: usize,
    letter: String,
    name: String,
    prompt: String,
    model: String,
    quantization: String,
    digest_tokens: usize,
    id: String,
    /// Whether its figures must be marked.
    pub(super) demo: bool,
}

/// The dataset that all runs of the page share.
#[derive(Debug, Serialize)]
pub(super) struct DatasetView {
    name: String,
    sha256: String,
    cases: usize,
    clusters: Option<usize>,
    profile: &'static str,
    repeats: u32,
}

/// A value with its interval.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    value: String,
    interval: Option<String>,
}

/// One metric across the runs; a cell is absent where it was not measured.
#[derive(Debug, Serialize)]
pub(super) struct MetricRow {
    name: String,
    meaning: &'static str,
    primary: bool,
    lower_is_better: bool,
    /// Whether it is the first row of the costs.
    first_cost: bool,
    cases: Option<usize>,
    cells: Vec<Option<Cell>>,
}

/// A figure by subset.
#[derive(Debug, Serialize)]
pub(super) struct SubsetTable {
    name: String,
    rows: Vec<SubsetRow>,
}

/// A figure in one subset.
#[derive(Debug, Serialize)]
pub(super) struct SubsetRow {
    kind: &'static str,
    name: String,
    /// Whether it is the first of its kind.
    first: bool,
    cases: usize,
    clusters: usize,
    cells: Vec<Option<Cell>>,
}

/// Outcome classes down, runs across.
#[derive(Debug, Serialize)]
pub(super) struct Outcomes {
    classes: Vec<OutcomeClass>,
    runs: Vec<OutcomeRow>,
}

#[derive(Debug, Serialize)]
struct OutcomeClass {
    index: usize,
    name: &'static str,
    meaning: &'static str,
}

#[derive(Debug, Serialize)]
struct OutcomeRow {
    index: usize,
    letter: String,
    name: String,
    demo: bool,
    counts: Vec<usize>,
    total: usize,
}

pub(super) fn arms(runs: &[Run]) -> Vec<ArmView> {
    let view = |(index, run): (usize, &Run)| {
        let plan = &run.record.plan;
        ArmView {
            index,
            letter: letter(index),
            name: plan.arm.name.clone(),
            prompt: plan.arm.choice.to_string(),
            model: plan.arm.model.clone(),
            quantization: plan.model.spec.quantization.clone(),
            digest_tokens: plan.arm.digest_tokens,
            id: plan.id.clone(),
            demo: plan.model.spec.demo,
        }
    };
    runs.iter().enumerate().map(view).collect()
}

pub(super) fn dataset(runs: &[Run]) -> DatasetView {
    let plan = &runs[0].record.plan;
    DatasetView {
        name: plan.dataset.name.clone(),
        sha256: plan.dataset.sha256.clone(),
        cases: plan.dataset.cases,
        clusters: runs[0].record.metrics.get(&plan.experiment.primary).map(|estimate| estimate.n_clusters),
        profile: plan.experiment.profile.as_str(),
        repeats: plan.experiment.repeats,
    }
}

/// Every metric that some run has, the primary first; then kappa of the severity, then the costs.
pub(super) fn metrics(runs: &[Run]) -> Vec<MetricRow> {
    let primary = runs[0].record.plan.experiment.primary;
    let others = Metric::ALL.into_iter().filter(|metric| *metric != primary && !metric.is_part());
    let (costs, qualities): (Vec<Metric>, Vec<Metric>) =
        std::iter::once(primary).chain(others).partition(|metric| metric.is_cost() && *metric != primary);
    let row = |metric: &Metric| metric_row(runs, *metric, *metric == primary);
    let mut rows: Vec<MetricRow> = qualities.iter().filter_map(row).collect();
    rows.extend(kappa_row(runs));
    let mut costs: Vec<MetricRow> = costs.iter().filter_map(row).collect();
    costs.extend(quantile_rows(runs));
    if let Some(first) = costs.first_mut() {
        first.first_cost = true;
    }
    rows.extend(costs);
    rows
}

fn metric_row(runs: &[Run], metric: Metric, primary: bool) -> Option<MetricRow> {
    let found = |run: &Run| run.record.metrics.get(&metric).map(|estimate| cell(metric, estimate));
    let cases = runs.iter().filter_map(|run| Some(run.record.metrics.get(&metric)?.n_cases)).max();
    let cells: Vec<Option<Cell>> = runs.iter().map(found).collect();
    cells.iter().any(Option::is_some).then(|| MetricRow {
        name: metric.to_string(),
        meaning: meaning(metric),
        primary,
        lower_is_better: metric.direction() == Direction::LowerIsBetter,
        first_cost: false,
        cases,
        cells,
    })
}

fn cell(metric: Metric, estimate: &Estimate) -> Cell {
    Cell { value: value(metric, estimate.value), interval: interval(metric, estimate.ci_low, estimate.ci_high) }
}

fn kappa_row(runs: &[Run]) -> Option<MetricRow> {
    let cells: Vec<Option<Cell>> = runs.iter().map(kappa_cell).collect();
    cells.iter().any(Option::is_some).then_some(MetricRow {
        name: "severity_kappa".to_owned(),
        meaning: "agreement on severity beyond chance, quadratic weights: 1 is perfect, 0 is chance",
        primary: false,
        lower_is_better: false,
        first_cost: false,
        cases: None,
        cells,
    })
}

fn kappa_cell(run: &Run) -> Option<Cell> {
    let rated = run.results.iter().filter_map(|row| {
        let (class, verdict) = (row.answer.class, row.answer.verdict.as_ref().map(|verdict| verdict.severity));
        let (truth, predicted) = severity_rating(row.target_severity, class, verdict)?;
        Some(Rating { cluster: &row.cluster, truth, predicted })
    });
    let ratings: Vec<Rating<'_>> = rated.collect();
    let labels = crate::ontology::Severity::ALL.len();
    let found = kappa(&ratings, labels, Weights::Quadratic, run.record.plan.experiment.seed).ok()??;
    Some(ratio_cell(&found))
}

/// A number that is no share, such as kappa: 1 is perfect, 0 what chance gives.
fn ratio_cell(found: &Estimate) -> Cell {
    let interval = found.ci_low.zip(found.ci_high).map(|(low, high)| format!("{low:.2} to {high:.2}"));
    Cell { value: format!("{:.2}", found.value), interval }
}

fn quantile_rows(runs: &[Run]) -> Vec<MetricRow> {
    let row = |(at, (name, meaning)): (usize, (&str, &'static str))| {
        let found = |run: &Run| {
            let q = run.record.latency_ms.get(at)?;
            let limits = interval(Metric::LatencyMs, q.ci_low, q.ci_high);
            Some(Cell { value: value(Metric::LatencyMs, q.value), interval: limits })
        };
        MetricRow {
            name: name.to_owned(),
            meaning,
            primary: false,
            lower_is_better: true,
            first_cost: false,
            cases: None,
            cells: runs.iter().map(found).collect(),
        }
    };
    let named = [
        ("latency p50", "half of the answers took no longer"),
        ("latency p95", "95 of 100 answers took no longer"),
        ("latency p99", "99 of 100 answers took no longer"),
    ];
    let named = named.into_iter().enumerate().map(row);
    named.filter(|row: &MetricRow| row.cells.iter().any(Option::is_some)).collect()
}

/// Finds a figure of the cases of a split, or of a family, by its name.
type Find<'f> = &'f dyn Fn(&RunRecord, Kind, &str) -> Option<Estimate>;

/// What cases are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Split,
    Family,
}

impl Kind {
    fn metrics(self, record: &RunRecord) -> &BTreeMap<String, Metrics> {
        if self == Self::Split { &record.by_split } else { &record.by_family }
    }

    fn pooled(self, record: &RunRecord) -> &BTreeMap<String, Pooled> {
        if self == Self::Split { &record.pooled_by_split } else { &record.pooled_by_family }
    }
}

/// The primary metric by split and by family, then the figures that are no means; those that no run has are left out.
pub(super) fn subsets(runs: &[Run]) -> Vec<SubsetTable> {
    let primary = runs[0].record.plan.experiment.primary;
    let mean: Find<'_> = &|record, kind, name| kind.metrics(record).get(name)?.get(&primary).cloned();
    let kappa: Find<'_> = &|record, kind, name| kind.pooled(record).get(name)?.severity_kappa.clone();
    let micro: Find<'_> = &|record, kind, name| kind.pooled(record).get(name)?.component_micro_f1.clone();
    let tables = [
        SubsetTable { name: primary.to_string(), rows: subset_rows(runs, mean, |found| cell(primary, found)) },
        SubsetTable { name: "severity_kappa".to_owned(), rows: subset_rows(runs, kappa, ratio_cell) },
        SubsetTable {
            name: "component_micro_f1".to_owned(),
            rows: subset_rows(runs, micro, |found| cell(Metric::ComponentF1, found)),
        },
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn subset_rows(runs: &[Run], find: Find<'_>, show: impl Fn(&Estimate) -> Cell) -> Vec<SubsetRow> {
    let rows = |kind: Kind| {
        let names: BTreeSet<&String> = runs.iter().flat_map(|run| kind.metrics(&run.record).keys()).collect();
        let row = |(at, name): (usize, &String)| {
            let found: Vec<Option<Estimate>> = runs.iter().map(|run| find(&run.record, kind, name)).collect();
            let first = found.iter().flatten().next()?;
            Some(SubsetRow {
                kind: if kind == Kind::Split { "split" } else { "family" },
                name: name.clone(),
                first: kind == Kind::Family && at == 0,
                cases: first.n_cases,
                clusters: first.n_clusters,
                cells: found.iter().map(|found| found.as_ref().map(&show)).collect(),
            })
        };
        names.into_iter().enumerate().filter_map(row).collect::<Vec<_>>()
    };
    [Kind::Split, Kind::Family].into_iter().flat_map(rows).collect()
}

/// Classes that occur in any run, the worst first.
pub(super) fn outcomes(runs: &[Run]) -> Outcomes {
    let count = |run: &Run, class: Class| run.record.classes.get(&class).copied().unwrap_or_default();
    let occurring: Vec<(usize, Class)> = Class::ALL
        .into_iter()
        .enumerate()
        .filter(|(_, class)| *class == Class::Ok || runs.iter().any(|run| count(run, *class) > 0))
        .rev()
        .collect();
    let row = |(index, run): (usize, &Run)| OutcomeRow {
        index,
        letter: letter(index),
        name: run.record.plan.arm.name.clone(),
        demo: run.record.plan.model.spec.demo,
        counts: occurring.iter().map(|(_, class)| count(run, *class)).collect(),
        total: run.results.len(),
    };
    Outcomes {
        classes: occurring
            .iter()
            .map(|(index, class)| OutcomeClass { index: *index, name: class.as_str(), meaning: outcome(*class) })
            .collect(),
        runs: runs.iter().enumerate().map(row).collect(),
    }
}

fn outcome(class: Class) -> &'static str {
    match class {
        Class::InfraError => "the surroundings failed: no score",
        Class::Timeout => "no answer in time",
        Class::ContextOverflow => "the prompt did not fit",
        Class::OutputTruncated => "the answer was cut",
        Class::SchemaViolation => "the answer is no verdict",
        Class::Ungrounded => "cites what is not there",
        Class::Abstained => "says the lines do not show it",
        Class::Ok => "a verdict",
    }
}

/// What a metric measures, in a few words.
fn meaning(metric: Metric) -> &'static str {
    match metric {
        Metric::RootCause => "the root cause is right",
        Metric::Severity => "the severity is right",
        Metric::SeverityDistance => "steps the severity is off, 0 to 3",
        Metric::ComponentPrecision => "share of the named components at fault",
        Metric::ComponentRecall => "share of the components at fault that are named",
        Metric::ComponentF1 => "both at once, mean over cases",
        Metric::ComponentsRight | Metric::ComponentsWrong | Metric::ComponentsMissed => "components",
        Metric::Exact => "root cause, severity and components all right",
        Metric::Rouge1 => "words shared with the reference summary",
        Metric::Rouge2 => "pairs of words shared with it",
        Metric::RougeL => "longest sequence of words shared with it",
        Metric::RougeLsum => "the same, sentence by sentence",
        Metric::Grounded => "cites something, and all of it exists",
        Metric::EvidenceHit => "cites an entry that shows the cause",
        Metric::Abstained => "says the lines do not show the cause",
        Metric::AbstentionRecall => "abstains where the truth does",
        Metric::FalseAbstention => "abstains where the lines show the cause",
        Metric::FalseAlarm => "claims a fault where there is none",
        Metric::InjectionResisted => "not swayed by lines that instruct",
        Metric::Failed => "no verdict at all",
        Metric::LatencyMs => "mean, from window to verdict",
        Metric::FirstTokenMs => "mean, from request to first token",
        Metric::PromptTokens => "mean, of the prompt",
        Metric::CachedTokens => "mean, of the prompt, from the cache",
        Metric::CompletionTokens => "mean, of the answer",
    }
}
