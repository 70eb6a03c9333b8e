//! The one table: what was measured, and what it has to be.

use std::time::Duration;

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It says where another figure comes from.
    Told,
}

pub(crate) fn head() {
    println!("{:<66} {:>16} {:>14}", "FIGURE", "MEASURED", "TARGET");
}

/// A line of the table, in a unit and with so many decimals; a target that was missed is marked.
pub(crate) fn figure(name: &str, value: f64, unit: &str, decimals: usize, target: Target) {
    let shown = |value: f64| format!("{value:.decimals$} {unit}").trim_end().to_owned();
    let (target, met) = match target {
        Target::AtMost(most) => (format!("<= {}", shown(most)), value <= most),
        Target::AtLeast(least) => (format!(">= {}", shown(least)), value >= least),
        Target::Told => (String::new(), true),
    };
    let line = format!("{name:<66} {:>16} {target:>14}{}", shown(value), if met { "" } else { "  MISSED" });
    println!("{}", line.trim_end());
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Megabytes of bytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The time below which a share of them lies.
pub(crate) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share).round() as usize]
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    quantile(&mut times, 0.5)
}
