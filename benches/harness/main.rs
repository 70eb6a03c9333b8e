//! The numbers that we defend: what the harness adds to the model server that it asks, as ratios to the server alone, and
//! what the data source takes.
//!
//! `./just bench [overhead|slots|resume|memory|compare|plugin|bucket…]`, where `plugin` has `bucket` in it, all of them if none is named. `overhead` and `slots`
//! serve a tiny model with random weights by a real llama-server: its answers take milliseconds, so that whatever the
//! harness adds shows more than with any model of use. The others need no model.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/canned.rs"]
mod canned;
mod folder;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/gguf.rs"]
mod gguf;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/plugin/host.rs"]
mod host;
mod made;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/otlp.rs"]
mod otlp;
mod plugin;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/s3.rs"]
mod s3;
mod server;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/plugin/store.rs"]
mod store;
mod table;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../../tests/it/tls.rs"]
mod tls;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use assay::compare::{compare_runs, compare_tallied};
use assay::llama::Profile;
use assay::store::Store;
use assay::summary::Summary;
use folder::{Folder, Ran};
use server::{Counted, Served};
use table::Target::{AtLeast, AtMost, Told};
use table::{figure, head, median, megabytes, milliseconds};

/// Rounds of each timing; the median counts.
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|argument| argument == name);
    let runtime = tokio::runtime::Runtime::new()?;
    head();
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
    if wanted("telemetry") {
        runtime.block_on(telemetry())?;
    }
    if wanted("plugin") {
        runtime.block_on(plugin::plugin())?;
    } else if wanted("bucket") {
        runtime.block_on(plugin::bucket())?;
    }
    Ok(())
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
    // What is left of a run with one question is its start and its end.
    let single = Folder::new(1)?;
    single.models(Some((served.url(), 1.2)))?;
    single.experiment("reproducible", &[("model", "triage@1", "model")])?;
    let (mut one, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(served.replay(&questions[..1], 1).await?);
        ends.push(single.assay(&["eval", "run", "experiment.toml", "--json"])?.took);
    }
    let (bare, whole) = (median(bare), median(whole));
    let (bare_ms, added, of) = (milliseconds(bare), milliseconds(whole) - milliseconds(bare), questions.len() as f64);
    let ends = milliseconds(median(ends)) - milliseconds(median(one));
    figure("one question of the bare client", bare_ms / of, "ms", 1, Told);
    figure("the harness adds to 40 questions", added, "ms", 0, Told);
    figure("  of that, start and end of a run", ends, "ms", 0, Told);
    figure("  of that, each question", (added - ends) / of, "ms", 2, Told);
    figure("wall time, one slot, against the bare client", ratio(whole, bare), "", 3, AtMost(1.05));
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
    let against = ratio(median(bare), median(whole));
    figure("throughput, 4 slots, against the server's own", against, "", 3, AtLeast(0.9));
    let store = Store::open(&folder.path("store").display().to_string())?;
    let run = store.run(&store.find("model").await?).await?;
    // No slot is cold: all were asked before.
    let prefix = served.prefix(&questions).await?;
    let usage = run.results.iter().map(|row| row.answer.usage);
    let reused: u32 = usage.clone().map(|usage| usage.cached_tokens.min(prefix)).sum();
    let (cached, prompt) = usage.fold((0, 0), |(c, p), usage| (c + usage.cached_tokens, p + usage.prompt_tokens));
    let share = |part: u32, of: u32| f64::from(part) / f64::from(of);
    let of = prefix * questions.len() as u32;
    figure("tokens that all prompts begin with, from the cache", share(reused, of), "", 3, AtLeast(0.99));
    figure("prompt tokens from the cache", share(cached, prompt), "", 3, Told);
    served.stop().await
}

