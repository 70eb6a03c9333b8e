//! Experiments: what is to be compared with what, declared before anything runs.

mod matrix;
mod models;

use serde::{Deserialize, Serialize};

pub use models::{Kind, ModelSpec, Models};

use matrix::Matrix;

use crate::model::Sampling;
use crate::problem::{self, Problem};
use crate::prompt::PromptId;
use crate::score::{Metric, Unit};

/// Most characters of an arm's name: with the session's before it, it is the id of a run, which stores take up to 128.
const LONGEST_NAME: usize = 100;

/// How the model server is run; part of what makes two runs comparable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// One slot, no prompt cache, fixed kernel and threads: the same question gives the same answer.
    #[default]
    Reproducible,
    /// All slots and prefix reuse: fast, and not bit-identical.
    Throughput,
}

impl Profile {
    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reproducible => "reproducible",
            Self::Throughput => "throughput",
        }
    }
}

/// Where an arm's prompt comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// One prompt version for every case.
    Prompt(PromptId),
    /// The routing rules, case by case.
    Route,
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prompt(id) => id.fmt(f),
            Self::Route => f.write_str("routed"),
        }
    }
}

/// One combination of prompt, model and sampling, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Unique name within the experiment.
    pub name: String,
    /// Prompt or routing.
    pub choice: Choice,
    /// Name of the model in `models.toml`.
    pub model: String,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Budget of the digest, in tokens.
    pub digest_tokens: usize,
}

impl Arm {
    /// The name made fit for a file or a folder.
    pub fn slug(&self) -> String {
        slug(&self.name)
    }
}

/// A name made fit for a file or a folder.
pub fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// A declared difference to look at: arm `b` against arm `a`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// The reference arm.
    pub a: String,
    /// The arm that is judged.
    pub b: String,
}

/// An experiment file, resolved: every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Name, for people.
    pub name: String,
    /// What it is meant to find out.
    pub question: String,
    /// Name of the dataset in `golden/`.
    pub dataset: String,
    /// The metric that decides; all others are exploratory.
    pub primary: Metric,
    /// Difference of the primary metric below which two arms count as equivalent, in the metric's unit.
    pub margin: f64,
    /// How the server is run.
    pub profile: Profile,
    /// How often each case is asked.
    pub repeats: u32,
    /// Seed of every bootstrap and permutation.
    pub seed: u64,
    /// Budget of one question, in seconds.
    pub timeout_s: f64,
    /// The arms.
    pub arms: Vec<Arm>,
    /// The comparisons that are reported.
    pub contrasts: Vec<Contrast>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    question: String,
    dataset: String,
    primary: Metric,
    margin: f64,
    #[serde(default)]
    profile: Profile,
    #[serde(default = "one")]
    repeats: u32,
    #[serde(default = "default_seed")]
    seed: u64,
    #[serde(default = "default_timeout")]
    timeout_s: f64,
    #[serde(default = "default_digest")]
    digest_tokens: usize,
    #[serde(default)]
    sampling: Sampling,
    #[serde(default)]
    arm: Vec<RawArm>,
    #[serde(default)]
    matrix: Option<Matrix>,
    #[serde(default)]
    compare: Vec<Contrast>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArm {
    name: String,
    #[serde(default)]
    prompt: Option<PromptId>,
    #[serde(default)]
    route: bool,
    model: String,
    #[serde(default)]
    sampling: Option<Sampling>,
    #[serde(default)]
    digest_tokens: Option<usize>,
}

fn one() -> u32 {
    1
}

fn default_seed() -> u64 {
    1
}

fn default_timeout() -> f64 {
    300.0
}

fn default_digest() -> usize {
    1_000
}

impl Experiment {
    /// Parses an experiment file and fills in its defaults.
    ///
    /// # Errors
    /// Malformed TOML, a value out of range, two arms of one name or folder, a matrix that names something twice, an arm with neither or both of prompt and route,
    /// or a comparison of an arm that does not exist.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let raw: File = problem::parse_toml(file, text)?;
        check_ranges(file, &raw)?;
        let crossed = raw.matrix.as_ref().map(|matrix| matrix.expand(file)).transpose()?.unwrap_or_default();
        let listed = raw.arm.into_iter().enumerate().map(|(index, arm)| (format!("arm[{index}]"), arm));
        let mut arms: Vec<Arm> = Vec::new();
        for (field, arm) in listed.chain(crossed.into_iter().map(|arm| ("matrix".to_owned(), arm))) {
            let arm = resolve(file, &field, arm, &raw.sampling, raw.digest_tokens)?;
            check_new(file, &field, &arm, &arms)?;
            arms.push(arm);
        }
        for (index, contrast) in raw.compare.iter().enumerate() {
            check_contrast(file, index, contrast, &arms)?;
        }
        Ok(Self {
            name: raw.name,
            question: raw.question,
            dataset: raw.dataset,
            primary: raw.primary,
            margin: raw.margin,
            profile: raw.profile,
            repeats: raw.repeats,
            seed: raw.seed,
            timeout_s: raw.timeout_s,
            arms,
            contrasts: raw.compare,
        })
    }
}

