//! `assay eval list`, `show` and `compare`.

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use super::runs;
use super::table::{self, Subsets};
use crate::cli::output::{SECOND, conclusions};
use crate::compare::{RunComparison, compare_tallied, value};
use crate::run::{Plan, RunRecord};
use crate::score::{Metric, Unit};
use crate::store::Store;

pub(super) async fn list(store: &Store, json: bool) -> Result<()> {
    let (published, open) = runs(store).await?;
    if json && !(published.is_empty() && open.is_empty()) {
        let rows: Vec<_> = published.iter().map(row).chain(open.iter().map(open_row)).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    if published.is_empty() && open.is_empty() {
        nothing(&format!("{}: `assay eval run experiments/demo.toml` makes some", store.url()), json);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["RUN", "PROMPT", "MODEL", "DATASET", "STATUS", "PRIMARY METRIC"]);
    for record in &published {
        let plan = &record.plan;
        let primary = plan.experiment.primary;
        let found = record.metrics.get(&primary);
        let found = found.map_or("-".to_owned(), |e| format!("{primary} {}", value(primary, e.value)));
        table.add_row(cells(plan, "published", found));
    }
    for plan in &open {
        table.add_row(cells(plan, "unfinished", "-".to_owned()));
    }
    println!("{}", table.trim_fmt());
    Ok(())
}

/// An empty list, and why it is.
pub(super) fn nothing(why: &str, json: bool) {
    if json {
        println!("[]");
    }
    eprintln!("no runs in {why}");
}

fn cells(plan: &Plan, status: &str, value: String) -> [String; 6] {
    let marks = [(plan.sample, " (sample)"), (plan.model.spec.demo, " (demo)")];
    let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
    let model = format!("{}{marks}", plan.arm.model);
    [plan.id.clone(), plan.arm.choice.to_string(), model, plan.dataset.name.clone(), status.to_owned(), value]
}

fn row(record: &RunRecord) -> serde_json::Value {
    let mut row = open_row(&record.plan);
    row["status"] = json!("published");
    row["finished"] = json!(record.finished);
    row["classes"] = json!(record.classes);
    row["metrics"] = json!(record.metrics);
    row
}

fn open_row(plan: &Plan) -> serde_json::Value {
    json!({
        "id": plan.id, "status": "unfinished", "experiment": plan.experiment.name, "arm": plan.arm.name,
        "prompt": plan.arm.choice.to_string(), "model": plan.arm.model, "quantization": plan.model.spec.quantization,
        "demo_model": plan.model.spec.demo, "sample": plan.sample, "dataset": plan.dataset, "profile": plan.experiment.profile,
        "primary": plan.experiment.primary, "started": plan.started,
    })
}

pub(super) async fn show(store: &Store, reference: &str, by: Option<Subsets>, json: bool) -> Result<()> {
    let run = store.run(&store.find(reference).await?).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&run.record)?);
        return Ok(());
    }
    let plan = &run.record.plan;
    println!("{} · {}", plan.id, plan.title());
    println!("experiment {}: {}", plan.experiment.name, plan.experiment.question);
    println!("dataset {} {}, ontology {}", plan.dataset.name, plan.dataset.sha256, plan.pipeline.ontology);
    println!("prompts {}", plan.pipeline.prompts.keys().cloned().collect::<Vec<_>>().join(", "));
    let file = plan.model.gguf_sha256.as_ref().map_or_else(String::new, |hash| format!(", sha256 {hash}"));
    println!("model {}: {}{file}", plan.arm.model, plan.model.spec.description);
    let environment = &plan.environment;
    let commit = environment.commit.as_deref().unwrap_or("unknown");
    let dirty = if environment.dirty == Some(true) { ", with uncommitted changes" } else { "" };
    println!("assay {} at {commit}{dirty}; {}", environment.assay_version, environment.cpu.as_deref().unwrap_or("-"));
    let (started, finished) = (plan.started.format(SECOND), run.record.finished.format(SECOND));
    let resumed = match run.record.resumed {
        0 => String::new(),
        1 => ", resumed once".to_owned(),
        n => format!(", resumed {n} times"),
    };
    println!("{started} to {finished}{resumed}");
    plan.moves().iter().for_each(|moved| println!("{moved}: its times are not of one machine"));
    if let Some(cost) = cost(&run.record) {
        println!("cost: {cost}");
    }
    let classes: Vec<String> = run.record.classes.iter().map(|(class, count)| format!("{class} {count}")).collect();
    let figures = by.map_or_else(|| table::of_runs(&[&run.record]), |by| table::of_subsets(&run.record, by));
    println!("outcomes: {}\n\n{figures}", classes.join(", "));
    Ok(())
}

