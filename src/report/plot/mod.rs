//! Plots as SVG that stands in the page and follows its light or dark style.
//!
//! A plot is drawn in the colours of the light style, so that it can be read by itself; the page's style sheet selects
//! elements by those very colours and swaps them ([`style`]). Every plot repeats what a table of the page says: none is
//! the only place of a number.

mod forest;
mod latency;
mod outcomes;
mod tradeoff;

use std::fmt::Write as _;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::text::html;
pub(super) use forest::{Delta, forest};
pub(super) use latency::latency;
pub(super) use outcomes::outcomes;
pub(super) use tradeoff::tradeoff;

/// Width of every plot, in pixels; the page scales it down on narrow screens.
const WIDTH: u32 = 1080;
/// Size of the text as plotters counts it: it writes 1 / 1.24 of it.
const TEXT: f64 = 15.5;

/// A colour in light and in dark.
struct Tone {
    light: (u8, u8, u8),
    dark: &'static str,
}

const INK: Tone = Tone { light: (0x1d, 0x23, 0x2b), dark: "#e6eaf0" };
const MUTED: Tone = Tone { light: (0x56, 0x60, 0x6d), dark: "#a3adba" };
const GRID: Tone = Tone { light: (0xdd, 0xe2, 0xe8), dark: "#333b46" };
const ZERO: Tone = Tone { light: (0x8a, 0x94, 0xa1), dark: "#768190" };
const BAND: Tone = Tone { light: (0xe8, 0xee, 0xf6), dark: "#222c3a" };

/// One per run, far apart in hue and in lightness.
const RUNS: [Tone; super::MOST_RUNS] = [
    Tone { light: (0x1f, 0x6f, 0xb4), dark: "#6fb4f2" },
    Tone { light: (0xc0, 0x55, 0x0c), dark: "#f2a15a" },
    Tone { light: (0x2b, 0x7d, 0x33), dark: "#7cca80" },
    Tone { light: (0x7b, 0x3f, 0xa1), dark: "#c99ae8" },
    Tone { light: (0xb8, 0x33, 0x6b), dark: "#f28bb5" },
    Tone { light: (0x00, 0x79, 0x7b), dark: "#50c6c6" },
    Tone { light: (0x7a, 0x52, 0x31), dark: "#cfa37c" },
    Tone { light: (0x54, 0x5f, 0x6f), dark: "#a9b5c4" },
];

/// One per outcome class, in the order of [`crate::verdict::Class::ALL`].
const CLASSES: [Tone; 8] = [
    Tone { light: (0x6b, 0x72, 0x7c), dark: "#8b939e" },
    Tone { light: (0x7d, 0x1a, 0x1a), dark: "#d65a5a" },
    Tone { light: (0xa8, 0x36, 0x26), dark: "#e67a62" },
    Tone { light: (0xc4, 0x5f, 0x23), dark: "#eb9a5c" },
    Tone { light: (0xb5, 0x7a, 0x12), dark: "#e3b04f" },
    Tone { light: (0x8a, 0x83, 0x15), dark: "#cfc653" },
    Tone { light: (0x7a, 0x8d, 0xab), dark: "#6d84a8" },
    Tone { light: (0x36, 0x83, 0x58), dark: "#58b380" },
];

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

impl Tone {
    fn rgb(&self) -> RGBColor {
        RGBColor(self.light.0, self.light.1, self.light.2)
    }

    fn hex(&self) -> String {
        format!("#{:02X}{:02X}{:02X}", self.light.0, self.light.1, self.light.2)
    }
}

/// The colours of runs and classes as variables, and the rules that put the dark ones into plots.
pub(super) fn style() -> String {
    let named = |name: &'static str, tones: &'static [Tone]| {
        tones.iter().enumerate().map(move |(index, tone)| (format!("--{name}-{index}"), tone))
    };
    let base = [("--ink", &INK), ("--muted", &MUTED), ("--grid", &GRID), ("--zero", &ZERO), ("--band", &BAND)];
    let all: Vec<(String, &Tone)> = base
        .into_iter()
        .map(|(name, tone)| (name.to_owned(), tone))
        .chain(named("run", &RUNS))
        .chain(named("class", &CLASSES))
        .collect();
    let (mut light, mut dark, mut rules) = (String::new(), String::new(), String::new());
    for (name, tone) in &all {
        let hex = tone.hex();
        // Writing to a String cannot fail.
        let _ = write!(light, "{name}:{hex};");
        let _ = write!(dark, "{name}:{};", tone.dark);
        let _ = writeln!(rules, "svg [fill=\"{hex}\"]{{fill:var({name})}}svg [stroke=\"{hex}\"]{{stroke:var({name})}}");
    }
    // Paper is white, whatever the screen is.
    format!(":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{rules}")
}

