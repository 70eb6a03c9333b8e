//! `assay store`: what can be done with a store as a whole.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::eval::StoreArgs;
use crate::harness::{Told, write_history};
use crate::installation::Installation;
use crate::run::Run;
use crate::sample::Story;
use crate::store::{Access, Catalogued, Store};

/// Most nights of a history: the queries behind dashboards look at a thousand runs.
const MOST_NIGHTS: i64 = 400;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Gather the records of all published runs in few files, so that a data source starts fast on a bucket.
    Catalogue(Catalogue),
    /// Make a store with months of history by resampling real runs, marked as sample data everywhere.
    Sample(Sample),
}

#[derive(Debug, Args)]
pub(super) struct Sample {
    /// The new store: a folder that is not there yet, or a file:// or s3:// URL without runs.
    #[arg(value_name = "DIR")]
    to: String,
    /// Store with the runs that are resampled: the newest of each arm of its newest experiment. `just demo` makes some.
    #[arg(long, env = "ASSAY_STORE", default_value = "store", value_name = "URL")]
    from: String,
    /// Nights of history, one run of each arm in each.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=MOST_NIGHTS))]
    nights: u32,
    /// Nights since the system changed for the worse; 0 for a history in which nothing happens.
    #[arg(long, default_value_t = 14, value_name = "NIGHTS")]
    changed: u32,
    /// Resample only these arms; all if absent.
    #[arg(long = "arm", value_name = "ARM")]
    arms: Vec<String>,
    /// The time before which the last night lies, as 2026-11-24T09:00:00Z; now if absent.
    #[arg(long, value_name = "TIME", value_parser = super::input::time)]
    until: Option<DateTime<Utc>>,
    /// Seed of every draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct Catalogue {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(root: &Path, command: &Command) -> Result<()> {
    match command {
        Command::Catalogue(args) => catalogue(args).await,
        Command::Sample(args) => sample(root, args).await,
    }
}

async fn catalogue(args: &Catalogue) -> Result<()> {
    let store = args.store.existing()?;
    let made = store.catalogue(1).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&made)?);
    } else {
        let Catalogued { runs, added, segments } = made;
        println!("{}: {runs} runs in {segments} files of the catalogue, {added} of them new", store.url());
    }
    Ok(())
}

async fn sample(root: &Path, args: &Sample) -> Result<()> {
    let installation = Installation::load(root)?;
    let from = Store::attach(&args.from, &Access::default())?;
    let runs = newest(&from, &args.arms).await?;
    let to = Store::open(&args.to)?;
    if !to.ids().await?.is_empty() {
        bail!("{} has runs already: sample data goes into a store of its own", to.url());
    }
    let story = Story {
        nights: args.nights,
        changed: args.changed,
        until: args.until.unwrap_or_else(Utc::now),
        seed: args.seed,
    };
    let arms: Vec<&str> = runs.iter().map(|run| run.record.plan.arm.name.as_str()).collect();
    eprintln!("resampling {} over {} nights …", arms.join(", "), args.nights);
    let told = write_history(&installation, runs, story, &to).await?;
    let Told { runs, gates, closed, verdicts } = told;
    println!("{}: {runs} sample runs, {gates} gates ({closed} closed), {verdicts} live verdicts", to.url());
    Ok(())
}

/// The newest published run of each arm of the newest experiment.
async fn newest(store: &Store, arms: &[String]) -> Result<Vec<Run>> {
    let (mut runs, mut experiment, mut seen) = (Vec::new(), None, BTreeSet::new());
    for record in super::eval::runs(store).await?.0 {
        let plan = &record.plan;
        let is_other = experiment.get_or_insert_with(|| plan.experiment.name.clone()) != &plan.experiment.name;
        let is_wanted = arms.is_empty() || arms.contains(&plan.arm.name);
        if is_other || plan.sample || !is_wanted || !seen.insert(plan.arm.name.clone()) {
            continue;
        }
        runs.push(store.run(&plan.id).await?);
    }
    if let Some(missing) = arms.iter().find(|arm| !seen.contains(*arm)) {
        bail!("no published run of arm `{missing}` in {}: `assay eval list` shows what there is", store.url());
    }
    if runs.is_empty() {
        bail!("no published run in {}: `just demo` or `assay eval run experiments/demo.toml` makes some", store.url());
    }
    runs.sort_by(|a, b| a.record.plan.arm.name.cmp(&b.record.plan.arm.name));
    Ok(runs)
}
