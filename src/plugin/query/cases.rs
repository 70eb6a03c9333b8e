//! `cases`: how each case of a run ended, or what changed between two runs, regressions first.
//!
//! Repeats of a case are averaged; verdict and outcome are those of the first. Without a second run the worst cases come
//! first.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{Ask, QueryType, count, select, shown};
use crate::compare::comparable;
use crate::frame::{Field, Frame, FrameType, Severity};
use crate::plugin::error::{QueryError, one_line};
use crate::run::{CaseResult, Run};
use crate::score::Metric;
use crate::stats::Direction;

/// `cases` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "cases", answer: |ask| Box::pin(answer(ask)) };

const MAX_CASES: usize = 10_000;

/// Which cases are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Only {
    /// Every case.
    #[default]
    All,
    /// Those whose score is not the best there is.
    Wrong,
    /// Those that the two runs score differently.
    Changed,
    /// Those that became worse.
    Regressions,
}

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The run: its id, a unique beginning of it, or an arm's name for its newest.
    run: String,
    /// The run that it is held against.
    #[serde(default)]
    against: Option<String>,
    /// What decides; without it the experiment's primary metric.
    #[serde(default)]
    metric: Option<Metric>,
    /// Which cases.
    #[serde(default)]
    only: Only,
    /// The most cases to show.
    #[serde(default = "many")]
    limit: usize,
}

fn many() -> usize {
    1_000
}

/// A case of the run, and of the run that it is held against.
struct Row<'r> {
    first: &'r CaseResult,
    score: Option<f64>,
    before: Option<(&'r CaseResult, Option<f64>)>,
    /// The change of the score, positive for the better; `None` where either is unscored.
    gain: Option<f64>,
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (query, filter) = ask.filtered::<Query>()?;
    select::within(query.limit, MAX_CASES)?;
    let against = query.against.as_deref().filter(|reference| !reference.is_empty());
    if against.is_none() && matches!(query.only, Only::Changed | Only::Regressions) {
        return Err(QueryError::Invalid("field `only`: changes need a run in `against`".to_owned()));
    }
    let cache = ask.instance.store()?;
    let run = cache.run(&cache.find(&query.run).await?).await?;
    let before = match against {
        Some(reference) => Some(cache.run(&cache.find(reference).await?).await?),
        None => None,
    };
    let metric = query.metric.unwrap_or(run.record.plan.experiment.primary);
    let mut rows = rows(&run, before.as_deref(), metric);
    rows.retain(|row| filter.allows("split", row.first.split.as_str()) && filter.allows("family", &row.first.family));
    rows.retain(|row| is_wanted(row, query.only, metric));
    sort(&mut rows, metric);
    let left_out = rows.len().saturating_sub(query.limit);
    rows.truncate(query.limit);
    let mut frame = frame(&ask, &run, before.as_ref(), metric, &rows);
    if left_out > 0 {
        frame = frame.notice(Severity::Info, format!("{left_out} further cases are left out by `limit`"));
    }
    Ok(vec![frame])
}

fn rows<'r>(run: &'r Run, before: Option<&'r Run>, metric: Metric) -> Vec<Row<'r>> {
    let earlier = before.map(|before| by_case(before, metric)).unwrap_or_default();
    let sign = if metric.direction() == Direction::HigherIsBetter { 1.0 } else { -1.0 };
    let row = |(first, score): (&'r CaseResult, Option<f64>)| {
        let before = earlier.get(first.answer.case.as_str()).copied();
        let gain = before.and_then(|(_, old)| Some(sign * (score? - old?)));
        Row { first, score, before, gain }
    };
    by_case(run, metric).into_values().map(row).collect()
}

/// The first repeat of each case, and the mean score over its repeats.
fn by_case(run: &Run, metric: Metric) -> BTreeMap<&str, (&CaseResult, Option<f64>)> {
    let mut cases: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for row in &run.results {
        cases.entry(&row.answer.case).or_default().push(row);
    }
    let averaged = cases.into_iter().filter_map(|(case, repeats)| {
        let scores: Vec<f64> = repeats.iter().filter_map(|row| row.scores.get(&metric).copied()).collect();
        let mean = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
        Some((case, (repeats.into_iter().min_by_key(|row| row.answer.repeat)?, mean)))
    });
    averaged.collect()
}

fn is_wanted(row: &Row<'_>, only: Only, metric: Metric) -> bool {
    let best = if metric.direction() == Direction::HigherIsBetter { 1.0 } else { 0.0 };
    match only {
        Only::All => true,
        Only::Wrong => row.score.is_some_and(|score| score != best),
        Only::Changed => row.gain.is_some_and(|gain| gain != 0.0),
        Only::Regressions => row.gain.is_some_and(|gain| gain < 0.0),
    }
}

