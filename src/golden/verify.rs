//! What no golden case may do: give its answer away, contradict itself, or carry a label nobody defined.

use super::{Case, Dataset};
use crate::ontology::{INSUFFICIENT_EVIDENCE, NONE, Ontology, Severity};
use crate::problem::Problem;

/// Longest reference summary, in words.
const MAX_SUMMARY_WORDS: usize = 60;

/// Every defect of a dataset, so that one pass of mending suffices.
pub fn verify(folder: &str, dataset: &Dataset, ontology: &Ontology) -> Vec<Problem> {
    let file = format!("{folder}/cases.jsonl");
    let mut problems = Vec::new();
    if dataset.manifest.ontology != ontology.version {
        let message = format!("is labelled with ontology {}, not {}", dataset.manifest.ontology, ontology.version);
        problems.push(Problem::new(format!("{folder}/dataset.toml"), message).in_field("ontology"));
    }
    for (line, case) in (1..).zip(&dataset.cases) {
        problems.extend(unsound(&file, line, case, ontology));
        problems.extend(named(&file, line, case, review_defects(case, ontology)));
    }
    problems
}

/// What makes figures over a case meaningless, whoever answers for it: a label that nobody defined, a target that
/// contradicts itself, an answer that is given away.
pub fn unsound(file: &str, line: usize, case: &Case, ontology: &Ontology) -> Vec<Problem> {
    named(file, line, case, target_defects(case, ontology).into_iter().chain(leaks(case))).collect()
}

fn named(
    file: &str,
    line: usize,
    case: &Case,
    defects: impl IntoIterator<Item = Defect>,
) -> impl Iterator<Item = Problem> {
    defects.into_iter().map(move |(field, message)| {
        Problem::new(file, format!("case {}: {message}", case.id)).at_line(line).in_field(field)
    })
}

type Defect = (&'static str, String);

fn target_defects(case: &Case, ontology: &Ontology) -> Vec<Defect> {
    let target = &case.target;
    let mut defects = Vec::new();
    for label in std::iter::once(&target.root_cause).chain(&target.accept) {
        if ontology.resolve(label) != Some(label) {
            defects.push(("target.root_cause", format!("`{label}` is not a label of ontology {}", ontology.version)));
        }
    }
    let shows_nothing = [NONE, INSUFFICIENT_EVIDENCE].contains(&target.root_cause.as_str());
    if shows_nothing != target.decisive.is_empty() {
        let message = format!("`{}` with {} decisive entries", target.root_cause, target.decisive.len());
        defects.push(("target.decisive", message));
    }
    let contradiction = match target.root_cause.as_str() {
        NONE => target.severity != Severity::Info,
        INSUFFICIENT_EVIDENCE => false,
        _ => target.severity == Severity::Info,
    };
    if contradiction {
        defects.push(("target.severity", format!("`{}` with severity {}", target.root_cause, target.severity)));
    }
    let words = target.summary.split_whitespace().count();
    if words == 0 || words > MAX_SUMMARY_WORDS {
        defects.push(("target.summary", format!("has {words} words, 1 to {MAX_SUMMARY_WORDS} are allowed")));
    }
    if case.window.entries.is_empty() {
        defects.push(("entries", "the window is empty".to_owned()));
    }
    defects
}

/// A label that counts as right, in any of its spellings, hands the answer to whoever can copy; the capture's name to
/// whoever knows another window of it. A prompt shows lines and the labels of their streams.
fn leaks(case: &Case) -> Vec<Defect> {
    let target = &case.target;
    let labels = std::iter::once(&target.root_cause).chain(&target.accept).filter(|label| label.contains('_'));
    let spelled: Vec<_> = labels.flat_map(|label| [(label, label.clone()), (label, label.replace('_', "-"))]).collect();
    let capture = case.cluster.to_lowercase();
    let carried = |text: &str| {
        let text = text.to_lowercase();
        let label = spelled.iter().find(|(_, spelling)| text.contains(spelling.as_str()));
        let label = label.map(|(label, _)| format!("the label `{label}`"));
        label.or_else(|| has_word(&text, &capture).then(|| format!("the name of its capture, `{}`", case.cluster)))
    };
    let mut lines = case.window.entries.iter().enumerate();
    let lines = lines.find_map(|(n, entry)| Some(("entries", format!("entry {n} carries {}", carried(&entry.line)?))));
    let streams = case.window.streams.iter().enumerate().find_map(|(n, labels)| {
        let found = labels.0.iter().find_map(|(name, value)| carried(name).or_else(|| carried(value)))?;
        Some(("streams", format!("stream {n} carries {found}")))
    });
    lines.into_iter().chain(streams).collect()
}

/// Whether a word stands in a text by itself, and not as a part of another.
fn has_word(text: &str, word: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let stands = |at: usize| is_end(text[..at].chars().next_back()) && is_end(text[at + word.len()..].chars().next());
    !word.is_empty() && text.match_indices(word).any(|(at, _)| stands(at))
}

fn review_defects(case: &Case, ontology: &Ontology) -> Vec<Defect> {
    let mut defects = Vec::new();
    match (&case.review, &case.provenance) {
        (None, _) => defects.push(("review", "nobody answers for the target".to_owned())),
        (_, None) => defects.push(("provenance", "nobody knows where the lines come from".to_owned())),
        (Some(review), Some(provenance)) => {
            if review.by == "fault" && provenance.fault.is_none() && case.target.root_cause != NONE {
                defects.push(("review.by", "no injected fault decides this target".to_owned()));
            }
            if let Some(second) = &review.second
                && ontology.resolve(&second.root_cause).is_none()
            {
                defects.push(("review.second.root_cause", format!("`{}` is not a label", second.root_cause)));
            }
        }
    }
    defects
}
