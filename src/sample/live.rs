//! Sample ledger: what standing questions might have been told in the days before the history's end.
//!
//! A record takes its outcome from a row of a resampled run. Before the change it is one of a window in which nothing was
//! wrong; after it a critical verdict, an ungrounded one and none in time take turns, so that every rule has something to
//! see. Names, times and the share of unseen templates are invented.

use chrono::{DateTime, TimeDelta, Utc};

use super::{generator, late, uniform};
use crate::hash;
use crate::ledger::{FORMAT, Purpose, Record};
use crate::ontology::{NONE, Severity};
use crate::run::{CaseResult, Plan};
use crate::verdict::Class;

/// Between two answers to one question.
const EVERY: TimeDelta = TimeDelta::minutes(20);
/// Shares of templates that are told as never seen before, before and after the change.
const UNSEEN: [f64; 2] = [0.02, 0.35];

/// A time at which a standing question was asked.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Which question, from 0: the families in order.
    pub question: usize,
    /// How many answers came after it.
    pub back: u32,
    /// Seed of every draw.
    pub seed: u64,
}

impl Slot {
    /// The moment, for a history that ends at `until`; questions are not asked all at once.
    pub fn at(self, until: DateTime<Utc>) -> DateTime<Utc> {
        until - EVERY * self.back as i32 - TimeDelta::seconds(30 * (self.question as i64 + 1))
    }

    /// The slots of `questions` over the time before the end, oldest first.
    pub fn all(questions: usize, length: TimeDelta, seed: u64) -> impl Iterator<Item = Self> {
        let slots = u32::try_from(length.num_seconds() / EVERY.num_seconds()).unwrap_or(u32::MAX);
        (0..slots).rev().flat_map(move |back| (0..questions).map(move |question| Self { question, back, seed }))
    }

    /// What the question about `family` was told; `None` if the run has no row to take it from.
    pub fn record(
        self,
        plan: &Plan,
        rows: &[CaseResult],
        family: &str,
        at: DateTime<Utc>,
        changed: bool,
    ) -> Option<Record> {
        let mut rng = generator(self.seed, family, self.back);
        let kind = changed.then_some(self.kind());
        let any: Vec<&CaseResult> = rows.iter().filter(|row| fits(row, kind)).collect();
        let own: Vec<&CaseResult> = any.iter().copied().filter(|row| row.family == family).collect();
        let from = if own.is_empty() { any } else { own };
        let row = from.get((uniform(&mut rng) * from.len() as f64) as usize)?;
        let mut answer = row.answer.clone();
        if changed && self.kind() == Kind::Late {
            late(&mut answer, plan.experiment.timeout_s);
        }
        let verdict = answer.verdict;
        Some(Record {
            format: FORMAT,
            at,
            org: 1,
            datasource: "assay".to_owned(),
            question: hash::sha256(format!("sample {family}"))[..32].to_owned(),
            name: Some(format!("{family} (sample)")),
            purpose: Purpose::Standing,
            latest: true,
            namespaces: vec![family.to_owned()],
            components: verdict.as_ref().map(|verdict| verdict.components.clone()).unwrap_or_default(),
            prompt_sha256: plan.pipeline.prompts.get(&answer.asked.prompt).cloned().unwrap_or_default(),
            asked: answer.asked,
            redaction: plan.pipeline.redaction.clone(),
            digest: plan.pipeline.digest.clone(),
            model: plan.arm.model.clone(),
            quantization: plan.model.spec.quantization.clone(),
            demo: plan.model.spec.demo,
            fingerprint: plan.model.fingerprint.clone(),
            build_info: plan.model.build_info.clone(),
            class: answer.class,
            reason: answer.reason,
            verdict,
            output_hash: None,
            usage: answer.usage,
            timings: answer.timings,
            attempts: answer.attempts,
            queued_ms: 0.0,
            loki_ms: 0.0,
            latency_ms: answer.latency_ms,
            unseen: Some(UNSEEN[usize::from(changed)] * uniform(&mut rng)),
            reused: false,
            trace_id: None,
        })
    }

    fn kind(self) -> Kind {
        match (self.back as usize + self.question) % 3 {
            0 => Kind::Critical,
            1 => Kind::Ungrounded,
            _ => Kind::Late,
        }
    }
}

/// What an answer shows once something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Critical,
    Ungrounded,
    Late,
}

fn fits(row: &CaseResult, kind: Option<Kind>) -> bool {
    let says = |severity| row.answer.verdict.as_ref().is_some_and(|verdict| verdict.severity == severity);
    match kind {
        None => row.answer.class == Class::Ok && row.target_root_cause == NONE && says(Severity::Info),
        Some(Kind::Critical) => row.answer.class == Class::Ok && says(Severity::Critical),
        Some(Kind::Ungrounded) => row.answer.class == Class::Ungrounded,
        Some(Kind::Late) => true,
    }
}
