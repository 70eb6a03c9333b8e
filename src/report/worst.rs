//! The cases to read first: those that a run lost against its reference, then those that no run got right.
//!
//! The store keeps no log lines. Where the dataset is at hand each window goes through the pipeline once more, and the
//! digest is shown as what the model saw only if the prompt that comes of it has the hash that was recorded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::pairing::{Pairing, gain, scored};
use super::text::{label, letter};
use super::{Logs, Sources};
use crate::analyze::Prepared;
use crate::digest::Budget;
use crate::golden::Case;
use crate::run::{CaseResult, Run};
use crate::score::Metric;
use crate::stats::Direction;
use crate::summary::case_means;

/// Cases shown of each list; the page says how many there are.
const SHOWN: usize = 10;

/// The lists.
#[derive(Debug, Serialize)]
pub(super) struct Worst {
    lists: Vec<List>,
    /// Why there are no log lines, where there are none.
    no_logs: Option<String>,
}

#[derive(Debug, Serialize)]
struct List {
    title: String,
    /// What a list without cases means.
    empty: String,
    total: usize,
    cases: Vec<CaseView>,
}

#[derive(Debug, Serialize)]
struct CaseView {
    id: String,
    split: &'static str,
    family: String,
    difficulty: Option<&'static str>,
    cluster: String,
    truth: Truth,
    verdicts: Vec<VerdictView>,
    digests: Vec<DigestView>,
}

#[derive(Debug, Serialize)]
struct Truth {
    root_cause: String,
    accept: String,
    severity: String,
    components: Option<String>,
    summary: Option<String>,
    /// How many lines show the cause.
    decisive: Option<usize>,
}

#[derive(Debug, Serialize)]
struct VerdictView {
    index: usize,
    letter: String,
    name: String,
    demo: bool,
    score: String,
    class: &'static str,
    reason: Option<String>,
    verdict: Option<Said>,
}

#[derive(Debug, Serialize)]
struct Said {
    root_cause: String,
    root_cause_right: bool,
    severity: String,
    severity_right: bool,
    components: String,
    evidence: String,
    summary: String,
}

#[derive(Debug, Serialize)]
struct DigestView {
    /// The runs that saw it.
    who: Vec<String>,
    budget: usize,
    streams: Vec<String>,
    lines: Vec<Line>,
    /// Whether no line that shows the cause is left in it.
    lost: bool,
    problem: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Line {
    /// Letters of the runs that cite it.
    cited: String,
    decisive: bool,
    text: String,
}

/// Answers to one case, with the index of the run.
type Rows<'r> = Vec<(usize, &'r CaseResult)>;

/// What the lists are drawn from.
struct Sheet<'a> {
    runs: &'a [Run],
    metric: Metric,
    /// The primary score of each case, by run.
    scores: Vec<BTreeMap<&'a str, f64>>,
    logs: Result<Logs<'a>, String>,
}

/// Draws the lists.
pub(super) fn worst<'a>(sources: &Sources<'a>, pairings: &[Pairing]) -> Worst {
    let (runs, metric) = (sources.runs, sources.runs[0].record.plan.experiment.primary);
    let means =
        |run: &'a Run| case_means(&run.results, metric).into_iter().map(|mean| (mean.case, mean.value)).collect();
    let sheet = Sheet { runs, metric, scores: runs.iter().map(means).collect(), logs: usable(sources) };
    let mut lists: Vec<List> = pairings.iter().map(|pairing| sheet.regressions(pairing)).collect();
    lists.extend((!metric.is_cost()).then(|| sheet.never_right()));
    Worst { lists, no_logs: sheet.logs.err() }
}

fn usable<'a>(sources: &Sources<'a>) -> Result<Logs<'a>, String> {
    let logs = sources.logs.clone()?;
    let (ours, theirs) = (logs.dataset, &sources.runs[0].record.plan.dataset);
    if ours.sha256 == theirs.sha256 {
        return Ok(logs);
    }
    Err(format!("the dataset {} at hand has sha256 {}, that of the runs {}", ours.name, ours.sha256, theirs.sha256))
}

impl<'a> Sheet<'a> {
    fn score(&self, run: usize, case: &str) -> Option<f64> {
        self.scores[run].get(case).copied()
    }

