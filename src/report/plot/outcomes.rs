//! Outcome classes: a bar a run, divided by class.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{CLASSES, INK, MUTED, WIDTH, svg, write};
use crate::report::text::letter;
use crate::run::Run;
use crate::verdict::Class;

const ROW: i32 = 34;
const BAR: i32 = 20;
const LEFT: i32 = 32;
const RIGHT: i32 = 96;

/// The bars; their lengths are shares of all answers, so that no denominator shrinks.
pub(in crate::report) fn outcomes(runs: &[Run]) -> String {
    let height = ROW * i32::try_from(runs.len()).unwrap_or(1);
    let described = "The table has the counts";
    svg(height.unsigned_abs(), "Outcome classes as shares of all answers, by run", described, |area| {
        for (index, run) in (0..).zip(runs) {
            let top = ROW * index + (ROW - BAR) / 2;
            let middle = top + BAR / 2;
            write(area, &letter(usize::try_from(index).unwrap_or(0)), (LEFT - 12, middle), &INK, HPos::Right, true)?;
            let total = run.results.len().max(1) as f64;
            let mut before = 0.0;
            for (class, tone) in Class::ALL.iter().zip(&CLASSES).rev() {
                let count = run.record.classes.get(class).copied().unwrap_or_default() as f64;
                let at = |sum: f64| LEFT + (sum / total * f64::from(WIDTH as i32 - LEFT - RIGHT)).round() as i32;
                if count > 0.0 {
                    let corners = [(at(before), top), (at(before + count), top + BAR)];
                    area.draw(&Rectangle::new(corners, tone.rgb().filled()))?;
                }
                before += count;
            }
            let ok = run.record.classes.get(&Class::Ok).copied().unwrap_or_default();
            let text = format!("{ok} of {} ok", run.results.len());
            write(area, &text, (WIDTH as i32 - 2, middle), &MUTED, HPos::Right, false)?;
        }
        Ok(())
    })
}
