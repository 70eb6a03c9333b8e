//! `[matrix]`: lists of choices, each combination of which becomes an arm.
//!
//! An arm's name says what it is made of, in a fixed order and only of the lists that are there, so that a further
//! value in a list changes no name: `triage@1/assay-demo-q8_0/d600/t0.7-p0.9-s1-n256`.

use serde::Deserialize;

use super::RawArm;
use crate::model::Sampling;
use crate::problem::Problem;
use crate::prompt::PromptId;

/// More arms than this are a mistake.
const MOST_ARMS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Matrix {
    #[serde(default)]
    prompt: Vec<PromptId>,
    #[serde(default)]
    route: Vec<bool>,
    model: Vec<String>,
    #[serde(default)]
    digest_tokens: Vec<usize>,
    #[serde(default)]
    sampling: Vec<Sampling>,
}

impl Matrix {
    /// Every combination: prompts and routing first, then models, digest budgets and sampling parameters.
    ///
    /// # Errors
    /// A list that is empty or names something twice, nothing to ask with, or too many arms.
    pub(super) fn expand(&self, file: &str) -> Result<Vec<RawArm>, Problem> {
        let sampling: Vec<String> = self.sampling.iter().map(describe).collect();
        distinct(file, "prompt", &self.prompt)?;
        distinct(file, "model", &self.model)?;
        distinct(file, "digest_tokens", &self.digest_tokens)?;
        distinct(file, "sampling", &sampling)?;
        let refuse = |field: &str, message: String, hint: &str| {
            Err(Problem::new(file, message).in_field(format!("matrix.{field}")).hint(hint))
        };
        if !(self.route.is_empty() || self.route == [true]) {
            return refuse("route", "routing is either asked for or not".to_owned(), "write `route = [true]`");
        }
        if self.model.is_empty() {
            return refuse("model", "there is no model to ask".to_owned(), "name one of models.toml");
        }
        let choices: Vec<Option<&PromptId>> =
            self.prompt.iter().map(Some).chain(self.route.iter().map(|_| None)).collect();
        if choices.is_empty() {
            return refuse("prompt", "there is no prompt to ask with".to_owned(), "add `prompt` or `route = [true]`");
        }
        let (digests, samplings) = (options(&self.digest_tokens), options(&self.sampling));
        let arms = choices.len() * self.model.len() * digests.len() * samplings.len();
        if arms > MOST_ARMS {
            let message = format!("the lists make {arms} arms");
            let problem = Problem::new(file, message).in_field("matrix");
            return Err(problem.hint(format!("keep to {MOST_ARMS}: every arm asks the whole dataset")));
        }
        let mut crossed = Vec::with_capacity(arms);
        for choice in &choices {
            for model in &self.model {
                for digest in &digests {
                    crossed.extend(samplings.iter().map(|sampling| arm(*choice, model, *digest, *sampling)));
                }
            }
        }
        Ok(crossed)
    }
}

fn arm(choice: Option<&PromptId>, model: &str, digest: Option<&usize>, sampling: Option<&Sampling>) -> RawArm {
    let mut name = vec![choice.map_or_else(|| "routed".to_owned(), ToString::to_string), model.to_owned()];
    name.extend(digest.map(|tokens| format!("d{tokens}")));
    name.extend(sampling.map(describe));
    RawArm {
        name: name.join("/"),
        prompt: choice.cloned(),
        route: choice.is_none(),
        model: model.to_owned(),
        sampling: sampling.copied(),
        digest_tokens: digest.copied(),
    }
}

fn describe(sampling: &Sampling) -> String {
    let Sampling { temperature, top_p, seed, max_tokens } = sampling;
    format!("t{temperature}-p{top_p}-s{seed}-n{max_tokens}")
}

/// The values of a list, or the one choice to leave it to the experiment.
fn options<T>(list: &[T]) -> Vec<Option<&T>> {
    if list.is_empty() { vec![None] } else { list.iter().map(Some).collect() }
}

fn distinct<T: PartialEq + ToString>(file: &str, field: &str, list: &[T]) -> Result<(), Problem> {
    for (index, item) in list.iter().enumerate() {
        if list[..index].contains(item) {
            let problem = Problem::new(file, format!("`{}` is listed twice", item.to_string()));
            return Err(problem.in_field(format!("matrix.{field}[{index}]")).hint("remove one"));
        }
    }
    Ok(())
}
