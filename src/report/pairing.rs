//! Who is compared with whom, and what may be said about it.
//!
//! The comparisons that the experiment declared are made; where it declared none among these runs, each run is held
//! against the first, and the page says that this was not declared. Several comparisons on one page are one family:
//! each primary p-value is adjusted over them, and a claim that does not survive becomes *cannot tell*.

use serde::Serialize;

use super::text::{MISSING, interval, label, letter, p_value, signed, value};
use super::{Refused, plot};
use crate::compare::{RunComparison, amount, compare_rows, compare_runs, family, probability};
use crate::golden::Split;
use crate::run::{CaseResult, Run};
use crate::score::{Metric, Unit};
use crate::stats::{Comparison, Conclusion, Direction};

/// Two runs, compared.
#[derive(Debug)]
pub(super) struct Pairing {
    /// Index of the reference.
    pub(super) a: usize,
    /// Index of the run that is judged.
    pub(super) b: usize,
    declared: bool,
    comparison: RunComparison,
    subsets: Vec<(String, Option<Comparison>)>,
}

/// What may be said, in a word and a sentence.
#[derive(Debug, Serialize)]
pub(super) struct Sentence {
    /// The word: `better`, `worse`, `equivalent`, `cannot tell`, or `one run`.
    word: String,
    /// The word as a class name.
    kind: String,
    /// Which runs it is about.
    who: String,
    /// The sentence.
    text: String,
    /// Anything that limits it.
    notes: Vec<String>,
}

/// A comparison as the page shows it.
#[derive(Debug, Serialize)]
pub(super) struct PairView {
    a: String,
    b: String,
    a_index: usize,
    b_index: usize,
    a_label: String,
    b_label: String,
    metrics_plot: Option<String>,
    subsets_plot: Option<String>,
    rows: Vec<DeltaRow>,
}

#[derive(Debug, Serialize)]
struct DeltaRow {
    metric: String,
    primary: bool,
    a: String,
    b: String,
    delta: String,
    interval: Option<String>,
    p: String,
    mde: Option<String>,
    conclusion: String,
    kind: String,
}

/// Pairs the runs.
pub(super) fn pair(runs: &[Run]) -> Result<Vec<Pairing>, Refused> {
    let declared = declared(runs);
    let is_declared = !declared.is_empty();
    let pairs = if is_declared { declared } else { (1..runs.len()).map(|b| (0, b)).collect() };
    let compared = |(a, b): &(usize, usize)| compared(runs, *a, *b);
    let mut comparisons = pairs.iter().map(compared).collect::<Result<Vec<_>, _>>()?;
    family(&mut comparisons);
    let pairing = |((a, b), comparison)| Pairing::new(runs, a, b, is_declared, comparison);
    Ok(pairs.into_iter().zip(comparisons).map(pairing).collect())
}

/// The declared comparisons of which both runs are here: those of one session, in the order of the experiment.
fn declared(runs: &[Run]) -> Vec<(usize, usize)> {
    let plan = |index: usize| &runs[index].record.plan;
    let mut found: Vec<(usize, usize)> = Vec::new();
    for first in 0..runs.len() {
        for contrast in &plan(first).experiment.contrasts {
            let of_session = |name: &str| {
                let same = |index: &usize| plan(*index).session == plan(first).session;
                (0..runs.len()).filter(same).find(|index| plan(*index).arm.name == name)
            };
            if let (Some(a), Some(b)) = (of_session(&contrast.a), of_session(&contrast.b))
                && !found.contains(&(a, b))
            {
                found.push((a, b));
            }
        }
    }
    found
}

fn compared(runs: &[Run], a: usize, b: usize) -> Result<RunComparison, Refused> {
    let experiment = &runs[a].record.plan.experiment;
    let (primary, margin, seed) = (experiment.primary, experiment.margin, experiment.seed);
    compare_runs(&runs[a], &runs[b], primary, margin, seed).map_err(|source| {
        let id = |index: usize| runs[index].record.plan.id.clone();
        Refused::Incomparable { run: id(b), first: id(a), source: Box::new(source) }
    })
}

impl Pairing {
    fn new(runs: &[Run], a: usize, b: usize, declared: bool, comparison: RunComparison) -> Self {
        let experiment = &runs[a].record.plan.experiment;
        let (primary, seed) = (experiment.primary, experiment.seed);
        let families: std::collections::BTreeSet<&str> =
            runs[a].results.iter().map(|row| row.family.as_str()).collect();
        let subset = |keep: &dyn Fn(&CaseResult) -> bool| {
            let kept = |index: usize| runs[index].results.iter().filter(|row| keep(row)).collect::<Vec<_>>();
            compare_rows(kept(a), kept(b), primary, experiment.margin, seed).ok()
        };
        let splits = Split::ALL.into_iter().filter(|split| runs[a].results.iter().any(|row| row.split == *split));
        let mut subsets: Vec<(String, Option<Comparison>)> =
            splits.map(|split| (format!("split {}", split.as_str()), subset(&|row| row.split == split))).collect();
        subsets.extend(
            families.into_iter().map(|family| (format!("family {family}"), subset(&|row| row.family == family))),
        );
        Self { a, b, declared, comparison, subsets }
    }

