//! `assay eval gate`: a comparison that decides an exit code, for people, pull requests and continuous integration.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chrono::Utc;
use clap::{Args, ValueEnum};

use super::StoreArgs;
use crate::cli::exit;
use crate::cli::input::size;
use crate::compare::{GateRecord, RunGate, amount, difference, gate_runs, value};
use crate::run::{FORMAT, Run};
use crate::score::Metric;
use crate::stats::GateOutcome;
use crate::store::Store;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0  passed: any loss is smaller than the margin\n  1  error: nothing was decided\n  \
                        3  failed: the loss is larger than the margin\n  4  cannot tell: the data do not decide it"
)]
pub(in crate::cli) struct Gate {
    /// The run that is judged: a run id, the beginning of one, or an arm's name for its newest run.
    run: String,
    /// What it is held against: the name of a baseline, or a run.
    #[arg(long)]
    baseline: String,
    /// The metric that decides; the experiment's if absent.
    #[arg(long)]
    metric: Option<Metric>,
    /// Loss that would be accepted, in the metric's unit (0.05 is 5 percentage points); the experiment's if absent.
    #[arg(long, allow_negative_numbers = true, value_parser = size)]
    margin: Option<f64>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For a pull request.
    Markdown,
    /// For continuous integration: JUnit XML.
    Junit,
    /// The record as it is kept in the store.
    Json,
}

pub(super) async fn gate(args: &Gate) -> Result<ExitCode> {
    let store = args.store.existing()?;
    let run = store.run(&store.find(&args.run).await?).await?;
    let (name, baseline) = reference(&store, &args.baseline).await?;
    let experiment = &run.record.plan.experiment;
    let metric = args.metric.unwrap_or(experiment.primary);
    let margin = match args.margin {
        Some(margin) => margin,
        None if metric == experiment.primary => experiment.margin,
        None => bail!("the experiment declares no margin for `{metric}`: give --margin, in the metric's unit"),
    };
    let result = gate_runs(&baseline, &run, metric, margin, experiment.seed)?;
    let record = record(name, &run, &baseline, result);
    store.put_gate(&record).await.context("the result cannot be kept")?;
    match args.format {
        Format::Text => println!("{}", text(&record).trim_end()),
        Format::Markdown => println!("{}", markdown(&record).trim_end()),
        Format::Junit => println!("{}", junit(&record).trim_end()),
        Format::Json => println!("{}", serde_json::to_string_pretty(&record)?),
    }
    eprintln!("kept as gates/{}.json in {}", record.id, store.url());
    Ok(code(record.result.gate.outcome))
}

/// A baseline by its name, else a run.
async fn reference(store: &Store, word: &str) -> Result<(Option<String>, Run)> {
    match store.baseline(word).await? {
        Some(baseline) => Ok((Some(baseline.name.clone()), store.pinned(&baseline).await?)),
        None => {
            let id = store.find(word).await.context("--baseline names neither a baseline nor a run")?;
            Ok((None, store.run(&id).await?))
        }
    }
}

fn record(baseline_name: Option<String>, run: &Run, baseline: &Run, result: RunGate) -> GateRecord {
    let at = Utc::now();
    GateRecord {
        format: FORMAT,
        id: format!("{}-{}-{}", at.format("%Y%m%dT%H%M%S%3fZ"), result.metric, run.record.plan.arm.slug()),
        at,
        baseline_name,
        dataset: run.record.plan.dataset.name.clone(),
        run_results_sha256: run.record.results_sha256.clone(),
        baseline_results_sha256: baseline.record.results_sha256.clone(),
        assay_version: env!("CARGO_PKG_VERSION").to_owned(),
        result,
    }
}

fn code(outcome: GateOutcome) -> ExitCode {
    ExitCode::from(match outcome {
        GateOutcome::NonInferior => 0,
        GateOutcome::Inferior => exit::INFERIOR,
        GateOutcome::CannotTell => exit::CANNOT_TELL,
    })
}

fn word(outcome: GateOutcome) -> &'static str {
    match outcome {
        GateOutcome::NonInferior => "passed",
        GateOutcome::Inferior => "failed",
        GateOutcome::CannotTell => "cannot tell",
    }
}

/// Name and value of every line of the result.
fn facts(record: &GateRecord) -> Vec<(&'static str, String)> {
    let (result, gate) = (&record.result, &record.result.gate);
    let metric = result.metric;
    let pinned = record.baseline_name.as_ref().map_or(String::new(), |name| format!(" (baseline {name})"));
    vec![
        ("run", format!("{} · {}", result.run, result.run_title)),
        ("baseline", format!("{} · {}{pinned}", result.baseline, result.baseline_title)),
        (
            "metric",
            format!("{metric}: {} against {}", value(metric, result.value), value(metric, result.baseline_value)),
        ),
        ("difference", difference(metric, gate.delta)),
        ("at worst, 95 %", gate.bound.map_or_else(|| "no honest bound".to_owned(), |bound| difference(metric, bound))),
        ("margin", amount(metric, gate.margin)),
        (
            "data",
            format!("{}, {} cases in {} clusters; {}", record.dataset, result.n_cases, gate.n_clusters, gate.method),
        ),
    ]
}

fn text(record: &GateRecord) -> String {
    let mut text = format!("gate {}: {}.\n\n", word(record.result.gate.outcome), record.result);
    for (name, value) in facts(record) {
        let _ = writeln!(text, "{name:<15} {value}");
    }
    text
}

fn markdown(record: &GateRecord) -> String {
    // A title may hold what Markdown reads as a table or as markup.
    let plain = |text: &str| -> String {
        let escape = |c: char| if "|*_`<>[]\\#".contains(c) { vec!['\\', c] } else { vec![c] };
        text.chars().flat_map(escape).collect()
    };
    let outcome = word(record.result.gate.outcome);
    let mut text = format!("### Gate {outcome}\n\n{}.\n\n| | |\n| --- | --- |\n", plain(&record.result.to_string()));
    for (name, value) in facts(record) {
        let _ = writeln!(text, "| {name} | {} |", plain(&value));
    }
    text
}

/// One test case; what is not a pass is a failure, and its type tells which.
fn junit(record: &GateRecord) -> String {
    let (result, outcome) = (&record.result, record.result.gate.outcome);
    let failures = u8::from(outcome != GateOutcome::NonInferior);
    let name = xml(&format!("{} of {} against {}", result.metric, result.run, result.baseline));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"assay gate\" tests=\"1\" failures=\"{failures}\" errors=\"0\">\n  \
         <testsuite name=\"{}\" tests=\"1\" failures=\"{failures}\" errors=\"0\" timestamp=\"{}\">\n    \
         <testcase classname=\"assay.gate.{}\" name=\"{name}\" time=\"0\">\n",
        xml(&record.dataset),
        record.at.format("%Y-%m-%dT%H:%M:%S"),
        xml(&record.dataset),
    );
    let details: Vec<String> = facts(record).iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let details = xml(&details.join("\n"));
    let _ = match outcome {
        GateOutcome::NonInferior => writeln!(text, "      <system-out>{details}</system-out>"),
        _ => {
            let (kind, message) = (word(outcome), xml(&result.to_string()));
            writeln!(text, "      <failure type=\"{kind}\" message=\"{message}\">{details}</failure>")
        }
    };
    text.push_str("    </testcase>\n  </testsuite>\n</testsuites>\n");
    text
}

/// Text for XML; characters that XML 1.0 cannot hold are replaced.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
