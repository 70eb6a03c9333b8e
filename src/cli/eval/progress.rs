//! Progress of a session: a bar for every arm on a terminal, a line now and then elsewhere.

use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::harness::{Arrival, Observer};
use crate::run::Plan;
use crate::verdict::Class;

/// Pause between two lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(10);

/// Draws on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    bars: Vec<ProgressBar>,
    /// Per arm: name, answers, failures of the model, infrastructure errors.
    arms: Vec<Arm>,
    total: usize,
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Arm {
    name: String,
    done: usize,
    failed: usize,
    infra: usize,
}

#[derive(Debug)]
struct Lines {
    started: Instant,
    last: Instant,
    before: usize,
}

impl Progress {
    pub(super) fn new(terminal: bool) -> Self {
        let now = Instant::now();
        let lines = (!terminal).then_some(Lines { started: now, last: now, before: 0 });
        Self { bars: Vec::new(), arms: Vec::new(), total: 0, lines }
    }

    pub(super) fn finish(&self) {
        for bar in &self.bars {
            bar.abandon();
        }
    }

    fn line(&mut self) {
        let done: usize = self.arms.iter().map(|arm| arm.done).sum();
        let all = self.total * self.arms.len();
        let Some(lines) = &mut self.lines else { return };
        let now = Instant::now();
        if now - lines.last < QUIET && done < all {
            return;
        }
        lines.last = now;
        let rate = (done - lines.before) as f64 / (now - lines.started).as_secs_f64().max(1e-3);
        let eta = if rate > 0.0 { format!("{:.0} s left", (all - done) as f64 / rate) } else { "-".to_owned() };
        eprintln!("{done}/{all} answers, {rate:.1}/s, {eta}");
    }
}

/// Answers per second, to a tenth.
fn rate(state: &ProgressState, out: &mut dyn Write) {
    // A terminal that cannot be written to is nobody's concern here.
    let _ = write!(out, "{:.1}/s", state.per_sec());
}

/// Time left at the present rate; unknown before the first answer.
fn left(state: &ProgressState, out: &mut dyn Write) {
    let _ = match state.pos() {
        0 => write!(out, "-"),
        _ => write!(out, "{} s", state.eta().as_secs()),
    };
}

impl Observer for Progress {
    fn planned(&mut self, plans: &[Plan], done: &[usize], total: usize) {
        self.total = total;
        let arm = |(plan, done): (&Plan, &usize)| Arm { name: plan.arm.name.clone(), done: *done, failed: 0, infra: 0 };
        self.arms = plans.iter().zip(done).map(arm).collect();
        if let Some(lines) = &mut self.lines {
            lines.before = done.iter().sum();
            return;
        }
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let width = self.arms.iter().map(|arm| arm.name.len()).max().unwrap_or_default();
        let template =
            format!("{{prefix:{width}}} {{bar:24}} {{pos:>4}}/{{len}}  {{rate:>9}}  eta {{left:>5}}  {{msg}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key("rate", rate).with_key("left", left);
        for arm in &self.arms {
            let bar = bars.add(ProgressBar::new(total as u64).with_style(style.clone()).with_prefix(arm.name.clone()));
            bar.set_position(arm.done as u64);
            bar.reset_eta();
            self.bars.push(bar);
        }
    }

    fn arrived(&mut self, arrival: &Arrival<'_>) {
        let arm = &mut self.arms[arrival.arm];
        arm.done = arrival.done;
        arm.failed += usize::from(arrival.class.is_model_failure());
        arm.infra += usize::from(arrival.class == Class::InfraError);
        if let Some(bar) = self.bars.get(arrival.arm) {
            bar.set_position(arm.done as u64);
            let mut notes = Vec::new();
            if arm.failed > 0 {
                notes.push(format!("{} failed", arm.failed));
            }
            if arm.infra > 0 {
                notes.push(format!("{} infrastructure errors", arm.infra));
            }
            bar.set_message(notes.join(", "));
        }
        self.line();
    }
}
