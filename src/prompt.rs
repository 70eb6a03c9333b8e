//! Prompts: versioned templates, immutable once released, rendered into the two chat messages of a question.
//!
//! A file `prompts/<id>/<version>.md` holds TOML front matter between `+++` lines, then a system and a user part.
//! The system part may not depend on the logs, so that llama.cpp reuses it as a prefix; log text enters through
//! [`harmless`], so that no line can become a control token.

mod lock;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior};
use regex::Regex;
use serde::{Deserialize, Serialize};

pub use lock::{Lock, Release};

use crate::hash;
use crate::ontology::Ontology;
use crate::problem::{self, Problem, did_you_mean};

/// Variables that never change between two questions of one prompt version.
const STABLE_VARIABLES: [&str; 3] = ["label_names", "label_definitions", "severity_rule"];
/// Variables made of log data.
const LOG_VARIABLES: [&str; 2] = ["digest", "selectors"];
const SYSTEM_MARK: &str = "<!-- system -->";
const USER_MARK: &str = "<!-- user -->";

/// A prompt version, written `triage@2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PromptId {
    /// Name of the folder in `prompts/`.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
}

impl fmt::Display for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl FromStr for PromptId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('@').and_then(|(name, version)| Some((name, version.parse().ok()?)));
        match parsed {
            Some((name, version)) if !name.is_empty() && version > 0 => Ok(Self { name: name.to_owned(), version }),
            _ => Err(format!("`{text}` is not a prompt version such as `triage@2`")),
        }
    }
}

impl Serialize for PromptId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PromptId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    id: String,
    version: u32,
    intent: String,
    description: String,
    ontology: u32,
    variables: Vec<String>,
    outputs: Vec<String>,
}

/// One version of a prompt, parsed and checked.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Which version this is.
    pub id: PromptId,
    /// The family of questions it is written for, such as `triage` or `kube-system`.
    pub intent: String,
    /// What sets this version apart, for people.
    pub description: String,
    /// Version of the ontology whose labels it explains.
    pub ontology: u32,
    /// SHA-256 of the whole file.
    pub sha256: String,
    system: String,
    user: String,
}

/// The two messages of one question and the identity of their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The system message.
    pub system: String,
    /// The user message, which ends with the digest.
    pub user: String,
    /// Hash over both messages, see [`hash::of_text`].
    pub hash: String,
}

impl Prompt {
    /// Parses the file `<name>/<version>.md`, known to the user as `file`.
    ///
    /// # Errors
    /// Malformed front matter, a missing part, a template that does not compile, a variable that is unknown,
    /// undeclared or unused, or log data in the system part.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let (front, body) = split_front_matter(file, text)?;
        let front: FrontMatter = problem::parse_toml(file, front).map_err(|mut p| {
            p.line = p.line.map(|line| line + 1);
            p
        })?;
        let (system, user) = split_messages(file, body)?;
        let id = PromptId { name: front.id.clone(), version: front.version };
        check_place(file, &id)?;
        check_outputs(file, &front.outputs)?;
        check_variables(file, &front.variables, system, user)?;
        Ok(Self {
            id,
            intent: front.intent,
            description: front.description,
            ontology: front.ontology,
            sha256: hash::sha256(text),
            system: system.to_owned(),
            user: user.to_owned(),
        })
    }

    /// Renders both messages. `selectors` are the streams' label sets and `digest` the excerpt, both untrusted.
    ///
    /// # Errors
    /// A template that fails while rendering, in minijinja's words.
    pub fn render(
        &self,
        ontology: &Ontology,
        selectors: &str,
        digest: &str,
        hash_key: Option<&[u8]>,
    ) -> Result<Rendered, String> {
        let context = minijinja::context! {
            label_names => ontology.render_names(),
            label_definitions => ontology.render_definitions(),
            severity_rule => ontology.render_severity_rule(),
            selectors => harmless(selectors),
            digest => harmless(digest),
        };
        let render = |part: &str| {
            let rendered = environment().render_str(part, &context).map_err(|error| format!("{}: {error}", self.id))?;
            Ok::<_, String>(rendered.trim().to_owned())
        };
        let (system, user) = (render(&self.system)?, render(&self.user)?);
        let hash = hash::of_text(&format!("{system}\u{0}{user}"), hash_key);
        Ok(Rendered { system, user, hash })
    }

    /// The template text: system part, then user part.
    pub fn template(&self) -> (&str, &str) {
        (&self.system, &self.user)
    }
}

