//! What the harness adds to the model server that it asks, as ratios to the server alone.
//!
//! `./just bench [overhead|slots|resume|memory|compare…]`, all of them if none is named. `overhead` and `slots` serve a
//! tiny model with random weights by a real llama-server: its answers take milliseconds, so that whatever the harness
//! adds shows more than with any model of use. The others need no model.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/canned.rs"]
mod canned;
mod folder;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/gguf.rs"]
mod gguf;
mod server;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use assay::compare::compare_runs;
use assay::llama::Profile;
use assay::store::Store;
use assay::summary::summarise;
use folder::{Folder, Ran};
use serde_json::Value;
use server::{Counted, Served};

/// Rounds of each timing; the median counts.
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|argument| argument == name);
    let runtime = tokio::runtime::Runtime::new()?;
    println!("{:<58} {:>14}  TARGET", "FIGURE", "VALUE");
    if wanted("overhead") {
        runtime.block_on(overhead())?;
    }
    if wanted("slots") {
        runtime.block_on(slots())?;
    }
    if wanted("resume") {
        runtime.block_on(resume())?;
    }
    if wanted("memory") || wanted("compare") {
        let large = runtime.block_on(memory())?;
        runtime.block_on(compare(&large))?;
    }
    Ok(())
}

fn figure(name: &str, value: impl std::fmt::Display, target: &str) {
    println!("{name:<58} {value:>14}  {target}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// One slot: the whole `assay eval run` against the same questions one after the other.
async fn overhead() -> Result<()> {
    let folder = Folder::new(40)?;
    let served = Served::start(&folder, Profile::Reproducible).await?;
    folder.models(Some((served.url(), 1.2)))?;
    folder.experiment("reproducible", &[("model", "triage@1", "model")])?;
    let questions = folder.questions(false)?;
    served.replay(&questions[..4], 1).await?;
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(served.replay(&questions, 1).await?);
        whole.push(folder.assay(&["eval", "run", "experiment.toml", "--json"])?.took);
    }
    let (bare, whole) = (median(bare), median(whole));
    let each = bare.as_secs_f64() * 1e3 / questions.len() as f64;
    figure("one question of the bare client", format!("{each:.1} ms"), "");
    let per_answer = (whole.as_secs_f64() - bare.as_secs_f64()) * 1e3 / questions.len() as f64;
    figure("the harness adds per question, start and end included", format!("{per_answer:.2} ms"), "");
    figure("wall time, one slot, against the bare client", ratio(whole, bare), "at most 1.05");
    served.stop().await
}

/// Several slots: questions per second against the server's own, and the share of the prefix that is reused.
async fn slots() -> Result<()> {
    let folder = Folder::new(100)?;
    let profile = Profile::Throughput { slots: 4 };
    let served = Served::start(&folder, profile).await?;
    folder.models(Some((served.url(), 1.2)))?;
    folder.experiment("throughput", &[("model", "triage@1", "model")])?;
    let questions = folder.questions(true)?;
    served.replay(&questions[..20], 4).await?;
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(served.replay(&questions, 4).await?);
        whole.push(folder.assay(&["eval", "run", "experiment.toml", "--json"])?.took);
    }
    figure("throughput, 4 slots, against the server's own", ratio(median(bare), median(whole)), "at least 0.9");
    let shown: Value = serde_json::from_slice(&folder.assay(&["eval", "show", "model", "--json"])?.stdout)?;
    let tokens = |name: &str| shown["metrics"][name]["value"].as_f64().context("the run has no token counts");
    let (cached, prompt) = (tokens("cached_tokens")?, tokens("prompt_tokens")?);
    let prefix = f64::from(served.prefix(&questions).await?);
    figure("prefix tokens from the cache", format!("{:.3}", (cached / prefix).min(1.0)), "near 1");
    figure("prompt tokens from the cache", format!("{:.3}", cached / prompt), "");
    served.stop().await
}

fn ratio(a: Duration, b: Duration) -> String {
    format!("{:.3}", a.as_secs_f64() / b.as_secs_f64())
}

