//! Checks of the machine: llama-server, git, processors, memory, disk.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::cli::eval;
use crate::experiment::{Kind, Models};
use crate::harness::environment;
use crate::llama::Server;

/// A store needs about this much to go on for a while, and this much to go on at all.
const ROOMY: u64 = 1 << 30;
const FULL: u64 = 100 << 20;

pub(super) async fn llama_server(root: &Path, needed: bool) -> Finding {
    let install = "install llama.cpp, or set ASSAY_LLAMA_SERVER to the program; in a checkout, scripts/llama-server \
                   brings one";
    let Some(program) = eval::llama_server(root) else {
        let detail = "not found in ASSAY_LLAMA_SERVER, the search path or .tools/";
        return if needed {
            Finding::fail("llama-server", detail, install)
        } else {
            Finding::warn("llama-server", format!("{detail}; no model of models.toml needs it"), install)
        };
    };
    match Server::version(&program).await {
        Ok(version) => Finding::ok("llama-server", format!("{} {version}", program.display())),
        Err(error) => Finding::of_error("llama-server", &error, install),
    }
}

pub(super) fn git(root: &Path) -> Finding {
    let environment = environment(root);
    let fix = "commit, so that a run's record says what made it";
    match (environment.commit, environment.dirty) {
        (Some(commit), Some(true)) => Finding::warn("git", format!("{commit} with uncommitted changes"), fix),
        (Some(commit), _) => Finding::ok("git", commit),
        (None, _) => Finding::warn("git", "no git, or no repository here: runs will not name a commit", fix),
    }
}

pub(super) fn processors() -> Finding {
    let environment = environment(Path::new("."));
    let name = environment.cpu.unwrap_or_else(|| environment.os.clone());
    let detail = format!("{} threads of {name}", environment.cpus);
    // Other programs on the same cores show in every latency that is measured.
    match load() {
        Some(load) if load > environment.cpus as f64 => {
            let detail = format!("{detail}, load {load:.1}");
            Finding::warn("processors", detail, "latencies measured now are too long: let the other work end")
        }
        _ => Finding::ok("processors", detail),
    }
}

/// The mean number of running programs over the last minute, where the system tells.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Whether the largest model fits, where the system tells how much is free.
pub(super) fn memory(root: &Path, models: &Models) -> Option<Finding> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10;
    let size = |file: &str| std::fs::metadata(root.join("models").join(file)).map_or(0, |about| about.len());
    let largest = models.iter().filter_map(|spec| match &spec.kind {
        Kind::Managed { file, .. } => Some((size(file), &spec.name)),
        _ => None,
    });
    let detail = format!("{} available", bytes(available));
    Some(match largest.max() {
        // Weights, context and buffers: a fifth more than the file is the least that a server needs.
        Some((size, name)) if size + size / 5 > available => {
            let fix = "free some, or use a smaller quantization";
            Finding::warn("memory", format!("{detail}, model {name} needs more than {}", bytes(size)), fix)
        }
        _ => Finding::ok("memory", detail),
    })
}

/// Free space where the store is or will be.
pub(super) fn space(url: &str) -> Option<Finding> {
    let folder = std::path::absolute(local(url)?).ok()?;
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let free = free(existing)?;
    let detail = format!("{} free at {}", bytes(free), existing.display());
    let fix = "free some, or give --store or ASSAY_STORE";
    Some(match free {
        0..FULL => Finding::fail("disk", detail, fix),
        FULL..ROOMY => Finding::warn("disk", detail, fix),
        _ => Finding::ok("disk", detail),
    })
}

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}

/// The folder of a store on this machine.
pub(in crate::cli) fn local(url: &str) -> Option<PathBuf> {
    match url.split_once("://") {
        None => Some(PathBuf::from(url)),
        Some(("file", path)) => Some(PathBuf::from(path)),
        Some(_) => None,
    }
}

fn bytes(n: u64) -> String {
    let (value, unit) =
        if n >= 1 << 30 { (n as f64 / f64::from(1 << 30), "GiB") } else { (n as f64 / f64::from(1 << 20), "MiB") };
    format!("{value:.1} {unit}")
}