    /// The primary metric's comparison.
    pub(super) fn primary(&self) -> &Comparison {
        &self.comparison.primary().comparison
    }

    /// The primary metric.
    pub(super) fn metric(&self) -> Metric {
        self.comparison.primary().metric
    }

    /// The difference that would not matter.
    pub(super) fn margin(&self) -> f64 {
        self.comparison.margin
    }

    fn sentence(&self, runs: &[Run]) -> Sentence {
        let said = self.primary().conclusion;
        let mut notes = Vec::new();
        if self.comparison.primary().p_adjusted.is_some() {
            let alone = probability(self.primary().p_value);
            notes.push(format!("Adjusted over the comparisons of this page; alone it would be {alone}."));
        }
        if self.primary().mde.is_none() {
            notes.push("The smallest difference that this dataset finds (MDE) cannot be estimated here.".to_owned());
        }
        if !self.declared {
            notes.push("The experiment did not declare this comparison: read it as exploratory.".to_owned());
        }
        let who = format!("{} against {}", label(runs, self.b), label(runs, self.a));
        Sentence { word: said.to_string(), kind: kind(said), who, text: format!("{}.", self.comparison), notes }
    }

    /// Quality metrics, the primary first, for the plot.
    pub(super) fn metric_rows(&self) -> Vec<plot::Delta> {
        let quality = |metric: Metric| metric.unit() == Unit::Share;
        self.comparison
            .rows
            .iter()
            .filter(|row| quality(row.metric))
            .map(|row| plot::Delta::new(row.metric.to_string(), row.metric, Some(&row.comparison), row.primary))
            .collect()
    }

    /// The primary metric in all cases, by split and by family, for the plot.
    pub(super) fn subset_rows(&self) -> Vec<plot::Delta> {
        let all = plot::Delta::new("all cases".to_owned(), self.metric(), Some(self.primary()), true);
        let each = self.subsets.iter().map(|(name, comparison)| {
            let cases = comparison.as_ref().map_or(0, |comparison| comparison.n_cases);
            plot::Delta::new(format!("{name} ({cases})"), self.metric(), comparison.as_ref(), false).within_margin()
        });
        std::iter::once(all).chain(each).collect()
    }

    /// As the page shows it, with its plots.
    pub(super) fn view(&self, runs: &[Run], metrics: Option<String>, subsets: Option<String>) -> PairView {
        let row = |row: &crate::compare::Row| {
            let (metric, c) = (row.metric, &row.comparison);
            DeltaRow {
                metric: metric.to_string(),
                primary: row.primary,
                a: value(metric, c.a),
                b: value(metric, c.b),
                delta: signed(metric, c.delta),
                interval: c
                    .ci_low
                    .zip(c.ci_high)
                    .map(|(low, high)| format!("{} to {}", signed(metric, low), signed(metric, high))),
                p: p_value(row.p_adjusted.unwrap_or(c.p_value)),
                mde: c.mde.map(|mde| amount(metric, mde)),
                conclusion: c.conclusion.to_string(),
                kind: kind(c.conclusion),
            }
        };
        PairView {
            a: letter(self.a),
            b: letter(self.b),
            a_index: self.a,
            b_index: self.b,
            a_label: label(runs, self.a),
            b_label: label(runs, self.b),
            metrics_plot: metrics,
            subsets_plot: subsets,
            rows: self.comparison.rows.iter().filter(|row| !row.metric.is_part()).map(row).collect(),
        }
    }
}

fn kind(conclusion: Conclusion) -> String {
    conclusion.to_string().replace(' ', "-")
}

/// What may be said: a sentence per comparison, or what one run alone shows.
pub(super) fn sentences(runs: &[Run], pairings: &[Pairing]) -> Vec<Sentence> {
    if !pairings.is_empty() {
        return pairings.iter().map(|pairing| pairing.sentence(runs)).collect();
    }
    let primary = runs[0].record.plan.experiment.primary;
    let facts = match runs[0].record.metrics.get(&primary) {
        None => format!("{primary} was not measured"),
        Some(found) => {
            let limits = interval(primary, found.ci_low, found.ci_high);
            let limits = limits.map_or("no honest interval".to_owned(), |limits| format!("95 % CI {limits}"));
            let shown = value(primary, found.value);
            format!("{primary} {shown} ({limits}, {} cases in {} clusters)", found.n_cases, found.n_clusters)
        }
    };
    let alone = "One run alone says how good it is, not whether it is better than another.".to_owned();
    let text = format!("{}: {facts}.", runs[0].record.plan.title());
    vec![Sentence {
        word: "one run".to_owned(),
        kind: "one-run".to_owned(),
        who: label(runs, 0),
        text,
        notes: vec![alone],
    }]
}

/// How far a case improved, positive where *b* is better; none where either has no score.
pub(super) fn gain(metric: Metric, a: Option<f64>, b: Option<f64>) -> Option<f64> {
    let difference = b? - a?;
    Some(if metric.direction() == Direction::HigherIsBetter { difference } else { -difference })
}

/// A value in words, for a case.
pub(super) fn scored(metric: Metric, found: Option<f64>) -> String {
    found.map_or(MISSING.to_owned(), |found| value(metric, found))
}