/// A run that is killed half way asks the other half only.
async fn resume() -> Result<()> {
    const CASES: usize = 1000;
    let folder = Folder::new(CASES)?;
    let server = Counted::start().await?;
    folder.models(Some((server.url(), 3.0)))?;
    folder.experiment("reproducible", &[("model", "triage@1", "model")])?;
    let before = folder.killed_after(CASES / 2)?;
    folder.assay(&["eval", "resume", "--json"])?;
    let asked = server.questions();
    ensure!(asked >= CASES, "{asked} questions for {CASES} cases");
    figure("calls that resume saved, of those before the kill", format!("{:.3}", saved(before, asked, CASES)), "1");
    figure("questions asked twice, of 1000", asked - CASES, "at most 1 per slot");
    Ok(())
}

/// Of the answers before the kill, the share that was not asked for again; one question was under way.
fn saved(before: usize, asked: usize, cases: usize) -> f64 {
    let again = (asked - cases).saturating_sub(1);
    1.0 - again as f64 / before as f64
}

/// Peak memory over ten times the cases; the large run is kept for `compare`.
async fn memory() -> Result<Folder> {
    let server = Counted::start().await?;
    let arms = [("a", "triage@1", "rules"), ("b", "triage@2", "rules"), ("canned", "triage@1", "model")];
    let mut runs: Vec<(Folder, Ran)> = Vec::new();
    for cases in [1000, 10_000] {
        let folder = Folder::new(cases)?;
        folder.models(Some((server.url(), 3.0)))?;
        folder.experiment("reproducible", &arms)?;
        let ran = folder.assay(&["eval", "run", "experiment.toml", "--json"])?;
        let (peak, file) = (ran.peak as f64 / 1e6, folder.dataset_bytes()? as f64 / 1e6);
        figure(&format!("peak memory, {cases} cases of 3 arms"), format!("{peak:.0} MB"), "");
        figure(&format!("  their log lines on disk, {cases} cases"), format!("{file:.0} MB"), "");
        runs.push((folder, ran));
    }
    let grown = runs[1].1.peak.saturating_sub(runs[0].1.peak) as f64;
    figure("memory, 10,000 cases against 1,000", ratio_of(runs[1].1.peak, runs[0].1.peak), "");
    figure("memory per further answer", format!("{:.1} kB", grown / 27_000.0 / 1e3), "");
    let lines = (runs[1].0.dataset_bytes()? - runs[0].0.dataset_bytes()?) as f64;
    figure("memory growth against the growth of the log", format!("{:.3}", grown / lines), "");
    Ok(runs.remove(1).0)
}

fn ratio_of(a: u64, b: u64) -> String {
    format!("{:.2}", a as f64 / b as f64)
}

/// Two runs of 10,000 cases, from the command line and without the start of the program; and the statistics of one.
async fn compare(large: &Folder) -> Result<()> {
    let mut whole = Vec::new();
    for _ in 0..=ROUNDS {
        whole.push(large.assay(&["eval", "compare", "a", "b", "--json"])?.took);
    }
    // The first one warms the cache of the disk.
    let whole = median(whole.split_off(1)).as_secs_f64() * 1e3;
    figure("`assay eval compare` of two runs of 10,000 cases, warm", format!("{whole:.0} ms"), "under 100 ms");
    let store = Store::open(&large.path("store").display().to_string())?;
    let start = Instant::now();
    let (a, b) = (store.run(&store.find("a").await?).await?, store.run(&store.find("b").await?).await?);
    let loaded = start.elapsed();
    figure("  of that, both runs loaded", format!("{:.0} ms", loaded.as_secs_f64() * 1e3), "");
    let experiment = &a.record.plan.experiment;
    let start = Instant::now();
    compare_runs(&a, &b, experiment.primary, experiment.margin, experiment.seed)?;
    figure("  of that, compared", format!("{:.0} ms", start.elapsed().as_secs_f64() * 1e3), "");
    let start = Instant::now();
    let summary = summarise(&a.results, experiment.seed);
    let each = start.elapsed().as_secs_f64() * 1e6 / a.results.len() as f64;
    ensure!(!summary.metrics.is_empty(), "a run has metrics");
    figure("statistics of a run, per answer", format!("{each:.0} µs"), "");
    Ok(())
}
