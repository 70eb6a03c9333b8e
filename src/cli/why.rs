//! `assay why`: from a trace id, a hash or a run's case to everything that made the answer.

mod rebuild;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anstyle::Style;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::eval::{StoreArgs, pass_over};
use super::exit;
use super::output::paint;
use crate::installation::load_cases;
use crate::ledger::{Record, is_trace};
use crate::run::{CaseResult, Plan, Run};
use crate::store::{Ledger, Store};
use rebuild::Rebuilt;

/// The fewest digits of a hash that are taken.
const FEWEST_DIGITS: usize = 8;
/// Most answers that are shown.
const MOST: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Why {
    /// A trace id; the hash of a rendered prompt, or its first digits; or RUN/CASE, the run by its id, the beginning of
    /// one, or an arm's name for its newest.
    what: String,
    /// The cases to rebuild the prompt from, in place of the run's dataset.
    #[arg(long, value_name = "CASES.jsonl")]
    cases: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// What is looked for.
#[derive(Debug, PartialEq)]
enum What<'a> {
    Case(&'a str, &'a str),
    /// Lower-case digits, of a trace id or of the beginning of a hash.
    Digits(String),
}

impl<'a> What<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        if let Some((run, case)) = text.rsplit_once('/') {
            return Ok(Self::Case(run, case));
        }
        let digits = text.rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
        if digits.len() < FEWEST_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!(
                "`{text}` is neither a trace id, nor a hash of at least {FEWEST_DIGITS} hexadecimal digits, nor \
                 RUN/CASE such as triage2-q8/g1-001"
            );
        }
        Ok(Self::Digits(digits))
    }

    fn is(&self, row: &CaseResult) -> bool {
        match self {
            Self::Case(_, case) => row.answer.case == *case,
            Self::Digits(digits) => {
                let hash = row.answer.asked.rendered_hash.rsplit(':').next().unwrap_or_default();
                row.answer.trace_id.as_ref().is_some_and(|id| is_trace(id, digits)) || hash.starts_with(digits)
            }
        }
    }
}

/// An answer that was asked for, and what became of its prompt.
struct Found {
    plan: Plan,
    row: CaseResult,
    rebuilt: Rebuilt,
}

pub(super) async fn run(root: &Path, args: &Why) -> Result<ExitCode> {
    let what = What::parse(&args.what)?;
    let store = args.store.existing()?;
    let rows = find(&store, &what).await?;
    let live = live(&store, &what).await?;
    if let (What::Case(run, case), true) = (&what, rows.is_empty()) {
        bail!("run {} has no answer to a case `{case}`", store.find(run).await?);
    }
    if rows.is_empty() && live.is_empty() {
        bail!(
            "no answer in {} has this trace or hash\n  hint: published runs and the ledger of live answers are looked into; an answer has a trace id if telemetry \
             was on when it was asked (docs/telemetry.md)",
            store.url()
        );
    }
    let mut found = Vec::with_capacity(rows.len());
    let given = args.cases.as_deref().map(load_cases).transpose()?;
    let mut bench = rebuild::Bench::new(root, given);
    for (plan, row) in rows {
        let rebuilt = bench.rebuild(&plan, &row);
        found.push(Found { plan, row, rebuilt });
    }
    if args.json {
        let live = live.iter().map(|record| json!({"live": **record}));
        println!("{}", serde_json::to_string_pretty(&found.iter().map(Found::json).chain(live).collect::<Vec<_>>())?);
    } else {
        found.iter().for_each(Found::print);
        live.iter().for_each(|record| print_live(record));
    }
    let differs = found.iter().any(|found| matches!(found.rebuilt, Rebuilt::Another(_)));
    Ok(if differs { ExitCode::from(exit::DIFFERS) } else { ExitCode::SUCCESS })
}

