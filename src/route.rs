//! Routes: the ordered rules that map a window's labels and content to a prompt and, if wanted, a model.
//!
//! The first rule that matches wins; the last rule must match everything. Every decision can be explained.

mod selector;

use std::fmt;

use regex::Regex;
use serde::Deserialize;

pub use selector::Selector;

use crate::hash;
use crate::problem::{self, Problem};
use crate::prompt::PromptId;
use crate::stream::Labels;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    route: Vec<RawRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    name: String,
    #[serde(default)]
    selector: Option<String>,
    #[serde(default)]
    content: Option<String>,
    prompt: PromptId,
    #[serde(default)]
    model: Option<String>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Route {
    /// The intent it stands for, such as `kube-system`.
    pub name: String,
    /// Matches if any stream of the window does; absent: every window.
    pub selector: Option<Selector>,
    /// Matches if the pattern occurs in the digest; absent: every digest.
    pub content: Option<Regex>,
    /// The prompt it leads to.
    pub prompt: PromptId,
    /// The model it leads to; absent: the default.
    pub model: Option<String>,
}

/// The rules in order.
#[derive(Debug, Clone)]
pub struct Routes {
    routes: Vec<Route>,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Why a rule did or did not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The rule's name.
    pub route: String,
    /// Whether it matched.
    pub matched: bool,
    /// The reason, in words.
    pub reason: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.matched { "->" } else { "  " };
        write!(f, "{mark} {}: {}", self.route, self.reason)
    }
}

impl Routes {
    /// Parses `prompts/routes.toml`.
    ///
    /// # Errors
    /// Malformed TOML, selector or pattern, a duplicate name, or no rule that matches everything at the end.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let raw: File = problem::parse_toml(file, text)?;
        let mut routes: Vec<Route> = Vec::with_capacity(raw.route.len());
        for (index, raw) in raw.route.into_iter().enumerate() {
            if routes.iter().any(|route| route.name == raw.name) {
                let message = format!("two routes are named `{}`", raw.name);
                return Err(Problem::new(file, message).in_field(format!("route[{index}].name")).hint("rename one"));
            }
            routes.push(
                Route::from_raw(raw).map_err(|(field, message)| {
                    Problem::new(file, message).in_field(format!("route[{index}].{field}"))
                })?,
            );
        }
        if routes.last().is_none_or(|last| last.selector.is_some() || last.content.is_some()) {
            let hint = "end with a route that has neither selector nor content";
            return Err(Problem::new(file, "the last route does not match every window").in_field("route").hint(hint));
        }
        Ok(Self { routes, sha256: hash::sha256(text) })
    }

    /// The first rule that matches, with the steps that led there.
    pub fn choose(&self, streams: &[Labels], digest: &str) -> (&Route, Vec<Step>) {
        let mut steps = Vec::new();
        for route in &self.routes {
            let (matched, reason) = route.matches(streams, digest);
            steps.push(Step { route: route.name.clone(), matched, reason });
            if matched {
                return (route, steps);
            }
        }
        let last = self.routes.last().expect("parse() refuses a file without a last route that matches everything");
        (last, steps)
    }

    /// All rules in order.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

impl Route {
    fn from_raw(raw: RawRoute) -> Result<Self, (&'static str, String)> {
        let selector = raw.selector.map(|text| text.parse()).transpose().map_err(|error| ("selector", error))?;
        let content = raw.content.map(|text| Regex::new(&text)).transpose();
        let content = content.map_err(|error| ("content", format!("not a regular expression: {error}")))?;
        Ok(Self { name: raw.name, selector, content, prompt: raw.prompt, model: raw.model })
    }

    fn matches(&self, streams: &[Labels], digest: &str) -> (bool, String) {
        let mut reasons = Vec::new();
        if let Some(selector) = &self.selector {
            let Some(labels) = streams.iter().find(|labels| selector.matches(labels)) else {
                return (false, format!("no stream matches {selector}"));
            };
            reasons.push(format!("{labels} matches {selector}"));
        }
        if let Some(content) = &self.content {
            if !content.is_match(digest) {
                return (false, format!("the digest has nothing like /{content}/"));
            }
            reasons.push(format!("the digest has /{content}/"));
        }
        if reasons.is_empty() {
            reasons.push("it matches every window".to_owned());
        }
        (true, format!("{}; prompt {}", reasons.join("; "), self.prompt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[route]]
name = "kube"
selector = '{namespace="kube-system", container=~"etcd|containerd"}'
prompt = "kube-system@1"
[[route]]
name = "model"
content = "(?i)llama"
prompt = "llm-inference@1"
[[route]]
name = "rest"
prompt = "triage@2"
"#;

    fn labels(pairs: &[(&str, &str)]) -> Vec<Labels> {
        vec![pairs.iter().copied().collect()]
    }

    #[test]
    fn the_first_match_wins_and_says_why() {
        let routes = Routes::parse("routes.toml", FILE).unwrap();
        let choose = |streams: &[Labels], digest| routes.choose(streams, digest).0.name.clone();
        assert_eq!(choose(&labels(&[("namespace", "kube-system"), ("container", "etcd")]), "llama"), "kube");
        assert_eq!(choose(&labels(&[("namespace", "x")]), "LLAMA started"), "model");
        let streams = labels(&[]);
        let (route, steps) = routes.choose(&streams, "");
        assert_eq!((route.name.as_str(), steps.len()), ("rest", 3));
        assert!(steps[0].to_string().contains("no stream matches"), "{}", steps[0]);
    }

    #[test]
    fn a_list_that_may_not_match_is_refused() {
        let open = "[[route]]\nname = 'a'\ncontent = 'x'\nprompt = 'triage@1'\n";
        assert!(Routes::parse("r", open).unwrap_err().message.contains("last route"));
        let broken = "[[route]]\nname = 'a'\nselector = '{a=b}'\nprompt = 'triage@1'\n";
        let problem = Routes::parse("r", broken).unwrap_err().to_string();
        assert!(problem.contains("route[0].selector"), "{problem}");
        let version = "[[route]]\nname = 'a'\nprompt = 'triage'\n";
        assert!(Routes::parse("r", version).unwrap_err().to_string().contains("triage@2"));
    }
}
