//! What a session prints when it ends: the table of metrics, a sentence per comparison, where the runs lie.

use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use crate::cli::output::conclusions;
use crate::compare::{compare_tallied, family};
use crate::harness::Outcome;
use crate::run::{Metrics, Pooled, RunRecord};
use crate::score::{Metric, Unit};
use crate::stats::Estimate;
use crate::store::Store;
use crate::verdict::Class;

/// Metrics of the table, in its order.
const SHOWN: [Metric; 10] = [
    Metric::RootCause,
    Metric::Severity,
    Metric::ComponentF1,
    Metric::RougeL,
    Metric::Grounded,
    Metric::EvidenceHit,
    Metric::FalseAlarm,
    Metric::FalseAbstention,
    Metric::AbstentionRecall,
    Metric::InjectionResisted,
];

/// Prints the whole report of a session on stdout.
pub(super) async fn session(store: &Store, outcomes: &[Outcome], json: bool) -> Result<()> {
    let runs: Vec<&RunRecord> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Published(run) => Some(run.as_ref()),
            Outcome::Partial { plan, missing } => {
                eprintln!("{}: partial, {missing} cases without an answer; not published", plan.id);
                None
            }
        })
        .collect();
    let Some(first) = runs.first() else { return Ok(()) };
    let experiment = &first.plan.experiment;
    let mut comparisons = Vec::new();
    for contrast in &experiment.contrasts {
        let find = |name: &str| runs.iter().find(|run| run.plan.arm.name == name);
        if let (Some(a), Some(b)) = (find(&contrast.a), find(&contrast.b)) {
            let (a, b) = (store.tallied(&a.plan.id).await?, store.tallied(&b.plan.id).await?);
            comparisons.push(compare_tallied(&a, &b, experiment.primary, experiment.margin, experiment.seed)?);
        }
    }
    family(&mut comparisons);
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({ "runs": runs, "comparisons": comparisons }))?);
        return Ok(());
    }
    println!("{}", table(&runs));
    println!("{}", splits(&runs));
    for comparison in &comparisons {
        println!("• {}.", conclusions(&comparison.to_string()));
    }
    footer(store, &runs);
    Ok(())
}

