//! From columns to rows, and to the few columns that figures are made of.
//!
//! Columns are found by name, so that later versions may add some; each once per batch, because a search per value would
//! take longer than everything else.

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, UInt32Array,
};
use bytes::Bytes;
use chrono::DateTime;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::score_column;
use crate::model::{Timings, Usage};
use crate::run::{Answer, Asked, CaseResult};
use crate::score::Metric;
use crate::tally::{Mark, Names, Tally, rating};
use crate::verdict::Verdict;

/// Most rows of a run: ten repeats of ten thousand cases. Alike they take next to nothing in a file, a kilobyte each in
/// memory.
const MOST_ROWS: usize = 100_000;

/// What a [`Mark`] is made of, beside the scores.
const OF_MARKS: [&str; 9] =
    ["case", "repeat", "cluster", "family", "split", "class", "severity", "target_severity", "latency_ms"];

/// Decodes the rows of a run that has this many; the reason is for a person.
pub(in crate::store) fn rows(bytes: Bytes, answers: usize) -> Result<Vec<CaseResult>, String> {
    let mut rows = Vec::new();
    for batch in opened(bytes, answers)?.build().map_err(text_of)? {
        let batch = batch.map_err(text_of)?;
        let columns = RowColumns::new(&Columns(&batch))?;
        for row in 0..batch.num_rows() {
            rows.push(columns.row(row)?);
        }
    }
    Ok(rows)
}

/// Decodes what figures are made of and reads nothing else.
pub(in crate::store) fn tally(bytes: Bytes, answers: usize) -> Result<Tally, String> {
    let builder = opened(bytes, answers)?;
    let scores = Metric::ALL.map(score_column);
    let wanted = OF_MARKS.into_iter().chain(scores.iter().map(String::as_str));
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let mut marks = Vec::with_capacity(answers);
    for batch in builder.with_projection(mask).build().map_err(text_of)? {
        let batch = batch.map_err(text_of)?;
        let columns = MarkColumns::new(&Columns(&batch))?;
        for row in 0..batch.num_rows() {
            marks.push(columns.mark(row)?);
        }
    }
    Ok(marks.into_iter().collect())
}

/// A file about to be decoded, if it has as many rows as its record says and not too many. What its pages hold beyond
/// what it declares is not read.
fn opened(bytes: Bytes, answers: usize) -> Result<ParquetRecordBatchReaderBuilder<Bytes>, String> {
    if answers > MOST_ROWS {
        return Err(format!("its record has {answers} answers, at most {MOST_ROWS} are read"));
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(text_of)?;
    let rows = builder.metadata().file_metadata().num_rows();
    if usize::try_from(rows) != Ok(answers) {
        return Err(format!("it has {rows} rows, its record {answers} answers"));
    }
    Ok(builder.with_limit(answers))
}

fn text_of(error: impl ToString) -> String {
    error.to_string()
}

/// The columns of a batch by name.
struct Columns<'b>(&'b RecordBatch);

impl<'b> Columns<'b> {
    fn column(&self, name: &str) -> Result<&'b ArrayRef, String> {
        self.0.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"))
    }

    fn texts(&self, name: &'static str) -> Result<Texts<'b>, String> {
        let values = self.column(name)?.as_string_opt().ok_or_else(|| wrong_type(name))?;
        Ok(Texts { name, values })
    }

    fn counts(&self, name: &'static str) -> Result<&'b UInt32Array, String> {
        self.column(name)?.as_primitive_opt().ok_or_else(|| wrong_type(name))
    }

    fn times(&self, name: &'static str) -> Result<&'b Int64Array, String> {
        self.column(name)?.as_primitive_opt().ok_or_else(|| wrong_type(name))
    }

    fn floats(&self, name: &str) -> Result<Floats<'b>, String> {
        self.column(name)?.as_primitive_opt().map(Floats).ok_or_else(|| wrong_type(name))
    }

    /// Every metric whose scores are there.
    fn scores(&self) -> Vec<(Metric, Floats<'b>)> {
        let column = |metric| Some((metric, self.floats(&score_column(metric)).ok()?));
        Metric::ALL.into_iter().filter_map(column).collect()
    }

    fn lists(&self, name: &'static str) -> Result<Lists<'b>, String> {
        let values: &ListArray = self.column(name)?.as_list_opt().ok_or_else(|| wrong_type(name))?;
        let items = values.values().as_string_opt().ok_or_else(|| wrong_type(name))?;
        Ok(Lists { values, items })
    }
}

fn wrong_type(name: &str) -> String {
    format!("the column `{name}` has the wrong type")
}

struct Texts<'b> {
    name: &'static str,
    values: &'b StringArray,
}

impl<'b> Texts<'b> {
    fn maybe(&self, row: usize) -> Option<&'b str> {
        self.values.is_valid(row).then(|| self.values.value(row))
    }

    fn get(&self, row: usize) -> Result<&'b str, String> {
        self.maybe(row).ok_or_else(|| format!("`{}` is empty in row {row}", self.name))
    }

    /// A unit variant by its serde name.
    fn word<T: Deserialize<'b>>(&self, row: usize) -> Result<T, String> {
        self.parsed(self.get(row)?)
    }

    fn parsed<T: Deserialize<'b>>(&self, text: &'b str) -> Result<T, String> {
        let text: StrDeserializer<'b, Error> = text.into_deserializer();
        T::deserialize(text).map_err(|error| format!("`{}`: {error}", self.name))
    }
}

