//! Frames as the JSON that Grafana Live carries to a browser.
//!
//! After `data.FrameToJSON` of grafana-plugin-sdk-go: a schema with names and types, and the values column by column.
//! Times are in milliseconds there.

use serde_json::{Value, json};

use super::{Field, Frame, Values};

impl Frame {
    /// The frame as JSON, schema and values.
    pub fn to_json(&self) -> Value {
        let fields: Vec<Value> = self.fields.iter().map(schema).collect();
        let values: Vec<Value> = self.fields.iter().map(|field| values(field.values())).collect();
        json!({
            "schema": {"name": self.name, "refId": self.ref_id, "meta": self.meta, "fields": fields},
            "data": {"values": values},
        })
    }
}

fn schema(field: &Field) -> Value {
    let frame = match field.values() {
        Values::Time(_) => "time.Time",
        Values::Float(_) => "float64",
        Values::Int(_) => "int64",
        Values::Bool(_) => "bool",
        Values::Text(_) => "string",
        Values::Json(_) => "json.RawMessage",
    };
    let mut info = json!({"frame": frame});
    if field.nullable() {
        info["nullable"] = json!(true);
    }
    let mut schema = json!({"name": field.name, "type": field.values().browser_type(), "typeInfo": info});
    if !field.labels.0.is_empty() {
        schema["labels"] = json!(field.labels);
    }
    if !field.config.is_empty() {
        schema["config"] = json!(field.config);
    }
    schema
}

fn values(values: &Values) -> Value {
    match values {
        Values::Time(times) => times.iter().map(|time| time.map(|ns| ns.div_euclid(1_000_000))).collect(),
        Values::Float(numbers) => json!(numbers),
        Values::Int(numbers) => json!(numbers),
        Values::Bool(flags) => json!(flags),
        Values::Text(texts) => json!(texts),
        Values::Json(documents) => json!(documents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameType;
    use crate::stream::Labels;

    #[test]
    fn schema_and_values_stand_side_by_side() {
        let frame = Frame::new("progress", FrameType::Table)
            .with(Field::time("time", [1_500_000_000]))
            .with(Field::text("state", ["queued"]))
            .with(Field::float_or_null("share", [None]).labelled(Labels::from_iter([("a", "b")])));
        let json = frame.to_json();
        let fields = &json["schema"]["fields"];
        assert_eq!(fields[0], json!({"name": "time", "type": "time", "typeInfo": {"frame": "time.Time"}}));
        assert_eq!(fields[1]["typeInfo"]["frame"], "string");
        assert_eq!((&fields[2]["typeInfo"]["nullable"], &fields[2]["labels"]), (&json!(true), &json!({"a": "b"})));
        assert_eq!(json["data"]["values"], json!([[1_500], ["queued"], [null]]));
    }
}
