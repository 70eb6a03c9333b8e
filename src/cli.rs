//! The command line: parses arguments, calls the library, prints. Data goes to stdout, everything else to stderr.

mod eval;
mod golden;
mod prompt;
mod route;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Lets a small LLM read Loki logs and proves how far to trust it.
#[derive(Debug, Parser)]
#[command(name = "assay", version, arg_required_else_help = true)]
pub struct Cli {
    /// Folder with prompts/, golden/, models/ and experiments/.
    #[arg(long, global = true, default_value = ".", env = "ASSAY_ROOT", value_name = "DIR")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Evaluation: run experiments, resume them, list, show and compare runs.
    #[command(subcommand)]
    Eval(eval::Command),
    /// Golden datasets: verify, stats, show.
    #[command(subcommand)]
    Golden(golden::Command),
    /// Prompt versions: list, show, render, check, release.
    #[command(subcommand)]
    Prompt(prompt::Command),
    /// Routing rules: explain which prompt reads which logs.
    #[command(subcommand)]
    Route(route::Command),
}

/// Runs one command line.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Not clap's 2, which is what a gate says of a run that is worse.
            let code = if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            return usage.print().map_or(ExitCode::FAILURE, |()| code);
        }
    };
    let done = |result: anyhow::Result<()>| result.map(|()| ExitCode::SUCCESS);
    let result = match &cli.command {
        Command::Eval(command) => eval::run(&cli.root, command).await,
        Command::Golden(command) => done(golden::run(&cli.root, command)),
        Command::Prompt(command) => done(prompt::run(&cli.root, command)),
        Command::Route(command) => done(route::run(&cli.root, command)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
