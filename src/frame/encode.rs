//! Frames as the bytes of an Arrow IPC file.
//!
//! What each key means is set by the decoder on Grafana's side, `data.UnmarshalArrowFrame`: `name`, `refId` and `meta` in
//! the schema's metadata; `labels`, `config` and `tstype` in each field's; times as nanoseconds without a zone; JSON as
//! binary. Labels and settings are written independently of each other.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Field as ArrowField, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;

use super::{Field, Frame, Values};

/// Why a frame cannot be encoded. Each is a defect of ours, not of whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The columns differ in length.
    #[error(
        "frame `{frame}`: field `{field}` has {got} values, but `{first}` has {expected}: fill the gaps with nulls"
    )]
    Length {
        /// The frame's name.
        frame: String,
        /// The field that differs.
        field: String,
        /// Its length.
        got: usize,
        /// The first field, by which the others are measured.
        first: String,
        /// The first field's length.
        expected: usize,
    },
    /// A text in the metadata cannot be JSON.
    #[error("frame `{frame}`: cannot write its metadata as JSON")]
    Json {
        /// The frame's name.
        frame: String,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// Arrow refuses the columns.
    #[error("frame `{frame}`: cannot write its columns as Arrow")]
    Arrow {
        /// The frame's name.
        frame: String,
        /// What was wrong.
        source: ArrowError,
    },
}

impl Frame {
    /// The frame as an Arrow IPC file. Fails when the columns differ in length, naming the first that does.
    pub fn to_arrow(&self) -> Result<Vec<u8>, EncodeError> {
        self.check_lengths()?;
        let json = |source| EncodeError::Json { frame: self.name.clone(), source };
        let columns: Vec<ArrayRef> =
            self.fields.iter().map(|field| array(field.values())).collect::<Result<_, _>>().map_err(json)?;
        let fields: Vec<ArrowField> = self
            .fields
            .iter()
            .zip(&columns)
            .map(|(field, column)| schema_field(field, column))
            .collect::<Result<_, _>>()
            .map_err(json)?;
        let schema = Schema::new_with_metadata(fields, self.metadata().map_err(json)?);
        write(schema, columns, self.rows()).map_err(|source| EncodeError::Arrow { frame: self.name.clone(), source })
    }

    fn check_lengths(&self) -> Result<(), EncodeError> {
        let Some(first) = self.fields.first() else { return Ok(()) };
        let expected = first.values().len();
        match self.fields.iter().find(|field| field.values().len() != expected) {
            None => Ok(()),
            Some(field) => Err(EncodeError::Length {
                frame: self.name.clone(),
                field: field.name.clone(),
                got: field.values().len(),
                first: first.name.clone(),
                expected,
            }),
        }
    }

    fn metadata(&self) -> Result<HashMap<String, String>, serde_json::Error> {
        Ok(HashMap::from([
            ("name".to_owned(), self.name.clone()),
            ("refId".to_owned(), self.ref_id.clone()),
            ("meta".to_owned(), serde_json::to_string(&self.meta)?),
        ]))
    }
}

fn schema_field(field: &Field, column: &ArrayRef) -> Result<ArrowField, serde_json::Error> {
    let mut metadata = HashMap::from([("tstype".to_owned(), field.values().browser_type().to_owned())]);
    if !field.labels.0.is_empty() {
        metadata.insert("labels".to_owned(), serde_json::to_string(&field.labels)?);
    }
    if !field.config.is_empty() {
        metadata.insert("config".to_owned(), serde_json::to_string(&field.config)?);
    }
    Ok(ArrowField::new(&field.name, column.data_type().clone(), field.nullable()).with_metadata(metadata))
}

fn array(values: &Values) -> Result<ArrayRef, serde_json::Error> {
    Ok(match values {
        Values::Time(values) => Arc::new(TimestampNanosecondArray::from(values.clone())),
        Values::Float(values) => Arc::new(Float64Array::from(values.clone())),
        Values::Int(values) => Arc::new(Int64Array::from(values.clone())),
        Values::Bool(values) => Arc::new(BooleanArray::from(values.clone())),
        Values::Text(values) => Arc::new(values.iter().map(Option::as_deref).collect::<StringArray>()),
        Values::Json(values) => {
            let texts: Vec<Option<Vec<u8>>> = values
                .iter()
                .map(|value| value.as_ref().map(serde_json::to_vec).transpose())
                .collect::<Result<_, _>>()?;
            Arc::new(texts.iter().map(Option::as_deref).collect::<BinaryArray>())
        }
    })
}

