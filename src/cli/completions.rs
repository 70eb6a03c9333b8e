//! `assay completions`: what a shell needs to complete this command line.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use super::output::Stdout;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell to complete in.
    shell: Shell,
}

pub(super) fn run(args: &Completions) -> Result<()> {
    // The generators write in many small pieces, and expect that none fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "assay", &mut script);
    Ok(Stdout.write_all(&script)?)
}
