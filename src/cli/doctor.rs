//! `assay doctor`: is everything here that the other commands need? Reads and measures, repairs nothing.

mod files;
pub(super) mod machine;
mod runs;

use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::eval::StoreArgs;
use super::output::{BAD, DOUBTFUL, GOOD, paint};
use crate::experiment::{Kind, Models};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Something will not work, or not as well; the rest does.
    Warn,
    Fail,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    state: State,
    detail: String,
    /// What to do about it.
    fix: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, detail: detail.into(), fix: None }
    }

    fn warn(check: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Warn, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn fail(check: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Fail, detail: detail.into(), fix: Some(fix.into()) }
    }

    /// A failure in another part's words, which may end with `hint: …`.
    fn of_error(check: impl Into<String>, error: &impl std::fmt::Display, fix: &str) -> Self {
        let text = error.to_string();
        let (detail, hint) = text.split_once("\n  hint: ").unwrap_or((&text, fix));
        Self::fail(check, detail.replace('\n', " "), hint.replace('\n', " "))
    }

    fn print(&self) {
        let state = match self.state {
            State::Ok => paint(GOOD, "ok  "),
            State::Warn => paint(DOUBTFUL, "warn"),
            State::Fail => paint(BAD, "fail"),
        };
        let fix = self.fix.as_ref().map_or(String::new(), |fix| format!(" -> {fix}"));
        println!("{state}  {}: {}{fix}", self.check, self.detail);
    }
}

pub(super) async fn run(root: &Path, args: &Doctor) -> Result<()> {
    let models = files::models(root);
    let mut findings = vec![files::prompts(root), files::routes(root)];
    findings.extend(files::datasets(root));
    let known = match models {
        Ok(known) => known,
        Err(finding) => {
            findings.push(finding);
            Models::default()
        }
    };
    let managed = known.iter().any(|spec| matches!(spec.kind, Kind::Managed { .. }));
    findings.push(machine::llama_server(root, managed).await);
    for spec in known.iter() {
        findings.push(files::model(root, spec).await);
    }
    findings.extend(runs::store(args.store.url()).await);
    findings.push(machine::git(root));
    findings.push(machine::processors());
    findings.extend(machine::memory(root, &known));
    findings.extend(machine::space(args.store.url()));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(Finding::print);
    }
    match findings.iter().filter(|finding| finding.state == State::Fail).count() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        failed => bail!("{failed} checks failed"),
    }
}
