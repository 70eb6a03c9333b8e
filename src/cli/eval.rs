//! `assay eval`: the offline harness at the command line.

mod baseline;
mod dry_run;
mod gate;
mod list;
mod power;
mod progress;
mod push;
mod report;
mod report_page;
mod reproduce;
mod run;
mod score;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::input::size;
use crate::run::{Plan, RunRecord};
use crate::score::Metric;
use crate::store::{Access, Cache, Counts, Store, StoreError};

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// Where runs live: a path, or a file:// or s3:// URL.
    #[arg(long, env = "ASSAY_STORE", default_value = "store", value_name = "URL", display_order = 800)]
    store: String,
}

impl StoreArgs {
    /// The store that runs are written into; a folder that is not there is made.
    pub(super) fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.store)?)
    }

    /// The store that is read; a wrong name makes none.
    pub(super) fn existing(&self) -> Result<Store> {
        match self.absent() {
            true => {
                bail!("there is no store {}: `assay eval run` makes one; or give --store or ASSAY_STORE", self.store)
            }
            false => Ok(Store::attach(&self.store, &Access::default())?),
        }
    }

    /// Whether it is a folder that is not there.
    pub(super) fn absent(&self) -> bool {
        super::doctor::machine::local(&self.store).is_some_and(|folder| !folder.exists())
    }

    /// As given.
    pub(super) fn url(&self) -> &str {
        &self.store
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run every arm of an experiment over its dataset.
    Run(run::Run),
    /// Continue what was interrupted; finished questions are not asked again.
    Resume(run::Resume),
    /// List runs, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show one run: what made it, and its metrics with intervals.
    Show {
        /// A run id, the beginning of one, or an arm's name for its newest run.
        run: String,
        /// Show the metrics of each split or family instead of those of all cases.
        #[arg(long)]
        by: Option<table::Subsets>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Score a saved run again, without a model.
    Score(score::Score),
    /// Decide whether a run may replace its baseline: exit code 0 passed, 1 error, 3 failed, 4 cannot tell.
    Gate(gate::Gate),
    /// Name the runs that others are held against: set, list, show.
    #[command(subcommand)]
    Baseline(baseline::Command),
    /// Run a run's frozen configuration again and say what came out the same.
    Reproduce(reproduce::Reproduce),
    /// Say how many clusters a difference needs.
    Power(power::Power),
    /// Send a finished run to a data source, so that Grafana needs no access to this store.
    Push {
        /// A run id, the beginning of one, or an arm's name for its newest run.
        run: String,
        /// The data source's resources: http://GRAFANA/api/datasources/uid/UID/resources. The token of a service account
        /// with the role Editor is read from ASSAY_GRAFANA_TOKEN.
        #[arg(long, value_name = "URL")]
        to: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Compare run B with run A, case by case.
    Compare {
        /// The reference: a run id, the beginning of one, or an arm's name.
        a: String,
        /// The run that is judged.
        b: String,
        /// The metric that decides; the experiment's if absent.
        #[arg(long)]
        metric: Option<Metric>,
        /// Difference that would not matter, in the metric's unit (0.05 is 5 percentage points); if absent the
        /// experiment's, and 0 for another metric than its own.
        #[arg(long, allow_negative_numbers = true, value_parser = size)]
        margin: Option<f64>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Write one page about runs: conclusions, plots, the worst cases with their logs, and what made it all.
    Report(report_page::ReportPage),
}

pub(super) async fn run(root: &Path, command: &Command) -> Result<ExitCode> {
    match command {
        Command::Gate(args) => return gate::gate(args).await,
        Command::Reproduce(args) => return reproduce::reproduce(root, args).await,
        Command::Baseline(command) => baseline::run(command).await,
        Command::Power(args) => power::power_of(args).await,
        Command::Run(args) => run::start(root, args).await,
        Command::Resume(args) => run::resume(root, args).await,
        Command::Report(args) => report_page::write(root, args).await,
        Command::List { json, store } if store.absent() => {
            list::nothing(&format!("{}: there is no such store", store.url()), *json);
            Ok(())
        }
        Command::List { json, store } => list::list(&store.existing()?, *json).await,
        Command::Show { run, by, json, store } => list::show(&store.existing()?, run, *by, *json).await,
        Command::Score(args) => score::score(root, args).await,
        Command::Push { run, to, store } => push::push(&store.existing()?, run, to).await,
        Command::Compare { a, b, metric, margin, json, store } => {
            list::compare(&store.existing()?, a, b, *metric, *margin, *json).await
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The runs of a store, newest first: those that were published, and the plans of the others.
pub(super) async fn runs(store: &Store) -> Result<(Vec<RunRecord>, Vec<Plan>)> {
    let (mut published, mut open) = (Vec::new(), Vec::new());
    let cache = Cache::new(store.clone(), Counts::default());
    let listing = cache.listing().await?;
    cache.gather(&listing).await.iter().for_each(|loss| eprintln!("warning: {loss}"));
    for listed in listing.iter().rev() {
        match cache.record(listed).await {
            Ok(Some(record)) => published.push(Arc::unwrap_or_clone(record)),
            Ok(None) => match cache.plan(listed).await {
                Ok(plan) => open.extend(plan.map(Arc::unwrap_or_clone)),
                Err(error) => pass_over(error)?,
            },
            Err(error) => pass_over(error)?,
        }
    }
    Ok((published, open))
}

/// Tells of a damaged run: it must not hide the others. Any other error is one.
pub(super) fn pass_over(error: StoreError) -> Result<()> {
    match error {
        StoreError::Damaged { .. } => eprintln!("warning: {error}"),
        error => return Err(error.into()),
    }
    Ok(())
}

/// The llama-server to run: the environment, the search path, then what this checkout installed for itself.
pub(super) fn llama_server(root: &Path) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ASSAY_LLAMA_SERVER").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("llama-server"));
    let installed = [root.join(".tools/llama-server/llama-server")];
    on_path.chain(installed).find(|candidate| candidate.is_file())
}