fn write(schema: Schema, columns: Vec<ArrayRef>, rows: usize) -> Result<Vec<u8>, ArrowError> {
    let schema = Arc::new(schema);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, &schema)?;
    if rows > 0 {
        writer.write(&batch)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType};
    use arrow::ipc::reader::FileReader;
    use serde_json::json;

    use super::*;
    use crate::frame::FrameType;
    use crate::stream::Labels;

    fn all_types() -> Frame {
        let mut frame = Frame::new("all", FrameType::Table)
            .with(Field::time("time", [1_700_000_000_123_456_789, 0]))
            .with(Field::float_or_null("score", [Some(0.5), None]))
            .with(Field::int("cases", [3, -4]))
            .with(Field::bool("pass", [true, false]))
            .with(Field::text_or_null("model", [Some("m1"), None]))
            .with(Field::json("labels", [json!({"app": "etcd"}), json!([])]));
        frame.ref_id = "A".to_owned();
        frame
    }

    fn read(frame: &Frame) -> (Schema, Vec<RecordBatch>) {
        let reader = FileReader::try_new(Cursor::new(frame.to_arrow().unwrap()), None).unwrap();
        let schema = reader.schema().as_ref().clone();
        (schema, reader.collect::<Result<_, _>>().unwrap())
    }

    #[test]
    fn values_of_every_type_survive() {
        let (schema, batches) = read(&all_types());
        let batch = &batches[0];
        assert_eq!(schema.field(0).data_type(), &DataType::Timestamp(TimeUnit::Nanosecond, None));
        assert_eq!(batch.column(0).as_primitive::<TimestampNanosecondType>().value(0), 1_700_000_000_123_456_789);
        let scores = batch.column(1).as_primitive::<Float64Type>();
        assert!((scores.value(0) - 0.5).abs() < f64::EPSILON && scores.is_null(1));
        assert_eq!(batch.column(2).as_primitive::<Int64Type>().values(), &[3, -4]);
        assert!(batch.column(3).as_boolean().value(0));
        assert!(batch.column(4).as_string::<i32>().is_null(1));
        assert_eq!(batch.column(5).as_binary::<i32>().value(0), br#"{"app":"etcd"}"#);
        let nullable: Vec<_> = schema.fields().iter().map(|field| field.is_nullable()).collect();
        assert_eq!(nullable, [false, true, false, false, true, false]);
    }

    #[test]
    fn the_schema_names_frame_and_query() {
        let (schema, _) = read(&all_types());
        assert_eq!(schema.metadata()["name"], "all");
        assert_eq!(schema.metadata()["refId"], "A");
        assert_eq!(schema.metadata()["meta"], r#"{"type":"table","typeVersion":[0,0]}"#);
    }

    #[test]
    fn labels_and_settings_are_written_side_by_side() {
        let labels: Labels = [("model", "m1")].into_iter().collect();
        let plain = Field::float("score", [0.5]);
        let labelled = plain.clone().labelled(labels);
        let both = labelled.clone().shown(|config| config.unit("percentunit"));
        let frame = Frame { fields: vec![plain, labelled, both], ..Frame::default() };
        let (schema, _) = read(&frame);
        let key = |i: usize, name: &str| schema.field(i).metadata().get(name).cloned();
        assert_eq!((key(0, "labels"), key(0, "config")), (None, None));
        assert_eq!((key(1, "labels"), key(1, "config")), (Some(r#"{"model":"m1"}"#.to_owned()), None));
        assert_eq!(key(2, "labels").as_deref(), Some(r#"{"model":"m1"}"#));
        assert_eq!(key(2, "config").as_deref(), Some(r#"{"unit":"percentunit"}"#));
        assert_eq!(key(2, "tstype").as_deref(), Some("number"));
    }

    #[test]
    fn unequal_columns_are_refused_by_name() {
        let frame =
            Frame::new("runs", FrameType::Table).with(Field::text("run", ["a", "b"])).with(Field::int("cases", [1]));
        let error = frame.to_arrow().unwrap_err().to_string();
        assert_eq!(error, "frame `runs`: field `cases` has 1 values, but `run` has 2: fill the gaps with nulls");
    }

    #[test]
    fn frames_without_rows_or_fields_are_whole_files() {
        let (schema, batches) = read(&Frame::new("empty", FrameType::Table).with(Field::text::<String>("run", [])));
        assert_eq!((schema.fields().len(), batches.iter().map(RecordBatch::num_rows).sum::<usize>()), (1, 0));
        let (schema, _) = read(&Frame::new("nothing", FrameType::Table));
        assert!(schema.fields().is_empty());
    }
}
