//! Progress of a session: a bar for every arm on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::harness::{Arrival, Observer};
use crate::run::Plan;
use crate::verdict::Class;

/// Pause between two lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(10);

/// Draws on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    bars: Vec<ProgressBar>,
    arms: Vec<Arm>,
    total: usize,
    started: Instant,
    /// When an answer came last.
    arrived: Instant,
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Arm {
    name: String,
    done: usize,
    /// Answers of earlier sessions: they say nothing about how fast this one is.
    before: usize,
    /// When this session began to ask for it.
    begun: Option<Instant>,
    /// Failures of the model.
    failed: usize,
    /// Infrastructure errors.
    infra: usize,
}

/// What the last line said, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Lines {
    last: Option<(Instant, usize)>,
}

impl Progress {
    pub(super) fn new(terminal: bool) -> Self {
        let (now, lines) = (Instant::now(), (!terminal).then(Lines::default));
        Self { bars: Vec::new(), arms: Vec::new(), total: 0, started: now, arrived: now, lines }
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
        if now - lines.last.map_or(self.started, |(at, _)| at) < QUIET && done < all {
            return;
        }
        let before: usize = self.arms.iter().map(|arm| arm.before).sum();
        // The present rate, not the mean: the rules answer at once, and models differ.
        let left = match lines.last {
            _ if done == all => format!(", {:.1}/s", rate(done.saturating_sub(before), now - self.started)),
            None => String::new(),
            Some((at, then)) => {
                let rate = rate(done.saturating_sub(then), now - at);
                format!(", {rate:.1}/s, {} left", seconds(all.saturating_sub(done), rate))
            }
        };
        lines.last = Some((now, done));
        eprintln!("{done}/{all} answers{left}");
    }
}

/// Answers per second.
fn rate(answers: usize, took: Duration) -> f64 {
    answers as f64 / took.as_secs_f64().max(1e-3)
}

/// How long that many answers take, for people; unknown where none comes.
fn seconds(answers: usize, rate: f64) -> String {
    if rate > 0.0 { format!("{:.0} s", answers as f64 / rate) } else { "-".to_owned() }
}

impl Arm {
    /// What stands behind its bar.
    fn told(&self, total: usize) -> String {
        let rate = self.begun.map_or(0.0, |begun| rate(self.done.saturating_sub(self.before), begun.elapsed()));
        let mut notes = vec![format!("{rate:>7.1}/s  eta {:>6}", seconds(total.saturating_sub(self.done), rate))];
        notes.extend((self.failed > 0).then(|| format!("{} failed", self.failed)));
        notes.extend((self.infra > 0).then(|| format!("{} infrastructure errors", self.infra)));
        notes.join("  ")
    }
}

impl Observer for Progress {
    fn planned(&mut self, plans: &[Plan], done: &[usize], total: usize) {
        self.total = total;
        (self.started, self.arrived) = (Instant::now(), Instant::now());
        let arm = |(plan, done): (&Plan, &usize)| Arm {
            name: plan.arm.name.clone(),
            done: *done,
            before: *done,
            begun: None,
            failed: 0,
            infra: 0,
        };
        self.arms = plans.iter().zip(done).map(arm).collect();
        if self.lines.is_some() {
            return;
        }
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let width = self.arms.iter().map(|arm| arm.name.len()).max().unwrap_or_default();
        let template = format!("{{prefix:{width}}} {{bar:24}} {{pos:>4}}/{{len}}  {{msg}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        for arm in &self.arms {
            let bar = ProgressBar::new(total as u64).with_style(style.clone()).with_prefix(arm.name.clone());
            let bar = bars.add(bar.with_position(arm.done as u64));
            bar.set_message(arm.told(total));
            self.bars.push(bar);
        }
    }

    fn arrived(&mut self, arrival: &Arrival<'_>) {
        let arm = &mut self.arms[arrival.arm];
        arm.begun.get_or_insert(self.arrived);
        self.arrived = Instant::now();
        arm.done = arrival.done;
        arm.failed += usize::from(arrival.class.is_model_failure());
        arm.infra += usize::from(arrival.class == Class::InfraError);
        if let Some(bar) = self.bars.get(arrival.arm) {
            bar.set_position(arm.done as u64);
            bar.set_message(arm.told(self.total));
        }
        self.line();
    }
}
