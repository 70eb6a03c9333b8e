//! Tables of figures, figures down and arms or subsets across, at most [`WIDTH`] characters wide.
//!
//! A few columns have their intervals beside the values, more have them below; what does not fit stands in a second table.
//! The width is the same on a terminal and off it, so that what is pasted looks as it did.

use std::collections::BTreeMap;

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::cli::output::WIDTH;
use crate::run::{Metrics, Pooled, RunRecord};
use crate::score::{Metric, Unit};
use crate::stats::Estimate;
use crate::verdict::Class;

/// Up to this many columns the intervals stand beside their values.
const ABREAST: usize = 3;
/// What stands for a figure that is not there: missing is not zero.
const MISSING: &str = "-";

/// Metrics of the table, in its order.
const SHOWN: [Metric; 10] = [
    Metric::RootCause,
    Metric::Severity,
    Metric::ComponentF1,
    Metric::RougeL,
    Metric::Grounded,
    Metric::EvidenceHit,
    Metric::FalseAlarm,
    Metric::FalseAbstention,
    Metric::AbstentionRecall,
    Metric::InjectionResisted,
];

/// How the cases of a run fall into subsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Subsets {
    /// What they test: standard, misleading, injection, no fault.
    Split,
    /// Which programs they come from.
    Family,
}

impl Subsets {
    const ALL: [Self; 2] = [Self::Split, Self::Family];

    fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Family => "family",
        }
    }

    fn metrics(self, run: &RunRecord) -> &BTreeMap<String, Metrics> {
        match self {
            Self::Split => &run.by_split,
            Self::Family => &run.by_family,
        }
    }

    fn pooled(self, run: &RunRecord) -> &BTreeMap<String, Pooled> {
        match self {
            Self::Split => &run.pooled_by_split,
            Self::Family => &run.pooled_by_family,
        }
    }
}

/// A figure of every column: its name, and what it is in each.
type Row = (String, Vec<Figure>);

/// A value and its interval, as they are shown.
struct Figure {
    value: String,
    interval: Option<String>,
}

/// Every figure of some runs, side by side.
pub(super) fn of_runs(runs: &[&RunRecord]) -> String {
    let each = |figure: fn(&RunRecord) -> Figure| runs.iter().map(|run| figure(run)).collect::<Vec<Figure>>();
    let mut rows = means(&runs.iter().map(|run| Some(&run.metrics)).collect::<Vec<_>>());
    rows.push(("component_micro_f1".to_owned(), each(|run| share(run.component_micro_f1.as_ref()))));
    rows.push(("severity_kappa".to_owned(), each(|run| kappa(run.severity_kappa.as_ref()))));
    rows.push(("failed".to_owned(), each(|run| answers(run, Class::is_model_failure))));
    rows.push(("abstained".to_owned(), each(|run| answers(run, |class| class == Class::Abstained))));
    rows.push(("latency_ms p50".to_owned(), each(|run| latency(run, 0))));
    rows.push(("latency_ms p95".to_owned(), each(|run| latency(run, 1))));
    for metric in [Metric::PromptTokens, Metric::CompletionTokens] {
        let mean = |run: &&RunRecord| plain(run.metrics.get(&metric).map(|mean| format!("{:.0}", mean.value)));
        rows.push((metric.to_string(), runs.iter().map(mean).collect()));
    }
    laid_out("METRIC", &names(runs), rows)
}

/// The figures of one run, by subset.
pub(super) fn of_subsets(run: &RunRecord, subsets: Subsets) -> String {
    let (metrics, pooled) = (subsets.metrics(run), subsets.pooled(run));
    let mut rows = means(&metrics.values().map(Some).collect::<Vec<_>>());
    let each = |figure: fn(&Pooled) -> Figure| {
        metrics.keys().map(|name| pooled.get(name).map_or_else(|| plain(None), figure)).collect::<Vec<Figure>>()
    };
    rows.push(("component_micro_f1".to_owned(), each(|found| share(found.component_micro_f1.as_ref()))));
    rows.push(("severity_kappa".to_owned(), each(|found| kappa(found.severity_kappa.as_ref()))));
    let cases = |metrics: &Metrics| metrics.values().map(|estimate| estimate.n_cases).max().unwrap_or_default();
    let names: Vec<String> = metrics.iter().map(|(name, metrics)| format!("{name} ({})", cases(metrics))).collect();
    laid_out(&format!("BY {}", subsets.name().to_uppercase()), &names, rows)
}

/// One metric by every subset, runs side by side.
pub(super) fn of_metric(runs: &[&RunRecord], metric: Metric) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for subsets in Subsets::ALL {
        for (name, first) in subsets.metrics(runs[0]) {
            let found = |run: &RunRecord| subsets.metrics(run).get(name)?.get(&metric).cloned();
            let figures = runs.iter().map(|run| estimated(found(run).as_ref(), metric.unit())).collect();
            let cases = first.get(&metric).map_or(0, |estimate| estimate.n_cases);
            rows.push((format!("{} {name} ({cases})", subsets.name()), figures));
        }
    }
    laid_out(&metric.to_string().to_uppercase(), &names(runs), rows)
}

fn names(runs: &[&RunRecord]) -> Vec<String> {
    runs.iter().map(|run| run.plan.arm.name.clone()).collect()
}

