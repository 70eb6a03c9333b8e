//! `assay route`: why which prompt reads which logs.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Subcommand;

use super::input::{self, LabelArgs};
use crate::digest::Budget;
use crate::experiment::Choice;
use crate::installation::{Installation, load_cases};
use crate::stream::Window;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show each rule that was tried and why it did or did not match.
    Explain {
        #[command(flatten)]
        labels: LabelArgs,
        /// A log file to look into, `-` for standard input.
        #[arg(long, value_name = "FILE", conflicts_with = "cases")]
        file: Option<PathBuf>,
        /// A golden file; every case is explained in one line.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
}

pub(super) fn run(root: &Path, command: &Command) -> Result<()> {
    let Command::Explain { labels, file, cases } = command;
    let installation = Installation::load(root)?;
    if let Some(cases) = cases {
        return explain_cases(&installation, cases);
    }
    let labels = labels.labels();
    let window = match file {
        Some(file) => input::read(file, labels)?.window,
        None => Window { streams: vec![labels], entries: Vec::new() },
    };
    let prepared = installation.pipeline.prepare(window, &Choice::Route, Budget::new(1_000));
    let prepared = prepared.map_err(|message| anyhow!(message))?;
    for step in prepared.routed.iter().flat_map(|routed| &routed.steps) {
        println!("{step}");
    }
    Ok(())
}

fn explain_cases(installation: &Installation, cases: &Path) -> Result<()> {
    for case in load_cases(cases)? {
        let prepared = installation.pipeline.prepare(case.window, &Choice::Route, Budget::new(1_000));
        let prepared = prepared.map_err(|message| anyhow!(message))?;
        let step = prepared.routed.as_ref().and_then(|routed| routed.steps.last());
        println!("{}\t{}\t{}", case.id, case.family, step.map(ToString::to_string).unwrap_or_default());
    }
    Ok(())
}
