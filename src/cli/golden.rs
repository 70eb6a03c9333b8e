//! `assay golden`: the datasets that everything is measured on.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::output::{WIDTH, counted};
use crate::digest::Budget;
use crate::experiment::Choice;
use crate::golden::{self, Coverage, Dataset};
use crate::installation::{Installation, dataset_folder, load_dataset, load_prompts};
use crate::ontology::Ontology;
use crate::score::agreement::agreement;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a dataset: hash, counts, labels, leaks, reviews.
    Verify {
        /// Folder or name of the dataset.
        dataset: String,
    },
    /// Count cases and agreement between the two passes.
    Stats {
        /// Folder or name of the dataset.
        dataset: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print one case: labels, lines, target, and the digest a model would see.
    Show {
        /// Folder or name of the dataset.
        dataset: String,
        /// Case id.
        case: String,
        /// Digest budget in tokens.
        #[arg(long, default_value_t = 1_000)]
        budget: usize,
    },
}

pub(super) fn run(root: &Path, command: &Command) -> Result<()> {
    match command {
        Command::Verify { dataset } => verify(root, dataset),
        Command::Stats { dataset, json } => stats(&load_dataset(root, dataset)?, &ontology(root, dataset)?, *json),
        Command::Show { dataset, case, budget } => show(root, dataset, case, *budget),
    }
}

fn ontology(root: &Path, dataset: &str) -> Result<Ontology> {
    let version = load_dataset(root, dataset)?.manifest.ontology;
    let prompts = load_prompts(root)?;
    let found = prompts.ontologies().get(&version).cloned();
    found.ok_or_else(|| {
        anyhow!("{dataset} is labelled with ontology {version}: there is no prompts/ontology/{version}.toml")
    })
}

fn verify(root: &Path, name: &str) -> Result<()> {
    let dataset = load_dataset(root, name)?;
    let problems = golden::verify(&dataset_folder(name), &dataset, &ontology(root, name)?);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{name}: {}", counted(problems.len(), "problem", "problems"));
    }
    let counts = &dataset.manifest.counts;
    println!(
        "{}: {}, {} lines, sha256 {}: sound",
        dataset.manifest.name,
        cases(counts),
        counts.entries,
        dataset.manifest.sha256
    );
    Ok(())
}

fn cases(counts: &Coverage) -> String {
    let captures = counted(counts.clusters, "capture", "captures");
    format!("{} from {captures}", counted(counts.total, "case", "cases"))
}

fn stats(dataset: &Dataset, ontology: &Ontology, json: bool) -> Result<()> {
    let agreement = agreement(dataset, ontology).map_err(|message| anyhow!(message))?;
    let manifest = &dataset.manifest;
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({ "dataset": manifest, "agreement": agreement }))?);
        return Ok(());
    }
    println!(
        "{} version {}, ontology {}, frozen: {}",
        manifest.name, manifest.version, manifest.ontology, manifest.frozen
    );
    let counts = &manifest.counts;
    println!("{}, {} lines\n", cases(counts), counts.entries);
    let groups = [
        ("family", &counts.family),
        ("split", &counts.split),
        ("difficulty", &counts.difficulty),
        ("severity", &counts.severity),
        ("root cause", &counts.root_cause),
    ];
    for (name, group) in groups {
        println!("{}", wrapped(name, group.iter().map(|(key, count)| format!("{key} {count}"))));
    }
    println!("\nagreement of the second, blind pass:");
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["FIELD", "CASES", "SAME", "KAPPA"]);
    for a in &agreement {
        let kappa = a.kappa.map_or("-".to_owned(), |kappa| format!("{kappa:.3}"));
        table.add_row([a.field.to_owned(), a.cases.to_string(), a.same.to_string(), kappa]);
    }
    println!("{}", table.trim_fmt());
    Ok(())
}

/// A list on lines of at most [`WIDTH`] characters.
fn wrapped(name: &str, items: impl Iterator<Item = String>) -> String {
    let (mut text, mut at) = (format!("{name}:"), name.len() + 1);
    for (n, item) in items.enumerate() {
        let (comma, room) = if n == 0 { ("", 0) } else { (",", 1) };
        if at + room + 1 + item.len() > usize::from(WIDTH) {
            text += &format!("{comma}\n  {item}");
            at = 2 + item.len();
        } else {
            text += &format!("{comma} {item}");
            at += room + 1 + item.len();
        }
    }
    text
}

/// From which id to which the cases go.
fn ids(dataset: &Dataset) -> String {
    let (Some(first), Some(last)) = (dataset.cases.first(), dataset.cases.last()) else { return String::new() };
    format!(": they are {} to {}", first.id, last.id)
}

fn show(root: &Path, name: &str, id: &str, budget: usize) -> Result<()> {
    let installation = Installation::load(root)?;
    let dataset = installation.dataset(name)?;
    let case = dataset.case(id).ok_or_else(|| anyhow!("{name} has no case `{id}`{}", ids(&dataset)))?;
    println!(
        "{} · {} · {} · {:?} · capture {}",
        case.id,
        case.family,
        case.split.as_str(),
        case.difficulty,
        case.cluster
    );
    for (index, labels) in case.window.streams.iter().enumerate() {
        println!("stream {index}: {labels}");
    }
    for (index, entry) in case.window.entries.iter().enumerate() {
        let mark = if case.target.decisive.contains(&(index as u32)) { "*" } else { " " };
        println!("{mark}{index:>5} {} {}", entry.stream, entry.line);
    }
    println!("\ntarget: {}", serde_json::to_string_pretty(&case.target)?);
    if let Some(provenance) = &case.provenance {
        println!("provenance: {}", serde_json::to_string_pretty(provenance)?);
    }
    let prepared = installation.pipeline.prepare(case.window.clone(), &Choice::Route, Budget::new(budget));
    let prepared = prepared.map_err(|message| anyhow!(message))?;
    println!("\ndigest at {budget} tokens, prompt {}:\n{}", prepared.prompt.id, prepared.digest.text);
    println!("decisive ids: {}", prepared.asked(&case.target.decisive).decisive_ids.join(", "));
    Ok(())
}
