//! What a run costs the machine: CPU seconds of a model's server, and energy where the processor tells.
//!
//! Read whenever an answer arrives and put on the account of its arm. With one question at a time that is exact; with
//! several, an arm's last questions may be on the account of the next.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::PathBuf;

use crate::run::RunRecord;

/// Clock ticks per second in `/proc`: fixed by the kernel's interface, whatever the kernel itself counts in.
const TICKS: f64 = 100.0;
const POWER: &str = "/sys/class/powercap";

/// What some questions cost; absent where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    cpu_seconds: Option<f64>,
    energy_joules: Option<f64>,
}

impl Cost {
    /// As a record has it.
    pub(super) fn of(record: &RunRecord) -> Self {
        Self { cpu_seconds: record.cpu_seconds, energy_joules: record.energy_joules }
    }

    /// Enters it into a record.
    pub(super) fn enter(self, record: &mut RunRecord) {
        record.cpu_seconds = self.cpu_seconds;
        record.energy_joules = self.energy_joules;
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut Option<f64>, more: Option<f64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or_default() + more);
            }
        };
        add(&mut self.cpu_seconds, other.cpu_seconds);
        add(&mut self.energy_joules, other.energy_joules);
    }
}

/// Reads what was spent since it was read before.
#[derive(Debug)]
pub(super) struct Meter {
    /// Process id and ticks by model.
    servers: BTreeMap<String, (u32, u64)>,
    packages: Vec<Package>,
}

/// A processor package that counts its energy, in microjoules; the counter starts again after `range`.
#[derive(Debug)]
struct Package {
    counter: PathBuf,
    range: u64,
    last: u64,
}

impl Meter {
    /// Starts to count, for models with the process ids of their servers.
    pub(super) fn start<'a>(servers: impl Iterator<Item = (&'a str, Option<u32>)>) -> Self {
        let read = |(model, pid): (&str, Option<u32>)| Some((model.to_owned(), (pid?, ticks(pid?)?)));
        Self { servers: servers.filter_map(read).collect(), packages: packages() }
    }

    /// What was spent since then: by the server of `model`, and by the whole machine.
    pub(super) fn take(&mut self, model: &str, pid: Option<u32>) -> Cost {
        let energy: Vec<f64> = self.packages.iter_mut().filter_map(Package::take).collect();
        let energy_joules = (!energy.is_empty()).then(|| energy.iter().sum());
        Cost { cpu_seconds: self.cpu(model, pid), energy_joules }
    }

    fn cpu(&mut self, model: &str, pid: Option<u32>) -> Option<f64> {
        let pid = pid?;
        let now = ticks(pid)?;
        // A server that was started anew counts from zero.
        let before = match self.servers.insert(model.to_owned(), (pid, now)) {
            Some((same, ticks)) if same == pid => ticks,
            _ => 0,
        };
        Some(now.saturating_sub(before) as f64 / TICKS)
    }
}

impl Package {
    fn take(&mut self) -> Option<f64> {
        let now = number(&self.counter)?;
        let spent = if now < self.last { now + self.range - self.last.min(self.range) } else { now - self.last };
        self.last = now;
        Some(spent as f64 / 1e6)
    }
}

/// The packages themselves, `intel-rapl:0` and so on; their parts, `intel-rapl:0:1`, are contained in them.
fn packages() -> Vec<Package> {
    let folders = std::fs::read_dir(POWER).into_iter().flatten().flatten();
    let package = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let (family, index) = name.to_str()?.split_once(':')?;
        if family != "intel-rapl" || index.contains(':') {
            return None;
        }
        let counter = entry.path().join("energy_uj");
        let last = number(&counter)?;
        Some(Package { counter, range: number(&entry.path().join("max_energy_range_uj"))?, last })
    };
    folders.filter_map(package).collect()
}

fn number(path: &PathBuf) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// User and system time of a process, its threads included.
fn ticks(pid: u32) -> Option<u64> {
    spent(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `utime` and `stime` of a line of `/proc/PID/stat`, see proc(5). The name before them may hold anything.
fn spent(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut time = || times.next()?.parse::<u64>().ok();
    Some(time()? + time()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) 1) S 1 7 7 0 -1 4194560 1 0 0 0 250 31 9 9 20 0 1 0 100 1000 1";
        assert_eq!(spent(stat), Some(281));
        assert_eq!(spent("7 (x) S 1"), None);
        assert_eq!(spent(""), None);
    }

    #[test]
    fn a_counter_that_starts_again_is_not_negative() {
        let folder = tempfile::tempdir().unwrap();
        let counter = folder.path().join("energy_uj");
        std::fs::write(&counter, "500000\n").unwrap();
        let mut package = Package { counter: counter.clone(), range: 10_000_000, last: 9_000_000 };
        assert_eq!(package.take(), Some(1.5));
        std::fs::write(&counter, "2500000\n").unwrap();
        assert_eq!(package.take(), Some(2.0));
    }

    #[test]
    fn what_is_not_known_adds_nothing_and_stays_unknown() {
        let mut cost = Cost::default();
        cost += Cost { cpu_seconds: Some(1.5), energy_joules: None };
        cost += Cost { cpu_seconds: Some(0.25), energy_joules: None };
        assert_eq!(cost, Cost { cpu_seconds: Some(1.75), energy_joules: None });
        let mut meter = Meter::start(std::iter::once(("rules", None)));
        assert_eq!(meter.take("rules", None).cpu_seconds, None);
    }
}
