//! Speed, allocations and memory of the digest, by program, by number of lines and of kinds of line.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use assay::digest::{Budget, digest_on};
use assay::stream::Window;

use super::{ALLOCATIONS, NOW, PEAK, corpora, window};

struct Timing {
    /// By the clock, and of the processor.
    wall: f64,
    cpu: f64,
    templates: usize,
    allocations: f64,
    peak: usize,
}

/// The fastest of three batches of runs, each of half a second, by the clock and by processor time: on a shared machine the
/// clock measures the neighbours too. Processor time is counted in ticks of hundredths: a single run is too short for it.
fn measure(window: &Window, threads: usize) -> Timing {
    const BATCH: Duration = Duration::from_millis(500);
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let mut best = Timing { wall: f64::MAX, cpu: f64::MAX, templates: 0, allocations: 0.0, peak: 0 };
    for _ in 0..3 {
        let (start, cpu, mut runs) = (Instant::now(), process_seconds(), 0.0);
        // Half a second of work, however long that takes by the clock.
        while process_seconds() - cpu < BATCH.as_secs_f64() && start.elapsed() < 10 * BATCH {
            let (before, base) = (ALLOCATIONS.load(Ordering::Relaxed), NOW.load(Ordering::Relaxed));
            PEAK.store(base, Ordering::Relaxed);
            let made = digest_on(window, Budget::new(2000), threads);
            best.templates = made.templates.len() + made.omitted.templates;
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
            best.allocations = allocations as f64 / window.entries.len().max(1) as f64;
            best.peak = PEAK.load(Ordering::Relaxed).saturating_sub(base);
            runs += 1.0;
        }
        best.wall = best.wall.min(start.elapsed().as_secs_f64() / runs);
        best.cpu = best.cpu.min((process_seconds() - cpu) / runs);
    }
    best
}

pub(super) fn speed(files: &[String]) -> Result<()> {
    const LINES: usize = 200_000;
    println!(
        "corpus | lines | bytes/line | templates | 1 thread: lines/cpu-s | MB/cpu-s | lines/s | 2 threads: lines/s | lines/cpu-s | allocations/line | peak bytes/line"
    );
    println!("--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:");
    for (name, lines) in corpora(files)?.into_iter().filter(|(_, lines)| lines.len() >= 100) {
        let window = window(&name, &lines, LINES);
        let bytes = window.bytes() as f64;
        let (one, two) = (measure(&window, 1), measure(&window, 2));
        let rate = |seconds: f64| LINES as f64 / seconds / 1e6;
        println!(
            "{name} | {} | {:.0} | {} | {:.2} M | {:.0} | {:.2} M | {:.2} M | {:.2} M | {:.4} | {:.1}",
            lines.len(),
            bytes / LINES as f64,
            one.templates,
            rate(one.cpu),
            bytes / one.cpu / 1e6,
            rate(one.wall),
            rate(two.wall),
            rate(two.cpu),
            one.allocations,
            one.peak as f64 / LINES as f64,
        );
    }
    Ok(())
}

/// The most lines of `growth`: ten million of real logs are a gigabyte and a half.
const MOST: u32 = 7;

pub(super) fn growth(files: &[String]) -> Result<()> {
    let lines: Vec<String> = corpora(files)?.into_values().flatten().collect();
    heading("lines");
    for exponent in 3..=MOST {
        row(&format!("10^{exponent}"), &window("all", &lines, 10usize.pow(exponent)));
    }
    println!();
    heading("kinds of line in a million");
    for exponent in 0..=5 {
        let kinds = 10usize.pow(exponent);
        // Two words tell a kind from others, three places vary.
        let line = |n: usize| {
            let kind = n % kinds;
            format!(
                "level=info msg=\"{} the {} of part {n} after {}ms\" id=4f{n:06x}",
                word(kind),
                word(kind * 7),
                n % 977
            )
        };
        let lines: Vec<String> = (0..1_000_000).map(line).collect();
        row(&kinds.to_string(), &window("all", &lines, lines.len()));
    }
    println!();
    heading("lines of unique words");
    for exponent in 3..=6 {
        let count = 10usize.pow(exponent);
        let line = |n: usize| format!("{} is {} to {}", word(n), word(n * 31), word(n * 17 + 5));
        let lines: Vec<String> = (0..count).map(line).collect();
        row(&format!("10^{exponent}"), &window("all", &lines, count));
    }
    Ok(())
}

fn heading(first: &str) {
    println!(
        "{first} | templates | cpu milliseconds | milliseconds | lines/cpu-s | allocations/line | peak MB | peak bytes/line"
    );
    println!("---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:");
}

fn row(name: &str, window: &Window) {
    let (made, count) = (measure(window, 1), window.entries.len() as f64);
    println!(
        "{name} | {} | {:.2} | {:.2} | {:.2} M | {:.4} | {:.1} | {:.1}",
        made.templates,
        made.cpu * 1e3,
        made.wall * 1e3,
        count / made.cpu / 1e6,
        made.allocations,
        made.peak as f64 / 1e6,
        made.peak as f64 / count
    );
}

/// Processor time of all threads so far in seconds, where the system tells, in ticks of ten milliseconds.
fn process_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split(' ');
    fields.skip(12).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A gigabyte of lines of all programs in turn on one and on two threads: wall time, and the processor time of all
/// threads, which other work on the machine hardly touches.
pub(super) fn gigabyte(files: &[String]) -> Result<()> {
    const BYTES: usize = 1_000_000_000;
    let lines: Vec<String> = corpora(files)?.into_values().flatten().collect();
    let once: usize = lines.iter().map(String::len).sum();
    let count = (lines.len() as f64 * BYTES as f64 / once.max(1) as f64).ceil() as usize;
    let window = window("all", &lines, count);
    let bytes = window.bytes() as f64;
    println!(
        "threads | lines | GB | templates | seconds, fastest of 5 | median | processor seconds | lines/s | GB/s | peak MB beside the log"
    );
    println!("---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:");
    for threads in 1..=2 {
        let cores = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        let (mut seconds, mut templates, mut peak, cpu) = (Vec::new(), 0, 0, process_seconds());
        for _ in 0..5 {
            let base = NOW.load(Ordering::Relaxed);
            PEAK.store(base, Ordering::Relaxed);
            let start = Instant::now();
            let made = digest_on(&window, Budget::new(2000), cores);
            seconds.push(start.elapsed().as_secs_f64());
            templates = made.templates.len() + made.omitted.templates;
            peak = PEAK.load(Ordering::Relaxed).saturating_sub(base);
        }
        let cpu = (process_seconds() - cpu) / seconds.len() as f64;
        seconds.sort_unstable_by(f64::total_cmp);
        println!(
            "{threads} | {count} | {:.2} | {templates} | {:.2} | {:.2} | {cpu:.2} | {:.2} M | {:.2} | {:.0}",
            bytes / 1e9,
            seconds[0],
            seconds[2],
            count as f64 / seconds[0] / 1e6,
            bytes / seconds[0] / 1e9,
            peak as f64 / 1e6
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
