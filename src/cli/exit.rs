//! Exit codes, and the errors that carry one.

use std::fmt;
use std::future::pending;
use std::process::ExitCode;

/// The codes, as `assay help exit-codes` explains them.
pub(super) const TABLE: &str = "\
0    The command did what it was asked and found nothing wrong.
1    It could not (a file, a server or the store failed), or what it checks
     is not sound. `error:` on standard error says why.
2    The command line was wrong; nothing was done.
3    eval gate: the run is worse than its baseline by more than the margin.
4    eval gate: the data do not decide it; a gate does not open on that.
5    analyze: the model gave no usable verdict. Its class is on standard
     error and in the JSON: timeout, context_overflow, output_truncated or
     schema_violation.
6    eval reproduce: some answers differ. why: the prompt that was rebuilt is
     not the one that was sent.
130  Interrupted, by Ctrl-C or SIGTERM. `eval resume` continues a run.

A reader that closes the pipe early (`| head`) changes none of these.";

/// `eval gate`: the loss is larger than the margin.
pub(super) const INFERIOR: u8 = 3;
/// `eval gate`: the data do not decide it.
pub(super) const CANNOT_TELL: u8 = 4;
/// `eval reproduce`, `why`: something differs.
pub(super) const DIFFERS: u8 = 6;

/// Shown below `assay --help`.
pub(super) const HINT: &str =
    "Exit codes: assay help exit-codes. Colours: NO_COLOR, CLICOLOR and CLICOLOR_FORCE are heard.";

/// An end other than 0 and 1.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code.
    pub(super) code: u8,
    /// What to say on standard error.
    pub(super) message: String,
}

impl Ended {
    /// No usable verdict.
    pub(super) fn no_verdict(message: String) -> Self {
        Self { code: 5, message }
    }

    /// A command line that does not fit together.
    pub(super) fn usage(message: String) -> Self {
        Self { code: 2, message }
    }

    /// [`interrupt`] came.
    pub(super) fn interrupted(message: impl Into<String>) -> Self {
        Self { code: 130, message: message.into() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ended {}

/// Resolves when a person presses Ctrl-C, or the system asks for an end by SIGTERM.
pub(super) async fn interrupt() {
    tokio::select! {
        // Without a signal handler the command simply ends the hard way.
        () = async { if tokio::signal::ctrl_c().await.is_err() { pending::<()>().await } } => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    pending().await
}

/// The code of an error: its own, or 1.
pub(super) fn code(error: &anyhow::Error) -> ExitCode {
    error.downcast_ref::<Ended>().map_or(ExitCode::FAILURE, |ended| ExitCode::from(ended.code))
}

/// An error with its causes, each said once: many messages name their cause themselves.
pub(super) fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no space").context("cannot write x: no space").context("run 1");
        assert_eq!(describe(&error), "run 1: cannot write x: no space");
        assert_eq!(describe(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}
