//! `assay analyze`: a verdict on a log in hand, by the same path as everywhere else.

mod follow;
mod respondent;
mod show;
mod source;

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::digest::tokens;
use super::exit::{Ended, interrupt};
use super::input::LabelArgs;
use super::output::SECOND;
use crate::analyze::{Ask, Respondent};
use crate::digest::{Budget, Shape};
use crate::experiment::Choice;
use crate::installation::Installation;
use crate::llama::Client;
use crate::model::Sampling;
use crate::prompt::PromptId;
use crate::stream::TextLog;
use crate::verdict::Class;
use respondent::Chosen;
use show::Answered;
use source::Source;

#[derive(Debug, Args)]
pub(super) struct Analyze {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    labels: LabelArgs,
    /// A model of models/models.toml. Without it: the one that the route names, else the only one there is that was not
    /// made for demonstrations, else the rules.
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    model: Option<String>,
    /// A llama-server that is already running.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Prompt version, such as triage@2; by the routing rules if absent.
    #[arg(long, value_name = "ID@VERSION")]
    prompt: Option<PromptId>,
    /// Most tokens of the digest, as estimated.
    #[arg(long, default_value_t = 1_000, value_name = "TOKENS", value_parser = tokens)]
    budget: usize,
    /// Time for the answer, in seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(root: &std::path::Path, args: &Analyze) -> Result<()> {
    let installation = Installation::load(root)?;
    let (mut log, mut follow) = args.source.read(&args.labels).await?;
    if log.window.entries.is_empty() {
        bail!("there is nothing to analyse{}", args.source.hint());
    }
    let choice = args.prompt.clone().map_or(Choice::Route, Choice::Prompt);
    let chosen = Chosen::new(&installation, args, &log, &choice)?;
    let progress = respondent::Progress::new();
    let backends = tokio::select! {
        started = chosen.start(&installation, &progress) => started?,
        () = interrupt() => return Err(Ended::interrupted("interrupted").into()),
    };
    // The server is stopped in either case.
    let told = async {
        loop {
            let answered = ask(&installation, args, &log, &choice, &chosen, &backends, &progress).await?;
            progress.finish();
            let told = tell(args, &answered);
            let Some(follow) = follow.as_mut() else { return told };
            if let Err(error) = told {
                eprintln!("{error:#}");
            }
            let known = answered.analysis.prepared.digest.shape(None);
            drop(answered);
            let shape = |log: &TextLog| shape(&installation, args, log, &choice, &chosen);
            follow.until_changed(&mut log, &known, shape).await?;
            println!();
            eprintln!("{}: the log has another shape", chrono::Utc::now().format(SECOND));
        }
    };
    let told = tokio::select! {
        told = told => told,
        () = interrupt() => Err(Ended::interrupted("interrupted").into()),
    };
    backends.stop().await;
    told
}

/// Prints a verdict; an error if there is none.
fn tell(args: &Analyze, answered: &Answered<'_>) -> Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answered.json())?);
    } else {
        answered.print();
    }
    let outcome = &answered.analysis.outcome;
    match outcome.verdict {
        Some(_) => Ok(()),
        // Not the model's fault: like any server that fails.
        None if outcome.class == Class::InfraError => Err(anyhow!(answered.failure())),
        None => Err(Ended::no_verdict(answered.failure()).into()),
    }
}

/// The shape of what would be asked about now.
fn shape(
    installation: &Installation,
    args: &Analyze,
    log: &TextLog,
    choice: &Choice,
    chosen: &Chosen,
) -> Result<Shape> {
    let budget = Budget { tokens: args.budget, bytes_per_token: chosen.spec.bytes_per_token };
    let prepared = installation.pipeline.prepare(log.window.clone(), choice, budget);
    Ok(prepared.map_err(|reason| anyhow!(reason))?.digest.shape(None))
}

async fn ask<'i>(
    installation: &'i Installation,
    args: &Analyze,
    log: &'i TextLog,
    choice: &Choice,
    chosen: &Chosen,
    backends: &crate::harness::Backends,
    progress: &respondent::Progress,
) -> Result<Answered<'i>> {
    let backend = backends.get(&chosen.spec.name).ok_or_else(|| anyhow!("`{}` was not started", chosen.spec.name))?;
    let respondent: Respondent<'_, Client> = backend.client.as_ref().map_or(Respondent::Rules, Respondent::Model);
    let ask = Ask {
        budget: Budget { tokens: args.budget, bytes_per_token: chosen.spec.bytes_per_token },
        sampling: Sampling::default(),
        cache_prompt: false,
        timeout: Duration::from_secs(args.timeout),
        context_tokens: backend.id.context_tokens,
    };
    progress.say(format!("asking {}", chosen.spec.name));
    let clock = Instant::now();
    let analysis = installation.pipeline.analyze(log.window.clone(), choice, &respondent, &ask).await;
    let analysis = analysis.map_err(|reason| anyhow!(reason))?;
    Ok(Answered { log, analysis, model: backend.id.clone(), took: clock.elapsed() })
}
