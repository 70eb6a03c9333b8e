//! The rule baseline: a model like any other, made of patterns, that every language model has to beat.
//!
//! It sees what a language model sees, the templates of a digest, and answers in the same form. Its patterns come from
//! what the programs document about their messages and from captures on the training side of `golden/split.toml`;
//! nothing of a golden dataset went into them. It weighs matches, it does not reason.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

use serde::Deserialize;

use crate::digest::{Digest, Level, Shown};
use crate::ontology::{INSUFFICIENT_EVIDENCE, NONE, Severity};
use crate::stream::Window;
use crate::verdict::Verdict;

/// Version of the table and of how it is weighed; stands where a model has its file's hash.
pub const VERSION: &str = "1";

/// Verdicts cite no more templates than say it.
const MAX_EVIDENCE: usize = 3;
/// The verdict's own bound.
const MAX_COMPONENTS: usize = 4;
/// Below this no match is taken as a fault: a weak pattern in an informational line.
const THRESHOLD: f64 = 3.0;
/// Something degraded, seen less often than this, is a hiccup; and a program started this often is in a restart loop.
const FEW: usize = 3;
/// A pattern of no more than this weight is no fault by itself where a program only warns.
const WEAK: f64 = 6.0;
/// So many retries in a window are more than a hiccup.
const PERSISTENT: usize = 5;
/// How many lines of an unknown error, of level error, are worth saying that the cause is not shown.
const MANY: usize = 3;

/// The table, as it stands in the repository.
const TABLE: &str = include_str!("table.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    rule: Vec<Rule>,
}

/// Patterns that mean the same: how telling they are (1 a symptom, 5 a mechanism, 10 the cause by name), how bad.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    label: String,
    weight: f64,
    severity: Severity,
    patterns: Vec<String>,
}

/// Lines that look like trouble and are part of a healthy life.
const BENIGN: &str = concat!(
    r"(?i-u)context canceled|empty ring|nil job received|address is empty in single binary|skip loading plugin",
    r"|skip plugin|devmapper not configured|no api key is set|failed to detect default host|received sigterm",
    r"|not cryptographically signed|exiting gracefully|is running as root user|err=null|error=.?<nil>|errors=false",
    r"|failures=0|ruler\.storage exists|tokens file path is empty|ring doesn't exist in kv store",
    r"|closed gracefully|operation was canceled|http: server closed|use of closed network connection",
    r"|will be ignored in favour|deprecat|failed to load cni during init|powercap|textfile collector directory",
    r"|couldn't get dbus connection|rapl|(?:established|closed|stopped|lost) tcp streaming connection",
    r"|need to evaluate at least 1 token|n_past was set|gracefully terminat|shutting down"
);
/// Lines that speak to their reader instead of about their program.
const INSTRUCTION: &str = concat!(
    r"(?i-u)ignore.{0,3}(?:all|any|the)?.{0,3}(?:previous|prior|above).{0,3}instruction|you.{0,3}(?:are|must|should).{0,20}",
    r"(?:assistant|answer|advise|reply|respond|report)|root_cause\s*=|severity\s*=\s*.?(?:info|none)"
);
/// The program ends here, or never began to serve.
const FATAL: &str = concat!(
    r"(?i-u)\bfatal\b|panic:|\bemerg\b|failed parsing config|error loading config from|error loading config \(",
    r"|unable to start|failed to start|cannot start|exiting due to|exiting with error|exited with (?:code|status) [1-9]|fatal errors? found",
    r"|failed to load model|error loading model|error initiali[sz]ing|failed to initiali[sz]e|error running loki",
    r"|error running tempo|opening storage failed|invalid argument: --|unable to load model|engine core init",
    r"|crashloopbackoff|back-off restarting failed|could not start|failed to create listen|bind\(\) to .* failed",
    r"|unmarshal toml|couldn't bind|core dumped|enginecore failed|failed to unmarshal|startup failed|init failed",
    r"|failed to create cri service|error loading config"
);
/// The program starts.
const STARTING: &str = concat!(
    r"(?i-u)starting (?:prometheus|loki|tempo|alertmanager|grafana|containerd|node_exporter|kubelet|an etcd server|etcd|cri)",
    r"|msg=.?starting|msg=\?.build context|msg=.?\(go=|build_info:|build: \d+|haproxy version is|starting controller|starting server"
);
/// The program says that it goes on trying.
const RETRY: &str =
    r"(?i-u)will (?:be )?retr|retrying|back.?off|reconnect|try(?:ing)? again|requeue|next retry|attempt";
/// The program works, or works again.
const READY: &str = concat!(
    r"(?i-u)\bready\b|\bstarted\b|startup complete|server is listening|now serving|listening on|recovered|is healthy",
    r"|server listening|loading configuration file|completed loading|elected leader|became leader|reconnected|back online"
);
/// An unknown failure, by its words.
const TROUBLE: &str =
    r"(?i-u)\berror\b|\bfail(?:ed|ure|s)?\b|\bcannot\b|\bunable\b|\bdenied\b|\bcrash|\babort|exception";
