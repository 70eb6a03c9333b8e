//! What a frame says about itself: its kind, notices, the query that was run.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// The structure that a frame promises, after the data plane contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameType {
    /// Any columns at all.
    #[default]
    Table,
    /// One row; a number per dimension, dimensions as labels.
    NumericWide,
    /// A row per item; texts are its dimensions, numbers its values.
    NumericLong,
    /// A time column, then a number per dimension, dimensions as labels.
    #[serde(rename = "timeseries-wide")]
    TimeSeriesWide,
    /// A time column in ascending order; texts are the dimensions, numbers the values.
    #[serde(rename = "timeseries-long")]
    TimeSeriesLong,
    /// A frame for each dimension, of a time column and a number.
    #[serde(rename = "timeseries-multi")]
    TimeSeriesMulti,
    /// Log lines: `timestamp`, `body`, and optionally `severity`, `id`, `labels`.
    LogLines,
}

impl FrameType {
    /// The version of the contract that the frame keeps to; a plain table is under none.
    fn version(self) -> [u32; 2] {
        match self {
            Self::Table => [0, 0],
            Self::LogLines => [0, 0],
            _ => [0, 1],
        }
    }
}

/// How bad a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// The answer is not all that was asked for.
    Warning,
    /// Part of the answer failed.
    Error,
}

/// A sentence that Grafana shows in the corner of the panel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// How bad it is.
    pub severity: Severity,
    /// The sentence.
    pub text: String,
    /// Where to read on: a URL, or a path below Grafana's root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link: String,
}

impl Notice {
    /// A notice without a link.
    pub fn new(severity: Severity, text: impl Into<String>) -> Self {
        Self { severity, text: text.into(), link: String::new() }
    }
}

/// How Explore shows the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Visualisation {
    /// As a graph over time.
    Graph,
    /// As a table.
    Table,
    /// As log lines.
    Logs,
    /// As the spans of a trace.
    Trace,
}

/// Metadata of a frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta {
    /// The structure that the frame promises.
    pub kind: FrameType,
    /// Anything for our own frontend, null for nothing.
    pub custom: Value,
    /// Sentences that Grafana shows on the panel.
    pub notices: Vec<Notice>,
    /// What was really asked of the store or of Loki; the query inspector shows it.
    pub executed_query: String,
    /// How Explore shows the frame.
    pub visualisation: Option<Visualisation>,
    /// Indices of the fields that together identify a row, for deduplication.
    pub row_id_fields: Vec<usize>,
    /// The live channel with newer values of this frame, `ds/<uid>/<path>`.
    pub channel: String,
}

impl Meta {
    /// Metadata that says the kind and no more.
    pub fn new(kind: FrameType) -> Self {
        Self { kind, ..Self::default() }
    }
}

/// Grafana's own spelling, with everything unset left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    r#type: FrameType,
    type_version: [u32; 2],
    #[serde(skip_serializing_if = "Value::is_null")]
    custom: &'a Value,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notices: &'a [Notice],
    #[serde(skip_serializing_if = "str::is_empty")]
    channel: &'a str,
    #[serde(rename = "preferredVisualisationType", skip_serializing_if = "Option::is_none")]
    visualisation: Option<Visualisation>,
    #[serde(rename = "executedQueryString", skip_serializing_if = "str::is_empty")]
    executed_query: &'a str,
    #[serde(rename = "uniqueRowIdFields", skip_serializing_if = "<[_]>::is_empty")]
    row_id_fields: &'a [usize],
}

impl Serialize for Meta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire {
            r#type: self.kind,
            type_version: self.kind.version(),
            custom: &self.custom,
            notices: &self.notices,
            channel: &self.channel,
            visualisation: self.visualisation,
            executed_query: &self.executed_query,
            row_id_fields: &self.row_id_fields,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_spelled_as_the_contract_spells_them() {
        let spelled = |kind| serde_json::to_value(Meta::new(kind)).unwrap()["type"].clone();
        assert_eq!(spelled(FrameType::Table), "table");
        assert_eq!(spelled(FrameType::NumericWide), "numeric-wide");
        assert_eq!(spelled(FrameType::NumericLong), "numeric-long");
        assert_eq!(spelled(FrameType::TimeSeriesWide), "timeseries-wide");
        assert_eq!(spelled(FrameType::TimeSeriesLong), "timeseries-long");
        assert_eq!(spelled(FrameType::TimeSeriesMulti), "timeseries-multi");
        assert_eq!(spelled(FrameType::LogLines), "log-lines");
    }

    #[test]
    fn everything_set_is_written_in_grafanas_spelling() {
        let meta = Meta {
            custom: json!({"run": "r1"}),
            notices: vec![Notice::new(Severity::Warning, "2 cases have no score")],
            executed_query: "runs limit 5".to_owned(),
            visualisation: Some(Visualisation::Logs),
            row_id_fields: vec![0],
            channel: "ds/u/analyze".to_owned(),
            ..Meta::new(FrameType::NumericLong)
        };
        let expected = json!({
            "type": "numeric-long", "typeVersion": [0, 1], "custom": {"run": "r1"},
            "notices": [{"severity": "warning", "text": "2 cases have no score"}],
            "channel": "ds/u/analyze", "preferredVisualisationType": "logs",
            "executedQueryString": "runs limit 5", "uniqueRowIdFields": [0],
        });
        assert_eq!(serde_json::to_value(meta).unwrap(), expected);
    }

    #[test]
    fn what_is_not_set_is_left_out() {
        let text = serde_json::to_string(&Meta::new(FrameType::Table)).unwrap();
        assert_eq!(text, r#"{"type":"table","typeVersion":[0,0]}"#);
    }
}
