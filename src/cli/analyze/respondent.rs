//! Who answers, and getting it ready.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::Analyze;
use crate::cli::eval::llama_server;
use crate::digest::{Budget, DEFAULT_BYTES_PER_TOKEN};
use crate::experiment::{Choice, Kind, ModelSpec, Profile};
use crate::harness::{Backends, Launcher};
use crate::installation::Installation;
use crate::stream::TextLog;

/// What to do without a llama-server.
const NO_SERVER: &str = "no llama-server found\n  hint: install llama.cpp, or set ASSAY_LLAMA_SERVER to the program; \
                         in a checkout, scripts/llama-server brings one; --model rules needs none";

/// The model that will be asked.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) spec: ModelSpec,
}

impl Chosen {
    pub(super) fn new(installation: &Installation, args: &Analyze, log: &TextLog, choice: &Choice) -> Result<Self> {
        if let Some(url) = &args.url {
            return Ok(Self { spec: external(url) });
        }
        let named = match &args.model {
            Some(name) => Some(name.clone()),
            None => routed(installation, log, choice, args.budget)?,
        };
        if let Some(name) = named {
            let spec = installation.models.get(&name).map_err(|message| anyhow!("{message}"))?;
            return Ok(Self { spec: spec.clone() });
        }
        let real: Vec<&ModelSpec> =
            installation.models.iter().filter(|spec| spec.kind != Kind::Rules && !spec.demo).collect();
        if let [only] = real[..] {
            return Ok(Self { spec: only.clone() });
        }
        let others = installation.models.iter().filter(|spec| spec.kind != Kind::Rules);
        let others: Vec<&str> = others.map(|spec| spec.name.as_str()).collect();
        let rules = installation.models.iter().find(|spec| spec.kind == Kind::Rules);
        let spec = rules.ok_or_else(|| anyhow!("which model? Give --model: there are {}", others.join(", ")))?;
        if !others.is_empty() {
            eprintln!("note: the rules answer; --model asks one of {}", others.join(", "));
        }
        Ok(Self { spec: spec.clone() })
    }

    /// Starts or finds it.
    pub(super) async fn start(&self, installation: &Installation, progress: &Progress) -> Result<Backends> {
        let managed = matches!(self.spec.kind, Kind::Managed { .. });
        let program = llama_server(&installation.root);
        if managed && program.is_none() {
            return Err(anyhow!(NO_SERVER));
        }
        if managed {
            progress.say(format!("loading {}", self.spec.name));
        }
        let logs = tempfile::tempdir()?;
        let launcher = Launcher {
            program: program.unwrap_or_else(|| "llama-server".into()),
            models: installation.root.join("models"),
            logs: logs.path().to_owned(),
            profile: Profile::Reproducible,
            patience: Duration::ZERO,
        };
        let started = Backends::start(&[(&self.spec, None)], &launcher).await;
        if started.is_err() && managed {
            // The error names the server's log.
            let _ = logs.keep();
        }
        Ok(started?)
    }
}

/// The model that the route names, if it names one.
fn routed(installation: &Installation, log: &TextLog, choice: &Choice, budget: usize) -> Result<Option<String>> {
    let prepared = installation.pipeline.prepare(log.window.clone(), choice, Budget::new(budget));
    let prepared = prepared.map_err(|message| anyhow!(message))?;
    Ok(prepared.routed.and_then(|routed| routed.model))
}

fn external(url: &str) -> ModelSpec {
    // Credentials in the address are refused later, by a message that must not repeat them either.
    let name = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => url.to_owned(),
    };
    ModelSpec {
        name,
        description: "given on the command line".to_owned(),
        quantization: "-".to_owned(),
        bytes_per_token: DEFAULT_BYTES_PER_TOKEN,
        demo: false,
        kind: Kind::External { url: url.to_owned(), fingerprint: None },
    }
}

/// A spinner with the seconds, on a terminal; nothing elsewhere.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub(super) fn say(&self, what: String) {
        self.0.set_message(what);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