/// All prompt versions of an installation, the ontologies they explain, and the lock that freezes what is released.
#[derive(Debug, Clone, Default)]
pub struct Prompts {
    prompts: BTreeMap<PromptId, Prompt>,
    ontologies: BTreeMap<u32, Ontology>,
    /// What has been released, and when.
    pub lock: Lock,
}

impl Prompts {
    /// Checks every prompt and ontology against the lock and against each other.
    ///
    /// # Errors
    /// A released file that changed or is gone, or a prompt for an ontology that does not exist.
    pub fn new(prompts: Vec<Prompt>, ontologies: Vec<Ontology>, lock: Lock) -> Result<Self, Problem> {
        let ontologies: BTreeMap<u32, Ontology> = ontologies.into_iter().map(|o| (o.version, o)).collect();
        let mut found = BTreeSet::new();
        for ontology in ontologies.values() {
            lock.check(&ontology.lock_name(), &ontology.sha256)?;
            found.insert(ontology.lock_name());
        }
        let mut by_id = BTreeMap::new();
        for prompt in prompts {
            lock.check(&prompt.id.to_string(), &prompt.sha256)?;
            if !ontologies.contains_key(&prompt.ontology) {
                let message = format!("there is no ontology {}", prompt.ontology);
                let file = format!("prompts/{}/{}.md", prompt.id.name, prompt.id.version);
                return Err(Problem::new(file, message).in_field("ontology").hint("see prompts/ontology/"));
            }
            found.insert(prompt.id.to_string());
            by_id.insert(prompt.id.clone(), prompt);
        }
        lock.check_complete(&found)?;
        Ok(Self { prompts: by_id, ontologies, lock })
    }

    /// The ontology that `prompt` explains.
    pub fn ontology(&self, prompt: &Prompt) -> &Ontology {
        self.ontologies.get(&prompt.ontology).expect("new() refuses a prompt without its ontology")
    }

    /// All ontologies by version.
    pub fn ontologies(&self) -> &BTreeMap<u32, Ontology> {
        &self.ontologies
    }

    /// The version `id`.
    ///
    /// # Errors
    /// An unknown version, with the closest known one.
    pub fn get(&self, id: &PromptId) -> Result<&Prompt, String> {
        self.prompts.get(id).ok_or_else(|| {
            let known: Vec<String> = self.prompts.keys().map(PromptId::to_string).collect();
            let close = did_you_mean(&id.to_string(), known.iter().map(String::as_str));
            let hint = close.unwrap_or_else(|| format!("there are {}", known.join(", ")));
            format!("no prompt `{id}`: {hint}")
        })
    }

    /// All versions, by name and version.
    pub fn iter(&self) -> impl Iterator<Item = &Prompt> {
        self.prompts.values()
    }
}