/// Regressions first, the largest before the others; then the worst scores. Cases without a score come last.
fn sort(rows: &mut [Row<'_>], metric: Metric) {
    let badness = |score: Option<f64>| match metric.direction() {
        Direction::HigherIsBetter => score.unwrap_or(f64::INFINITY),
        Direction::LowerIsBetter => score.map_or(f64::INFINITY, |score| -score),
    };
    rows.sort_by(|a, b| {
        let by_change = a.gain.unwrap_or(0.0).total_cmp(&b.gain.unwrap_or(0.0));
        by_change
            .then(badness(a.score).total_cmp(&badness(b.score)))
            .then(a.first.answer.case.cmp(&b.first.answer.case))
    });
}

fn change(row: &Row<'_>) -> &'static str {
    match row.gain {
        Some(gain) if gain < 0.0 => "regression",
        Some(gain) if gain > 0.0 => "improvement",
        Some(_) => "same",
        None if row.before.is_none() => "only here",
        None => "unscored",
    }
}

fn frame(ask: &Ask, run: &Run, before: Option<&Arc<Run>>, metric: Metric, rows: &[Row<'_>]) -> Frame {
    let text = |name: &str, of: &dyn Fn(&CaseResult) -> Option<String>| {
        Field::text_or_null(name, rows.iter().map(|row| of(row.first)))
    };
    let root_cause = |row: &CaseResult| row.answer.verdict.as_ref().map(|verdict| verdict.root_cause.clone());
    let severity = |row: &CaseResult| row.answer.verdict.as_ref().map(|verdict| verdict.severity.to_string());
    let score = |name: &str, values: Vec<Option<f64>>| {
        Field::float_or_null(name, values).shown(|config| shown::metric(config, metric))
    };
    let verdicts = Field::text("case", rows.iter().map(|row| &row.first.answer.case));
    let old = |of: &dyn Fn(&CaseResult) -> Option<String>| -> Vec<Option<String>> {
        rows.iter().map(|row| of(row.before?.0)).collect()
    };
    let narrow = |config| shown::wide(config, 110);
    let wide = |config| shown::wide(config, 190);
    // What changed, and from what to what, comes first: the rest may be out of sight.
    let changed = before.map(|_| {
        Field::text("change", rows.iter().map(change))
            .shown(narrow)
            .shown(|config| config.colours(&[("regression", "red"), ("improvement", "green"), ("only here", "orange")]))
    });
    let earlier = before.map(|_| Field::text_or_null("root_cause_before", old(&root_cause)).shown(wide));
    let mut frame = Frame::new("cases", FrameType::Table)
        .with(verdicts.shown(narrow).shown(|config| config.link(shown::to_verdict(&ask.instance))));
    frame.fields.extend(changed);
    frame.fields.push(text("true_root_cause", &|row| Some(row.target_root_cause.clone())).shown(wide));
    frame.fields.push(text("root_cause", &root_cause).shown(wide));
    frame.fields.extend(earlier);
    frame = frame
        .with(text("family", &|row| Some(row.family.clone())))
        .with(text("split", &|row| Some(row.split.as_str().to_owned())))
        .with(text("true_severity", &|row| Some(row.target_severity.to_string())).shown(super::severity_colours))
        .with(text("severity", &severity).shown(super::severity_colours))
        .with(text("outcome", &|row| Some(row.answer.class.to_string())))
        .with(score("score", rows.iter().map(|row| row.score).collect()));
    if let Some(before) = before {
        frame = frame
            .with(score("score_before", rows.iter().map(|row| row.before?.1).collect()))
            .with(Field::text_or_null("outcome_before", old(&|row| Some(row.answer.class.to_string()))));
        let changed = |word: &str| rows.iter().filter(|row| change(row) == word).count();
        let text = format!(
            "[{}] against [{}]: {} regressions, {} improvements by `{metric}`",
            run.record.plan.title(),
            before.record.plan.title(),
            changed("regression"),
            changed("improvement")
        );
        frame = frame.notice(Severity::Info, text);
        if let Err(refusal) = comparable(&before.record, &run.record) {
            frame = frame.notice(Severity::Warning, format!("no conclusion from this: {}", one_line(&refusal)));
        }
    }
    let tokens = |row: &Row<'_>| {
        let usage = row.first.answer.usage;
        i64::from(usage.prompt_tokens) + i64::from(usage.completion_tokens)
    };
    let mut frame = frame
        .with(
            Field::float("latency", rows.iter().map(|row| row.first.answer.latency_ms))
                .shown(|c| c.unit("ms").decimals(0)),
        )
        .with(Field::int("tokens", rows.iter().map(tokens)))
        .with(text("reason", &|row| row.answer.reason.clone()))
        .with(text("prompt", &|row| Some(row.answer.asked.prompt.clone())))
        .with(text("cluster", &|row| Some(row.cluster.clone())))
        .with(text("rendered_hash", &|row| Some(row.answer.asked.rendered_hash.clone())))
        .with(Field::text("run", rows.iter().map(|_| &run.record.plan.id)));
    frame.meta.row_id_fields = vec![0];
    frame.meta.custom = serde_json::json!({"run": run.record.plan.id, "metric": metric, "cases": count(rows.len())});
    frame
}
