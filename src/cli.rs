//! The command line: parses arguments, calls the library, prints. Data goes to stdout, everything else to stderr.

/// The crate's own `println!`: see `cli/output.rs`.
macro_rules! println {
    () => { crate::cli::output::line(::std::format_args!("")) };
    ($($text:tt)*) => { crate::cli::output::line(::std::format_args!($($text)*)) };
}
/// The crate's own `eprintln!`: see `cli/output.rs`.
macro_rules! eprintln {
    ($($text:tt)*) => { crate::cli::output::note(::std::format_args!($($text)*)) };
}

mod analyze;
mod completions;
mod digest;
mod doctor;
mod eval;
mod examples;
mod exit;
mod golden;
mod input;
mod output;
mod prompt;
mod route;
mod store;
mod telemetry;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Version, with the commit if the build was told of one.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("ASSAY_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map_or(String::new(), |commit| format!(" ({commit})"));
    format!("{}{commit}", env!("CARGO_PKG_VERSION"))
});

/// Lets a small LLM read Loki logs and proves how far to trust it.
#[derive(Debug, Parser)]
#[command(name = "assay", version = VERSION.as_str(), arg_required_else_help = true)]
pub struct Cli {
    /// Folder with prompts/, golden/, models/ and experiments/.
    #[arg(long, global = true, default_value = ".", env = "ASSAY_ROOT", value_name = "DIR", display_order = 900)]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what broke, by a log in hand: severity, root cause, components, evidence.
    Analyze(analyze::Analyze),
    /// Print what a model would see of a log, and say why.
    Digest(digest::Digest),
    /// Check the surroundings: llama-server, models, prompts, datasets, store, machine.
    Doctor(doctor::Doctor),
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
    /// A store as a whole: gather its records for fast readers, make one with sample history.
    #[command(subcommand)]
    Store(store::Command),
    /// Name what made an answer, by its trace id, its prompt's hash, or RUN/CASE: prompt, model, commit, settings.
    Why(why::Why),
    /// Print the completions of a shell.
    Completions(completions::Completions),
    /// What the exit codes mean.
    #[command(long_about = exit::TABLE)]
    ExitCodes,
}

/// The command line with its examples.
fn command() -> clap::Command {
    examples::add(Cli::command())
}

/// Runs one command line.
pub async fn main() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(help) => return usage(&help),
    };
    telemetry::start();
    let done = |result: anyhow::Result<()>| result.map(|()| ExitCode::SUCCESS);
    let result = match &cli.command {
        Command::Analyze(args) => done(analyze::run(&cli.root, args).await),
        Command::Digest(args) => done(digest::run(args)),
        Command::Doctor(args) => done(doctor::run(&cli.root, args).await),
        Command::Eval(command) => eval::run(&cli.root, command).await,
        Command::Golden(command) => done(golden::run(&cli.root, command)),
        Command::Prompt(command) => done(prompt::run(&cli.root, command)),
        Command::Route(command) => done(route::run(&cli.root, command)),
        Command::Store(command) => done(store::run(&cli.root, command).await),
        Command::Why(args) => why::run(&cli.root, args).await,
        Command::Completions(args) => done(completions::run(args)),
        Command::ExitCodes => {
            println!("{}", exit::TABLE);
            Ok(ExitCode::SUCCESS)
        }
    };
    telemetry::stop().await;
    let written = output::failure().map(|error| anyhow::anyhow!("cannot write to standard output: {error}"));
    match result.and_then(|code| written.map_or(Ok(code), Err)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {}", output::paint_note(output::BAD, "error:"), exit::describe(&error));
            exit::code(&error)
        }
    }
}

/// Help that was asked for goes to stdout, a wrong command line to stderr; clap knows which it is, and colours both.
fn usage(help: &clap::Error) -> ExitCode {
    let _ = help.print();
    ExitCode::from(u8::try_from(help.exit_code()).unwrap_or(2))
}
