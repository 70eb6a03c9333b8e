//! One answer with everything that made it, whether it comes from a run or from the ledger.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::ledger::Record;
use crate::run::{Asked, CaseResult, Plan};
use crate::verdict::Class;

/// An answer and what made it. What only a run or only the ledger knows is `None` in the other.
pub(super) struct Row {
    pub(super) at: DateTime<Utc>,
    pub(super) run: Option<String>,
    pub(super) case: Option<String>,
    pub(super) repeat: Option<i64>,
    pub(super) question: Option<String>,
    pub(super) class: Class,
    pub(super) asked: Asked,
    pub(super) prompt_sha256: Option<String>,
    pub(super) output_hash: Option<String>,
    pub(super) trace_id: Option<String>,
    pub(super) model: String,
    pub(super) quantization: String,
    pub(super) gguf_sha256: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) build_info: Option<String>,
    pub(super) dataset: Option<String>,
    pub(super) dataset_sha256: Option<String>,
    pub(super) assay: Option<String>,
    pub(super) commit: Option<String>,
    pub(super) dirty: Option<bool>,
    /// Everything else that shaped the answer.
    pub(super) settings: Value,
}

impl Row {
    /// An answer of a run.
    pub(super) fn of_run(plan: &Plan, result: &CaseResult) -> Self {
        let (answer, model) = (&result.answer, &plan.model);
        Self {
            at: answer.at,
            run: Some(plan.id.clone()),
            case: Some(answer.case.clone()),
            repeat: Some(i64::from(answer.repeat)),
            question: None,
            class: answer.class,
            asked: answer.asked.clone(),
            prompt_sha256: plan.pipeline.prompts.get(&answer.asked.prompt).cloned(),
            output_hash: None,
            trace_id: answer.trace_id.clone(),
            model: plan.arm.model.clone(),
            quantization: model.spec.quantization.clone(),
            gguf_sha256: model.gguf_sha256.clone(),
            fingerprint: model.fingerprint.clone(),
            build_info: model.build_info.clone(),
            dataset: Some(plan.dataset.name.clone()),
            dataset_sha256: Some(plan.dataset.sha256.clone()),
            assay: Some(plan.environment.assay_version.clone()),
            commit: plan.environment.commit.clone(),
            dirty: plan.environment.dirty,
            settings: settings(plan),
        }
    }

    /// An answer that the ledger has a line of.
    pub(super) fn of_record(record: &Record) -> Self {
        Self {
            at: record.at,
            run: None,
            case: None,
            repeat: None,
            question: Some(record.title().to_owned()),
            class: record.class,
            asked: record.asked.clone(),
            prompt_sha256: Some(record.prompt_sha256.clone()),
            output_hash: record.output_hash.clone(),
            trace_id: record.trace_id.clone(),
            model: record.model.clone(),
            quantization: record.quantization.clone(),
            gguf_sha256: None,
            fingerprint: record.fingerprint.clone(),
            build_info: record.build_info.clone(),
            dataset: None,
            dataset_sha256: None,
            assay: None,
            commit: None,
            dirty: None,
            settings: json!({
                "purpose": record.purpose, "latest": record.latest, "reused": record.reused, "attempts": record.attempts,
                "digest_tokens": record.asked.digest_tokens, "redaction": record.redaction, "digest": record.digest,
                "queued_ms": record.queued_ms, "loki_ms": record.loki_ms, "latency_ms": record.latency_ms,
            }),
        }
    }
}

fn settings(plan: &Plan) -> Value {
    json!({
        "sampling": plan.arm.sampling, "digest_tokens": plan.arm.digest_tokens,
        "profile": plan.experiment.profile, "timeout_s": plan.experiment.timeout_s, "seed": plan.experiment.seed,
        "context_tokens": plan.model.context_tokens, "slots": plan.model.slots, "threads": plan.model.threads,
        "chat_template_sha256": plan.model.chat_template_sha256,
        "redaction": plan.pipeline.redaction, "digest": plan.pipeline.digest, "scorer": plan.pipeline.scorer,
        "ontology": plan.pipeline.ontology, "routes_sha256": plan.pipeline.routes_sha256,
        "cpu": plan.environment.cpu, "os": plan.environment.os,
    })
}
