//! The data source as Grafana has it: the process of the release build, asked over gRPC.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use assay::digest::Budget;
use assay::experiment::Choice;
use assay::installation::Installation;
use assay::loki::{Client, Settings};
use assay::prompt::PromptId;
use assay::store::Store;
use assay::stream::{TimeRange, Window};
use bytes::Bytes;
use chrono::TimeDelta;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use crate::canned::{Canned, http};
use crate::host::{Host, frames};
use crate::made::run;
use crate::s3::Server;
use crate::store::empty_store;
use crate::table::Target::{AtMost, Told};
use crate::table::{figure, median, megabytes, milliseconds, quantile};

const RUNS: usize = 1_000;
const CASES: usize = 10_000;
const AT_ONCE: usize = 200;
const ENTRIES: usize = 5_000;
/// Windows that are read for a p99: four of them are slower than it.
const ROUNDS: usize = 400;
/// Requests that the bare client keeps under way, as many as the plugin does.
const GETS: usize = 4;

/// Everything that has a target.
pub(crate) async fn plugin() -> Result<()> {
    start()?;
    let (folder, settings) = empty_store();
    let store = Store::open(&folder.path().display().to_string())?;
    fill(&store).await?;
    let host = Host::start_quietly(settings).await;
    figure("idle memory of the plugin", megabytes(host.memory()), "MB", 0, AtMost(40.0));
    metrics(&host).await?;
    compare(&host).await?;
    figure("memory of the plugin after the comparisons", megabytes(host.memory()), "MB", 0, Told);
    verdict(&host).await?;
    drop(host);
    bucket().await
}

/// From the start of the process to the line that go-plugin waits for.
fn start() -> Result<()> {
    let once = || -> Result<Duration> {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gpx_assay"))
            .env("grafana_plugin_type", "datasource")
            .env("PLUGIN_PROTOCOL_VERSIONS", "2")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line)?;
        let took = begun.elapsed();
        child.kill()?;
        child.wait()?;
        ensure!(line.split('|').count() >= 5, "no handshake: {line:?}");
        Ok(took)
    };
    let times = (0..15).map(|_| once()).collect::<Result<Vec<_>>>()?;
    figure("plugin start until the handshake, median of 15", milliseconds(median(times)), "ms", 1, AtMost(50.0));
    Ok(())
}

/// A thousand runs of four arms, and two large ones.
async fn fill(store: &Store) -> Result<()> {
    let sample = run("r", "a", 200, 2, 60);
    for day in 0..RUNS {
        let mut run = sample.clone();
        run.record.plan.id = format!("r{day:04}");
        run.record.plan.arm.name = ["a", "b", "c", "d"][day % 4].to_owned();
        run.record.plan.started -= TimeDelta::minutes(day as i64);
        store.commit(&mut run).await?;
    }
    for (id, percent) in [("large-a", 60), ("large-b", 65)] {
        store.commit(&mut run(id, id, CASES, 1, percent)).await?;
    }
    Ok(())
}

async fn timed(host: &Host, question: &Value) -> Duration {
    let begun = Instant::now();
    frames(&host.ask_one(question.clone()).await);
    begun.elapsed()
}

async fn metrics(host: &Host) -> Result<()> {
    let question = json!({"queryType": "metrics", "anyTime": true, "arm": ["a", "b", "c", "d"]});
    figure("`metrics` over 1,000 runs, cold", milliseconds(timed(host, &question).await), "ms", 0, Told);
    let mut times = Vec::new();
    for _ in 0..41 {
        times.push(timed(host, &question).await);
    }
    let p95 = milliseconds(quantile(&mut times, 0.95));
    figure("`metrics` over 1,000 runs, warm, p95 of 41", p95, "ms", 1, AtMost(200.0));
    let mut times = futures::future::join_all((0..AT_ONCE).map(|_| timed(host, &question))).await;
    let p99 = milliseconds(quantile(&mut times, 0.99));
    figure("200 `metrics` at once, p99", p99, "ms", 0, AtMost(250.0));
    figure("memory of the plugin after them", megabytes(host.memory()), "MB", 0, AtMost(150.0));
    Ok(())
}

/// The dearest comparison there is: every case a capture of its own, every metric different in most of them. A margin that
/// nobody asked for before makes it anew, from what is in memory.
async fn compare(host: &Host) -> Result<()> {
    let question = |margin: f64| json!({"queryType": "compare", "a": "large-a", "b": "large-b", "margin": margin});
    let cold = milliseconds(timed(host, &question(0.05)).await);
    figure("`compare` of two runs of 10,000 cases, cold", cold, "ms", 0, Told);
    let mut times = Vec::new();
    for n in 1..=9 {
        times.push(timed(host, &question(0.05 + f64::from(n) / 1e3)).await);
    }
    let warm = milliseconds(median(times));
    figure("`compare` of 10,000 cases that differ in every metric, warm", warm, "ms", 0, AtMost(100.0));
    let again = milliseconds(timed(host, &question(0.05)).await);
    figure("  the same comparison again", again, "ms", 1, Told);
    Ok(())
}

