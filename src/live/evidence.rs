//! The lines that a verdict cites: from memory while it is young, else read again where they came from.
//!
//! What is kept of a line is where it is and 32 bits of a hash. A line that is read again is redacted again and shown only
//! if it is the one that the model saw: part of a key that only its neighbours gave away does not get out this way. Each
//! costs Loki a stream and a nanosecond, which no guard need rule on.

use std::sync::Arc;

use super::kept::{Cited, Kept, Line};
use super::question::Question;
use super::source::Source;
use crate::hash;
use crate::logql::narrowed;
use crate::loki;
use crate::stream::TimeRange;

/// Entries of one stream and instant that are looked through.
const MOST_AT_ONCE: usize = 1000;

/// Reads the cited lines again.
///
/// # Errors
/// Why not all of them can be shown, in words.
pub(super) async fn read_again(source: &Source, question: &Question, kept: &Kept) -> Result<Arc<Vec<Line>>, String> {
    let mut lines = Vec::with_capacity(kept.evidence.len());
    for cited in &kept.evidence {
        let line = find(source, question, cited).await.map_err(|error| error.to_string())?;
        let gone = || format!("line {} is no longer as the model saw it: Loki has dropped or changed it", cited.id);
        lines.push(Line { cited: cited.clone(), line: line.ok_or_else(gone)? });
    }
    Ok(Arc::new(lines))
}

async fn find(source: &Source, question: &Question, cited: &Cited) -> Result<Option<String>, loki::LokiError> {
    let Some(expr) = narrowed(&question.expr, &cited.labels) else { return Ok(None) };
    let range = TimeRange { start: cited.ts, end: cited.ts.saturating_add(1) };
    let mut window = source.loki.window(&expr, range, MOST_AT_ONCE).await?;
    let pipeline = &source.installation.pipeline;
    pipeline.redactor.redact_window(&mut window);
    let key = pipeline.hash_key.as_deref();
    let lines = window.entries.into_iter().map(|entry| entry.line);
    Ok(lines.into_iter().find(|line| hash::short(line, key) == cited.line))
}
