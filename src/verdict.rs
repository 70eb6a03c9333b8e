//! The verdict: what a model concluded, typed, checked against ontology and digest, and the class of every outcome.
//!
//! A model reports no confidence of its own: how far to trust it is what the golden set measures.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::model::{FinishReason, ModelError, Reply};
use crate::ontology::{INSUFFICIENT_EVIDENCE, Ontology, Severity};

/// Bounds of the schema: a verdict is short, because decoding is what costs on a CPU.
const MAX_EVIDENCE: usize = 5;
const MAX_COMPONENTS: usize = 4;
const MAX_SUMMARY_CHARS: usize = 400;

/// What a model concluded from one digest. Field order is the order on the wire: evidence before conclusion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Template ids that stand in the digest, such as `T3`.
    pub evidence: Vec<String>,
    /// The components at fault, as the digest names them.
    pub components: Vec<String>,
    /// A canonical label of the ontology.
    pub root_cause: String,
    /// How bad it is.
    pub severity: Severity,
    /// At most 60 words.
    pub summary: String,
}

/// The JSON schema that llama-server turns into a grammar: same keys, same order, closed lists.
pub fn schema(ontology: &Ontology) -> Value {
    let labels: Vec<&str> = ontology.labels().iter().map(|label| label.name.as_str()).collect();
    let severities: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
    json!({
        "type": "object",
        "properties": {
            "evidence": {
                "type": "array", "maxItems": MAX_EVIDENCE,
                "items": { "type": "string", "pattern": "^T[1-9][0-9]{0,2}$" }
            },
            "components": {
                "type": "array", "maxItems": MAX_COMPONENTS, "items": { "type": "string", "maxLength": 64 }
            },
            "root_cause": { "enum": labels },
            "severity": { "enum": severities },
            "summary": { "type": "string", "maxLength": MAX_SUMMARY_CHARS }
        },
        "required": ["evidence", "components", "root_cause", "severity", "summary"],
        "additionalProperties": false
    })
}

/// How one question ended. The classes exclude each other; the first that applies, in this order, is the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The surroundings failed, retries included: the case has no score.
    InfraError,
    /// No answer within the budget.
    Timeout,
    /// The prompt did not fit the context window.
    ContextOverflow,
    /// The answer ran into its token limit.
    OutputTruncated,
    /// The answer is not a verdict.
    SchemaViolation,
    /// The verdict cites what the digest does not contain.
    Ungrounded,
    /// The model says that the lines do not show the cause.
    Abstained,
    /// A verdict with a root cause (or `none`).
    Ok,
}

impl Class {
    /// All classes in order of precedence.
    pub const ALL: [Self; 8] = [
        Self::InfraError,
        Self::Timeout,
        Self::ContextOverflow,
        Self::OutputTruncated,
        Self::SchemaViolation,
        Self::Ungrounded,
        Self::Abstained,
        Self::Ok,
    ];

    /// The word used in records and telemetry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InfraError => "infra_error",
            Self::Timeout => "timeout",
            Self::ContextOverflow => "context_overflow",
            Self::OutputTruncated => "output_truncated",
            Self::SchemaViolation => "schema_violation",
            Self::Ungrounded => "ungrounded",
            Self::Abstained => "abstained",
            Self::Ok => "ok",
        }
    }

    /// Whether the model, rather than its surroundings, failed: scores 0 and stays in the denominator.
    pub fn is_model_failure(self) -> bool {
        matches!(self, Self::Timeout | Self::ContextOverflow | Self::OutputTruncated | Self::SchemaViolation)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A classified outcome: the verdict where there is one, the reason where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its class.
    pub class: Class,
    /// The verdict of classes `ungrounded`, `abstained` and `ok`.
    pub verdict: Option<Verdict>,
    /// Why the class is not `ok`, in words without log text.
    pub reason: Option<String>,
}

impl Outcome {
    fn failed(class: Class, reason: impl Into<String>) -> Self {
        Self { class, verdict: None, reason: Some(reason.into()) }
    }

    /// Classifies an error of the model port. A refusal counts as infrastructure: no model could have answered.
    pub fn of_error(error: &ModelError) -> Self {
        let class = match error {
            ModelError::Infra { .. } | ModelError::Refused { .. } => Class::InfraError,
            ModelError::Timeout { .. } => Class::Timeout,
            ModelError::ContextOverflow { .. } | ModelError::PromptCut { .. } => Class::ContextOverflow,
            ModelError::Output { .. } => Class::SchemaViolation,
        };
        Self::failed(class, error.to_string())
    }

    /// Classifies a reply: cut, not a verdict, ungrounded, abstained, or ok.
    pub fn of_reply(reply: &Reply, ontology: &Ontology, digest: &Digest) -> Self {
        if reply.finish == FinishReason::Length {
            let reason = format!("the answer was cut after {} tokens", reply.usage.completion_tokens);
            return Self::failed(Class::OutputTruncated, reason);
        }
        let verdict = match parse(&reply.text, ontology) {
            Ok(verdict) => verdict,
            Err(reason) => return Self::failed(Class::SchemaViolation, reason),
        };
        let unknown: Vec<&str> = verdict.evidence.iter().map(String::as_str).filter(|id| !digest.has(id)).collect();
        if !unknown.is_empty() {
            let reason = format!("cites {}, which the digest does not contain", unknown.join(", "));
            return Self { class: Class::Ungrounded, verdict: Some(verdict), reason: Some(reason) };
        }
        let class = if verdict.root_cause == INSUFFICIENT_EVIDENCE { Class::Abstained } else { Class::Ok };
        Self { class, verdict: Some(verdict), reason: None }
    }
}

/// Parses and validates an answer; root causes are canonicalised through the ontology's aliases.
///
/// # Errors
/// What is wrong with it, in words that do not repeat the answer.
pub fn parse(text: &str, ontology: &Ontology) -> Result<Verdict, String> {
    let mut verdict: Verdict = serde_json::from_str(text.trim())
        .map_err(|error| format!("the answer is not a verdict at line {} column {}", error.line(), error.column()))?;
    let Some(label) = ontology.resolve(&verdict.root_cause) else {
        return Err("the root cause is not a label of the ontology".to_owned());
    };
    verdict.root_cause = label.to_owned();
    for (field, len, max) in [
        ("evidence", verdict.evidence.len(), MAX_EVIDENCE),
        ("components", verdict.components.len(), MAX_COMPONENTS),
        ("summary", verdict.summary.chars().count(), MAX_SUMMARY_CHARS),
    ] {
        if len > max {
            return Err(format!("`{field}` has {len} items or characters, at most {max} are allowed"));
        }
    }
    Ok(verdict)
}
