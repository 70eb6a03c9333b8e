//! `assay eval score`: a saved run scored again without a model.

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::{StoreArgs, table};
use crate::harness::{Rescored, rescore};
use crate::installation::Installation;
use crate::store::Store;

#[derive(Debug, Args)]
pub(in crate::cli) struct Score {
    /// A run id, the beginning of one, or an arm's name for its newest run.
    run: String,
    /// Replace the stored scores and figures; the answers stay as they are.
    #[arg(long)]
    write: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn score(root: &Path, args: &Score) -> Result<()> {
    let store = args.store.existing()?;
    let stored = store.run(&store.find(&args.run).await?).await?;
    let scorer = stored.record.plan.pipeline.scorer.clone();
    let rescored = rescore(&Installation::load(root)?, stored)?;
    if args.json {
        let value = json!({
            "run": rescored.run.record, "changes": rescored.changes, "rows_changed": rescored.rows_changed,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        print(&rescored);
    }
    if args.write { write(&store, &scorer, rescored).await } else { Ok(()) }
}

fn print(rescored: &Rescored) {
    let plan = &rescored.run.record.plan;
    println!(
        "{} · {} · scorer {}\n{}",
        plan.id,
        plan.title(),
        plan.pipeline.scorer,
        table::of_runs(&[&rescored.run.record])
    );
    if rescored.changes.is_empty() {
        println!("No figure differs from what is stored.");
    }
    let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    for change in &rescored.changes {
        println!("{}: {} -> {}", change.figure, show(change.before), show(change.after));
    }
    if rescored.rows_changed > 0 {
        println!("{} of {} answers score differently.", rescored.rows_changed, rescored.run.results.len());
    }
}

async fn write(store: &Store, scorer_before: &str, mut rescored: Rescored) -> Result<()> {
    let id = rescored.run.record.plan.id.clone();
    if !rescored.differs {
        eprintln!("{id}: nothing to write, it is stored like this already");
        return Ok(());
    }
    store.recommit(&mut rescored.run).await.with_context(|| format!("{id} stays as it was"))?;
    let record = &rescored.run.record;
    eprintln!(
        "{id}: written; scorer {scorer_before} -> {}, {} figures and {} answers changed",
        record.plan.pipeline.scorer,
        rescored.changes.len(),
        rescored.rows_changed
    );
    Ok(())
}
