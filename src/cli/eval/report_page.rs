//! `assay eval report`: one page about some runs.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::StoreArgs;
use crate::cli::output::Stdout;
use crate::golden::Case;
use crate::installation::{Installation, Shelf};
use crate::report::{Logs, Report, Sources};
use crate::run::Run;

/// What a page is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One file for a browser, with plots and the worst cases; it loads nothing from anywhere.
    Html,
    /// A comment for a pull request.
    Markdown,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportPage {
    /// Runs, the reference first: run ids, beginnings of them, or arms' names for their newest runs.
    #[arg(required = true)]
    runs: Vec<String>,
    /// Where to write it; standard output if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What to write; by the file's ending if absent, else HTML.
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn write(root: &Path, args: &ReportPage) -> Result<()> {
    let store = args.store.existing()?;
    let mut runs: Vec<Run> = Vec::with_capacity(args.runs.len());
    for reference in &args.runs {
        runs.push(store.run(&store.find(reference).await?).await?);
    }
    let logs = golden(root, &runs[0]).map_err(|reason| {
        eprintln!("warning: the page shows no log lines: {reason}");
        reason.replace('\n', " ")
    });
    let case = |id: &str| logs.as_ref().ok().and_then(|(_, shelf)| found(shelf, id));
    let sources = logs.as_ref().map_err(Clone::clone).map(|(installation, shelf)| Logs {
        dataset: &shelf.manifest,
        case: &case,
        pipeline: &installation.pipeline,
    });
    let report = Report::new(&Sources { runs: &runs, logs: sources })?;
    let text = match format(args) {
        Format::Html => report.html(),
        Format::Markdown => report.markdown(),
    };
    match &args.out {
        None => Stdout.write_all(text.as_bytes())?,
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
            eprintln!("wrote {}", file.display());
        }
    }
    Ok(())
}

/// What log lines are made from: the installation with the very dataset that the runs were made over.
fn golden(root: &Path, run: &Run) -> Result<(Installation, Shelf), String> {
    let installation = Installation::load(root).map_err(|problem| problem.to_string())?;
    let wanted = &run.record.plan.dataset;
    let shelf = installation.shelf(&run.record.plan.experiment.dataset).map_err(|problem| problem.to_string())?;
    if shelf.manifest.sha256 == wanted.sha256 {
        return Ok((installation, shelf));
    }
    let (name, at_hand) = (&wanted.name, &shelf.manifest.sha256);
    Err(format!("{name} at hand has sha256 {at_hand}, run {} was made over {}", run.record.plan.id, wanted.sha256))
}

/// A case of the dataset; one that was changed meanwhile is left out, and told.
fn found(shelf: &Shelf, id: &str) -> Option<Case> {
    let number = shelf.ids().position(|case| case == id)?;
    shelf.case(number).inspect_err(|problem| eprintln!("warning: {problem}")).ok()
}

fn format(args: &ReportPage) -> Format {
    let is_markdown = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "md");
    let by_name = if args.out.as_ref().is_some_and(is_markdown) { Format::Markdown } else { Format::Html };
    args.format.unwrap_or(by_name)
}