fn check_ranges(file: &str, raw: &File) -> Result<(), Problem> {
    let bad = |field: &str, value: String, hint: &str| {
        Err(Problem::new(file, format!("{value} is out of range")).in_field(field).hint(hint))
    };
    if !(raw.margin.is_finite() && raw.margin >= 0.0) {
        return bad("margin", raw.margin.to_string(), "a margin is 0 or more, in the unit of the primary metric");
    }
    if raw.primary.unit() == Unit::Share && raw.margin >= 1.0 {
        return bad("margin", raw.margin.to_string(), "0.05 is 5 percentage points; a share differs by less than 1");
    }
    if !(1..=100).contains(&raw.repeats) {
        return bad("repeats", raw.repeats.to_string(), "ask each case 1 to 100 times");
    }
    if !(raw.timeout_s > 0.0 && raw.timeout_s <= 86_400.0) {
        return bad("timeout_s", raw.timeout_s.to_string(), "give seconds, more than 0 and at most a day");
    }
    if raw.arm.is_empty() && raw.matrix.is_none() {
        let hint = "add an [[arm]] or a [matrix]";
        return Err(Problem::new(file, "there is nothing to run").in_field("arm").hint(hint));
    }
    Ok(())
}

fn resolve(file: &str, field: &str, arm: RawArm, sampling: &Sampling, digest: usize) -> Result<Arm, Problem> {
    let choice = match (arm.prompt, arm.route) {
        (Some(prompt), false) => Choice::Prompt(prompt),
        (None, true) => Choice::Route,
        _ => {
            let message = format!("arm `{}` needs one of `prompt` and `route = true`", arm.name);
            return Err(Problem::new(file, message).in_field(field).hint("give exactly one"));
        }
    };
    if arm.name.chars().count() > LONGEST_NAME {
        let message = format!("`{}` has more than {LONGEST_NAME} characters", arm.name);
        return Err(Problem::new(file, message).in_field(format!("{field}.name")).hint("give a shorter name"));
    }
    let sampling = arm.sampling.unwrap_or(*sampling);
    if !(sampling.temperature >= 0.0 && (0.0..=1.0).contains(&sampling.top_p) && sampling.max_tokens > 0) {
        let message = format!("sampling {sampling:?} is out of range");
        let hint = "temperature from 0, top_p from 0 to 1, max_tokens from 1";
        return Err(Problem::new(file, message).in_field(format!("{field}.sampling")).hint(hint));
    }
    let digest_tokens = arm.digest_tokens.unwrap_or(digest);
    if !(50..=1_000_000).contains(&digest_tokens) {
        let message = format!("{digest_tokens} is out of range");
        let problem = Problem::new(file, message).in_field(format!("{field}.digest_tokens"));
        return Err(problem.hint("a digest has 50 to 1,000,000 tokens"));
    }
    Ok(Arm { name: arm.name, choice, model: arm.model, sampling, digest_tokens })
}

/// Refuses an arm that another one already is, by name, by folder, or by what the matrix would ask twice.
fn check_new(file: &str, field: &str, arm: &Arm, known: &[Arm]) -> Result<(), Problem> {
    let refuse =
        |message: String, hint: &str| Err(Problem::new(file, message).in_field(format!("{field}.name")).hint(hint));
    for other in known {
        if other.name == arm.name {
            return refuse(format!("two arms are named `{}`", arm.name), "rename one");
        }
        if other.slug() == arm.slug() {
            let message = format!("the arms `{}` and `{}` would share a folder", other.name, arm.name);
            return refuse(message, "let their names differ in letters or digits");
        }
        if field == "matrix" && (Arm { name: arm.name.clone(), ..other.clone() }) == *arm {
            let message = format!("`{}` asks what the arm `{}` asks already", arm.name, other.name);
            return refuse(message, "remove that arm: the matrix makes it");
        }
    }
    Ok(())
}