#[derive(Clone, Copy)]
struct Floats<'b>(&'b Float64Array);

impl Floats<'_> {
    fn get(&self, row: usize) -> Option<f64> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

struct Lists<'b> {
    values: &'b ListArray,
    items: &'b StringArray,
}

impl Lists<'_> {
    fn get(&self, row: usize) -> Option<Vec<String>> {
        let ends = self.values.value_offsets();
        let items = (ends[row]..ends[row + 1]).map(|at| at as usize);
        let items = items.filter(|at| self.items.is_valid(*at)).map(|at| self.items.value(at).to_owned());
        self.values.is_valid(row).then(|| items.collect())
    }
}

/// What a mark is made of.
struct MarkColumns<'b> {
    case: Texts<'b>,
    repeat: &'b UInt32Array,
    cluster: Texts<'b>,
    family: Texts<'b>,
    split: Texts<'b>,
    class: Texts<'b>,
    severity: Texts<'b>,
    target_severity: Texts<'b>,
    latency_ms: Floats<'b>,
    scores: Vec<(Metric, Floats<'b>)>,
}

impl<'b> MarkColumns<'b> {
    fn new(columns: &Columns<'b>) -> Result<Self, String> {
        let [case, repeat, cluster, family, split, class, severity, target_severity, latency_ms] = OF_MARKS;
        Ok(Self {
            case: columns.texts(case)?,
            repeat: columns.counts(repeat)?,
            cluster: columns.texts(cluster)?,
            family: columns.texts(family)?,
            split: columns.texts(split)?,
            class: columns.texts(class)?,
            severity: columns.texts(severity)?,
            target_severity: columns.texts(target_severity)?,
            latency_ms: columns.floats(latency_ms)?,
            scores: columns.scores(),
        })
    }

    fn mark(&self, row: usize) -> Result<Mark, String> {
        let class = self.class.word(row)?;
        let said = self.severity.maybe(row).map(|text| self.severity.parsed(text)).transpose()?;
        Ok(Mark {
            of: Names::new(self.cluster.get(row)?, self.case.get(row)?, self.family.get(row)?),
            repeat: self.repeat.value(row),
            split: self.split.word(row)?,
            class,
            latency_ms: self.latency_ms.get(row).unwrap_or_default(),
            severity: rating(self.target_severity.word(row)?, class, said),
            scores: self.scores.iter().filter_map(|(metric, scores)| Some((*metric, scores.get(row)?))).collect(),
        })
    }
}

