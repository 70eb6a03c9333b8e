//! `assay eval baseline`: named runs that others are held against, pinned as they were.

use anyhow::{Context, Result, anyhow, bail};
use chrono::Utc;
use clap::Subcommand;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::{StoreArgs, table};
use crate::cli::output::SECOND;
use crate::compare::Baseline;
use crate::problem::did_you_mean;
use crate::run::FORMAT;
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Pin a published run under a name; a name that exists is moved.
    Set {
        /// The name: letters, digits, `-`, `_`, `.`.
        name: String,
        /// A run id, the beginning of one, or an arm's name for its newest run.
        run: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List baselines, and whether their runs still are what was pinned.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show a baseline and its run's metrics.
    Show {
        /// The name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
}

pub(super) async fn run(command: &Command) -> Result<()> {
    match command {
        Command::Set { name, run, store } => set(&store.existing()?, name, run).await,
        Command::List { json, store } => list(&store.existing()?, *json).await,
        Command::Show { name, json, store } => show(&store.existing()?, name, *json).await,
    }
}

async fn set(store: &Store, name: &str, reference: &str) -> Result<()> {
    if !Baseline::is_name(name) {
        bail!("`{name}` cannot name a baseline: use up to 64 letters, digits, `-`, `_` and `.`, no `.` first");
    }
    let run = store.run(&store.find(reference).await?).await?;
    let id = run.record.plan.id;
    let baseline = Baseline {
        format: FORMAT,
        name: name.to_owned(),
        run: id.clone(),
        results_sha256: run.record.results_sha256,
        record_sha256: store.record_sha256(&id).await?,
        set: Utc::now(),
    };
    match store.put_baseline(&baseline).await.with_context(|| format!("baseline `{name}` stays as it was"))? {
        Some(before) => eprintln!("baseline {name} is {id}; it was {} since {}", before.run, before.set.format(SECOND)),
        None => eprintln!("baseline {name} is {id}"),
    }
    Ok(())
}

async fn list(store: &Store, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for baseline in store.baselines().await? {
        let fault = store.pinned(&baseline).await.err().map(|error| error.to_string());
        rows.push((baseline, fault));
    }
    if json {
        let rows: Vec<_> =
            rows.iter().map(|(baseline, fault)| json!({ "baseline": baseline, "fault": fault })).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    if rows.is_empty() {
        eprintln!("no baselines in {}: `assay eval baseline set NAME RUN` pins one", store.url());
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["BASELINE", "RUN", "SET", "STATE"]);
    for (baseline, fault) in rows {
        let state = if fault.is_some() { "altered" } else { "sound" };
        let set = baseline.set.format("%Y-%m-%d %H:%M").to_string();
        table.add_row([baseline.name, baseline.run, set, state.to_owned()]);
    }
    println!("{}", table.trim_fmt());
    Ok(())
}

async fn show(store: &Store, name: &str, json: bool) -> Result<()> {
    let Some(baseline) = store.baseline(name).await? else {
        let known: Vec<String> = store.baselines().await?.into_iter().map(|baseline| baseline.name).collect();
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        let hint = hint.unwrap_or_else(|| "`assay eval baseline list` shows them".to_owned());
        return Err(anyhow!("no baseline `{name}` in {}: {hint}", store.url()));
    };
    let run = store.pinned(&baseline).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({ "baseline": baseline, "run": run.record }))?);
        return Ok(());
    }
    println!("baseline {name}: {} since {}", baseline.run, baseline.set.format(SECOND));
    println!(
        "results {}, run.json {}\n{}",
        baseline.results_sha256,
        baseline.record_sha256,
        table::of_runs(&[&run.record])
    );
    Ok(())
}