/// The same run with all its telemetry sent to a receiver on this machine, against none.
async fn telemetry() -> Result<()> {
    let folder = Folder::new(100)?;
    let served = Served::start(&folder, Profile::Reproducible).await?;
    folder.models(Some((served.url(), 1.2)))?;
    folder.experiment("reproducible", &[("model", "triage@1", "model")])?;
    let receiver = otlp::Receiver::http(otlp::Manner::Takes).await;
    let (url, run) = (receiver.url(), ["eval", "run", "experiment.toml", "--json"]);
    let (mut off, mut on, mut spans) = (Vec::new(), Vec::new(), 0);
    folder.assay(&run)?;
    for _ in 0..ROUNDS {
        off.push(folder.assay(&run)?.took);
        on.push(folder.assay_in(&run, &[("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())])?.took);
        spans = receiver.arrived().spans.len();
    }
    figure("spans of a run of 100 cases", spans as f64, "", 0, Told);
    figure("wall time with telemetry, against none", ratio(median(on), median(off)), "", 3, AtMost(1.05));
    served.stop().await
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// A run that is killed half way asks the other half only, and the answers after which its server, found at a URL, was not
/// asked yet who it is: fifteen at most.
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
    figure("calls that resume saved, of those before the kill", saved(before, asked, CASES), "", 3, AtLeast(0.97));
    figure("questions asked twice, of 1000, with one slot", (asked - CASES) as f64, "", 0, AtMost(16.0));
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
        figure(&format!("peak memory, {cases} cases of 3 arms"), megabytes(ran.peak), "MB", 0, Told);
        runs.push((folder, ran));
    }
    let grown = runs[1].1.peak.saturating_sub(runs[0].1.peak) as f64;
    let times = runs[1].1.peak as f64 / runs[0].1.peak as f64;
    // Of a run of any size two windows of log lines are in memory. What grows is where its cases and answers stand, and
    // while an arm is summarised some 300 bytes per answer and its encoded rows: for nine thousand cases more, a few
    // megabytes.
    figure("memory, 10,000 cases against 1,000", times, "", 2, AtMost(1.25));
    figure("memory per further answer", grown / 27_000.0 / 1e3, "kB", 2, Told);
    let lines = (runs[1].0.dataset_bytes()? - runs[0].0.dataset_bytes()?) as f64;
    figure("memory growth against the growth of the log", grown / lines, "", 3, Told);
    let large = runs.remove(1).0;
    let others: [(&str, &[&str]); 3] = [
        ("`eval run --dry-run`", &["eval", "run", "experiment.toml", "--dry-run"]),
        ("`eval score`", &["eval", "score", "a", "--json"]),
        ("`eval report` of two runs", &["eval", "report", "a", "b", "--out", "report.html"]),
    ];
    for (name, arguments) in others {
        let peak = large.assay(arguments)?.peak;
        figure(&format!("peak memory of {name}, 10,000 cases"), megabytes(peak), "MB", 0, Told);
    }
    Ok(large)
}

/// Two runs of 10,000 cases, from the command line and without the start of the program; and the statistics of one.
async fn compare(large: &Folder) -> Result<()> {
    let mut whole = Vec::new();
    for _ in 0..=ROUNDS {
        whole.push(large.assay(&["eval", "compare", "a", "b", "--json"])?.took);
    }
    // The first one warms the cache of the disk.
    let whole = milliseconds(median(whole.split_off(1)));
    figure("`assay eval compare` of two runs of 10,000 cases, warm", whole, "ms", 0, AtMost(100.0));
    let store = Store::open(&large.path("store").display().to_string())?;
    let start = Instant::now();
    let (a, b) = (store.find("a").await?, store.find("b").await?);
    let (a, b) = tokio::try_join!(store.tallied(&a), store.tallied(&b))?;
    figure("  of that, both runs loaded", milliseconds(start.elapsed()), "ms", 0, Told);
    let experiment = &a.record.plan.experiment;
    let start = Instant::now();
    compare_tallied(&a, &b, experiment.primary, experiment.margin, experiment.seed)?;
    figure("  of that, compared", milliseconds(start.elapsed()), "ms", 0, Told);
    let made = [made::run("x", "x", 10_000, 1, 60), made::run("y", "y", 10_000, 1, 65)];
    let start = Instant::now();
    compare_runs(&made[0], &made[1], experiment.primary, experiment.margin, experiment.seed)?;
    figure(
        "two such runs that differ in every metric, compared",
        milliseconds(start.elapsed()),
        "ms",
        0,
        AtMost(100.0),
    );
    let start = Instant::now();
    let summary = Summary::of(&a.tally, experiment.seed);
    let each = start.elapsed().as_secs_f64() * 1e6 / a.tally.marks().len() as f64;
    ensure!(!summary.metrics.is_empty(), "a run has metrics");
    figure("statistics of a run, per answer", each, "µs", 0, Told);
    Ok(())
}