/// What a row is made of, beside its mark's columns.
struct RowColumns<'b> {
    mark: MarkColumns<'b>,
    at: &'b Int64Array,
    reason: Texts<'b>,
    root_cause: Texts<'b>,
    components: Lists<'b>,
    evidence: Lists<'b>,
    summary: Texts<'b>,
    target_root_cause: Texts<'b>,
    /// `model_ms`, `first_token_ms`, `prompt_ms`, `decode_ms`.
    timings: [Floats<'b>; 4],
    /// `prompt_tokens`, `cached_tokens`, `completion_tokens`.
    usage: [&'b UInt32Array; 3],
    attempts: &'b UInt32Array,
    prompt: Texts<'b>,
    route: Texts<'b>,
    rendered_hash: Texts<'b>,
    /// `lines`, `templates`, `omitted_templates`, `omitted_lines`, `digest_tokens`, `redactions`.
    digest: [&'b UInt32Array; 6],
    decisive_ids: Lists<'b>,
    /// Younger than the first files.
    trace_id: Option<Texts<'b>>,
}

impl<'b> RowColumns<'b> {
    fn new(columns: &Columns<'b>) -> Result<Self, String> {
        let counts = |name| columns.counts(name);
        Ok(Self {
            mark: MarkColumns::new(columns)?,
            at: columns.times("at")?,
            reason: columns.texts("reason")?,
            root_cause: columns.texts("root_cause")?,
            components: columns.lists("components")?,
            evidence: columns.lists("evidence")?,
            summary: columns.texts("summary")?,
            target_root_cause: columns.texts("target_root_cause")?,
            timings: [
                columns.floats("model_ms")?,
                columns.floats("first_token_ms")?,
                columns.floats("prompt_ms")?,
                columns.floats("decode_ms")?,
            ],
            usage: [counts("prompt_tokens")?, counts("cached_tokens")?, counts("completion_tokens")?],
            attempts: counts("attempts")?,
            prompt: columns.texts("prompt")?,
            route: columns.texts("route")?,
            rendered_hash: columns.texts("rendered_hash")?,
            digest: [
                counts("lines")?,
                counts("templates")?,
                counts("omitted_templates")?,
                counts("omitted_lines")?,
                counts("digest_tokens")?,
                counts("redactions")?,
            ],
            decisive_ids: columns.lists("decisive_ids")?,
            trace_id: columns.texts("trace_id").ok(),
        })
    }

    fn row(&self, row: usize) -> Result<CaseResult, String> {
        let mark = &self.mark;
        Ok(CaseResult {
            answer: self.answer(row)?,
            cluster: mark.cluster.get(row)?.to_owned(),
            family: mark.family.get(row)?.to_owned(),
            split: mark.split.word(row)?,
            target_root_cause: self.target_root_cause.get(row)?.to_owned(),
            target_severity: mark.target_severity.word(row)?,
            scores: mark.scores.iter().filter_map(|(metric, scores)| Some((*metric, scores.get(row)?))).collect(),
        })
    }

    fn answer(&self, row: usize) -> Result<Answer, String> {
        let [prompt_tokens, cached_tokens, completion_tokens] = self.usage.map(|counts| counts.value(row));
        let [total_ms, first_token_ms, prompt_ms, decode_ms] = self.timings.map(|floats| floats.get(row));
        Ok(Answer {
            case: self.mark.case.get(row)?.to_owned(),
            repeat: self.mark.repeat.value(row),
            at: DateTime::from_timestamp_nanos(self.at.value(row)),
            asked: self.asked(row)?,
            class: self.mark.class.word(row)?,
            reason: self.reason.maybe(row).map(str::to_owned),
            verdict: self.verdict(row)?,
            usage: Usage { prompt_tokens, cached_tokens, completion_tokens },
            timings: Timings { total_ms: total_ms.unwrap_or_default(), first_token_ms, prompt_ms, decode_ms },
            latency_ms: self.mark.latency_ms.get(row).unwrap_or_default(),
            attempts: self.attempts.value(row),
            trace_id: self.trace_id.as_ref().and_then(|ids| ids.maybe(row)).map(str::to_owned),
        })
    }

    fn asked(&self, row: usize) -> Result<Asked, String> {
        let [lines, templates, omitted_templates, omitted_lines, digest_tokens, redactions] =
            self.digest.map(|counts| counts.value(row));
        Ok(Asked {
            prompt: self.prompt.get(row)?.to_owned(),
            route: self.route.maybe(row).map(str::to_owned),
            rendered_hash: self.rendered_hash.get(row)?.to_owned(),
            lines,
            templates,
            omitted_templates,
            omitted_lines,
            digest_tokens,
            redactions,
            decisive_ids: self.decisive_ids.get(row).unwrap_or_default(),
        })
    }

    fn verdict(&self, row: usize) -> Result<Option<Verdict>, String> {
        let Some(root_cause) = self.root_cause.maybe(row) else { return Ok(None) };
        Ok(Some(Verdict {
            evidence: self.evidence.get(row).unwrap_or_default(),
            components: self.components.get(row).unwrap_or_default(),
            root_cause: root_cause.to_owned(),
            severity: self.mark.severity.word(row)?,
            summary: self.summary.get(row)?.to_owned(),
        }))
    }
}
