//! `assay route`: why which prompt reads which logs.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Subcommand;

use crate::digest::Budget;
use crate::experiment::Choice;
use crate::installation::{Installation, load_cases};
use crate::stream::{Labels, Window};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show each rule that was tried and why it did or did not match.
    Explain {
        /// Labels of a stream, `name=value`; repeatable.
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// A log file to look into.
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
    let text = file.as_ref().map(std::fs::read).transpose()?.unwrap_or_default();
    let window = Window::from_text(parse_labels(labels)?, 0, &String::from_utf8_lossy(&text));
    let prepared = installation.pipeline.prepare(window, &Choice::Route, Budget::new(1_000));
    let prepared = prepared.map_err(|message| anyhow!(message))?;
    for step in prepared.routed.iter().flat_map(|routed| &routed.steps) {
        println!("{step}");
    }
    Ok(())
}

fn parse_labels(labels: &[String]) -> Result<Labels> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| anyhow!("`{text}` is not a label: write name=value"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    Ok(labels.iter().map(pair).collect::<Result<Vec<_>>>()?.into_iter().collect())
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