/// The answers, newest run first.
async fn find(store: &Store, what: &What<'_>) -> Result<Vec<(Plan, CaseResult)>> {
    let ids = match what {
        What::Case(run, _) => vec![store.find(run).await?],
        What::Digits(_) => store.ids().await?,
    };
    let mut found = Vec::new();
    for id in ids.into_iter().rev() {
        let read = match store.record(&id).await {
            Ok(Some(_)) => store.run(&id).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let run: Run = match (read, what) {
            (Ok(Some(run)), _) => run,
            (Ok(None), What::Case(..)) => bail!("{id} is not published: continue with `assay eval resume`"),
            (Ok(None), _) => continue,
            (Err(error), What::Case(..)) => return Err(error.into()),
            (Err(error), _) => {
                pass_over(error)?;
                continue;
            }
        };
        let rows = run.results.into_iter().filter(|row| what.is(row));
        found.extend(rows.map(|row| (run.record.plan.clone(), row)));
        if found.len() > MOST {
            eprintln!("note: only {MOST} answers are shown; give more digits, or RUN/CASE");
            found.truncate(MOST);
            break;
        }
    }
    Ok(found)
}

/// The live answers, newest first.
async fn live(store: &Store, what: &What<'_>) -> Result<Vec<Arc<Record>>> {
    let What::Digits(digits) = what else { return Ok(Vec::new()) };
    let mut records = Ledger::of_all(store).find(digits).await?.records;
    records.truncate(MOST);
    Ok(records)
}

/// A live answer. Its entries are Loki's, and its prompt is not rebuilt.
fn print_live(record: &Record) {
    let ended = record.verdict.as_ref().map_or_else(String::new, |v| format!(", {}, {}", v.severity, v.root_cause));
    let question = record.name.as_deref().unwrap_or(&record.question);
    println!("{}", paint(Style::new().bold(), format!("live question {question}: {}{ended}", record.class)));
    let line = |name: &str, text: String| println!("  {name:<9} {text}");
    let route = record.asked.route.as_ref().map_or_else(String::new, |route| format!(", by route {route}"));
    line("prompt", format!("{} ({}){route}", record.asked.prompt, sha(&record.prompt_sha256)));
    line("rendered", record.asked.rendered_hash.clone());
    let server = record.fingerprint.as_ref().map_or_else(String::new, |print| format!(", {}", sha(print)));
    let build = record.build_info.as_ref().map_or_else(String::new, |build| format!(", llama.cpp {build}"));
    line("model", format!("{} {}{server}{build}", record.model, record.quantization));
    line("made with", format!("redaction {}, digest {}", record.redaction, record.digest));
    let trace = record.trace_id.as_ref().map_or_else(String::new, |id| format!(", trace {id}"));
    line("asked", format!("{} for {}{trace}", record.at.format("%Y-%m-%d %H:%M:%S UTC"), record.purpose.as_str()));
}

fn sha(hash: &str) -> String {
    format!("sha256 {}", hash.get(..12).unwrap_or(hash))
}

impl Found {
    fn print(&self) {
        let (plan, answer) = (&self.plan, &self.row.answer);
        let ended = answer.verdict.as_ref().map_or_else(String::new, |v| format!(", {}, {}", v.severity, v.root_cause));
        let title = format!("{}/{} #{}: {}{ended}", plan.id, answer.case, answer.repeat, answer.class);
        println!("{}", paint(Style::new().bold(), title));
        let line = |name: &str, text: String| println!("  {name:<9} {text}");
        let released = plan.pipeline.prompts.get(&answer.asked.prompt).map_or_else(String::new, |hash| sha(hash));
        let draft = if plan.pipeline.drafts.contains(&answer.asked.prompt) { ", never released" } else { "" };
        let route = answer.asked.route.as_ref().map_or_else(String::new, |route| format!(", by route {route}"));
        line("prompt", format!("{} ({released}{draft}){route}", answer.asked.prompt));
        line("rendered", answer.asked.rendered_hash.clone());
        line("", self.rebuilt.to_string());
        let file =
            plan.model.gguf_sha256.as_ref().or(plan.model.fingerprint.as_ref()).map(|hash| format!(", {}", sha(hash)));
        let build = plan.model.build_info.as_ref().map(|build| format!(", llama.cpp {build}"));
        let (file, build) = (file.unwrap_or_default(), build.unwrap_or_default());
        line("model", format!("{} {}{file}{build}", plan.arm.model, plan.model.spec.quantization));
        let sampling = plan.arm.sampling;
        line(
            "settings",
            format!(
                "temperature {}, top_p {}, seed {}, at most {} tokens; digest of {} tokens; profile {}",
                sampling.temperature,
                sampling.top_p,
                sampling.seed,
                sampling.max_tokens,
                plan.arm.digest_tokens,
                plan.experiment.profile.as_str()
            ),
        );
        line("dataset", format!("{} ({})", plan.dataset.name, sha(&plan.dataset.sha256)));
        let commit = plan.environment.commit.as_ref().map_or_else(String::new, |commit| {
            let dirty = if plan.environment.dirty == Some(true) { " and uncommitted changes" } else { "" };
            format!(", commit {}{dirty}", commit.get(..12).unwrap_or(commit))
        });
        line("assay", format!("{}{commit}", plan.environment.assay_version));
        plan.moves().into_iter().for_each(|moved| line("", moved));
        let trace = answer.trace_id.as_ref().map_or_else(String::new, |id| format!(", trace {id}"));
        line("asked", format!("{}{trace}", answer.at.format("%Y-%m-%d %H:%M:%S UTC")));
    }

    fn json(&self) -> Value {
        let (plan, answer) = (&self.plan, &self.row.answer);
        json!({
            "run": plan.id, "case": answer.case, "repeat": answer.repeat, "asked": answer.at,
            "trace_id": answer.trace_id, "class": answer.class, "verdict": answer.verdict,
            "prompt": answer.asked.prompt, "prompt_sha256": plan.pipeline.prompts.get(&answer.asked.prompt),
            "route": answer.asked.route, "rendered_hash": answer.asked.rendered_hash,
            "rebuilt": self.rebuilt.json(),
            "model": plan.model, "sampling": plan.arm.sampling, "digest_tokens": plan.arm.digest_tokens,
            "profile": plan.experiment.profile, "pipeline": plan.pipeline, "dataset": plan.dataset,
            "environment": plan.environment, "resumed_in": plan.resumed_in,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_a_case_a_trace_or_a_hash() {
        assert_eq!(What::parse("a/b/g1-001").unwrap(), What::Case("a/b", "g1-001"));
        assert_eq!(What::parse("sha256:ABCDEF01").unwrap(), What::Digits("abcdef01".to_owned()));
        for bad in ["", "abc", "triage2-q8", "sha256:xyz", "0123456"] {
            assert!(What::parse(bad).unwrap_err().to_string().contains("RUN/CASE"), "{bad}");
        }
    }
}
