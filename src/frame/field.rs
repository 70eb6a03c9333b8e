//! A column: its name, labels, display settings and typed, nullable values.
//!
//! A value that is not known is null, never zero and never an empty text.

use serde_json::Value;

use super::Config;
use crate::stream::Labels;

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Times in nanoseconds since the Unix epoch.
    Time(Vec<Option<i64>>),
    /// Floating-point numbers.
    Float(Vec<Option<f64>>),
    /// Whole numbers; a browser shows them exactly up to 2^53.
    Int(Vec<Option<i64>>),
    /// Truth values.
    Bool(Vec<Option<bool>>),
    /// Texts.
    Text(Vec<Option<String>>),
    /// JSON documents.
    Json(Vec<Option<Value>>),
}

impl Values {
    /// The number of values, nulls included.
    pub fn len(&self) -> usize {
        match self {
            Self::Time(values) | Self::Int(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Json(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type's name in the browser, which the field metadata carries as `tstype`.
    pub(super) fn browser_type(&self) -> &'static str {
        match self {
            Self::Time(_) => "time",
            Self::Float(_) | Self::Int(_) => "number",
            Self::Bool(_) => "boolean",
            Self::Text(_) => "string",
            Self::Json(_) => "other",
        }
    }
}

/// A column of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// What tells this column from others of the same name; becomes the series' and the alert's labels.
    pub labels: Labels,
    /// How to show the values.
    pub config: Config,
    values: Values,
    nullable: bool,
}

impl Field {
    /// A column that may hold nulls, whether or not it does now.
    pub fn sparse(name: impl Into<String>, values: Values) -> Self {
        Self { name: name.into(), labels: Labels::default(), config: Config::default(), values, nullable: true }
    }

    fn full(name: impl Into<String>, values: Values) -> Self {
        Self { nullable: false, ..Self::sparse(name, values) }
    }

    /// A column of times, in nanoseconds since the Unix epoch.
    pub fn time(name: impl Into<String>, values: impl IntoIterator<Item = i64>) -> Self {
        Self::full(name, Values::Time(values.into_iter().map(Some).collect()))
    }

    /// A column of times of which some are not known.
    pub fn time_or_null(name: impl Into<String>, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        Self::sparse(name, Values::Time(values.into_iter().collect()))
    }

    /// A column of numbers.
    pub fn float(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        Self::full(name, Values::Float(values.into_iter().map(Some).collect()))
    }

    /// A column of numbers of which some are not known.
    pub fn float_or_null(name: impl Into<String>, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        Self::sparse(name, Values::Float(values.into_iter().collect()))
    }

    /// A column of whole numbers.
    pub fn int(name: impl Into<String>, values: impl IntoIterator<Item = i64>) -> Self {
        Self::full(name, Values::Int(values.into_iter().map(Some).collect()))
    }

    /// A column of whole numbers of which some are not known.
    pub fn int_or_null(name: impl Into<String>, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        Self::sparse(name, Values::Int(values.into_iter().collect()))
    }

    /// A column of truth values.
    pub fn bool(name: impl Into<String>, values: impl IntoIterator<Item = bool>) -> Self {
        Self::full(name, Values::Bool(values.into_iter().map(Some).collect()))
    }

    /// A column of truth values of which some are not known.
    pub fn bool_or_null(name: impl Into<String>, values: impl IntoIterator<Item = Option<bool>>) -> Self {
        Self::sparse(name, Values::Bool(values.into_iter().collect()))
    }

    /// A column of texts.
    pub fn text<T: Into<String>>(name: impl Into<String>, values: impl IntoIterator<Item = T>) -> Self {
        Self::full(name, Values::Text(values.into_iter().map(|text| Some(text.into())).collect()))
    }

    /// A column of texts of which some are not known.
    pub fn text_or_null<T: Into<String>>(name: impl Into<String>, values: impl IntoIterator<Item = Option<T>>) -> Self {
        Self::sparse(name, Values::Text(values.into_iter().map(|text| text.map(Into::into)).collect()))
    }

    /// A column of JSON documents.
    pub fn json(name: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Self {
        Self::full(name, Values::Json(values.into_iter().map(Some).collect()))
    }

    /// Sets the labels.
    #[must_use]
    pub fn labelled(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Changes the display settings.
    #[must_use]
    pub fn shown(mut self, change: impl FnOnce(Config) -> Config) -> Self {
        self.config = change(self.config);
        self
    }

    /// The values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Whether the column may hold nulls.
    pub fn nullable(&self) -> bool {
        self.nullable
    }
}
