//! `results.parquet`: a row per case and repeat, in columns that DuckDB, pandas or Spark read as they are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    UInt32Array,
};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{Timings, Usage};
use crate::run::{Answer, Asked, CaseResult};
use crate::score::{Metric, Scores};
use crate::verdict::Verdict;

/// Encodes rows; the reason is for a person.
pub(super) fn encode(rows: &[CaseResult]) -> Result<Vec<u8>, String> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns(rows)).map_err(|error| error.to_string())?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).map_err(|error| error.to_string())?;
    writer.write(&batch).map_err(|error| error.to_string())?;
    writer.close().map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn columns(rows: &[CaseResult]) -> Vec<(String, ArrayRef, bool)> {
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    let mut add = |name: &str, array: ArrayRef, nullable| columns.push((name.to_owned(), array, nullable));
    add("case", text(rows, |r| Some(r.answer.case.clone())), false);
    add("repeat", count(rows, |r| r.answer.repeat), false);
    add("cluster", text(rows, |r| Some(r.cluster.clone())), false);
    add("family", text(rows, |r| Some(r.family.clone())), false);
    add("split", text(rows, |r| Some(word(&r.split))), false);
    add("at", int(rows, |r| r.answer.at.timestamp_nanos_opt()), false);
    add("class", text(rows, |r| Some(word(&r.answer.class))), false);
    add("reason", text(rows, |r| r.answer.reason.clone()), true);
    add("root_cause", text(rows, |r| verdict(r).map(|v| v.root_cause.clone())), true);
    add("severity", text(rows, |r| verdict(r).map(|v| word(&v.severity))), true);
    add("components", list(rows, |r| verdict(r).map(|v| v.components.as_slice())), true);
    add("evidence", list(rows, |r| verdict(r).map(|v| v.evidence.as_slice())), true);
    add("summary", text(rows, |r| verdict(r).map(|v| v.summary.clone())), true);
    add("target_root_cause", text(rows, |r| Some(r.target_root_cause.clone())), false);
    add("target_severity", text(rows, |r| Some(word(&r.target_severity))), false);
    for metric in Metric::ALL {
        add(&format!("score_{metric}"), float(rows, |r| r.scores.get(&metric).copied()), true);
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
    add("prompt", text(rows, |r| Some(r.answer.asked.prompt.clone())), false);
    add("route", text(rows, |r| r.answer.asked.route.clone()), true);
    add("rendered_hash", text(rows, |r| Some(r.answer.asked.rendered_hash.clone())), false);
    add("lines", count(rows, |r| r.answer.asked.lines), false);
    add("templates", count(rows, |r| r.answer.asked.templates), false);
    add("omitted_templates", count(rows, |r| r.answer.asked.omitted_templates), false);
    add("omitted_lines", count(rows, |r| r.answer.asked.omitted_lines), false);
    add("digest_tokens", count(rows, |r| r.answer.asked.digest_tokens), false);
    add("redactions", count(rows, |r| r.answer.asked.redactions), false);
    add("decisive_ids", list(rows, |r| Some(r.answer.asked.decisive_ids.as_slice())), true);
    columns
}

fn verdict(row: &CaseResult) -> Option<&Verdict> {
    row.answer.verdict.as_ref()
}

fn text(rows: &[CaseResult], get: impl Fn(&CaseResult) -> Option<String>) -> ArrayRef {
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

/// Decodes rows; the reason is for a person. Columns are found by name, so that later versions may add some.
pub(super) fn decode(bytes: Bytes) -> Result<Vec<CaseResult>, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build());
    let mut rows = Vec::new();
    for batch in reader.map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        let columns = Columns::new(&batch);
        for row in 0..batch.num_rows() {
            rows.push(columns.row(row)?);
        }
    }
    Ok(rows)
}

