//! Distribution of the latency: which share of the answers came within a time.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Axis, Canvas, Drawn, RUNS, WIDTH, log, log_axis, share_grid, svg, time_grid, write};
use crate::report::text::letter;
use crate::run::Run;

const HEIGHT: i32 = 300;
const LEFT: i32 = 56;
const RIGHT: i32 = 24;
const TOP: i32 = 14;
const BOTTOM: i32 = 34;
/// Most steps of a curve: more than there are pixels show nothing.
const STEPS: usize = 800;

/// The empirical distribution functions of all runs.
pub(in crate::report) fn latency(runs: &[Run]) -> String {
    let sorted: Vec<Vec<f64>> = runs.iter().map(latencies).collect();
    let all: Vec<f64> = sorted.iter().flatten().copied().collect();
    let x = log_axis(&all, LEFT, WIDTH as i32 - RIGHT);
    let y = Axis { low: 0.0, high: 1.0, from: HEIGHT - BOTTOM, to: TOP };
    let described = "One rising curve a run; the table of metrics has the quantiles";
    svg(HEIGHT as u32, "Share of answers within a time, by run", described, |area| {
        time_grid(area, &x, TOP, HEIGHT - BOTTOM)?;
        share_grid(area, &y, LEFT, WIDTH as i32 - RIGHT)?;
        for (index, values) in sorted.iter().enumerate() {
            curve(area, &x, &y, values, index, runs.len())?;
        }
        Ok(())
    })
}

fn latencies(run: &Run) -> Vec<f64> {
    let mut values: Vec<f64> =
        run.results.iter().map(|row| row.answer.latency_ms).filter(|ms| ms.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn curve(area: &Canvas<'_>, x: &Axis, y: &Axis, values: &[f64], run: usize, of: usize) -> Drawn {
    let (Some(first), count) = (values.first(), values.len()) else { return Ok(()) };
    let tone = &RUNS[run % RUNS.len()];
    let mut points = vec![(x.from, y.at(0.0)), (x.at(log(*first)), y.at(0.0))];
    let stride = count.div_ceil(STEPS);
    for (index, value) in values.iter().enumerate().filter(|(index, _)| (index + 1) % stride == 0 || index + 1 == count)
    {
        let (at, before) = (x.at(log(*value)), points.last().map_or(y.from, |point| point.1));
        points.push((at, before));
        points.push((at, y.at((index + 1) as f64 / count as f64)));
    }
    points.push((x.to, y.at(1.0)));
    area.draw(&PathElement::new(points, tone.rgb().stroke_width(2)))?;
    // Letters at different heights, so that curves that lie close do not hide each other's.
    let height = (run as f64 + 1.0) / (of as f64 + 1.0);
    let at = values[((height * count as f64) as usize).min(count - 1)];
    write(area, &letter(run), (x.at(log(at)) - 8, y.at(height) - 8), tone, HPos::Right, true)
}
