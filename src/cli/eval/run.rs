//! `assay eval run` and `assay eval resume`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::dry_run::dry_run;
use super::progress::Progress;
use super::{StoreArgs, llama_server, report, runs};
use crate::cli::exit::{self, Ended};
use crate::experiment::{Arm, Experiment, Kind, ModelSpec};
use crate::harness::{HarnessError, Launcher, Outcome, Session};
use crate::installation::Installation;
use crate::llama;
use crate::run::Plan;
use crate::store::Store;

/// Context of one slot for a model that is given on the command line, in tokens.
const DEFAULT_CONTEXT: u32 = 4096;

#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// The experiment file.
    experiment: PathBuf,
    /// Use this GGUF in place of every model of the experiment but the rules.
    #[arg(long, value_name = "FILE.gguf")]
    model: Option<PathBuf>,
    /// Context of one slot for `--model`, in tokens.
    #[arg(long, default_value_t = DEFAULT_CONTEXT, requires = "model")]
    context: u32,
    /// How long a question is asked again while its server does not answer, in seconds.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    patience: f64,
    /// Start nothing: say what would be asked, and for how long by earlier runs.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {
    /// A run of the session; the newest unfinished session if absent.
    run: Option<String>,
    /// How long a question is asked again while its server does not answer, in seconds.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    patience: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn start(root: &Path, args: &Run) -> Result<()> {
    let mut installation = Installation::load(root)?;
    let mut experiment = installation.experiment(&args.experiment)?;
    if let Some(file) = &args.model {
        replace_models(&mut installation, &mut experiment, file, args.context).await?;
    }
    if args.dry_run {
        // Nothing ran yet where there is no store.
        let store = if args.store.absent() { None } else { Some(args.store.existing()?) };
        return dry_run(&installation, store.as_ref(), &experiment, args.json).await;
    }
    let store = args.store.open()?;
    let launcher = launcher(&installation, &store, &experiment, args.patience)?;
    eprintln!("{}: {}", experiment.name, experiment.question);
    let session = Session::start(&installation, &store, &experiment, &launcher).await?;
    finish(session, &store, args.json).await
}

pub(super) async fn resume(root: &Path, args: &Resume) -> Result<()> {
    let mut installation = Installation::load(root)?;
    if args.run.is_none() && args.store.absent() {
        eprintln!("nothing to resume: there is no store {}", args.store.url());
        return Ok(());
    }
    let store = args.store.existing()?;
    let plans = unfinished(&store, args.run.as_deref()).await?;
    if plans.is_empty() {
        // No failure: a scheduled job resumes before each run, and mostly there is nothing.
        eprintln!("nothing to resume in {}", store.url());
        return Ok(());
    }
    for plan in &plans {
        // A model that was given on the command line is known from the plan alone.
        if installation.models.get(&plan.arm.model).is_err() {
            installation.models.insert(plan.model.spec.clone());
        }
    }
    let launcher = launcher(&installation, &store, &plans[0].experiment, args.patience)?;
    eprintln!("resuming {} runs of {}", plans.len(), plans[0].experiment.name);
    let session = Session::resume(&installation, &store, plans, &launcher).await?;
    if session.doubted() > 0 {
        eprintln!(
            "asking {} questions again: their server was not recognised since it answered them",
            session.doubted()
        );
    }
    finish(session, &store, args.json).await
}

/// Runs a session to its end, with a progress display and an interruption that loses nothing.
pub(super) async fn drive(session: Session<'_>) -> Result<Vec<Outcome>> {
    let mut progress = Progress::new(std::io::stderr().is_terminal());
    let outcomes = session.run(&mut progress, exit::interrupt()).await;
    progress.finish();
    outcomes.map_err(|error| match error {
        HarnessError::Interrupted => Ended::interrupted(error.to_string()).into(),
        error => error.into(),
    })
}

async fn finish(session: Session<'_>, store: &Store, json: bool) -> Result<()> {
    let outcomes = drive(session).await?;
    report::session(store, &outcomes, json).await?;
    let partial: Vec<&Plan> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Partial { plan, .. } => Some(plan.as_ref()),
            Outcome::Published(_) => None,
        })
        .collect();
    if partial.is_empty() {
        return Ok(());
    }
    bail!("{} runs are partial and were not published: continue with `assay eval resume`", partial.len());
}