/// Makes everything in untrusted text harmless that a chat template or tokenizer could take for a control token:
/// `<|im_end|>`, `</s>`, `<start_of_turn>`, `[INST]` and their kin. A person still reads the same.
pub fn harmless(text: &str) -> Cow<'_, str> {
    static ANGLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<([A-Za-z/|!?_<｜])").expect("a constant pattern"));
    static BRACKET: LazyLock<Regex> = LazyLock::new(|| {
        let names = "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|IMG_BREAK|IMG_END|\
                     PREFIX|MIDDLE|SUFFIX|gMASK|sop|eop|CLS|SEP|MASK|UNK|PAD|BOS|EOS|BEGIN_OF_TEXT|END_OF_TEXT";
        Regex::new(&format!(r"\[(/?(?:{names}))\]")).expect("a constant pattern")
    });
    match ANGLE.replace_all(text, "‹$1") {
        Cow::Borrowed(same) => BRACKET.replace_all(same, "⟦$1⟧"),
        Cow::Owned(changed) => Cow::Owned(BRACKET.replace_all(&changed, "⟦$1⟧").into_owned()),
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

fn split_front_matter<'a>(file: &str, text: &'a str) -> Result<(&'a str, &'a str), Problem> {
    let after_opening = text.strip_prefix("+++\n");
    after_opening.and_then(|rest| rest.split_once("\n+++\n")).ok_or_else(|| {
        Problem::new(file, "front matter is missing").at_line(1).hint("begin with TOML between two lines `+++`")
    })
}

fn split_messages<'a>(file: &str, body: &'a str) -> Result<(&'a str, &'a str), Problem> {
    let parts = body.split_once(SYSTEM_MARK).and_then(|(_, rest)| rest.split_once(USER_MARK));
    let Some((system, user)) = parts else {
        let hint = format!("write `{SYSTEM_MARK}` before the system part and `{USER_MARK}` before the user part");
        return Err(Problem::new(file, "the template lacks a part").hint(hint));
    };
    Ok((system, user))
}

fn check_place(file: &str, id: &PromptId) -> Result<(), Problem> {
    let place = format!("{}/{}.md", id.name, id.version);
    if file.ends_with(&place) {
        return Ok(());
    }
    let message = format!("the front matter says `{id}`");
    Err(Problem::new(file, message).in_field("id").hint(format!("it belongs into `{place}`")))
}

fn check_outputs(file: &str, outputs: &[String]) -> Result<(), Problem> {
    let expected = ["evidence", "components", "root_cause", "severity", "summary"];
    if outputs == expected {
        return Ok(());
    }
    let message = format!("a verdict has {}, not {}", expected.join(", "), outputs.join(", "));
    Err(Problem::new(file, message).in_field("outputs").hint("list the fields of a verdict in their order"))
}

/// Variables that a template part refers to.
fn used_variables(file: &str, part: &str) -> Result<BTreeSet<String>, Problem> {
    let environment = environment();
    let template = environment.template_from_str(part).map_err(|error| {
        let problem = Problem::new(file, format!("the template does not compile: {error}"));
        problem.hint("templates are minijinja: `{{ digest }}`")
    })?;
    Ok(template.undeclared_variables(false).into_iter().collect())
}

fn check_variables(file: &str, declared: &[String], system: &str, user: &str) -> Result<(), Problem> {
    let (in_system, in_user) = (used_variables(file, system)?, used_variables(file, user)?);
    let known = || STABLE_VARIABLES.into_iter().chain(LOG_VARIABLES);
    for name in in_system.union(&in_user) {
        if !known().any(|k| k == name) {
            let known_names: Vec<_> = known().collect();
            let hint = did_you_mean(name, known()).unwrap_or_else(|| format!("there are {}", known_names.join(", ")));
            return Err(Problem::new(file, format!("unknown variable `{name}`")).hint(hint));
        }
        if !declared.contains(name) {
            let message = format!("the template uses `{name}`, which is not declared");
            return Err(Problem::new(file, message).in_field("variables").hint("declare it"));
        }
    }
    if let Some(unused) = declared.iter().find(|name| !in_system.contains(*name) && !in_user.contains(*name)) {
        let message = format!("`{unused}` is declared, but the template does not use it");
        return Err(Problem::new(file, message).in_field("variables").hint("remove it or use it"));
    }
    if let Some(log) = in_system.iter().find(|name| LOG_VARIABLES.contains(&name.as_str())) {
        let message = format!("the system part uses `{log}`, so no prefix of it could be reused");
        return Err(Problem::new(file, message).hint("move it into the user part"));
    }
    if !in_user.contains("digest") {
        return Err(Problem::new(file, "the user part shows no logs").hint("end it with `{{ digest }}`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
