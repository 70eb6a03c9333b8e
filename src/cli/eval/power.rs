//! `assay eval power`: how many clusters a difference needs, and what a difference a dataset can show.

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::StoreArgs;
use crate::cli::input::size;
use crate::compare::{amount, compare_runs};
use crate::score::{Metric, Unit};
use crate::stats::power::{POWER, clusters_needed, minimum_detectable_effect, power, spread, spread_of_discordance};

/// Effects of the table for shares, unless others are asked for.
const EFFECTS: [f64; 7] = [0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2];

#[derive(Debug, Args)]
pub(in crate::cli) struct Power {
    /// A run whose dataset is meant: a run id, the beginning of one, or an arm's name.
    #[arg(conflicts_with = "clusters", required_unless_present = "clusters")]
    run: Option<String>,
    /// A second run over the same cases: the spread is what the pair shows.
    #[arg(long, value_name = "RUN", requires = "run", conflicts_with = "discordant")]
    against: Option<String>,
    /// Clusters of the dataset, in place of a run.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    clusters: Option<u32>,
    /// Share of clusters that the two runs are assumed to answer differently.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE", value_parser = share)]
    discordant: f64,
    /// The metric; the experiment's if absent, without a run root_cause.
    #[arg(long)]
    metric: Option<Metric>,
    /// Differences to plan for, in the metric's unit (0.05 is 5 percentage points).
    #[arg(long = "effect", value_delimiter = ',', value_name = "X", value_parser = size)]
    effects: Vec<f64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "give a share above 0 and at most 1".to_owned())
}

/// What is known of the dataset and of how two runs over it differ.
#[derive(Debug, Serialize)]
struct Basis {
    metric: Metric,
    /// Standard deviation between clusters of their paired differences.
    spread: f64,
    clusters: usize,
    /// Where the spread comes from.
    from: String,
    /// The smallest difference that these clusters find with the stated power.
    minimum_detectable_effect: Option<f64>,
    power: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    effect: f64,
    /// Clusters that find it with the stated power; `None` beyond what can be asked.
    clusters_needed: Option<usize>,
    /// Probability that the clusters at hand find it.
    power_now: f64,
}

pub(super) async fn power_of(args: &Power) -> Result<()> {
    let basis = basis(args).await?;
    let share = basis.metric.unit() == Unit::Share;
    let effects = match (args.effects.is_empty(), share) {
        (false, _) => args.effects.clone(),
        (true, true) => EFFECTS.to_vec(),
        (true, false) => bail!("give --effect: `{}` is no share, and has differences of its own size", basis.metric),
    };
    if let Some(effect) = effects.iter().find(|effect| **effect == 0.0 || (share && **effect > 1.0)) {
        let most = if share { " and at most 1 for a share (0.05 is 5 percentage points)" } else { "" };
        bail!("--effect {effect} is out of range: give a size above 0{most}");
    }
    let row = |effect: &f64| -> Result<Row> {
        let clusters_needed = clusters_needed(*effect, basis.spread).ok();
        Ok(Row { effect: *effect, clusters_needed, power_now: power(*effect, basis.spread, basis.clusters)? })
    };
    let rows = effects.iter().map(row).collect::<Result<Vec<_>>>()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "basis": basis, "effects": rows }))?);
    } else {
        print(&basis, &rows);
    }
    Ok(())
}

async fn basis(args: &Power) -> Result<Basis> {
    let (metric, spread, clusters, from) = match (&args.run, &args.against) {
        (Some(run), Some(against)) => observed(args, run, against).await?,
        (run, _) => assumed(args, run.as_deref()).await?,
    };
    let error = spread / (clusters as f64).sqrt();
    let minimum_detectable_effect = minimum_detectable_effect(error, clusters);
    Ok(Basis { metric, spread, clusters, from, minimum_detectable_effect, power: POWER })
}

async fn observed(args: &Power, run: &str, against: &str) -> Result<(Metric, f64, usize, String)> {
    let store = args.store.existing()?;
    let run = store.run(&store.find(run).await?).await?;
    let against = store.run(&store.find(against).await?).await?;
    let experiment = &run.record.plan.experiment;
    let metric = args.metric.unwrap_or(experiment.primary);
    let comparison = compare_runs(&against, &run, metric, 0.0, experiment.seed)?;
    let found = &comparison.primary().comparison;
    let shown = found.mde.and_then(|mde| spread(mde, found.n_clusters)).filter(|spread| *spread > 0.0);
    let Some(spread) = shown else {
        bail!(
            "the two runs differ in `{metric}` in too few of {} captures to show a spread: assume one with --discordant",
            found.n_clusters
        );
    };
    let from = format!(
        "{} of {} cases differ between {} and {}",
        found.discordant, found.n_cases, run.record.plan.id, against.record.plan.id
    );
    Ok((metric, spread, found.n_clusters, from))
}

async fn assumed(args: &Power, run: Option<&str>) -> Result<(Metric, f64, usize, String)> {
    let (metric, clusters) = match run {
        None => (args.metric.unwrap_or(Metric::RootCause), args.clusters.unwrap_or_default() as usize),
        Some(run) => {
            let store = args.store.existing()?;
            let run = store.run(&store.find(run).await?).await?;
            let metric = args.metric.unwrap_or(run.record.plan.experiment.primary);
            let clusters = run.record.metrics.get(&metric).map_or(0, |estimate| estimate.n_clusters);
            (metric, clusters)
        }
    };
    if metric.unit() != Unit::Share {
        bail!("`{metric}` is no share, so that no share of differing clusters gives its spread: name a run --against");
    }
    if clusters < 2 {
        bail!("{clusters} clusters show nothing: there must be at least 2");
    }
    let from = format!("assumed: {} of 100 clusters differ, as many up as down", args.discordant * 100.0);
    Ok((metric, spread_of_discordance(args.discordant), clusters, from))
}

fn print(basis: &Basis, rows: &[Row]) {
    let shown = |effect: f64| amount(basis.metric, effect);
    println!(
        "{}, {} clusters; spread between clusters {:.3} ({})",
        basis.metric, basis.clusters, basis.spread, basis.from
    );
    if let Some(effect) = basis.minimum_detectable_effect {
        println!("These clusters find differences from {} on, with a power of {:.0} %.", shown(effect), POWER * 100.0);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["EFFECT", "CLUSTERS NEEDED", "POWER NOW"]);
    for row in rows {
        let needed = row.clusters_needed.map_or_else(|| "-".to_owned(), |clusters| clusters.to_string());
        table.add_row([shown(row.effect), needed, format!("{:.0} %", row.power_now * 100.0)]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{}", table.trim_fmt());
}
