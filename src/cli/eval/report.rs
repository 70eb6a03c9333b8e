//! What a session prints when it ends: the tables, a sentence per comparison, where the runs lie.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::table;
use crate::cli::output::conclusions;
use crate::compare::{compare_tallied, family};
use crate::harness::Outcome;
use crate::run::RunRecord;
use crate::store::Store;

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
    for run in &runs {
        println!("{}", run.plan.title());
    }
    println!("\n{}\n", table::of_runs(&runs));
    println!("{}\n", table::of_metric(&runs, experiment.primary));
    for comparison in &comparisons {
        println!("• {}.", conclusions(&comparison.to_string()));
        comparison.notes.iter().for_each(|note| println!("  note: {note}"));
    }
    footer(store, &runs);
    Ok(())
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
    let assay = program();
    println!("Next: {assay} eval report {} --out report.html", arms.join(" "));
    println!("      {assay} eval show {} --by split", arms[0]);
    println!("      ./just host-demo shows what Grafana gets; ./just demo --model FILE.gguf asks a model of yours");
}

/// This program as it can be called from here: by its name if it was found by it, else by its path.
fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if called.components().count() < 2 {
        return "assay".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    called.strip_prefix(here).unwrap_or(&called).display().to_string()
}
