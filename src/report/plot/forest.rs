//! Forest plot: a difference a row with its interval, better to the right whichever way the metric improves.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Axis, BAND, Canvas, Drawn, GRID, INK, MUTED, RUNS, WIDTH, ZERO, line, svg, write};
use crate::report::pairing::Pairing;
use crate::report::text::{MISSING, label, signed};
use crate::run::Run;
use crate::score::{Metric, Unit};
use crate::stats::{Comparison, Direction};

const ROW: i32 = 26;
const LEFT: i32 = 220;
const RIGHT: i32 = 240;
const TOP: i32 = 30;
const BOTTOM: i32 = 30;
/// The widest half of the axis that is not asked for by an interval, in the metric's unit.
const LEAST: f64 = 0.05;

/// A row: a metric, or a subset of the cases.
#[derive(Debug)]
pub(in crate::report) struct Delta {
    name: String,
    primary: bool,
    /// Whether it is the primary metric's, to which alone the margin applies.
    margin: bool,
    text: String,
    /// Difference and limits, mirrored where lower is better.
    gain: Option<(f64, Option<(f64, f64)>)>,
}

impl Delta {
    /// A row for a difference that could be computed or not.
    pub(in crate::report) fn new(name: String, metric: Metric, found: Option<&Comparison>, primary: bool) -> Self {
        let margin = primary;
        let mirrored = metric.direction() == Direction::LowerIsBetter;
        let turn = |value: f64| if mirrored { -value } else { value };
        let name = if mirrored { format!("{name} ↓") } else { name };
        let Some(c) = found else { return Self { name, primary, margin, text: MISSING.to_owned(), gain: None } };
        let limits = c.ci_low.zip(c.ci_high);
        let bracket = limits.map_or("no interval".to_owned(), |(low, high)| {
            let bare = |value: f64| signed(metric, value).replace(" pp", "");
            format!("[{}, {}]", bare(low), bare(high))
        });
        let turned = limits.map(|(low, high)| (turn(low).min(turn(high)), turn(low).max(turn(high))));
        let text = format!("{} {bracket}", signed(metric, c.delta));
        Self { name, primary, margin, text, gain: Some((turn(c.delta), turned)) }
    }

    /// A row of the primary metric that is not the one that decides.
    pub(in crate::report) fn within_margin(self) -> Self {
        Self { margin: true, ..self }
    }
}

/// Draws the rows of one pairing; none where there is nothing to draw.
pub(in crate::report) fn forest(runs: &[Run], pairing: &Pairing, rows: &[Delta]) -> Option<String> {
    let reach = rows
        .iter()
        .filter_map(|row| row.gain)
        .map(|(gain, limits)| limits.map_or(gain.abs(), |(low, high)| low.abs().max(high.abs())).max(gain.abs()));
    let shares = pairing.metric().unit() == Unit::Share;
    let reach = reach.fold(if shares { LEAST } else { f64::MIN_POSITIVE }, f64::max) * 1.06;
    if rows.iter().all(|row| row.gain.is_none()) {
        return None;
    }
    let height = TOP + ROW * i32::try_from(rows.len()).unwrap_or(i32::MAX / ROW - 100) + BOTTOM;
    let axis = Axis { low: -reach, high: reach, from: LEFT, to: WIDTH as i32 - RIGHT };
    let (a, b) = (label(runs, pairing.a), label(runs, pairing.b));
    let name = format!("Differences of {b} against {a} with 95 % intervals");
    let described = "To the right of zero it is better. The table has the same numbers";
    Some(svg(u32::try_from(height).unwrap_or(600), &name, described, |area| {
        band(area, &axis, pairing.margin(), rows)?;
        frame(area, &axis, pairing, height - BOTTOM, shares)?;
        for (index, row) in (0..).zip(rows) {
            draw(area, &axis, row, TOP + ROW * index + ROW / 2, pairing.b)?;
        }
        Ok(())
    }))
}

/// The declared margin, behind the rows that it applies to.
fn band(area: &Canvas<'_>, axis: &Axis, margin: f64, rows: &[Delta]) -> Drawn {
    let margin = margin.min(axis.high);
    for (index, _) in (0..).zip(rows).filter(|(_, row)| row.margin && margin > 0.0) {
        let corners = [(axis.at(-margin), TOP + ROW * index), (axis.at(margin), TOP + ROW * (index + 1))];
        area.draw(&Rectangle::new(corners, BAND.rgb().filled()))?;
    }
    Ok(())
}

fn frame(area: &Canvas<'_>, axis: &Axis, pairing: &Pairing, bottom: i32, shares: bool) -> Drawn {
    for tick in axis.ticks(8.0) {
        let x = axis.at(tick);
        line(area, (x, TOP), (x, bottom), &GRID, 1)?;
        let value = if shares { tick * 100.0 } else { tick };
        let sign = if value > 1e-9 { "+" } else { "" };
        let text = format!("{sign}{}", (value * 100.0).round() / 100.0).replace('-', "\u{2212}");
        write(area, &text, (x, bottom + 15), &MUTED, HPos::Center, false)?;
    }
    line(area, (axis.at(0.0), TOP), (axis.at(0.0), bottom), &ZERO, 2)?;
    let (worse, better) = (format!("← {} better", letter(pairing.a)), format!("{} better →", letter(pairing.b)));
    write(area, &worse, (axis.at(0.0) - 12, TOP - 14), &MUTED, HPos::Right, false)?;
    write(area, &better, (axis.at(0.0) + 12, TOP - 14), &MUTED, HPos::Left, false)?;
    let unit = if shares { "pp" } else { "" };
    write(area, unit, (axis.to + 14, bottom + 15), &MUTED, HPos::Left, false)
}

fn letter(index: usize) -> String {
    crate::report::text::letter(index)
}

fn draw(area: &Canvas<'_>, axis: &Axis, row: &Delta, y: i32, run: usize) -> Drawn {
    let tone = &RUNS[run % RUNS.len()];
    let ink = if row.gain.is_some() { &INK } else { &MUTED };
    write(area, &row.name, (LEFT - 14, y), ink, HPos::Right, row.primary)?;
    write(area, &row.text, (WIDTH as i32 - 4, y), ink, HPos::Right, row.primary)?;
    let Some((gain, limits)) = row.gain else { return Ok(()) };
    if let Some((low, high)) = limits {
        let (low, high) = (axis.at(low), axis.at(high));
        line(area, (low, y), (high, y), tone, if row.primary { 3 } else { 2 })?;
        for end in [low, high] {
            line(area, (end, y - 4), (end, y + 4), tone, 2)?;
        }
    }
    let size = if row.primary { 6 } else { 4 };
    area.draw(&Circle::new((axis.at(gain), y), size, tone.rgb().filled()))
}