/// Draws an SVG of the given height, named and described for those who cannot see it.
fn svg(height: u32, name: &str, description: &str, draw: impl FnOnce(&Canvas<'_>) -> Drawn) -> String {
    let mut text = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(&area).and_then(|()| area.present())
    };
    if drawn.is_err() {
        return String::new();
    }
    // Inline SVG needs no namespace, and an element with a name is announced by it.
    let opening = text.find('>').map_or(0, |end| end + 1);
    let (name, description) = (html(name), html(description));
    let head = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{name}. {description}\">"
    );
    format!("{head}{}", &text[opening..])
}

/// Writes text at a point.
fn write(area: &Canvas<'_>, text: &str, at: (i32, i32), tone: &Tone, to: HPos, bold: bool) -> Drawn {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FontFamily::SansSerif, TEXT, style).color(&tone.rgb()).pos(Pos::new(to, VPos::Center));
    area.draw_text(&super::text::clean(text), &font, at)
}

/// A straight line.
fn line(area: &Canvas<'_>, from: (i32, i32), to: (i32, i32), tone: &Tone, width: u32) -> Drawn {
    area.draw(&PathElement::new(vec![from, to], tone.rgb().stroke_width(width)))
}

/// A scale from values to pixels.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
}

impl Axis {
    fn at(&self, value: f64) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        self.from + (share * f64::from(self.to - self.from)).round() as i32
    }

    /// Round values, about `count` of them, within the axis.
    fn ticks(&self, count: f64) -> Vec<f64> {
        let raw = (self.high - self.low) / count;
        let power = libm::pow(10.0, libm::floor(libm::log10(raw)));
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= raw);
        let step = step.unwrap_or(10.0 * power);
        let first = libm::ceil(self.low / step - 1e-9) as i64;
        let last = libm::floor(self.high / step + 1e-9) as i64;
        (first..=last).take(100).map(|n| n as f64 * step).collect()
    }
}

/// Milliseconds on a logarithmic axis, with a little room at both ends.
fn log_axis(values: &[f64], from: i32, to: i32) -> Axis {
    let logs = values.iter().filter(|value| value.is_finite()).map(|value| log(*value));
    let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let room = 0.06 * (high - low).max(0.5);
    Axis { low: low - room, high: high + room, from, to }
}

/// A latency on that axis; the clock has no less than a thousandth of a millisecond.
fn log(milliseconds: f64) -> f64 {
    libm::log10(milliseconds.max(0.001))
}

/// Round times within the axis: as many of each power of ten as do not crowd.
fn log_ticks(axis: &Axis) -> Vec<f64> {
    let powers = libm::floor(axis.low) as i32..=libm::ceil(axis.high) as i32;
    let steps: &[f64] = match axis.high - axis.low {
        wide if wide > 4.0 => &[1.0],
        some if some > 1.2 => &[1.0, 2.0, 5.0],
        _ => &[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0],
    };
    let all = powers.flat_map(|power| steps.iter().map(move |step| step * libm::pow(10.0, f64::from(power))));
    all.filter(|value| (axis.low..=axis.high).contains(&log(*value))).collect()
}

/// A tick's time, without digits that say nothing.
fn short_time(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 { format!("{} s", milliseconds / 1000.0) } else { format!("{milliseconds} ms") }
}

/// Vertical grid of times with its labels below.
fn time_grid(area: &Canvas<'_>, axis: &Axis, top: i32, bottom: i32) -> Drawn {
    for tick in log_ticks(axis) {
        let x = axis.at(log(tick));
        line(area, (x, top), (x, bottom), &GRID, 1)?;
        write(area, &short_time((tick * 1e6).round() / 1e6), (x, bottom + 14), &MUTED, HPos::Center, false)?;
    }
    Ok(())
}

/// Horizontal grid of shares with its labels to the left.
fn share_grid(area: &Canvas<'_>, axis: &Axis, left: i32, right: i32) -> Drawn {
    for tick in axis.ticks(5.0) {
        let y = axis.at(tick);
        line(area, (left, y), (right, y), &GRID, 1)?;
        write(area, &format!("{:.0} %", tick * 100.0), (left - 8, y), &MUTED, HPos::Right, false)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let axis = Axis { low: -0.13, high: 0.21, from: 0, to: 100 };
        assert_eq!(axis.ticks(6.0).len(), 4);
        assert_eq!(axis.at(-0.13), 0);
        let axis = log_axis(&[3.0, 40.0], 0, 100);
        assert_eq!(log_ticks(&axis).iter().map(|tick| tick.round()).collect::<Vec<_>>(), [5.0, 10.0, 20.0]);
    }

    #[test]
    fn an_axis_without_values_is_still_one() {
        let axis = log_axis(&[], 0, 100);
        assert!(axis.low < axis.high);
        assert!(!log_ticks(&log_axis(&[5.0], 0, 100)).is_empty());
    }
}
