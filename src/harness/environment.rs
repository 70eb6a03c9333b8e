//! What the run record keeps of the machine and the program.

use std::path::Path;
use std::process::Command;

use crate::run::Environment;

/// Looks at the machine and at the git tree in `root`.
pub fn environment(root: &Path) -> Environment {
    let commit = git(root, &["rev-parse", "HEAD"]);
    let dirty = commit.as_ref().and_then(|_| git(root, &["status", "--porcelain", "--untracked-files=no"]));
    Environment {
        assay_version: env!("CARGO_PKG_VERSION").to_owned(),
        commit,
        dirty: dirty.map(|changes| !changes.is_empty()),
        cpu: cpu_model(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
