//! Measures the digest: speed against nothing but the clock, and recall of the decisive entry against simple sampling.
//!
//! `cargo bench --bench digest -- speed FILE.jsonl|FILE.log…` prints lines/s and MB/s on one and two threads, allocations
//! per line and peak memory, by program; `-- growth FILE…` how they grow with the number of lines; `-- recall FILE.jsonl`
//! the share of cases whose decisive entry is still there at several budgets; `-- templates FILE.log` the template of
//! every line, for `tests/digest-quality`. JSONL files are golden cases; anything else is a log.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use assay::digest::{Budget, Digest, Level, digest, digest_on};
use assay::stream::{Entry, Labels, Window};
use serde::Deserialize;

/// Counts what is allocated.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every call on to the system's allocator unchanged.
#[expect(unsafe_code, reason = "an allocator cannot be had otherwise")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The part of a golden case that is needed here.
#[derive(Deserialize)]
struct Case {
    id: String,
    cluster: String,
    streams: Vec<Labels>,
    entries: Vec<(String, u32, String)>,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    decisive: Vec<usize>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let done = match args.split_first() {
        Some((what, files)) if what == "speed" => speed(files),
        Some((what, files)) if what == "growth" => growth(files),
        Some((what, files)) if what == "recall" => recall(files),
        Some((what, files)) if what == "templates" => templates(files),
        _ => {
            println!("usage: speed|growth|recall|templates FILE…");
            return ExitCode::SUCCESS;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read(file: &str) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read `{file}`"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cases(file: &str) -> Result<Vec<Case>> {
    let text = read(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{file}` holds a line that is no case")))
        .collect()
}

impl Case {
    fn window(&self) -> Window {
        let entries = self.entries.iter().map(|(ts, stream, line)| Entry {
            ts: ts.parse().unwrap_or(0),
            stream: *stream,
            line: line.clone(),
        });
        Window::new(self.streams.clone(), entries.collect())
    }
}

/// Lines by component (golden cases) or by file (logs).
fn corpora(files: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut corpora: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        if file.ends_with(".jsonl") {
            for case in cases(file)? {
                for (_, stream, line) in case.entries {
                    let name = case.streams.get(stream as usize).map_or("-", Labels::component);
                    corpora.entry(name.to_owned()).or_default().push(line);
                }
            }
        } else {
            let name = file.rsplit('/').next().unwrap_or(file).to_owned();
            corpora.entry(name).or_default().extend(read(file)?.lines().map(str::to_owned));
        }
    }
    if corpora.values().all(Vec::is_empty) {
        bail!("no lines in {files:?}: name golden cases (.jsonl) or logs");
    }
    Ok(corpora)
}

/// `lines` repeated up to `count`, a millisecond apart.
fn window(name: &str, lines: &[String], count: usize) -> Window {
    let labels: Labels = [("container", name)].into_iter().collect();
    let entries = (0i64..).zip(lines.iter().cycle().take(count));
    let entries = entries.map(|(n, line)| Entry { ts: n * 1_000_000, stream: 0, line: line.clone() }).collect();
    Window::new(vec![labels], entries)
}

struct Timing {
    seconds: f64,
    templates: usize,
    allocations: f64,
    peak: usize,
}

/// Processor time of this thread in seconds, where the system tells: on a shared machine wall time measures the
/// neighbours too.
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// The fastest of three batches of runs, each of half a second; processor time for one thread, wall time for more. The
/// system counts processor time in ticks of milliseconds: a single run is too short for it.
fn measure(window: &Window, threads: usize) -> Timing {
    const BATCH: Duration = Duration::from_millis(500);
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let mut best = Timing { seconds: f64::MAX, templates: 0, allocations: 0.0, peak: 0 };
    for _ in 0..3 {
        let (start, cpu, mut runs) = (Instant::now(), cpu_seconds(), 0.0);
        while start.elapsed() < BATCH {
            let (before, base) = (ALLOCATIONS.load(Ordering::Relaxed), NOW.load(Ordering::Relaxed));
            PEAK.store(base, Ordering::Relaxed);
            let made = digest_on(window, Budget::new(2000), threads);
            best.templates = made.templates.len() + made.omitted.templates;
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
            best.allocations = allocations as f64 / window.entries.len().max(1) as f64;
            best.peak = PEAK.load(Ordering::Relaxed).saturating_sub(base);
            runs += 1.0;
        }
        let wall = start.elapsed().as_secs_f64();
        let seconds = match (cpu, cpu_seconds()) {
            (Some(before), Some(after)) if threads.get() == 1 => after - before,
            _ => wall,
        };
        best.seconds = best.seconds.min(seconds / runs);
    }
    best
}

fn speed(files: &[String]) -> Result<()> {
    const LINES: usize = 200_000;
    println!(
        "corpus | lines | bytes/line | templates | 1 thread: lines/s | MB/s | 2 threads: lines/s | MB/s | allocations/line | peak bytes/line"
    );
    println!("--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:");
    for (name, lines) in corpora(files)?.into_iter().filter(|(_, lines)| lines.len() >= 100) {
        let window = window(&name, &lines, LINES);
        let bytes = window.bytes() as f64;
        let (one, two) = (measure(&window, 1), measure(&window, 2));
        println!(
            "{name} | {} | {:.0} | {} | {:.2} M | {:.0} | {:.2} M | {:.0} | {:.4} | {:.1}",
            lines.len(),
            bytes / LINES as f64,
            one.templates,
            LINES as f64 / one.seconds / 1e6,
            bytes / one.seconds / 1e6,
            LINES as f64 / two.seconds / 1e6,
            bytes / two.seconds / 1e6,
            one.allocations,
            one.peak as f64 / LINES as f64,
        );
    }
    Ok(())
}

fn growth(files: &[String]) -> Result<()> {
    let lines: Vec<String> = corpora(files)?.into_values().flatten().collect();
    println!("lines | templates | milliseconds | lines/s | peak MB");
    println!("---: | ---: | ---: | ---: | ---:");
    for exponent in 3..=6 {
        let count = 10usize.pow(exponent);
        let made = measure(&window("all", &lines, count), 1);
        println!(
            "10^{exponent} | {} | {:.2} | {:.2} M | {:.1}",
            made.templates,
            made.seconds * 1e3,
            count as f64 / made.seconds / 1e6,
            made.peak as f64 / 1e6
        );
    }
    println!("\nunique words in every line | templates | milliseconds | lines/s | peak MB");
    println!("---: | ---: | ---: | ---: | ---:");
    for exponent in 3..=6 {
        let count = 10usize.pow(exponent);
        let lines: Vec<String> =
            (0..count).map(|n| format!("{} is {} to {}", word(n), word(n * 31), word(n * 17 + 5))).collect();
        let made = measure(&window("all", &lines, count), 1);
        println!(
            "10^{exponent} | {} | {:.2} | {:.2} M | {:.1}",
            made.templates,
            made.seconds * 1e3,
            count as f64 / made.seconds / 1e6,
            made.peak as f64 / 1e6
        );
    }
    Ok(())
}

/// A word without a digit for each number.
fn word(mut n: usize) -> String {
    let mut word = String::from("x");
    while n > 0 {
        word.push(char::from(b'g' + (n % 16) as u8));
        n /= 16;
    }
    word
}

const BUDGETS: [usize; 4] = [500, 1000, 2000, 4000];

/// Ways to choose lines under a budget: what a reader has without a digest.
const SAMPLERS: [&str; 4] = ["head", "tail", "random", "errors only"];

fn recall(files: &[String]) -> Result<()> {
    let mut all = Vec::new();
    for file in files {
        all.extend(cases(file)?.into_iter().filter(|case| !case.target.decisive.is_empty()));
    }
    let windows: Vec<Window> = all.iter().map(Case::window).collect();
    println!("{} cases with a decisive entry, of {} captures", all.len(), {
        let mut clusters: Vec<&str> = all.iter().map(|case| case.cluster.as_str()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        clusters.len()
    });
    println!("tokens | digest: line shown | digest: template shown | {}", SAMPLERS.join(" | "));
    println!("---: | ---: | ---: | {}", ["---:"; SAMPLERS.len()].join(" | "));
    let mut missed = Vec::new();
    for budget in BUDGETS {
        let digests: Vec<Digest> = windows.iter().map(|window| digest(window, Budget::new(budget))).collect();
        let pairs = || all.iter().map(|case| &case.target.decisive).zip(&digests);
        let share = |hits: usize| format!("{:.1} %", 100.0 * hits as f64 / all.len().max(1) as f64);
        let mut row = vec![
            budget.to_string(),
            share(all.iter().zip(&digests).filter(|(case, digest)| line_shown(case, digest)).count()),
            share(
                pairs().filter(|(decisive, digest)| decisive.iter().any(|&e| digest.template_of(e).is_some())).count(),
            ),
        ];
        for sampler in SAMPLERS {
            let hits = all.iter().zip(&windows).filter(|(case, window)| {
                let kept = sample(sampler, window, budget);
                case.target.decisive.iter().any(|entry| kept.contains(entry))
            });
            row.push(share(hits.count()));
        }
        println!("{}", row.join(" | "));
        for (case, _) in all.iter().zip(&digests).filter(|(case, digest)| !line_shown(case, digest)) {
            missed.push(format!("{budget}: {}", case.id));
        }
    }
    println!("\nline not shown, by budget: {}", missed.join(", "));
    Ok(())
}

/// Whether a line that shows the cause is itself printed, not only counted under a template that prints another: it is
/// the exemplar, or the text holds it, as it does the last line of a stack trace.
fn line_shown(case: &Case, digest: &Digest) -> bool {
    let decisive = &case.target.decisive;
    let whole = |&entry: &usize| {
        let line = case.entries[entry].2.trim();
        line.len() > 8 && digest.text.contains(line)
    };
    digest.templates.iter().any(|shown| decisive.contains(&shown.exemplar)) || decisive.iter().any(whole)
}

/// The entries that `sampler` keeps within the budget.
fn sample(sampler: &str, window: &Window, budget: usize) -> Vec<usize> {
    let count = window.entries.len();
    let mut order: Vec<usize> = (0..count).collect();
    match sampler {
        "tail" => order.reverse(),
        "random" => order.sort_by_key(|&n| {
            (n as u64)
                .wrapping_add(1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29)
                .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        }),
        "errors only" => order.retain(|&n| {
            let line = window.entries[n].line.to_lowercase();
            ["error", "fatal", "panic", "fail", "crit", "emerg"].iter().any(|word| line.contains(word))
        }),
        _ => {}
    }
    let mut left = budget * 3;
    let fits = |&n: &usize| {
        let len = window.entries[n].line.len() + 1;
        let fits = len <= left;
        left = left.saturating_sub(len);
        fits
    };
    order.into_iter().take_while(fits).collect()
}

/// Prints `template<TAB>level` for every line of every file: the template's first line number is its name.
fn templates(files: &[String]) -> Result<()> {
    for file in files {
        let text = read(file)?;
        let window = Window::from_text(Labels::default(), 0, &text);
        let made = digest(&window, Budget { tokens: usize::MAX / 8, bytes_per_token: 1.0 });
        let mut of = vec![(usize::MAX, Level::Unknown); window.entries.len()];
        for shown in &made.templates {
            for &entry in &shown.entries {
                of[entry as usize] = (shown.exemplar, shown.level);
            }
        }
        for (template, level) in of {
            println!("{template}\t{level}");
        }
    }
    Ok(())
}