/// An access-log line whose request a haproxy backend answered: its name is the component.
const BACKEND: &str = r" ([a-z][a-z0-9_.-]*)/[A-Za-z0-9_.<>-]+ -?\d+/-?\d+/-?\d+/-?\d+/\+?-?\d+ ";

struct Compiled {
    rules: Vec<Rule>,
    set: RegexSet,
    benign: Regex,
    instruction: Regex,
    fatal: Regex,
    starting: Regex,
    retry: Regex,
    ready: Regex,
    trouble: Regex,
    backend: regex::Regex,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    let rules = toml::from_str::<Table>(TABLE).expect("a constant table that the tests parse").rule;
    let patterns = rules.iter().map(|rule| format!("(?i-u:{})", rule.patterns.join("|")));
    let set = RegexSetBuilder::new(patterns).size_limit(64 << 20).dfa_size_limit(16 << 20).build();
    let one = |pattern| Regex::new(pattern).expect("a constant pattern that the tests compile");
    Compiled {
        set: set.expect("constant patterns that the tests compile"),
        rules,
        benign: one(BENIGN),
        instruction: one(INSTRUCTION),
        fatal: one(FATAL),
        starting: one(STARTING),
        retry: one(RETRY),
        ready: one(READY),
        trouble: one(TROUBLE),
        backend: regex::Regex::new(BACKEND).expect("a constant pattern that the tests compile"),
    }
});

/// A pattern that matched a template.
struct Match<'d> {
    shown: &'d Shown,
    line: &'d str,
    severity: Severity,
    strength: f64,
}

/// The verdict of the rules on a digest of `window`.
pub fn judge(digest: &Digest, window: &Window) -> Verdict {
    let mut by_label: BTreeMap<&'static str, Vec<Match<'_>>> = BTreeMap::new();
    let mut unknown: Vec<&Shown> = Vec::new();
    for shown in &digest.templates {
        let line = window.entries.get(shown.exemplar).map_or(shown.template.as_str(), |entry| entry.line.as_str());
        if COMPILED.benign.is_match(line.as_bytes()) {
            continue;
        }
        let matches = matches(shown, line, digest, window);
        if matches.is_empty() && is_trouble(shown, line) {
            unknown.push(shown);
        }
        for (label, one) in matches {
            by_label.entry(label).or_default().push(one);
        }
    }
    let total = |matches: &[Match<'_>]| matches.iter().map(|one| one.strength).fold(0.0, f64::max) + breadth(matches);
    let best = by_label.into_iter().max_by(|a, b| total(&a.1).total_cmp(&total(&b.1)).then(b.0.cmp(a.0)));
    match best.filter(|(_, matches)| total(matches) >= THRESHOLD) {
        Some((label, matches)) => claim(label, matches, digest, window),
        None => without_cause(&unknown),
    }
}

/// A little more for a label with more, and more frequent, templates; never enough to outweigh a better pattern.
fn breadth(matches: &[Match<'_>]) -> f64 {
    let lines: usize = matches.iter().map(|one| one.shown.count).sum();
    (lines as f64 + 1.0).log2().min(10.0) * 0.1
}

fn matches<'d>(shown: &'d Shown, line: &'d str, digest: &Digest, window: &Window) -> Vec<(&'static str, Match<'d>)> {
    let told = if COMPILED.instruction.is_match(line.as_bytes()) { 0.5 } else { 1.0 };
    let factor = told * loudness(shown.level) * if is_over(shown, digest, window) { 0.25 } else { 1.0 };
    let found = COMPILED.set.matches(line.as_bytes()).into_iter().map(|index| &COMPILED.rules[index]);
    let weak = |rule: &Rule| rule.severity == Severity::Warning || (rule.weight <= WEAK && shown.level < Level::Error);
    let hiccup = |rule: &Rule| if shown.count < FEW && weak(rule) { 0.35 } else { 1.0 };
    let strength = |rule: &Rule| rule.weight * factor * hiccup(rule);
    found
        .map(|rule| (rule.label.as_str(), Match { shown, line, severity: rule.severity, strength: strength(rule) }))
        .collect()
}

/// What a program calls information is rarely its fault.
fn loudness(level: Level) -> f64 {
    match level {
        Level::Debug => 0.2,
        Level::Info => 0.3,
        Level::Unknown | Level::Warning => 0.9,
        Level::Error | Level::Fatal => 1.0,
    }
}

/// Whether a template ceased early and its component reported itself well afterwards.
fn is_over(shown: &Shown, digest: &Digest, window: &Window) -> bool {
    let (Some(first), Some(last)) = (window.entries.first(), window.entries.last()) else { return false };
    let span = last.ts.saturating_sub(first.ts);
    let quiet = last.ts.saturating_sub(shown.last_ns);
    let ready = |other: &Shown| {
        let line = window.entries.get(other.exemplar).map_or("", |entry| entry.line.as_str());
        other.component == shown.component && other.last_ns > shown.last_ns && COMPILED.ready.is_match(line.as_bytes())
    };
    quiet > span / 5 * 2 && digest.templates.iter().any(ready)
}

fn is_trouble(shown: &Shown, line: &str) -> bool {
    let loud = shown.level == Level::Fatal || (shown.level == Level::Error && shown.count >= MANY);
    loud || (shown.level == Level::Unknown && COMPILED.trouble.is_match(line.as_bytes()))
}

fn claim(label: &str, mut matches: Vec<Match<'_>>, digest: &Digest, window: &Window) -> Verdict {
    matches.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(b.shown.count.cmp(&a.shown.count)));
    matches.dedup_by(|next, kept| next.shown.id == kept.shown.id);
    let severity = severity(&matches, digest, window);
    let mut evidence: Vec<String> = Vec::new();
    let mut components: Vec<String> = Vec::new();
    for one in &matches {
        if evidence.len() < MAX_EVIDENCE && !evidence.contains(&one.shown.id) {
            evidence.push(one.shown.id.clone());
        }
        let backend = COMPILED.backend.captures(one.line).and_then(|groups| groups.get(1)).map(|name| name.as_str());
        for name in [Some(one.shown.component.as_str()), backend].into_iter().flatten() {
            if components.len() < MAX_COMPONENTS && name != "-" && !components.iter().any(|known| known == name) {
                components.push(name.to_owned());
            }
        }
    }
    let lines: usize = matches.iter().map(|one| one.shown.count).sum();
    let summary = summary(label, &components, lines, severity);
    Verdict { evidence, components, root_cause: label.to_owned(), severity, summary }
}

