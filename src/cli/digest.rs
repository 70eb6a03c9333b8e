//! `assay digest`: exactly what a model would see of a log, and the account of it.

mod audit;
mod explain;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::input::{self, LabelArgs};
use crate::digest::{self, Budget};
use crate::prompt::harmless;
use crate::redact::{self, Counts, Policy, Redactor};
use crate::stream::TextLog;
use audit::Audit;

#[derive(Debug, Args)]
pub(super) struct Digest {
    /// The log, `-` for standard input.
    file: PathBuf,
    /// Most tokens of the digest, as estimated.
    #[arg(long, default_value_t = 1_000, value_name = "TOKENS", value_parser = tokens)]
    budget: usize,
    /// Bytes of log text per token of the model's tokenizer, as in models/models.toml.
    #[arg(long, default_value_t = digest::DEFAULT_BYTES_PER_TOKEN, value_name = "BYTES", value_parser = rate)]
    bytes_per_token: f64,
    #[command(flatten)]
    labels: LabelArgs,
    /// Leave secrets in. A model never sees such a digest.
    #[arg(long)]
    no_redact: bool,
    /// Say why a line is or is not in the digest: its number (from 1), or a piece of its text.
    #[arg(long, value_name = "LINE|TEXT")]
    explain: Option<String>,
    /// Print JSON: the text, every template with rank, score and reason, kept or dropped.
    #[arg(long)]
    json: bool,
}

/// A budget in tokens.
pub(super) fn tokens(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(tokens @ 1..=1_000_000) => Ok(tokens),
        _ => Err("give 1 to 1000000 tokens".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.5..=20.0).contains(rate));
    rate.ok_or_else(|| "give 0.5 to 20 bytes".to_owned())
}

pub(super) fn run(args: &Digest) -> Result<()> {
    let mut log = input::read(&args.file, args.labels.labels())?;
    let budget = Budget { tokens: args.budget, bytes_per_token: args.bytes_per_token };
    // Found in the file as it is; what is shown of it is redacted.
    let wanted = args.explain.as_deref().map(|wanted| explain::find(&log, wanted)).transpose()?;
    let counts = redact(&mut log, args.no_redact);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let digest = digest::digest_on(&log.window, budget, threads);
    if args.json {
        let audit = Audit::new(&log, &digest, threads);
        let explained = wanted.map(|found| explain::explain(&log, &audit, &found, budget));
        let account = json!({
            "file": args.file, "lines": digest.lines, "timed_lines": log.timed,
            "budget_tokens": args.budget, "bytes_per_token": args.bytes_per_token,
            "digest_version": digest::VERSION, "redaction_version": redact::VERSION,
            "redacted": !args.no_redact,
            "redactions": counts.iter().map(|(kind, n)| (kind.name(), n)).collect::<std::collections::BTreeMap<_, _>>(),
            "text": harmless(&digest.text), "estimated_tokens": digest.estimated_tokens,
            "omitted": digest.omitted, "templates": audit.templates, "explained": explained,
        });
        println!("{}", serde_json::to_string_pretty(&account)?);
        return Ok(());
    }
    if let Some(found) = wanted {
        let audit = Audit::new(&log, &digest, threads);
        println!("{}", explain::explain(&log, &audit, &found, budget));
        return Ok(());
    }
    if digest.text.is_empty() {
        eprintln!("note: not even the first line of a digest fits {} tokens", args.budget);
        return Ok(());
    }
    println!("{}", harmless(&digest.text));
    Ok(())
}

fn redact(log: &mut TextLog, off: bool) -> Counts {
    if off {
        eprintln!("note: secrets were left in");
        return Counts::default();
    }
    let counts = Redactor::new(Policy::default()).redact_window(&mut log.window);
    if counts.total() > 0 {
        eprintln!("note: redacted {counts}");
    }
    counts
}
