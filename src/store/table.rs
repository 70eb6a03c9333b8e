//! `results.parquet`: a row per case and repeat, in columns that DuckDB, pandas or Spark read as they are.

pub(super) mod decode;

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array,
};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::Serialize;

use crate::run::CaseResult;
use crate::score::Metric;
use crate::verdict::Verdict;

/// Rows that are turned into columns at a time: a whole number of the writer's own batches, so that the same rows give
/// the same bytes whoever writes them. Two of these make a row group, since what encodes one is in memory until its end.
const ROWS: usize = 1024;

/// A table on its way into memory: rows go in, compressed pages are what stays of them.
pub struct Table {
    /// The reason of a failure is for a person.
    writer: Result<ArrowWriter<Vec<u8>>, String>,
    waiting: Vec<CaseResult>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Default for Table {
    fn default() -> Self {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(2 * ROWS))
            .build();
        let writer =
            |batch: RecordBatch| ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).map_err(reason);
        Self { writer: batch(&[]).and_then(writer), waiting: Vec::new() }
    }
}

impl Table {
    /// Adds a row. What goes wrong is told by whoever takes the file.
    pub fn push(&mut self, row: CaseResult) {
        self.waiting.push(row);
        if self.waiting.len() == ROWS {
            let rows = std::mem::take(&mut self.waiting);
            self.write(&rows);
        }
    }

    fn write(&mut self, rows: &[CaseResult]) {
        let Ok(writer) = &mut self.writer else { return };
        if let Err(reason) = batch(rows).and_then(|batch| writer.write(&batch).map_err(reason)) {
            self.writer = Err(reason);
        }
    }

    /// Ends the table. What is left of it is the file.
    pub fn finish(mut self) -> TableFile {
        let rows = std::mem::take(&mut self.waiting);
        self.write(&rows);
        TableFile(self.writer.and_then(|writer| writer.into_inner().map_err(reason)).map(Bytes::from))
    }
}

/// A finished table, or why there is none, for a person.
#[derive(Debug)]
pub struct TableFile(pub(super) Result<Bytes, String>);

/// Encodes rows.
pub(super) fn encode(rows: &[CaseResult]) -> TableFile {
    let mut table = Table::default();
    rows.chunks(ROWS).for_each(|rows| table.write(rows));
    table.finish()
}

fn batch(rows: &[CaseResult]) -> Result<RecordBatch, String> {
    RecordBatch::try_from_iter_with_nullable(columns(rows)).map_err(|error| error.to_string())
}

fn reason(error: ParquetError) -> String {
    error.to_string()
}

/// The column of a metric's scores.
fn score_column(metric: Metric) -> String {
    format!("score_{metric}")
}

fn columns(rows: &[CaseResult]) -> Vec<(String, ArrayRef, bool)> {
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    let mut add = |name: &str, array: ArrayRef, nullable| columns.push((name.to_owned(), array, nullable));
    add("case", text(rows, |r| Some(r.answer.case.as_str())), false);
    add("repeat", count(rows, |r| r.answer.repeat), false);
    add("cluster", text(rows, |r| Some(r.cluster.as_str())), false);
    add("family", text(rows, |r| Some(r.family.as_str())), false);
    add("split", text(rows, |r| Some(word(&r.split))), false);
    add("at", int(rows, |r| r.answer.at.timestamp_nanos_opt()), false);
    add("class", text(rows, |r| Some(word(&r.answer.class))), false);
    add("reason", text(rows, |r| r.answer.reason.as_deref()), true);
    add("root_cause", text(rows, |r| verdict(r).map(|v| v.root_cause.as_str())), true);
    add("severity", text(rows, |r| verdict(r).map(|v| word(&v.severity))), true);
    add("components", list(rows, |r| verdict(r).map(|v| v.components.as_slice())), true);
    add("evidence", list(rows, |r| verdict(r).map(|v| v.evidence.as_slice())), true);
    add("summary", text(rows, |r| verdict(r).map(|v| v.summary.as_str())), true);
    add("target_root_cause", text(rows, |r| Some(r.target_root_cause.as_str())), false);
    add("target_severity", text(rows, |r| Some(word(&r.target_severity))), false);
    for metric in Metric::ALL {
        add(&score_column(metric), float(rows, |r| r.scores.get(&metric).copied()), true);
    }
    add("latency_ms", float(rows, |r| Some(r.answer.latency_ms)), false);
    add("model_ms", float(rows, |r| Some(r.answer.timings.total_ms)), false);
    add("first_token_ms", float(rows, |r| r.answer.timings.first_token_ms), true);
    add("prompt_ms", float(rows, |r| r.answer.timings.prompt_ms), true);
    add("decode_ms", float(rows, |r| r.answer.timings.decode_ms), true);
    add("prompt_tokens", count(rows, |r| r.answer.usage.prompt_tokens), false);
    add("cached_tokens", count(rows, |r| r.answer.usage.cached_tokens), false);
    add("completion_tokens", count(rows, |r| r.answer.usage.completion_tokens), false);
    add("attempts", count(rows, |r| r.answer.attempts), false);
    add("prompt", text(rows, |r| Some(r.answer.asked.prompt.as_str())), false);
    add("route", text(rows, |r| r.answer.asked.route.as_deref()), true);
    add("rendered_hash", text(rows, |r| Some(r.answer.asked.rendered_hash.as_str())), false);
    add("lines", count(rows, |r| r.answer.asked.lines), false);
    add("templates", count(rows, |r| r.answer.asked.templates), false);
    add("omitted_templates", count(rows, |r| r.answer.asked.omitted_templates), false);
    add("omitted_lines", count(rows, |r| r.answer.asked.omitted_lines), false);
    add("digest_tokens", count(rows, |r| r.answer.asked.digest_tokens), false);
    add("redactions", count(rows, |r| r.answer.asked.redactions), false);
    add("trace_id", text(rows, |r| r.answer.trace_id.clone()), true);
    add("decisive_ids", list(rows, |r| Some(r.answer.asked.decisive_ids.as_slice())), true);
    columns
}

fn verdict(row: &CaseResult) -> Option<&Verdict> {
    row.answer.verdict.as_ref()
}

fn text<'a, T: AsRef<str>>(rows: &'a [CaseResult], get: impl Fn(&'a CaseResult) -> Option<T>) -> ArrayRef {
    Arc::new(rows.iter().map(get).collect::<StringArray>())
}

fn count(rows: &[CaseResult], get: impl Fn(&CaseResult) -> u32) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(get(row))).collect::<UInt32Array>())
}

fn int(rows: &[CaseResult], get: impl Fn(&CaseResult) -> Option<i64>) -> ArrayRef {
    Arc::new(rows.iter().map(get).collect::<Int64Array>())
}

fn float(rows: &[CaseResult], get: impl Fn(&CaseResult) -> Option<f64>) -> ArrayRef {
    Arc::new(rows.iter().map(get).collect::<Float64Array>())
}

fn list<'a>(rows: &'a [CaseResult], get: impl Fn(&'a CaseResult) -> Option<&'a [String]>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        match get(row) {
            Some(items) => builder.append_value(items.iter().map(Some)),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

/// The serde name of a unit variant, so that files and columns use one spelling.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
