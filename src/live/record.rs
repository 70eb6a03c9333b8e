//! From an answer to what is recorded and kept of it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::kept::{Cited, FORMAT, Kept, Line, seen_with};
use super::work::{Answer, Job, Reading};
use crate::analyze::Prepared;
use crate::digest::{self, Shape};
use crate::hash;
use crate::ledger::{self, Purpose, Record};
use crate::model::{Timings, Usage};
use crate::redact;
use crate::telemetry::trace_id;

/// Values of a kind that a record keeps.
const MOST_VALUES: usize = 10;

/// What the work on a question came to.
pub(super) struct Done {
    /// The line for the ledger. Its class may be a failure.
    pub(super) record: Record,
    /// What is to be kept, if there is a verdict.
    pub(super) kept: Option<Kept>,
    /// The cited lines of a new verdict.
    pub(super) lines: Vec<Line>,
}

impl Job<'_> {
    /// A verdict that stands because the logs have kept their shape.
    pub(super) fn reused(&self, kept: &Kept, shape: &Shape, reading: &Reading, queued: Duration) -> Done {
        let now = self.source.clock.now();
        let record = Record {
            at: now,
            name: self.name(),
            purpose: self.origin.purpose,
            latest: self.question.span.is_latest(),
            usage: Usage::default(),
            timings: Timings::default(),
            attempts: 0,
            queued_ms: millis(queued),
            loki_ms: millis(reading.took),
            latency_ms: 0.0,
            unseen: Some(shape.unseen(&kept.seen)),
            reused: true,
            trace_id: trace_id().or_else(|| self.origin.trace_id.clone()),
            ..kept.record.clone()
        };
        let kept = Kept {
            confirmed: now,
            reused: kept.reused + 1,
            complete: reading.complete,
            notices: reading.notices.clone(),
            seen: seen_with(Some(kept), shape),
            ..kept.clone()
        };
        Done { record, kept: Some(kept), lines: Vec::new() }
    }

    /// A new answer.
    pub(super) fn answered(&self, answer: Answer<'_>, shape: Shape, reading: Reading, queued: Duration) -> Done {
        let record = self.record(&answer, &shape, &reading, queued);
        if record.verdict.is_none() {
            return Done { record, kept: None, lines: Vec::new() };
        }
        let lines = self.cited(&answer.analysis.prepared, &record);
        let kept = Kept {
            format: FORMAT,
            key: self.key.clone(),
            window: (reading.range.start, reading.range.end),
            confirmed: record.at,
            reused: 0,
            complete: reading.complete,
            notices: reading.notices,
            evidence: lines.iter().map(|line| line.cited.clone()).collect(),
            seen: seen_with(self.previous, &shape),
            shape,
            record: record.clone(),
        };
        Done { record, kept: Some(kept), lines }
    }

    fn record(&self, answer: &Answer<'_>, shape: &Shape, reading: &Reading, queued: Duration) -> Record {
        let (analysis, prepared) = (&answer.analysis, &answer.analysis.prepared);
        let streams = &prepared.window.streams;
        let spec = answer.server.as_ref().map(|known| &known.server.spec);
        let identity = answer.server.as_ref().and_then(|known| known.identity.as_ref());
        Record {
            format: ledger::FORMAT,
            at: self.source.clock.now(),
            org: self.source.org,
            datasource: self.source.uid.clone(),
            question: self.key.to_string(),
            name: self.name(),
            purpose: self.origin.purpose,
            latest: self.question.span.is_latest(),
            namespaces: values(streams.iter().filter_map(|labels| labels.get("namespace"))),
            components: values(streams.iter().map(|labels| labels.component()).filter(|word| *word != "-")),
            asked: prepared.asked(&[]),
            prompt_sha256: prepared.prompt.sha256.clone(),
            redaction: redact::VERSION.to_owned(),
            digest: digest::VERSION.to_owned(),
            model: answer.model.clone(),
            quantization: spec.map_or("-", |spec| &spec.quantization).to_owned(),
            demo: spec.is_some_and(|spec| spec.demo),
            fingerprint: identity.map(|identity| identity.fingerprint.clone()),
            build_info: identity.map(|identity| identity.build_info.clone()),
            class: analysis.outcome.class,
            reason: analysis.outcome.reason.clone(),
            verdict: analysis.outcome.verdict.clone(),
            output_hash: analysis.output_hash.clone(),
            usage: analysis.usage,
            timings: analysis.timings,
            attempts: answer.attempts,
            queued_ms: millis(queued + answer.waited),
            loki_ms: millis(reading.took),
            latency_ms: millis(answer.took),
            unseen: self.previous.map(|kept| shape.unseen(&kept.seen)),
            reused: false,
            trace_id: trace_id().or_else(|| self.origin.trace_id.clone()),
        }
    }

    /// The entries that the digest shows of the templates that the verdict cites.
    fn cited(&self, prepared: &Prepared<'_>, record: &Record) -> Vec<Line> {
        let cites = |id: &String| record.verdict.as_ref().is_some_and(|verdict| verdict.evidence.contains(id));
        let cited = prepared.digest.templates.iter().filter(|shown| cites(&shown.id));
        let shown =
            cited.flat_map(|shown| std::iter::once(&shown.exemplar).chain(&shown.further).map(move |at| (shown, *at)));
        let line = |(shown, at): (&digest::Shown, usize)| {
            let entry = prepared.window.entries.get(at)?;
            let cited = Cited {
                id: shown.id.clone(),
                ts: entry.ts,
                labels: prepared.window.streams.get(entry.stream as usize)?.clone(),
                component: shown.component.clone(),
                level: shown.level,
                count: shown.count,
                line: hash::short(&entry.line, self.hash_key()),
            };
            Some(Line { cited, line: entry.line.clone() })
        };
        shown.filter_map(line).collect()
    }

    fn name(&self) -> Option<String> {
        let standing = &self.source.standing;
        standing.iter().find(|standing| standing.question == *self.question).map(|standing| standing.name.clone())
    }
}

/// What the ledger may say of a question that was asked under a user's own identity: how it went, not what was found.
pub(super) fn without_findings(record: &Record) -> Record {
    debug_assert_eq!(record.purpose, Purpose::Direct);
    Record { verdict: None, namespaces: Vec::new(), components: Vec::new(), name: None, ..record.clone() }
}

/// Different values in order, so many at most.
fn values<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    all.collect::<BTreeSet<_>>().into_iter().take(MOST_VALUES).map(str::to_owned).collect()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