/// The strongest pattern's severity: critical where the program ends, a warning where it only retries a little.
fn severity(matches: &[Match<'_>], digest: &Digest, window: &Window) -> Severity {
    let Some(strongest) = matches.first() else { return Severity::Info };
    if strongest.severity >= Severity::Error && ends(strongest.shown, digest, window) {
        return Severity::Critical;
    }
    let retries =
        matches.iter().all(|one| one.shown.level < Level::Error && COMPILED.retry.is_match(one.line.as_bytes()));
    let few = matches.iter().map(|one| one.shown.count).sum::<usize>() < PERSISTENT;
    if strongest.severity == Severity::Error && retries && few { Severity::Warning } else { strongest.severity }
}

/// Whether the component ends after the fault and does not come back: it says so, or it starts again and again.
fn ends(fault: &Shown, digest: &Digest, window: &Window) -> bool {
    let own = || digest.templates.iter().filter(|shown| shown.component == fault.component);
    let line = |shown: &Shown| window.entries.get(shown.exemplar).map_or(&[][..], |entry| entry.line.as_bytes());
    let end = |shown: &&Shown| shown.level == Level::Fatal || COMPILED.fatal.is_match(line(shown));
    let last_end = own().filter(end).map(|shown| shown.last_ns).filter(|last| *last >= fault.first_ns).max();
    let starts = own().filter(|shown| COMPILED.starting.is_match(line(shown)) && shown.last_ns >= fault.first_ns);
    let loops = starts.map(|shown| shown.count).max().unwrap_or(0) >= FEW;
    let back = |end: i64| own().any(|shown| shown.first_ns > end && COMPILED.ready.is_match(line(shown)));
    loops || last_end.is_some_and(|end| !back(end))
}

fn without_cause(unknown: &[&Shown]) -> Verdict {
    let Some(first) = unknown.first() else {
        let summary = "No known sign of a fault.".to_owned();
        let (evidence, components) = (Vec::new(), Vec::new());
        return Verdict { evidence, components, root_cause: NONE.to_owned(), severity: Severity::Info, summary };
    };
    let components: Vec<String> = Some(&first.component).filter(|name| *name != "-").cloned().into_iter().collect();
    let fatal = unknown.iter().any(|shown| shown.level == Level::Fatal);
    Verdict {
        evidence: unknown.iter().take(MAX_EVIDENCE).map(|shown| shown.id.clone()).collect(),
        summary: format!("{} reports errors, but no line shows their cause.", named(&components)),
        components,
        root_cause: INSUFFICIENT_EVIDENCE.to_owned(),
        severity: if fatal { Severity::Critical } else { Severity::Error },
    }
}

fn named(components: &[String]) -> String {
    if components.is_empty() { "A component".to_owned() } else { components.join(", ") }
}

fn summary(label: &str, components: &[String], lines: usize, severity: Severity) -> String {
    let effect = match severity {
        Severity::Critical => "it cannot serve",
        Severity::Error => "the operation keeps failing",
        Severity::Warning | Severity::Info => "it is degraded",
    };
    let cause = label.replace('_', " ");
    let times = if lines == 1 { "once".to_owned() } else { format!("{lines} times") };
    // Component names come from labels: bounded, so that the summary is.
    let names: String = named(components).chars().take(200).collect();
    format!("{names}: {cause}, logged {times}; {effect}.")
}

#[cfg(test)]
mod tests;