/// A response of Loki to a rendered prompt, and a verdict to its frames.
async fn verdict(host: &Host) -> Result<()> {
    let installation = Installation::load(std::path::Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let body = response(&installation)?.to_string();
    let bytes = http(200, "application/json", body.as_bytes());
    let loki = Canned::speaking(move |_| bytes.clone()).await;
    let client = Client::new(&Settings::new(loki.url()))?;
    let range = TimeRange { start: 0, end: i64::MAX };
    let budget = Budget { tokens: 1500, bytes_per_token: 3.0 };
    let choice = Choice::Prompt(PromptId { name: "triage".to_owned(), version: 2 });
    let (mut read, mut rendered, mut framed, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let stored = json!({"queryType": "analyze", "run": "r0001", "case": "g1-001"});
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let window: Window = client.window("{a=\"b\"}", range, ENTRIES).await?;
        let arrived = begun.elapsed();
        ensure!(window.entries.len() == ENTRIES, "{} entries", window.entries.len());
        let prepared = installation.pipeline.prepare(window, &choice, budget).map_err(anyhow::Error::msg)?;
        let made = begun.elapsed();
        ensure!(!prepared.rendered.user.is_empty(), "an empty prompt");
        let shown = timed(host, &stored).await;
        read.push(arrived);
        rendered.push(made - arrived);
        framed.push(shown);
        all.push(made + shown);
    }
    figure("  the first time", milliseconds(all[0]), "ms", 1, Told);
    let both = |name: &str, times: &mut [Duration], target| {
        figure(&format!("{name}, p99 of {ROUNDS}"), milliseconds(quantile(times, 0.99)), "ms", 1, target);
        figure("  median", milliseconds(quantile(times, 0.5)), "ms", 1, Told);
    };
    both("Loki's response of 5,000 entries to prompt, verdict to frames", &mut all, AtMost(10.0));
    both("  of that, response to window over HTTP", &mut read, Told);
    both("  of that, redaction, digest and prompt", &mut rendered, Told);
    both("  of that, verdict to frames over gRPC", &mut framed, Told);
    Ok(())
}

/// Lines of golden cases, as a Loki would send them.
fn response(installation: &Installation) -> Result<Value> {
    let mut values: Vec<Value> = Vec::with_capacity(ENTRIES);
    for case in installation.shelf("golden-v1")?.cases() {
        for entry in case?.window.entries {
            let at = 1_795_000_000_000_000_000_u64 + values.len() as u64 * 1_000_000;
            values.push(json!([at.to_string(), entry.line]));
            if values.len() == ENTRIES {
                values.reverse();
                let stream = json!({"namespace": "monitoring", "container": "prometheus"});
                let result = json!([{"stream": stream, "values": values}]);
                return Ok(json!({"status": "success", "data": {"resultType": "streams", "result": result}}));
            }
        }
    }
    anyhow::bail!("the dataset has {} lines only", values.len())
}

/// The first questions to a plugin whose store is a bucket: one whose runs were never gathered, and one as the harness
/// leaves it.
pub(crate) async fn bucket() -> Result<()> {
    let Some(server) = Server::start().await else { return Ok(()) };
    let store = Store::attach("s3://assay/figures", &server.access())?;
    fill(&store).await?;
    let metrics = json!({"queryType": "metrics", "anyTime": true});
    let before = milliseconds(cold(&server, &metrics).await);
    figure("`metrics` over 1,000 runs in a bucket without catalogue, cold", before, "ms", 0, Told);
    let begun = Instant::now();
    let made = store.catalogue(1).await?;
    ensure!(made.added == RUNS + 2, "{made:?}");
    figure("  their records gathered in the catalogue", milliseconds(begun.elapsed()), "ms", 0, Told);
    let alone = milliseconds(bare(&server.endpoint).await?);
    let took = milliseconds(cold(&server, &metrics).await);
    figure("`metrics` over 1,000 runs in a bucket, cold", took, "ms", 0, AtMost(2_000.0));
    figure("  the S3 server itself, for a client that reads the same and drops it", alone, "ms", 0, Told);
    figure("  `metrics` against that", took / alone, "", 2, Told);
    let compare = json!({"queryType": "compare", "a": "large-a", "b": "large-b"});
    let took = milliseconds(cold(&server, &compare).await);
    figure("`compare` of two runs of 10,000 cases in a bucket, cold", took, "ms", 0, AtMost(2_000.0));
    Ok(())
}

/// The first question to a plugin that was just started.
async fn cold(server: &Server, question: &Value) -> Duration {
    let settings = json!({"storeUrl": "s3://assay/figures", "storeEndpoint": server.endpoint});
    let mut host = Host::start_quietly(settings).await;
    let keys = [("storeAccessKey", "key"), ("storeSecretKey", "canary-of-a-secret-key")];
    host.secrets = keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    timed(&host, question).await
}

/// What the S3 server takes to list the runs and to hand out the catalogue.
async fn bare(endpoint: &str) -> Result<Duration> {
    let bucket = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name("assay")
        .with_access_key_id("key")
        .with_secret_access_key("canary-of-a-secret-key")
        .build()?;
    let begun = Instant::now();
    let listed: Vec<ObjectMeta> = bucket.list(Some(&Key::from("figures/runs"))).try_collect().await?;
    let runs = listed.iter().filter(|meta| meta.location.as_ref().ends_with("/run.json")).count();
    let segments: Vec<ObjectMeta> = bucket.list(Some(&Key::from("figures/catalogue"))).try_collect().await?;
    let reads = segments.iter().map(|meta| bucket.get(&meta.location).and_then(GetResult::bytes));
    let bytes: Vec<Bytes> = futures::stream::iter(reads).buffer_unordered(GETS).try_collect().await?;
    ensure!(runs == RUNS + 2 && !bytes.is_empty(), "{runs} records, {} segments", bytes.len());
    Ok(begun.elapsed())
}