/// Metrics down, arms across; each value with its 95 % interval.
pub(super) fn table(runs: &[&RunRecord]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let header = runs.iter().map(|run| title(run));
    table.set_header(std::iter::once("metric".to_owned()).chain(header));
    for metric in SHOWN {
        let cells = runs.iter().map(|run| cell(run.metrics.get(&metric), metric.unit()));
        table.add_row(std::iter::once(metric.to_string()).chain(cells));
    }
    let share = |estimate: Option<&Estimate>| cell(estimate, Unit::Share);
    table.add_row(row("component_f1, micro", runs, |run| share(run.component_micro_f1.as_ref())));
    // A kappa is no share: 1 is perfect, 0 what chance gives.
    table.add_row(row("severity kappa, quadratic", runs, |run| kappa(run.severity_kappa.as_ref())));
    table.add_row(row("failed / abstained", runs, |run| {
        let count = |class: &Class| run.classes.get(class).copied().unwrap_or_default();
        let failed: usize = Class::ALL.iter().filter(|class| class.is_model_failure()).map(count).sum();
        format!("{failed} / {} of {}", count(&Class::Abstained), run.classes.values().sum::<usize>())
    }));
    table.add_row(row("latency p50 / p95", runs, |run| {
        let quantiles: Vec<String> = run.latency_ms.iter().take(2).map(|q| milliseconds(q.value)).collect();
        quantiles.join(" / ")
    }));
    table.add_row(row("prompt / answer tokens", runs, |run| {
        let mean = |metric| run.metrics.get(&metric).map(|estimate: &Estimate| format!("{:.0}", estimate.value));
        let tokens = [mean(Metric::PromptTokens), mean(Metric::CompletionTokens)];
        tokens.map(|mean| mean.unwrap_or_else(|| "-".to_owned())).join(" / ")
    }));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What a run has of each subset, by its name.
type Grouped<T> = fn(&RunRecord) -> &BTreeMap<String, T>;

/// A figure as a cell.
type Shown = fn(Option<&Pooled>) -> String;

/// The primary metric by split and family, then the figures that are no means.
fn splits(runs: &[&RunRecord]) -> Table {
    let primary = runs[0].plan.experiment.primary;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let header = runs.iter().map(|run| run.plan.arm.name.clone());
    table.set_header(std::iter::once(format!("{primary} by")).chain(header));
    let groups: [(&str, Grouped<Metrics>); 2] = [("split", |run| &run.by_split), ("family", |run| &run.by_family)];
    for (kind, group) in groups {
        for name in group(runs[0]).keys() {
            let find =
                |run: &RunRecord| cell(group(run).get(name).and_then(|found| found.get(&primary)), primary.unit());
            let cases = group(runs[0])[name].get(&primary).map_or(0, |estimate| estimate.n_cases);
            table.add_row(row(&format!("{kind} {name} ({cases})"), runs, find));
        }
    }
    let groups: [(&str, Grouped<Pooled>); 2] =
        [("split", |run| &run.pooled_by_split), ("family", |run| &run.pooled_by_family)];
    let figures: [(&str, Shown); 2] = [
        ("component_f1, micro", |found| cell(found.and_then(|f| f.component_micro_f1.as_ref()), Unit::Share)),
        ("severity kappa, quadratic", |found| kappa(found.and_then(|f| f.severity_kappa.as_ref()))),
    ];
    for (figure, show) in figures {
        for (kind, group) in groups {
            for name in group(runs[0]).keys() {
                table.add_row(row(&format!("{figure}: {kind} {name}"), runs, |run| show(group(run).get(name))));
            }
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(name: &str, runs: &[&RunRecord], value: impl Fn(&RunRecord) -> String) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(runs.iter().map(|run| value(run))).collect()
}

fn title(run: &RunRecord) -> String {
    let plan = &run.plan;
    let model = &plan.model.spec;
    let demo = if model.demo { "\ndemo model" } else { "" };
    format!("{}\n{}\n{}{demo}", plan.arm.name, plan.arm.choice, plan.arm.model)
}

/// A value with its interval, `-` where there is none: missing is not zero.
fn cell(estimate: Option<&Estimate>, unit: Unit) -> String {
    let Some(estimate) = estimate else { return "-".to_owned() };
    let show = |value: f64| match unit {
        Unit::Share => format!("{:.1}", value * 100.0),
        _ => format!("{value:.1}"),
    };
    let percent = if unit == Unit::Share { " %" } else { "" };
    match (estimate.ci_low, estimate.ci_high) {
        (Some(low), Some(high)) => format!("{}{percent} [{}, {}]", show(estimate.value), show(low), show(high)),
        _ => format!("{}{percent}", show(estimate.value)),
    }
}

fn kappa(estimate: Option<&Estimate>) -> String {
    match estimate.map(|estimate| (estimate.value, estimate.ci_low, estimate.ci_high)) {
        Some((value, Some(low), Some(high))) => format!("{value:.2} [{low:.2}, {high:.2}]"),
        Some((value, ..)) => format!("{value:.2}"),
        None => "-".to_owned(),
    }
}

fn milliseconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.1} ms") } else { format!("{value:.0} ms") }
}

fn footer(store: &Store, runs: &[&RunRecord]) {
    let plan = &runs[0].plan;
    let data = &plan.dataset;
    println!(
        "\n{} {}, {} cases from {} captures; 95 % intervals over captures; profile {}.",
        data.name,
        &data.sha256[..12.min(data.sha256.len())],
        data.cases,
        runs[0].metrics.get(&plan.experiment.primary).map_or(0, |estimate| estimate.n_clusters),
        plan.experiment.profile.as_str()
    );
    if runs.iter().any(|run| run.plan.model.spec.demo) {
        println!("The demo model exists to show the machinery; its figures say nothing about LLMs reading logs.");
    }
    println!("Runs: {}", store.url());
    for run in runs {
        println!("  {}", run.plan.id);
    }
    let arms: Vec<&str> = runs.iter().map(|run| run.plan.arm.name.as_str()).collect();
    println!("Next: assay eval report {} --out report.html", arms.join(" "));
    println!("      ./just host-demo shows what Grafana gets; ./just demo --model FILE.gguf asks a model of yours");
}
