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
        let found = target_defects(case, ontology).into_iter().chain(leaks(case)).chain(review_defects(case, ontology));
        problems.extend(found.map(|(field, message)| {
            Problem::new(&file, format!("case {}: {message}", case.id)).at_line(line).in_field(field)
        }));
    }
    problems
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

/// Lines that carry the label itself, in any of its spellings, hand the answer to whoever can copy.
fn leaks(case: &Case) -> Vec<Defect> {
    let label = &case.target.root_cause;
    if !label.contains('_') {
        return Vec::new();
    }
    let spellings = [label.clone(), label.replace('_', "-")];
    let leaking = case.window.entries.iter().position(|entry| {
        let line = entry.line.to_lowercase();
        spellings.iter().any(|spelling| line.contains(spelling.as_str()))
    });
    leaking.map(|entry| ("entries", format!("entry {entry} carries the label `{label}`"))).into_iter().collect()
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
