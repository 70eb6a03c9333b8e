//! Measures the digest: speed against nothing but the clock, and recall of the decisive entry against simple sampling.
//!
//! `cargo bench --bench digest -- speed FILE.jsonl|FILE.log…` prints lines/s and MB/s on one and two threads, allocations
//! per line and peak memory, by program; `-- growth FILE…` how they grow with the number of lines and of templates;
//! `-- gigabyte FILE…` the wall time of a gigabyte of all the lines mixed; `-- recall FILE.jsonl` the share of cases whose
//! decisive entry is still there at several budgets; `-- templates FILE.log` the template of every line, for
//! `tests/digest-quality`. JSONL files are golden cases; anything else is a log.

mod recall;
mod speed;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use assay::digest::{Budget, Level, digest};
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
        Some((what, files)) if what == "speed" => speed::speed(files),
        Some((what, files)) if what == "growth" => speed::growth(files),
        Some((what, files)) if what == "gigabyte" => speed::gigabyte(files),
        Some((what, files)) if what == "recall" => recall::recall(files),
        Some((what, files)) if what == "templates" => templates(files),
        _ => {
            println!("usage: speed|growth|gigabyte|recall|templates FILE…");
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
