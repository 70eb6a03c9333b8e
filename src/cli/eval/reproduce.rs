//! `assay eval reproduce`: a run's frozen configuration once more, and what came out the same.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::StoreArgs;
use super::run::{drive, launcher};
use crate::cli::exit;
use crate::compare::{Reproduction, difference, reproduction, value};
use crate::experiment::Profile;
use crate::harness::{Outcome, Session, frozen};
use crate::installation::Installation;

/// Differing answers that are printed; JSON has all.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0  every answer is identical: verdict, class and rendered prompt\n  1  error\n  \
                        6  some answers differ; the spread is stated"
)]
pub(in crate::cli) struct Reproduce {
    /// A run id, the beginning of one, or an arm's name for its newest run.
    run: String,
    /// How long a question is asked again while its server does not answer, in seconds.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    patience: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn reproduce(root: &Path, args: &Reproduce) -> Result<ExitCode> {
    let mut installation = Installation::load(root)?;
    let store = args.store.existing()?;
    let original = store.run(&store.find(&args.run).await?).await?;
    let experiment = frozen(&installation, &original.record.plan)?;
    // The model as it was declared then, whatever models.toml says now; its file is held to its hash.
    installation.models.insert(original.record.plan.model.spec.clone());
    let launcher = launcher(&installation, &store, &experiment, args.patience)?;
    eprintln!("reproducing {}", original.record.plan.id);
    let session = Session::start(&installation, &store, &experiment, &launcher).await?;
    let Some(Outcome::Published(repetition)) = drive(session).await?.pop() else {
        bail!("the repetition is partial: `assay eval resume` finishes it; then `assay eval compare` holds it against");
    };
    let found = reproduction(&original, &store.run(&repetition.plan.id).await?);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(&found, experiment.profile);
    }
    Ok(if found.identical { ExitCode::SUCCESS } else { ExitCode::from(exit::DIFFERS) })
}

fn print(found: &Reproduction, profile: Profile) {
    let answers = found.shares.first().map_or(0, |share| share.of);
    println!("{} against its original {}, profile {}", found.repetition, found.original, profile.as_str());
    if found.identical {
        println!("All {answers} answers are identical: verdict, class and rendered prompt.");
    } else {
        println!("{} of {answers} answers differ.", found.cases.len());
    }
    for share in &found.shares {
        let percent = share.same as f64 / share.of.max(1) as f64 * 100.0;
        println!("  same {:<14} {:>5} of {} ({percent:.1} %)", share.field, share.same, share.of);
    }
    if let (Some(before), Some(after)) = (found.primary_before, found.primary_after) {
        let delta = difference(found.primary, after - before);
        let (before, after) = (value(found.primary, before), value(found.primary, after));
        println!("  {}: {before}, then {after} ({delta})", found.primary);
    }
    for case in found.cases.iter().take(SHOWN) {
        println!("{} #{}: {} ({} -> {})", case.case, case.repeat, case.fields.join(", "), case.before, case.after);
    }
    if found.cases.len() > SHOWN {
        println!("… and {} more; --json has them all", found.cases.len() - SHOWN);
    }
    if found.fields.is_empty() {
        println!("Environment, model, pipeline and dataset are the same.");
    }
    for field in &found.fields {
        println!("{}: {} -> {}", field.field, shown(&field.before), shown(&field.after));
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