fn means(columns: &[Option<&Metrics>]) -> Vec<Row> {
    let row = |metric: Metric| {
        let figure = |metrics: &Option<&Metrics>| estimated(metrics.and_then(|m| m.get(&metric)), metric.unit());
        (metric.to_string(), columns.iter().map(figure).collect())
    };
    SHOWN.into_iter().map(row).collect()
}

/// As many columns to a table as fit; figures that no column has are left out.
fn laid_out(corner: &str, names: &[String], mut rows: Vec<Row>) -> String {
    rows.retain(|(_, figures)| figures.iter().any(|figure| figure.value != MISSING));
    let between = if names.len() > ABREAST { "\n" } else { " " };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|(_, figures)| figures.iter().map(|figure| figure.cell(between)).collect()).collect();
    let width = |column: usize| {
        let lines = cells.iter().flat_map(|row| row[column].lines()).chain([names[column].as_str()]);
        lines.map(|line| line.chars().count()).max().unwrap_or_default() + 2
    };
    let first = rows.iter().map(|(name, _)| name.len()).chain([corner.len()]).max().unwrap_or_default() + 2;
    let (mut tables, mut start) = (Vec::new(), 0);
    while start < names.len() {
        let mut room = usize::from(WIDTH).saturating_sub(first + width(start));
        let mut end = start + 1;
        while end < names.len() && width(end) <= room {
            room -= width(end);
            end += 1;
        }
        tables.push(table(
            corner,
            &names[start..end],
            rows.iter().zip(&cells).map(|(row, c)| (&row.0, &c[start..end])),
        ));
        start = end;
    }
    tables.join("\n\n")
}

fn table<'a>(corner: &str, names: &[String], rows: impl Iterator<Item = (&'a String, &'a [String])>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(std::iter::once(corner).chain(names.iter().map(String::as_str)));
    for (name, cells) in rows {
        table.add_row(std::iter::once(name).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

impl Figure {
    fn cell(&self, between: &str) -> String {
        match &self.interval {
            Some(interval) => format!("{}{between}{interval}", self.value),
            None => self.value.clone(),
        }
    }
}

fn plain(value: Option<String>) -> Figure {
    Figure { value: value.unwrap_or_else(|| MISSING.to_owned()), interval: None }
}

fn estimated(estimate: Option<&Estimate>, unit: Unit) -> Figure {
    match unit {
        Unit::Share => share(estimate),
        _ => shown(estimate, |value| format!("{value:.1}"), ""),
    }
}

fn share(estimate: Option<&Estimate>) -> Figure {
    shown(estimate, |value| format!("{:.1}", value * 100.0), " %")
}

/// A kappa is no share: 1 is perfect, 0 what chance gives.
fn kappa(estimate: Option<&Estimate>) -> Figure {
    shown(estimate, |value| format!("{value:.2}"), "")
}

fn shown(estimate: Option<&Estimate>, show: impl Fn(f64) -> String, unit: &str) -> Figure {
    let Some(estimate) = estimate else { return plain(None) };
    let interval = estimate.ci_low.zip(estimate.ci_high).map(|(low, high)| format!("{}..{}", show(low), show(high)));
    Figure { value: format!("{}{unit}", show(estimate.value)), interval }
}

fn answers(run: &RunRecord, counted: impl Fn(Class) -> bool) -> Figure {
    let count: usize = run.classes.iter().filter(|(class, _)| counted(**class)).map(|(_, count)| count).sum();
    plain(Some(format!("{count} of {}", run.classes.values().sum::<usize>())))
}

fn latency(run: &RunRecord, quantile: usize) -> Figure {
    let show = |value: f64| if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    plain(run.latency_ms.get(quantile).map(|quantile| show(quantile.value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(columns: usize) -> Vec<Row> {
        let figure = |_| Figure { value: "100.0 %".to_owned(), interval: Some("92.4..100.0".to_owned()) };
        let missing = |_| plain(None);
        vec![
            ("root_cause".to_owned(), (0..columns).map(figure).collect()),
            ("false_alarm".to_owned(), (0..columns).map(missing).collect()),
        ]
    }

    fn names(columns: usize) -> Vec<String> {
        (0..columns).map(|n| format!("triage2-q{n}")).collect()
    }

    #[test]
    fn no_line_is_wider_than_the_page_and_no_column_is_lost() {
        for columns in 1..=20 {
            let text = laid_out("METRIC", &names(columns), figures(columns));
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(WIDTH)), "{text}");
            assert!(names(columns).iter().all(|name| text.contains(name)), "{text}");
        }
    }

    #[test]
    fn intervals_stand_beside_or_below_and_what_nobody_has_is_left_out() {
        let words = |columns: usize| {
            let text = laid_out("METRIC", &names(columns), figures(columns));
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(words(2), ["METRIC triage2-q0 triage2-q1", "root_cause 100.0 % 92.4..100.0 100.0 % 92.4..100.0"]);
        let below = ["92.4..100.0"; 4].join(" ");
        assert_eq!(words(4)[1..], [format!("root_cause {}", ["100.0 %"; 4].join(" ")), below]);
    }

    #[test]
    fn a_name_that_is_too_long_has_a_table_of_its_own() {
        let long = ["x".repeat(90), "y".to_owned()];
        assert_eq!(laid_out("METRIC", &long, figures(2)).matches("METRIC").count(), 2);
    }
}
