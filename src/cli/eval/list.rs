//! `assay eval list`, `show` and `compare`.

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::{report, runs};
use crate::cli::output::conclusions;
use crate::compare::{amount, compare_tallied, difference};
use crate::run::{Plan, RunRecord};
use crate::score::Metric;
use crate::store::Store;

pub(super) async fn list(store: &Store, json: bool) -> Result<()> {
    let (published, open) = runs(store).await?;
    if json {
        let rows: Vec<_> = published.iter().map(row).chain(open.iter().map(open_row)).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    if published.is_empty() && open.is_empty() {
        eprintln!("no runs in {}: `assay eval run experiments/demo.toml` makes some", store.url());
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["RUN", "PROMPT", "MODEL", "DATASET", "STATUS", "PRIMARY METRIC"]);
    for record in &published {
        let plan = &record.plan;
        let primary = plan.experiment.primary;
        let value = record.metrics.get(&primary).map_or("-".to_owned(), |e| format!("{primary} {:.3}", e.value));
        table.add_row(cells(plan, "published", value));
    }
    for plan in &open {
        table.add_row(cells(plan, "unfinished", "-".to_owned()));
    }
    println!("{table}");
    Ok(())
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

pub(super) async fn show(store: &Store, reference: &str, json: bool) -> Result<()> {
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
    println!("model {} {}", plan.model.spec.description, plan.model.gguf_sha256.as_deref().unwrap_or("(no file hash)"));
    let environment = &plan.environment;
    let commit = environment.commit.as_deref().unwrap_or("unknown");
    let dirty = if environment.dirty == Some(true) { ", with uncommitted changes" } else { "" };
    println!("assay {} at {commit}{dirty}; {}", environment.assay_version, environment.cpu.as_deref().unwrap_or("-"));
    println!("{} to {}, resumed {} times", plan.started, run.record.finished, run.record.resumed);
    if let Some(cost) = cost(&run.record) {
        println!("cost: {cost}");
    }
    let classes: Vec<String> = run.record.classes.iter().map(|(class, count)| format!("{class} {count}")).collect();
    println!("outcomes: {}\n\n{}", classes.join(", "), report::table(&[&run.record]));
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
    let (a, b) = (store.tallied(&store.find(a).await?).await?, store.tallied(&store.find(b).await?).await?);
    let experiment = &a.record.plan.experiment;
    let primary = metric.unwrap_or(experiment.primary);
    let margin = margin.unwrap_or(if primary == experiment.primary { experiment.margin } else { 0.0 });
    let comparison = compare_tallied(&a, &b, primary, margin, experiment.seed)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&comparison)?);
        return Ok(());
    }
    let mut table = Table::new();
    let header = ["METRIC", "A", "B", "DELTA", "95 % CI", "P", "MDE", "CONCLUSION"];
    table.load_style(NOTHING).set_header(header);
    for row in &comparison.rows {
        let c = &row.comparison;
        let interval = match (c.ci_low, c.ci_high) {
            (Some(low), Some(high)) => format!("{} to {}", difference(row.metric, low), difference(row.metric, high)),
            _ => "-".to_owned(),
        };
        let p = row.p_adjusted.map_or(format!("{:.4}", c.p_value), |p| format!("{p:.4} (Holm)"));
        let note = if row.primary { "primary" } else { "exploratory" };
        table.add_row([
            row.metric.to_string(),
            format!("{:.3}", c.a),
            format!("{:.3}", c.b),
            difference(row.metric, c.delta),
            interval,
            p,
            c.mde.map_or("-".to_owned(), |mde| amount(row.metric, mde)),
            format!("{} ({note})", c.conclusion),
        ]);
    }
    println!("{}", conclusions(&format!("{table}\n\n{comparison}.")));
    Ok(())
}
