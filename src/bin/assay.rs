//! `assay`, the command line.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    assay::cli::main().await
}