    fn regressions(&self, pairing: &Pairing) -> List {
        let (a, b) = (pairing.a, pairing.b);
        let gained = |case: &'a str| Some((case, gain(self.metric, self.score(a, case), self.score(b, case))?));
        let mut lost: Vec<(&str, f64)> =
            self.scores[b].keys().filter_map(|case| gained(case)).filter(|(_, gain)| *gain < 0.0).collect();
        lost.sort_by(|x, y| x.1.total_cmp(&y.1).then(x.0.cmp(y.0)));
        let names = (label(self.runs, b), label(self.runs, a));
        let cases: Vec<&str> = lost.into_iter().map(|(case, _)| case).collect();
        let empty = format!("{} lost no case against {}.", names.0, names.1);
        self.list(format!("Lost by {} against {}", names.0, names.1), empty, &cases, &[a, b])
    }

    fn never_right(&self) -> List {
        let worst = |value: f64| match self.metric.direction() {
            Direction::HigherIsBetter => value <= 0.0,
            Direction::LowerIsBetter => value >= 1.0,
        };
        let all: Vec<usize> = (0..self.runs.len()).collect();
        let failed = |case: &&str| all.iter().all(|run| self.score(*run, case).is_some_and(worst));
        let cases: Vec<&str> = self.scores[0].keys().copied().filter(failed).collect();
        let (title, empty) = match self.runs.len() {
            1 => (format!("Failed by {}", label(self.runs, 0)), "It failed no case."),
            _ => ("Failed by every run".to_owned(), "No case was failed by every run."),
        };
        self.list(title, empty.to_owned(), &cases, &all)
    }

    fn list(&self, title: String, empty: String, cases: &[&str], who: &[usize]) -> List {
        let shown = cases.iter().take(SHOWN).filter_map(|case| self.case(case, who)).collect();
        List { title, empty, total: cases.len(), cases: shown }
    }

    fn case(&self, id: &str, who: &[usize]) -> Option<CaseView> {
        // Of several repeats the one on which the judged run did worst.
        let judged = *who.last()?;
        let of_case = |run: usize| self.runs[run].results.iter().filter(move |row| row.answer.case == id);
        let quality = |row: &&CaseResult| gain(self.metric, Some(0.0), row.scores.get(&self.metric).copied());
        let by_quality = |x: &&CaseResult, y: &&CaseResult| {
            quality(x).unwrap_or(f64::INFINITY).total_cmp(&quality(y).unwrap_or(f64::INFINITY))
        };
        let repeat = of_case(judged).min_by(by_quality)?.answer.repeat;
        let rows: Vec<(usize, &CaseResult)> =
            who.iter().filter_map(|run| Some((*run, of_case(*run).find(|row| row.answer.repeat == repeat)?))).collect();
        let golden = self.logs.as_ref().ok().and_then(|logs| (logs.case)(id));
        let golden = golden.as_ref();
        let row = rows.first()?.1;
        Some(CaseView {
            id: id.to_owned(),
            split: row.split.as_str(),
            family: row.family.clone(),
            difficulty: golden.map(|case| case.difficulty.as_str()),
            cluster: row.cluster.clone(),
            truth: truth(row, golden),
            verdicts: rows.iter().map(|(run, row)| self.verdict(*run, row)).collect(),
            digests: golden.map(|case| self.digests(case, &rows)).unwrap_or_default(),
        })
    }

    fn verdict(&self, index: usize, row: &CaseResult) -> VerdictView {
        let plan = &self.runs[index].record.plan;
        let right = |metric| row.scores.get(&metric) == Some(&1.0);
        let said = row.answer.verdict.as_ref().map(|verdict| Said {
            root_cause: verdict.root_cause.clone(),
            root_cause_right: right(Metric::RootCause),
            severity: verdict.severity.to_string(),
            severity_right: right(Metric::Severity),
            components: listed(&verdict.components),
            evidence: listed(&verdict.evidence),
            summary: verdict.summary.clone(),
        });
        VerdictView {
            index,
            letter: letter(index),
            name: plan.arm.name.clone(),
            demo: plan.model.spec.demo,
            score: scored(self.metric, row.scores.get(&self.metric).copied()),
            class: row.answer.class.as_str(),
            reason: row.answer.reason.clone(),
            verdict: said,
        }
    }

