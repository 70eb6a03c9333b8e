//! Quality against latency: the primary metric over the p95, both with their intervals.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Axis, Canvas, Drawn, RUNS, WIDTH, line, log, log_axis, share_grid, svg, time_grid, write};
use crate::report::text::letter;
use crate::run::Run;
use crate::score::Unit;
use crate::stats::{Estimate, QuantileEstimate};

const HEIGHT: i32 = 340;
const LEFT: i32 = 56;
const RIGHT: i32 = 24;
const TOP: i32 = 30;
const BOTTOM: i32 = 34;
/// Where the p95 stands in a record's quantiles.
const P95: f64 = 0.95;

/// A point a run; none unless the primary metric is a share and some run has it.
pub(in crate::report) fn tradeoff(runs: &[Run]) -> Option<String> {
    let primary = runs[0].record.plan.experiment.primary;
    let point = |(index, run): (usize, &Run)| {
        let quality = run.record.metrics.get(&primary)?.clone();
        let p95 = run.record.latency_ms.iter().find(|quantile| quantile.q == P95)?.clone();
        Some((index, quality, p95))
    };
    let points: Vec<(usize, Estimate, QuantileEstimate)> = runs.iter().enumerate().filter_map(point).collect();
    if points.is_empty() || primary.unit() != Unit::Share {
        return None;
    }
    let times = points.iter().flat_map(|(_, _, p95)| [Some(p95.value), p95.ci_low, p95.ci_high]).flatten();
    let x = log_axis(&times.collect::<Vec<_>>(), LEFT, WIDTH as i32 - RIGHT);
    let y = share_axis(&points);
    let name = format!("{primary} against the p95 of the latency, by run");
    let described = "Up is better, left is faster; bars are 95 % intervals. The table of metrics has the numbers";
    Some(svg(HEIGHT as u32, &name, described, |area| {
        time_grid(area, &x, TOP, HEIGHT - BOTTOM)?;
        share_grid(area, &y, LEFT, WIDTH as i32 - RIGHT)?;
        for (index, quality, p95) in &points {
            draw(area, &x, &y, (*index, quality, p95))?;
        }
        letters(area, &x, &y, &points)
    }))
}

/// The part of 0 to 1 that the intervals need, in tenths.
fn share_axis(points: &[(usize, Estimate, QuantileEstimate)]) -> Axis {
    let lows = points.iter().map(|(_, quality, _)| quality.ci_low.unwrap_or(quality.value));
    let highs = points.iter().map(|(_, quality, _)| quality.ci_high.unwrap_or(quality.value));
    let low = libm::floor(lows.fold(1.0, f64::min) * 10.0 - 0.2) / 10.0;
    let high = libm::ceil(highs.fold(0.0, f64::max) * 10.0 + 0.2) / 10.0;
    let (low, high) = (low.clamp(0.0, 0.9), high.clamp(0.1, 1.0));
    Axis { low, high: high.max(low + 0.1), from: HEIGHT - BOTTOM, to: TOP }
}

fn draw(area: &Canvas<'_>, x: &Axis, y: &Axis, (index, quality, p95): (usize, &Estimate, &QuantileEstimate)) -> Drawn {
    let tone = &RUNS[index % RUNS.len()];
    let at = (x.at(log(p95.value)), y.at(quality.value));
    if let Some((low, high)) = quality.ci_low.zip(quality.ci_high) {
        let (low, high) = (y.at(low), y.at(high));
        line(area, (at.0, low), (at.0, high), tone, 2)?;
        for end in [low, high] {
            line(area, (at.0 - 4, end), (at.0 + 4, end), tone, 2)?;
        }
    }
    // A limit that no value bounds is not drawn: the bar then ends at the point.
    for end in [p95.ci_low, p95.ci_high].into_iter().flatten().map(|limit| x.at(log(limit))) {
        line(area, at, (end, at.1), tone, 2)?;
        line(area, (end, at.1 - 4), (end, at.1 + 4), tone, 2)?;
    }
    area.draw(&Circle::new(at, 6, tone.rgb().filled()))
}

/// The runs' letters above their bars, each moved up until it hides none of those before it.
fn letters(area: &Canvas<'_>, x: &Axis, y: &Axis, points: &[(usize, Estimate, QuantileEstimate)]) -> Drawn {
    let mut taken: Vec<(i32, i32)> = Vec::new();
    for (index, quality, p95) in points {
        let top = quality.ci_high.unwrap_or(quality.value);
        let mut at = (x.at(log(p95.value)), y.at(top) - 12);
        while taken.iter().any(|other| (other.0 - at.0).abs() < 15 && (other.1 - at.1).abs() < 15) {
            at.1 -= 15;
        }
        taken.push(at);
        write(area, &letter(*index), at, &RUNS[*index % RUNS.len()], HPos::Center, true)?;
    }
    Ok(())
}