struct Columns<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Self {
        Self { batch }
    }

    fn row(&self, row: usize) -> Result<CaseResult, String> {
        let scores = Metric::ALL
            .into_iter()
            .filter_map(|metric| Some((metric, self.float_if_there(&format!("score_{metric}"), row)?)))
            .collect::<Scores>();
        Ok(CaseResult {
            answer: self.answer(row)?,
            cluster: self.text("cluster", row)?,
            family: self.text("family", row)?,
            split: self.word("split", row)?,
            target_root_cause: self.text("target_root_cause", row)?,
            target_severity: self.word("target_severity", row)?,
            scores,
        })
    }

    fn answer(&self, row: usize) -> Result<Answer, String> {
        Ok(Answer {
            case: self.text("case", row)?,
            repeat: self.count("repeat", row)?,
            at: self.time("at", row)?,
            asked: self.asked(row)?,
            class: self.word("class", row)?,
            reason: self.maybe_text("reason", row)?,
            verdict: self.verdict(row)?,
            usage: Usage {
                prompt_tokens: self.count("prompt_tokens", row)?,
                cached_tokens: self.count("cached_tokens", row)?,
                completion_tokens: self.count("completion_tokens", row)?,
            },
            timings: Timings {
                total_ms: self.maybe_float("model_ms", row)?.unwrap_or_default(),
                first_token_ms: self.maybe_float("first_token_ms", row)?,
                prompt_ms: self.maybe_float("prompt_ms", row)?,
                decode_ms: self.maybe_float("decode_ms", row)?,
            },
            latency_ms: self.maybe_float("latency_ms", row)?.unwrap_or_default(),
            attempts: self.count("attempts", row)?,
        })
    }

    fn asked(&self, row: usize) -> Result<Asked, String> {
        Ok(Asked {
            prompt: self.text("prompt", row)?,
            route: self.maybe_text("route", row)?,
            rendered_hash: self.text("rendered_hash", row)?,
            lines: self.count("lines", row)?,
            templates: self.count("templates", row)?,
            omitted_templates: self.count("omitted_templates", row)?,
            omitted_lines: self.count("omitted_lines", row)?,
            digest_tokens: self.count("digest_tokens", row)?,
            redactions: self.count("redactions", row)?,
            decisive_ids: self.list("decisive_ids", row)?.unwrap_or_default(),
        })
    }

    fn verdict(&self, row: usize) -> Result<Option<Verdict>, String> {
        let Some(root_cause) = self.maybe_text("root_cause", row)? else { return Ok(None) };
        Ok(Some(Verdict {
            evidence: self.list("evidence", row)?.unwrap_or_default(),
            components: self.list("components", row)?.unwrap_or_default(),
            root_cause,
            severity: self.word("severity", row)?,
            summary: self.text("summary", row)?,
        }))
    }

    fn column(&self, name: &str) -> Result<&'a ArrayRef, String> {
        self.batch.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"))
    }

    fn maybe_text(&self, name: &str, row: usize) -> Result<Option<String>, String> {
        let column = self.column(name)?.as_string_opt::<i32>().ok_or_else(|| wrong_type(name))?;
        Ok(column.is_valid(row).then(|| column.value(row).to_owned()))
    }

    fn text(&self, name: &str, row: usize) -> Result<String, String> {
        self.maybe_text(name, row)?.ok_or_else(|| format!("`{name}` is empty in row {row}"))
    }

    fn word<T: DeserializeOwned>(&self, name: &str, row: usize) -> Result<T, String> {
        let text = self.text(name, row)?;
        serde_json::from_value(serde_json::Value::String(text)).map_err(|error| format!("`{name}`: {error}"))
    }

    fn count(&self, name: &str, row: usize) -> Result<u32, String> {
        let column = self.column(name)?.as_primitive_opt::<UInt32Type>().ok_or_else(|| wrong_type(name))?;
        Ok(column.value(row))
    }

    fn time(&self, name: &str, row: usize) -> Result<DateTime<Utc>, String> {
        let column = self.column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type(name))?;
        Ok(DateTime::from_timestamp_nanos(column.value(row)))
    }

    fn maybe_float(&self, name: &str, row: usize) -> Result<Option<f64>, String> {
        let column = self.column(name)?.as_primitive_opt::<Float64Type>().ok_or_else(|| wrong_type(name))?;
        Ok(column.is_valid(row).then(|| column.value(row)))
    }

    fn float_if_there(&self, name: &str, row: usize) -> Option<f64> {
        self.maybe_float(name, row).ok().flatten()
    }

    fn list(&self, name: &str, row: usize) -> Result<Option<Vec<String>>, String> {
        let column = self.column(name)?.as_list_opt::<i32>().ok_or_else(|| wrong_type(name))?;
        if column.is_null(row) {
            return Ok(None);
        }
        let items = column.value(row);
        let items = items.as_string_opt::<i32>().ok_or_else(|| wrong_type(name))?;
        Ok(Some(items.iter().flatten().map(str::to_owned).collect()))
    }
}

fn wrong_type(name: &str) -> String {
    format!("the column `{name}` has the wrong type")
}