    /// The digests of a case, those of equal text once.
    fn digests(&self, case: &Case, rows: &[(usize, &CaseResult)]) -> Vec<DigestView> {
        let Ok(logs) = &self.logs else { return Vec::new() };
        let mut found: Vec<(DigestView, String, Rows<'_>)> = Vec::new();
        for (run, row) in rows {
            let (view, text) = digest(logs, case, &self.runs[*run], row);
            match found.iter_mut().find(|(known, same, _)| *same == text && known.problem == view.problem) {
                Some((_, _, who)) => who.push((*run, row)),
                None => found.push((view, text, vec![(*run, row)])),
            }
        }
        let finish = |(mut view, text, who): (DigestView, String, Rows<'_>)| {
            view.who = who.iter().map(|(run, _)| label(self.runs, *run)).collect();
            // Ids of another digest would mark the wrong lines.
            let cites = if view.problem.is_none() { &who[..] } else { &[] };
            view.lost = !case.target.decisive.is_empty() && cites.iter().all(|(_, row)| lost(row)) && !cites.is_empty();
            view.lines = marked(&text, cites);
            view
        };
        found.into_iter().map(finish).collect()
    }
}

fn truth(row: &CaseResult, golden: Option<&Case>) -> Truth {
    let target = golden.map(|case| &case.target);
    Truth {
        root_cause: row.target_root_cause.clone(),
        accept: target.map(|target| target.accept.join(", ")).unwrap_or_default(),
        severity: row.target_severity.to_string(),
        components: target.map(|target| listed(&target.components)),
        summary: target.map(|target| target.summary.clone()),
        decisive: target.map(|target| target.decisive.len()),
    }
}

fn listed(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The digest of one run's question, made again, without its marks.
fn digest(logs: &Logs<'_>, case: &Case, run: &Run, row: &CaseResult) -> (DigestView, String) {
    let (arm, asked) = (&run.record.plan.arm, &row.answer.asked);
    let prepare = |tokens: usize| -> Result<Prepared<'_>, String> {
        let budget = Budget { tokens, bytes_per_token: run.record.plan.model.spec.bytes_per_token };
        logs.pipeline.prepare(case.window.clone(), &arm.choice, budget)
    };
    let same = |prepared: &Prepared<'_>| prepared.rendered.hash == asked.rendered_hash;
    let mut view = DigestView {
        who: Vec::new(),
        budget: arm.digest_tokens,
        streams: Vec::new(),
        lines: Vec::new(),
        lost: false,
        problem: None,
    };
    let mut prepared = match prepare(arm.digest_tokens) {
        Ok(prepared) => prepared,
        Err(reason) => {
            view.problem = Some(format!("The digest could not be made again: {reason}."));
            return (view, String::new());
        }
    };
    if !same(&prepared) {
        // A question too long for the model's context was asked with a smaller digest, whose size is recorded.
        match prepare(asked.digest_tokens as usize).ok().filter(same) {
            Some(smaller) => {
                view.budget = asked.digest_tokens as usize;
                prepared = smaller;
            }
            None => {
                let reason = "Not what the model saw: prompt, digest or hash key are not those of the run";
                view.problem = Some(format!("{reason}. Cited lines are not marked."));
            }
        }
    }
    view.streams = prepared.window.streams.iter().map(ToString::to_string).collect();
    (view, prepared.digest.text)
}

fn lost(row: &CaseResult) -> bool {
    row.answer.asked.decisive_ids.is_empty()
}

/// A digest's lines, with who cites each and which show the cause.
fn marked(text: &str, who: &[(usize, &CaseResult)]) -> Vec<Line> {
    let mut next = 1;
    let mut line = |text: &str| {
        let id = format!("T{next}");
        // A line of a log may look like the beginning of a template: only the next id in order is one.
        let is_template = text.split(' ').next() == Some(&id);
        next += usize::from(is_template);
        let cites =
            |row: &CaseResult| row.answer.verdict.as_ref().is_some_and(|verdict| verdict.evidence.contains(&id));
        let cited = who.iter().filter(|(_, row)| is_template && cites(row)).map(|(run, _)| letter(*run)).collect();
        let decisive = is_template && who.iter().any(|(_, row)| row.answer.asked.decisive_ids.contains(&id));
        Line { cited, decisive, text: text.to_owned() }
    };
    text.lines().map(&mut line).collect()
}