fn check_contrast(file: &str, index: usize, contrast: &Contrast, arms: &[Arm]) -> Result<(), Problem> {
    for name in [&contrast.a, &contrast.b] {
        if !arms.iter().any(|arm| arm.name == *name) {
            let known = arms.iter().map(|arm| arm.name.as_str());
            let hint = problem::did_you_mean(name, known.clone())
                .unwrap_or_else(|| format!("there are {}", known.collect::<Vec<_>>().join(", ")));
            let problem = Problem::new(file, format!("there is no arm `{name}`"));
            return Err(problem.in_field(format!("compare[{index}]")).hint(hint));
        }
    }
    if contrast.a == contrast.b {
        let message = format!("compares `{}` with itself", contrast.a);
        return Err(Problem::new(file, message).in_field(format!("compare[{index}]")).hint("name two arms"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name='d'\nquestion='?'\ndataset='g'\nprimary='root_cause'\nmargin=0.05\n";

    fn parse(rest: &str) -> Result<Experiment, String> {
        Experiment::parse("e.toml", &format!("{HEAD}{rest}")).map_err(|problem| problem.to_string())
    }

    #[test]
    fn defaults_are_filled_in() {
        let experiment = parse("[[arm]]\nname='a'\nprompt='triage@1'\nmodel='m'\n").unwrap();
        assert_eq!((experiment.repeats, experiment.profile), (1, Profile::Reproducible));
        assert_eq!(experiment.arms[0].sampling, Sampling::default());
    }

    #[test]
    fn a_matrix_is_crossed_under_names_that_stay() {
        let matrix = "[matrix]\nprompt=['triage@1','triage@2']\nroute=[true]\nmodel=['m','n']\n";
        let names = |rest: &str| -> Vec<String> {
            parse(&format!("{matrix}{rest}")).unwrap().arms.into_iter().map(|arm| arm.name).collect()
        };
        let plain = ["triage@1/m", "triage@1/n", "triage@2/m", "triage@2/n", "routed/m", "routed/n"];
        assert_eq!(names(""), plain);
        let beside = "[[arm]]\nname='own'\nprompt='triage@1'\nmodel='r'\n[[compare]]\na='own'\nb='routed/n'\n";
        assert_eq!(names(beside)[..2], ["own", "triage@1/m"]);
        let full = names("digest_tokens=[300,600]\nsampling=[{temperature=0.7}]\n");
        assert_eq!(full.len(), 12);
        assert_eq!(full[1], "triage@1/m/d600/t0.7-p1-s1-n256");
        let arm = &parse(&format!("{matrix}digest_tokens=[300]\n")).unwrap().arms[0];
        assert_eq!((arm.digest_tokens, arm.sampling), (300, Sampling::default()));
    }

    #[test]
    fn mistakes_of_a_matrix_are_named() {
        let matrix = "[matrix]\nprompt=['triage@1']\nmodel=['m']\n";
        let own = "[[arm]]\nname='own'\nprompt='triage@1'\nmodel='m'\n";
        for (text, expected) in [
            (matrix.replace("['m']", "['m','n','m']"), "`matrix.model[2]`: `m` is listed twice"),
            (matrix.replace("['m']", "[]"), "`matrix.model`: there is no model"),
            (matrix.replace("prompt=['triage@1']\n", ""), "`matrix.prompt`: there is no prompt"),
            (format!("{matrix}route=[false]\n"), "`route = [true]`"),
            (format!("{matrix}sampling=[{{}},{{seed=1}}]\n"), "`t0-p1-s1-n256` is listed twice"),
            (format!("{matrix}digest_tokens=[3]\n"), "`matrix.digest_tokens`: 3 is out of range"),
            (format!("{matrix}digest=[300]\n"), "did you mean"),
            (format!("{matrix}{own}"), "`triage@1/m` asks what the arm `own` asks already"),
            (format!("{matrix}{}", own.replace("'own'", "'triage-1-m'").replace("@1", "@2")), "would share a folder"),
            (
                matrix.replace("['m']", &format!("{:?}", (0..300).map(|n| n.to_string()).collect::<Vec<_>>())),
                "300 arms",
            ),
        ] {
            let problem = parse(&text).unwrap_err();
            assert!(problem.starts_with("e.toml") && problem.contains(expected), "{expected}: {problem}");
        }
    }

    #[test]
    fn mistakes_name_field_value_and_way_out() {
        let arm = "[[arm]]\nname='a'\nprompt='triage@1'\nmodel='m'\n";
        for (text, expected) in [
            ("".to_owned(), "there is nothing to run"),
            (format!("{arm}{arm}"), "two arms are named `a`"),
            (arm.replace("prompt='triage@1'\n", ""), "needs one of"),
            (arm.replace("triage@1", "triage"), "`triage` is not a prompt version"),
            (format!("{arm}[[compare]]\na='a'\nb='x'\n"), "no arm `x`"),
            (format!("repeats=0\n{arm}"), "`repeats`: 0"),
            (format!("sampling={{temprature=1}}\n{arm}"), "did you mean `temperature`?"),
            (format!("digest_tokens=3\n{arm}"), "digest_tokens"),
            (arm.replace("'a'", &format!("'{}'", "a".repeat(101))), "`arm[0].name`: `aaa"),
        ] {
            let problem = parse(&text).unwrap_err();
            assert!(problem.starts_with("e.toml") && problem.contains(expected), "{expected}: {problem}");
        }
    }
}
