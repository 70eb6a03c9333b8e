//! How a verdict reads.

use std::time::Duration;

use serde_json::{Value, json};

use crate::analyze::Analysis;
use crate::cli::output::{BAD, DIM, DOUBTFUL, counted, of_severity, paint, quote};
use crate::digest::Shown;
use crate::run::ModelId;
use crate::stream::TextLog;
use crate::verdict::{Class, Verdict};

/// Characters of a quoted line.
const QUOTED: usize = 240;
/// Lines of a longer record that are quoted.
const RECORD_LINES: usize = 6;
/// Characters of a hash that tell two apart.
const HASH: usize = 12;

/// An answered question with all that is told of it.
#[derive(Debug)]
pub(super) struct Answered<'i> {
    pub(super) log: &'i TextLog,
    pub(super) analysis: Analysis<'i>,
    pub(super) model: ModelId,
    pub(super) took: Duration,
}

impl Answered<'_> {
    /// Prints the verdict, if there is one, and what it rests on.
    pub(super) fn print(&self) {
        let outcome = &self.analysis.outcome;
        if let Some(verdict) = &outcome.verdict {
            self.print_verdict(verdict);
            println!();
        }
        if outcome.class == Class::Ungrounded {
            let reason = outcome.reason.as_deref().unwrap_or_default();
            println!("{}: the verdict {reason}\n", paint(BAD, "ungrounded"));
        }
        for line in self.origin() {
            println!("{}", paint(DIM, line));
        }
    }

    fn print_verdict(&self, verdict: &Verdict) {
        let severity = paint(of_severity(verdict.severity), verdict.severity.as_str().to_uppercase());
        println!("{severity}  {}: {}", verdict.root_cause, self.definition(verdict));
        if !verdict.components.is_empty() {
            let components: Vec<String> = verdict.components.iter().map(|name| quote(name, 64)).collect();
            println!("components: {}", components.join(", "));
        }
        println!("{}", quote(&verdict.summary, 1_000));
        println!("\nevidence:{}", if verdict.evidence.is_empty() { " none cited" } else { "" });
        for id in &verdict.evidence {
            match self.shown(id) {
                Some(shown) => self.print_evidence(shown),
                None => println!("  {} {}", quote(id, 16), paint(DOUBTFUL, "does not stand in the digest")),
            }
        }
    }

    fn print_evidence(&self, shown: &Shown) {
        let times = if shown.count == 1 { "once".to_owned() } else { format!("{} times", shown.count) };
        println!("  {} ({times}, {})", shown.id, quote(&shown.component, 64));
        for (line, text) in self.record(shown) {
            println!("  {} {}", paint(DIM, format!("{line:>6} |")), quote(text, QUOTED));
        }
    }

    /// The lines of a template's example: the exemplar, and what continues it.
    fn record(&self, shown: &Shown) -> Vec<(usize, &str)> {
        let window = &self.analysis.prepared.window;
        let from = shown.entries.iter().position(|&entry| entry as usize == shown.exemplar).unwrap_or_default();
        let per_record = (shown.entries.len() / shown.count.max(1)).clamp(1, RECORD_LINES);
        let entries = shown.entries.iter().skip(from).take(per_record).map(|&entry| entry as usize);
        let line = |entry: usize| Some((*self.log.lines.get(entry)?, window.entries.get(entry)?.line.as_str()));
        entries.filter_map(line).collect()
    }

    fn shown(&self, id: &str) -> Option<&Shown> {
        self.analysis.prepared.digest.templates.iter().find(|shown| shown.id == id)
    }

    fn definition(&self, verdict: &Verdict) -> &str {
        let labels = self.analysis.prepared.ontology.labels();
        labels.iter().find(|label| label.name == verdict.root_cause).map_or("", |label| label.definition.as_str())
    }

    /// Prompt, model and hashes; then what went in.
    fn origin(&self) -> Vec<String> {
        let prepared = &self.analysis.prepared;
        let route = prepared.routed.as_ref().map_or(String::new(), |routed| format!(" (route {})", routed.route));
        let demo = if self.model.spec.demo { ", a demo model: its verdicts mean nothing" } else { "" };
        let hash = [&self.model.gguf_sha256, &self.model.fingerprint].into_iter().flatten().next();
        let hash = hash.map_or(String::new(), |hash| format!(" {}", short(hash)));
        let digest = &prepared.digest;
        let shown = digest.lines - digest.omitted.lines;
        let redacted = if prepared.redactions > 0 {
            format!(", secrets redacted: {}", prepared.redactions)
        } else {
            String::new()
        };
        vec![
            format!(
                "prompt {}{route} {}, model {}{hash}{demo}",
                prepared.prompt.id,
                short(&prepared.prompt.sha256),
                self.model.spec.name
            ),
            format!(
                "{shown} of {} stand in {}, about {} tokens{redacted}; answered in {:.1} s; rendered prompt {}",
                counted(digest.lines, "line", "lines"),
                counted(digest.templates.len(), "template", "templates"),
                digest.estimated_tokens,
                self.took.as_secs_f64(),
                short(&prepared.rendered.hash),
            ),
        ]
    }

    /// Why there is no verdict.
    pub(super) fn failure(&self) -> String {
        let outcome = &self.analysis.outcome;
        let reason = outcome.reason.as_deref().unwrap_or("no reason is known");
        let hint = match outcome.class {
            Class::Timeout => "\n  hint: give it longer with --timeout, or less to read with --budget",
            Class::ContextOverflow => "\n  hint: lower --budget, or serve the model with a larger context",
            Class::InfraError => "\n  hint: `assay doctor` checks the surroundings",
            _ => "",
        };
        format!("{} gave no verdict: {}: {reason}{hint}", self.model.spec.name, outcome.class)
    }

    pub(super) fn json(&self) -> Value {
        let (analysis, prepared) = (&self.analysis, &self.analysis.prepared);
        let verdict = analysis.outcome.verdict.as_ref();
        let evidence = verdict.map(|verdict| {
            let cited = verdict.evidence.iter().map(|id| match self.shown(id) {
                Some(shown) => self.evidence_json(shown),
                None => json!({ "id": id, "shown": false }),
            });
            cited.collect::<Vec<_>>()
        });
        json!({
            "class": analysis.outcome.class, "reason": analysis.outcome.reason, "verdict": verdict,
            "definition": verdict.map(|verdict| self.definition(verdict)), "evidence": evidence,
            "prompt": prepared.prompt.id, "prompt_sha256": prepared.prompt.sha256,
            "ontology": prepared.ontology.version, "model": self.model,
            "asked": prepared.asked(&[]), "usage": analysis.usage, "timings": analysis.timings,
            "latency_ms": self.took.as_secs_f64() * 1e3,
        })
    }

    fn evidence_json(&self, shown: &Shown) -> Value {
        let lines: Vec<Value> =
            self.record(shown).into_iter().map(|(line, text)| json!({ "line": line, "text": text })).collect();
        json!({
            "id": shown.id, "shown": true, "count": shown.count, "level": shown.level, "component": shown.component,
            "first_ns": shown.first_ns.to_string(), "last_ns": shown.last_ns.to_string(), "lines": lines,
        })
    }
}

/// The beginning of a hash, with the word before it.
fn short(hash: &str) -> String {
    let (kind, digits) = hash.split_once(':').map_or(("", hash), |(kind, digits)| (kind, digits));
    let digits = digits.get(..HASH).unwrap_or(digits);
    if kind.is_empty() { digits.to_owned() } else { format!("{kind}:{digits}") }
}
