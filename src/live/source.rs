//! What a data source brings to its desk: where its logs are, who reads them, and within which limits.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::failure::Failure;
use super::question::{Key, Question, Span};
use crate::digest;
use crate::experiment::{Kind, ModelSpec};
use crate::guard::Guard;
use crate::hash;
use crate::installation::Installation;
use crate::model::Sampling;
use crate::problem::did_you_mean;
use crate::prompt::PromptId;
use crate::redact;
use crate::store::Ledger;
use crate::{llama, loki};

/// The name of the rule baseline, which every data source has.
pub const RULES: &str = "rules";

/// Everything that a desk works with. `Debug` shows which data source it is and no more: there are keys in it.
pub struct Source {
    /// Grafana's organisation.
    pub org: i64,
    /// Uid of the data source.
    pub uid: String,
    /// Loki's tenant, where it has any.
    pub tenant: Option<String>,
    /// Prompts, routes, redaction, hash key.
    pub installation: Arc<Installation>,
    /// The Loki, asked in the data source's own name.
    pub loki: loki::Client,
    /// The models that have a server.
    pub models: Vec<ModelServer>,
    /// The model that is asked when neither question nor route names one.
    pub default_model: String,
    /// What a query may cost.
    pub guard: Guard,
    /// Bounds of a question.
    pub limits: Limits,
    /// Folder of the kept verdicts; `None`: they are kept in memory only.
    pub cache: Option<PathBuf>,
    /// Where every answer leaves a line.
    pub ledger: Option<Ledger>,
    /// Questions that are asked on their own schedule.
    pub standing: Vec<Standing>,
    /// Whether they are: there is nobody to ask for where Loki is read in the name of each user.
    pub scheduled: bool,
    /// The time of day.
    pub clock: Clock,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("org", &self.org).field("uid", &self.uid).finish_non_exhaustive()
    }
}

/// A model and the server that it is asked at.
#[derive(Debug, Clone)]
pub struct ModelServer {
    /// What it is.
    pub spec: ModelSpec,
    /// Where it is.
    pub client: llama::Client,
}

/// Bounds of the questions of one data source.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Budget of the digest, in tokens.
    pub digest_tokens: usize,
    /// Most entries of a window; of more, the newest are read.
    pub max_lines: usize,
    /// How long a verdict counts as fresh.
    pub fresh_for: Duration,
    /// How long a verdict may be shown to an alert, and stand in for an unchanged window.
    pub max_age: Duration,
    /// Time for Loki's entries, and again for the model's answer.
    pub timeout: Duration,
    /// All pauses together in which a failing model server is asked again.
    pub patience: Duration,
    /// Questions that may wait for their turn.
    pub queue: usize,
    /// Sampling parameters.
    pub sampling: Sampling,
}

impl Default for Limits {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            digest_tokens: 1500,
            max_lines: 5000,
            fresh_for: secs(300),
            max_age: secs(3600),
            timeout: secs(120),
            patience: secs(10),
            queue: 32,
            sampling: Sampling::default(),
        }
    }
}

/// A question that is asked on its own schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Unique within the data source.
    pub name: String,
    /// What is asked.
    pub question: Question,
    /// How often.
    pub every: Duration,
}

/// The time of day.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        Self::of(Utc::now)
    }

    /// One that a test moves.
    pub fn of(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What time it is.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Who answers a question.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answerer<'a> {
    Rules,
    Server(&'a ModelServer),
}

impl Answerer<'_> {
    pub(super) fn bytes_per_token(&self) -> f64 {
        match self {
            Self::Rules => digest::DEFAULT_BYTES_PER_TOKEN,
            Self::Server(server) => server.spec.bytes_per_token,
        }
    }
}

impl Source {
    /// The model of this name.
    pub(super) fn answerer(&self, name: &str) -> Result<Answerer<'_>, Failure> {
        if let Some(server) = self.models.iter().find(|server| server.spec.name == name) {
            return Ok(match server.spec.kind {
                Kind::Rules => Answerer::Rules,
                _ => Answerer::Server(server),
            });
        }
        if name == RULES {
            return Ok(Answerer::Rules);
        }
        let known = || self.models.iter().map(|server| server.spec.name.as_str()).chain([RULES]);
        let hint = did_you_mean(name, known()).unwrap_or_else(|| {
            format!("there are {}; add it to `modelServers`", known().collect::<Vec<_>>().join(", "))
        });
        Err(Failure::Setup(format!("no server is set for the model `{name}`: {hint}")))
    }

    /// The standing question of this name.
    pub(super) fn standing(&self, name: &str) -> Result<&Standing, Failure> {
        let known = || self.standing.iter().map(|standing| standing.name.as_str());
        self.standing.iter().find(|standing| standing.name == name).ok_or_else(|| {
            let all = || match self.standing.is_empty() {
                true => "the data source has none".to_owned(),
                false => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
            };
            let hint = did_you_mean(name, known()).unwrap_or_else(all);
            Failure::Setup(format!("no standing question `{name}`: {hint}"))
        })
    }

    /// The key of a question: a hash over everything that its verdict depends on but the logs themselves.
    pub(super) fn key(&self, question: &Question, identity: Option<&str>) -> Result<Key, Failure> {
        let pipeline = &self.installation.pipeline;
        let prompts = match &question.prompt {
            Some(id) => vec![self.prompt(id)?],
            None => pipeline.routes.iter().map(|route| self.prompt(&route.prompt)).collect::<Result<_, _>>()?,
        };
        let models = match &question.model {
            Some(name) => vec![self.model(name)?],
            None => std::iter::once(&self.default_model)
                .chain(pipeline.routes.iter().filter_map(|route| route.model.as_ref()))
                .map(|name| self.model(name).unwrap_or_else(|_| json!(name)))
                .collect(),
        };
        let span = match question.span {
            Span::Latest { length, lag } => json!([length.as_millis().to_string(), lag.as_millis().to_string()]),
            Span::Fixed(range) => json!([range.start, range.end]),
        };
        let policy = pipeline.redactor.policy();
        let identity = json!({
            "org": self.org, "datasource": self.uid, "loki": self.loki.identity(), "tenant": self.tenant,
            "identity": identity,
            "expr": question.expr.trim(), "span": span, "lines": self.limits.max_lines,
            "redaction": [json!(redact::VERSION), json!(policy.ip), json!(policy.email)],
            "digest": [json!(digest::VERSION), json!(self.limits.digest_tokens)],
            "routes": question.prompt.is_none().then_some(&pipeline.routes.sha256), "prompts": prompts,
            "models": models, "sampling": self.limits.sampling,
        });
        Ok(Key::of_hash(&hash::of_text(&identity.to_string(), pipeline.hash_key.as_deref())))
    }

    fn prompt(&self, id: &PromptId) -> Result<serde_json::Value, Failure> {
        let prompts = &self.installation.pipeline.prompts;
        let prompt = prompts.get(id).map_err(Failure::Setup)?;
        Ok(json!([id, prompt.sha256, prompts.ontology(prompt).sha256]))
    }

    fn model(&self, name: &str) -> Result<serde_json::Value, Failure> {
        Ok(match self.answerer(name)? {
            Answerer::Rules => json!(RULES),
            Answerer::Server(server) => json!(server.spec),
        })
    }
}
