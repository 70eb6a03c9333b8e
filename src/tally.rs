//! What a run's figures are made of: who was asked, how it ended and what it scored, without question and answer.
//!
//! A row of a run takes a kilobyte and more, its mark a third of that, so that a run of any size can be summarised and
//! compared. Marks stand in the order of clusters and cases: a mean per case and the pairing of two runs are one pass.

use crate::golden::Split;
use crate::ontology::Severity;
use crate::run::{CaseResult, RunRecord};
use crate::score::{Metric, severity_rating};
use crate::verdict::Class;

/// One answer as figures count it.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Which case it answers.
    pub of: Names,
    /// Which repeat of the case, from 0.
    pub repeat: u32,
    /// The case's split.
    pub split: Split,
    /// How it ended.
    pub class: Class,
    /// From the window to the classified verdict, in milliseconds.
    pub latency_ms: f64,
    /// Severity of the target and of the verdict, see [`rating`].
    pub severity: Option<(u8, u8)>,
    /// What it scored.
    pub scores: MarkScores,
}

/// The names that a mark goes by, in one piece of memory: of a large run they are a third of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Cluster, case and family, one after the other.
    text: Box<str>,
    /// Where the case begins, and where the family does.
    case: u32,
    family: u32,
}

impl Names {
    /// The names of a case, the capture that it was cut from, and its family.
    pub fn new(cluster: &str, case: &str, family: &str) -> Self {
        let end = |end: usize| u32::try_from(end).unwrap_or(u32::MAX);
        let text = [cluster, case, family].concat().into();
        Self { text, case: end(cluster.len()), family: end(cluster.len() + case.len()) }
    }

    /// The capture that the case was cut from.
    pub fn cluster(&self) -> &str {
        &self.text[..self.case as usize]
    }

    /// Case id.
    pub fn case(&self) -> &str {
        &self.text[self.case as usize..self.family as usize]
    }

    /// The case's family.
    pub fn family(&self) -> &str {
        &self.text[self.family as usize..]
    }
}

/// The scores of a mark.
#[derive(Debug, Clone)]
pub struct MarkScores {
    /// By the metric's place in [`Metric::ALL`]; NaN means unscored.
    by_metric: [f64; Metric::ALL.len()],
}

impl FromIterator<(Metric, f64)> for MarkScores {
    fn from_iter<T: IntoIterator<Item = (Metric, f64)>>(scores: T) -> Self {
        let mut by_metric = [f64::NAN; Metric::ALL.len()];
        for (metric, score) in scores {
            by_metric[metric as usize] = score;
        }
        Self { by_metric }
    }
}

impl Mark {
    /// The score of a metric; absent means unscored, never zero.
    pub fn score(&self, metric: Metric) -> Option<f64> {
        let score = self.scores.by_metric[metric as usize];
        (!score.is_nan()).then_some(score)
    }

    fn key(&self) -> (&str, &str) {
        (self.of.cluster(), self.of.case())
    }
}

/// [`severity_rating`] in two bytes.
pub fn rating(target: Severity, class: Class, said: Option<Severity>) -> Option<(u8, u8)> {
    let (truth, predicted) = severity_rating(target, class, said)?;
    Some((u8::try_from(truth).ok()?, u8::try_from(predicted).ok()?))
}

impl From<&CaseResult> for Mark {
    fn from(row: &CaseResult) -> Self {
        let answer = &row.answer;
        let said = answer.verdict.as_ref().map(|verdict| verdict.severity);
        Self {
            of: Names::new(&row.cluster, &answer.case, &row.family),
            repeat: answer.repeat,
            split: row.split,
            class: answer.class,
            latency_ms: answer.latency_ms,
            severity: rating(row.target_severity, answer.class, said),
            scores: row.scores.iter().map(|(metric, score)| (*metric, *score)).collect(),
        }
    }
}

/// The marks of a run, or of some of its cases.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By cluster, case and repeat.
    marks: Vec<Mark>,
    /// Where each case begins, and where the last one ends.
    cases: Vec<usize>,
}

impl FromIterator<Mark> for Tally {
    fn from_iter<T: IntoIterator<Item = Mark>>(marks: T) -> Self {
        let mut marks: Vec<Mark> = marks.into_iter().collect();
        // No two are alike in all three, and sorting in place takes no memory of its own.
        marks.sort_unstable_by(|x, y| x.key().cmp(&y.key()).then(x.repeat.cmp(&y.repeat)));
        let mut cases = vec![0];
        cases.extend(marks.chunk_by(|x, y| x.key() == y.key()).scan(0, |end, repeats| {
            *end += repeats.len();
            Some(*end)
        }));
        Self { marks, cases }
    }
}

impl Tally {
    /// The tally of a run's rows.
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r CaseResult>) -> Self {
        rows.into_iter().map(Mark::from).collect()
    }

    /// Every mark, by cluster, case and repeat.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The marks of each case, by cluster and case.
    pub fn cases(&self) -> impl Iterator<Item = &[Mark]> {
        self.cases.windows(2).map(|ends| &self.marks[ends[0]..ends[1]])
    }

    /// About the bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        let texts = |mark: &Mark| mark.of.text.len();
        self.marks.iter().map(|mark| size_of::<Mark>() + texts(mark)).sum::<usize>() + 8 * self.cases.len()
    }
}

/// The mean over a case's repeats; `None` where none has a score. The order of the repeats changes no bit of it.
pub fn mean(repeats: &[Mark], metric: Metric) -> Option<f64> {
    if let [only] = repeats {
        return only.score(metric);
    }
    let mut scores: Vec<f64> = repeats.iter().filter_map(|mark| mark.score(metric)).collect();
    scores.sort_by(f64::total_cmp);
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// The cases that two tallies share, as the marks of both.
pub fn paired<'t>(a: &'t Tally, b: &'t Tally) -> Vec<(&'t [Mark], &'t [Mark])> {
    let mut ours = a.cases().peekable();
    let pair = |theirs: &'t [Mark]| {
        let key = theirs[0].key();
        while ours.next_if(|ours| ours[0].key() < key).is_some() {}
        Some((ours.next_if(|ours| ours[0].key() == key)?, theirs))
    };
    b.cases().filter_map(pair).collect()
}

/// A published run as far as figures go.
#[derive(Debug, Clone)]
pub struct Tallied {
    /// What made it and what came of it.
    pub record: RunRecord,
    /// What its figures are made of.
    pub tally: Tally,
}