/// How the servers of an experiment are started.
pub(super) fn launcher(
    installation: &Installation,
    store: &Store,
    experiment: &Experiment,
    patience: f64,
) -> Result<Launcher> {
    let patience = Duration::try_from_secs_f64(patience)
        .map_err(|_| anyhow!("--patience {patience} is out of range: give seconds, 0 or more"))?;
    let managed = experiment
        .arms
        .iter()
        .any(|arm| installation.models.get(&arm.model).is_ok_and(|spec| matches!(spec.kind, Kind::Managed { .. })));
    let program = match llama_server(&installation.root) {
        Some(program) => program,
        None if managed => {
            let hint = "install llama.cpp (Debian: llama.cpp-tools, Homebrew: llama.cpp, Windows: winget install \
                        llama.cpp), or set ASSAY_LLAMA_SERVER to the program; in a checkout, scripts/llama-server \
                        brings one";
            return Err(anyhow!("no llama-server found\n  hint: {hint}"));
        }
        None => PathBuf::from("llama-server"),
    };
    let logs = store.folder("").join("../logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let models = installation.root.join("models");
    Ok(Launcher { program, models, logs, profile: experiment.profile, patience })
}

/// Puts one GGUF in the place of every model; arms that then ask the same are asked once.
async fn replace_models(
    installation: &mut Installation,
    experiment: &mut Experiment,
    file: &Path,
    context: u32,
) -> Result<()> {
    let path = std::path::absolute(file)?;
    let name = path.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned());
    if installation.models.get(&name).is_ok() {
        bail!(
            "--model {}: models/models.toml has a model `{name}` already\n  hint: name that one in the experiment, or \
             give the file another name",
            file.display()
        );
    }
    let sha256 = llama::gguf_sha256(&path).await.with_context(|| format!("cannot read {}", file.display()))?;
    let kind = Kind::Managed { file: path.display().to_string(), sha256, context };
    installation.models.insert(ModelSpec {
        name: name.clone(),
        description: format!("given on the command line: {}", file.display()),
        quantization: "as in the file".to_owned(),
        bytes_per_token: 3.0,
        demo: false,
        kind,
    });
    let mut kept: Vec<Arm> = Vec::new();
    let mut renamed: Vec<(String, String)> = Vec::new();
    for mut arm in std::mem::take(&mut experiment.arms) {
        if installation.models.get(&arm.model).is_ok_and(|spec| spec.kind != Kind::Rules) {
            arm.model.clone_from(&name);
        }
        let same = kept.iter().find(|known| Arm { name: arm.name.clone(), ..(*known).clone() } == arm);
        match same {
            Some(known) => renamed.push((arm.name, known.name.clone())),
            None => kept.push(arm),
        }
    }
    let rename = |name: &mut String| {
        if let Some((_, to)) = renamed.iter().find(|(from, _)| from == name) {
            name.clone_from(to);
        }
    };
    for contrast in &mut experiment.contrasts {
        rename(&mut contrast.a);
        rename(&mut contrast.b);
    }
    experiment.contrasts.retain(|contrast| contrast.a != contrast.b);
    experiment.contrasts.dedup();
    experiment.arms = kept;
    Ok(())
}

/// Plans of the runs of one session that were not published: of the run's that was named, else of the newest, if there is
/// any.
async fn unfinished(store: &Store, reference: Option<&str>) -> Result<Vec<Plan>> {
    let (_, mut open) = runs(store).await?;
    open.reverse();
    let session = match reference {
        Some(reference) => {
            let id = store.find(reference).await?;
            let plan = store.plan(&id).await?.ok_or_else(|| anyhow!("run `{id}` has no plan.json"))?;
            plan.session
        }
        None => match open.iter().map(|plan| &plan.session).max() {
            Some(newest) => newest.clone(),
            None => return Ok(Vec::new()),
        },
    };
    open.retain(|plan| plan.session == session);
    // As the experiment has them: its first arm is the reference of what is printed in the end.
    open.sort_by_key(|plan| plan.experiment.arms.iter().position(|arm| arm.name == plan.arm.name));
    if open.is_empty() {
        bail!("every run of session {session} is finished");
    }
    Ok(open)
}