fn cost(record: &RunRecord) -> Option<String> {
    let answers = record.answers();
    let each = |total: f64| total / answers.max(1) as f64;
    let cpu = record.cpu_seconds.map(|s| format!("{s:.1} CPU seconds of the server, {:.2} per answer", each(s)));
    let energy = record.energy_joules.map(|j| format!("{j:.0} J of the whole machine, {:.1} per answer", each(j)));
    let parts: Vec<String> = cpu.into_iter().chain(energy).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

pub(super) async fn compare(
    store: &Store,
    a: &str,
    b: &str,
    metric: Option<Metric>,
    margin: Option<f64>,
    json: bool,
) -> Result<()> {
    let (a, b) = (store.find(a).await?, store.find(b).await?);
    let (a, b) = tokio::try_join!(store.tallied(&a), store.tallied(&b))?;
    let experiment = &a.record.plan.experiment;
    let primary = metric.unwrap_or(experiment.primary);
    let margin = margin.unwrap_or(if primary == experiment.primary { experiment.margin } else { 0.0 });
    let comparison = compare_tallied(&a, &b, primary, margin, experiment.seed)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&comparison)?);
        return Ok(());
    }
    println!("{}", conclusions(&format!("{}\n\n{comparison}.", rows(&comparison))));
    comparison.notes.iter().for_each(|note| println!("\nnote: {note}"));
    println!("\n{NOTE}");
    Ok(())
}

/// What a reader of the table has to know.
const NOTE: &str =
    "The first row decides. The others are exploratory: Holm's adjustment is in their p, and in what is concluded.
Shares are in per cent, their differences in percentage points; MDE is the smallest difference that would be found.";

fn rows(comparison: &RunComparison) -> String {
    let mut table = Table::new();
    let header = ["METRIC", "UNIT", "A", "B", "DELTA", "95 % CI", "P", "MDE", "CONCLUSION"];
    table.load_style(NOTHING).set_header(header);
    for row in &comparison.rows {
        let c = &row.comparison;
        let (unit, scale, decimals) = match row.metric.unit() {
            Unit::Share => ("%", 100.0, 1),
            Unit::Milliseconds => ("ms", 1.0, 1),
            Unit::Tokens => ("tokens", 1.0, 0),
            Unit::Steps => ("steps", 1.0, 2),
            Unit::Count => ("", 1.0, 2),
        };
        let plain = |value: f64| format!("{:.decimals$}", value * scale);
        let signed = |value: f64| format!("{:+.decimals$}", value * scale);
        let interval = c.ci_low.zip(c.ci_high).map(|(low, high)| format!("{}..{}", signed(low), signed(high)));
        let p = row.p_adjusted.unwrap_or(c.p_value);
        let missing = || "-".to_owned();
        table.add_row([
            row.metric.to_string(),
            unit.to_owned(),
            plain(c.a),
            plain(c.b),
            signed(c.delta),
            interval.unwrap_or_else(missing),
            if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") },
            c.mde.map_or_else(missing, plain),
            c.conclusion.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(2).take(6) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}
