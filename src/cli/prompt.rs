//! `assay prompt`: the registry of prompt versions.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::json;

use super::output::WIDTH;
use crate::analyze::Prepared;
use crate::digest::Budget;
use crate::experiment::Choice;
use crate::golden::{Case, Target};
use crate::installation::{Installation, load_cases, load_prompts};
use crate::prompt::{Prompt, PromptId, Prompts, Release};
use crate::verdict::Verdict;

/// Most ids in the evidence of a reference answer.
const MAX_EVIDENCE: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List every version with its state and hash.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print one version's template.
    Show {
        /// Version, such as `triage@2`.
        prompt: PromptId,
    },
    /// Print what a model would be asked about the given cases, one JSON object per line.
    Render(Render),
    /// Check every prompt, ontology and route against the lock.
    Check,
    /// Freeze a version: from now on its file may not change.
    Release {
        /// Version, such as `triage@2`, or `ontology@1`.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Render {
    /// Cases in the golden shape, JSON Lines.
    #[arg(long, value_name = "FILE")]
    cases: PathBuf,
    /// Version, such as `triage@2`; by the routing rules if absent.
    #[arg(long)]
    prompt: Option<PromptId>,
    /// Digest budget in tokens.
    #[arg(long, default_value_t = 1_000)]
    budget: usize,
    /// Bytes of log text per token.
    #[arg(long, default_value_t = 3.0)]
    bytes_per_token: f64,
    /// Only the case with this id.
    #[arg(long)]
    case: Option<String>,
    /// Add the verdict that the target asks for.
    #[arg(long)]
    answers: bool,
}

pub(super) fn run(root: &Path, command: &Command) -> Result<()> {
    match command {
        Command::List { json } => list(&load_prompts(root)?, *json),
        Command::Show { prompt } => show(&load_prompts(root)?, prompt),
        Command::Render(args) => render(&Installation::load(root)?, args),
        Command::Check => check(root),
        Command::Release { name } => release(root, name),
    }
}

fn list(prompts: &Prompts, json: bool) -> Result<()> {
    let released = |prompt: &Prompt| prompts.lock.released(&prompt.id.to_string());
    if json {
        let rows: Vec<_> = prompts
            .iter()
            .map(|p| {
                json!({ "prompt": p.id, "intent": p.intent, "description": p.description, "ontology": p.ontology,
                             "sha256": p.sha256, "released": released(p) })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.load_style(NOTHING).set_header(["PROMPT", "RELEASED", "SHA256", "DESCRIPTION"]);
    for prompt in prompts.iter() {
        let date = released(prompt).map_or("draft".to_owned(), |date| date.format("%Y-%m-%d").to_string());
        table.add_row([prompt.id.to_string(), date, prompt.sha256[..12].to_owned(), prompt.description.clone()]);
    }
    println!("{}", table.trim_fmt());
    Ok(())
}

fn show(prompts: &Prompts, id: &PromptId) -> Result<()> {
    let prompt = prompts.get(id).map_err(|message| anyhow!(message))?;
    let (system, user) = prompt.template();
    println!(
        "{} ({}): {}\n--- system ---\n{}\n--- user ---\n{}",
        prompt.id,
        prompt.intent,
        prompt.description,
        system.trim(),
        user.trim()
    );
    Ok(())
}

fn render(installation: &Installation, args: &Render) -> Result<()> {
    let choice = args.prompt.clone().map_or(Choice::Route, Choice::Prompt);
    let budget = Budget { tokens: args.budget, bytes_per_token: args.bytes_per_token };
    let cases = load_cases(&args.cases)?;
    let wanted: Vec<Case> =
        cases.into_iter().filter(|case| args.case.as_ref().is_none_or(|id| *id == case.id)).collect();
    if wanted.is_empty() {
        let id = args.case.as_deref().unwrap_or("any id");
        bail!("{}: there is no case with {id}", args.cases.display());
    }
    let mut out = std::io::BufWriter::new(super::output::Stdout);
    for case in wanted {
        let prepared = installation.pipeline.prepare(case.window.clone(), &choice, budget);
        let prepared = prepared.map_err(|message| anyhow!(message)).with_context(|| format!("case {}", case.id))?;
        let mut line = json!({
            "id": case.id, "prompt": prepared.prompt.id, "system": prepared.rendered.system,
            "user": prepared.rendered.user, "rendered_hash": prepared.rendered.hash,
            "digest_tokens": prepared.digest.estimated_tokens,
        });
        if args.answers {
            line["answer"] = serde_json::to_value(reference(&case.target, &prepared))?;
        }
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

/// The verdict that the target asks for, with the ids that the digest gave to its decisive entries.
fn reference(target: &Target, prepared: &Prepared<'_>) -> Verdict {
    let mut evidence = prepared.asked(&target.decisive).decisive_ids;
    evidence.truncate(MAX_EVIDENCE);
    Verdict {
        evidence,
        components: target.components.clone(),
        root_cause: target.root_cause.clone(),
        severity: target.severity,
        summary: target.summary.clone(),
    }
}

fn check(root: &Path) -> Result<()> {
    let installation = Installation::load(root)?;
    let prompts = &installation.pipeline.prompts;
    let drafts = prompts.iter().filter(|prompt| prompts.lock.released(&prompt.id.to_string()).is_none()).count();
    let routes = installation.pipeline.routes.iter().count();
    println!("{} prompts ({drafts} of them drafts), {routes} routes: sound", prompts.iter().count());
    Ok(())
}

fn release(root: &Path, name: &str) -> Result<()> {
    let prompts = load_prompts(root)?;
    let sha256 = match prompts.ontologies().values().find(|ontology| ontology.lock_name() == name) {
        Some(ontology) => ontology.sha256.clone(),
        None => {
            let id: PromptId = name.parse().map_err(|message: String| anyhow!(message))?;
            let absent =
                |message| anyhow!("{message}\n  hint: a version is a file, prompts/{}/{}.md", id.name, id.version);
            prompts.get(&id).map_err(absent)?.sha256.clone()
        }
    };
    let mut lock = prompts.lock.clone();
    if let Some(date) = lock.released(name) {
        eprintln!("{name} was released on {}: nothing to do", date.format("%Y-%m-%d"));
        return Ok(());
    }
    lock.0.insert(name.to_owned(), Release { sha256, released: chrono::Utc::now() });
    let path = root.join("prompts/prompts.lock");
    let mut file = tempfile::NamedTempFile::new_in(root.join("prompts")).context("cannot write into prompts/")?;
    file.write_all(lock.render().as_bytes())?;
    file.persist(&path).with_context(|| format!("cannot replace {}", path.display()))?;
    eprintln!("released {name}: its file may no longer change");
    Ok(())
}
