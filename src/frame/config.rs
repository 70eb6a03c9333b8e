//! How a column is shown: unit, bounds, thresholds, value mappings, links.
//!
//! The JSON is Grafana's `FieldConfig`; whatever is unset is left out, so that a panel's own settings prevail.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Display settings of a column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The name shown in place of the field's own.
    #[serde(rename = "displayNameFromDS", skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What the column means, as a tooltip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Grafana's id of the unit: `percentunit`, `ms`, `s`, `decbytes`, `short`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The text shown where there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_value: Option<String>,
    /// Digits after the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u16>,
    /// The least value that can occur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value that can occur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Texts and colours for particular values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<Mapping>,
    /// Colours from certain values upwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Where a click on a value leads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Settings for one kind of panel, null for none.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub custom: Value,
}

impl Config {
    /// Sets the unit, by Grafana's id of it.
    #[must_use]
    pub fn unit(mut self, unit: &str) -> Self {
        self.unit = Some(unit.to_owned());
        self
    }

    /// Sets the digits after the point.
    #[must_use]
    pub fn decimals(mut self, decimals: u16) -> Self {
        self.decimals = Some(decimals);
        self
    }

    /// Sets the least and the greatest value that can occur.
    #[must_use]
    pub fn range(mut self, min: f64, max: f64) -> Self {
        (self.min, self.max) = (Some(min), Some(max));
        self
    }

    /// Sets the tooltip.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Sets the text shown where there is no value.
    #[must_use]
    pub fn no_value(mut self, text: &str) -> Self {
        self.no_value = Some(text.to_owned());
        self
    }

    /// Sets the name shown.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Gives certain texts a colour.
    #[must_use]
    pub fn colours(mut self, colours: &[(&str, &str)]) -> Self {
        let results = colours.iter().map(|(value, colour)| {
            let result = MappingResult { color: Some((*colour).to_owned()), ..MappingResult::default() };
            ((*value).to_owned(), result)
        });
        self.mappings.push(Mapping::Value(results.collect()));
        self
    }

    /// Adds a link.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a click leads.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The link's text.
    pub title: String,
    /// The address; `${__value.raw}` and the like are filled in by Grafana. Empty for a link within Explore.
    pub url: String,
    /// Whether it opens a tab of its own.
    #[serde(skip_serializing_if = "is_false")]
    pub target_blank: bool,
    /// A query to another data source, for Explore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<Internal>,
}

/// A link's query to another data source.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Internal {
    /// The query, in the other data source's own form.
    pub query: Value,
    /// The other data source.
    pub datasource_uid: String,
    /// Its name, for the link's text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datasource_name: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Colours from certain values upwards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Thresholds {
    mode: &'static str,
    steps: Vec<Step>,
}

impl Thresholds {
    /// Thresholds on the values themselves: a colour for the lowest, then one from each value on. Sorts the steps,
    /// because Grafana takes them as they come.
    pub fn absolute(lowest: &str, steps: &[(f64, &str)]) -> Self {
        let mut sorted: Vec<_> = steps.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let first = Step { value: None, color: lowest.to_owned() };
        let rest = sorted.into_iter().map(|(value, colour)| Step { value: Some(value), color: colour.to_owned() });
        Self { mode: "absolute", steps: std::iter::once(first).chain(rest).collect() }
    }
}

/// One step of the thresholds. The first has no value: it holds from minus infinity, which Grafana writes as null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    value: Option<f64>,
    color: String,
}

/// What is shown in place of a value.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MappingResult {
    /// The text, if not the value itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The colour, by Grafana's name of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

/// A value that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Special {
    /// No value.
    #[serde(rename = "null")]
    Null,
    /// Not a number.
    #[serde(rename = "nan")]
    Nan,
    /// No value, or not a number.
    #[serde(rename = "null+nan")]
    NullOrNan,
    /// The empty text.
    #[serde(rename = "empty")]
    Empty,
    /// Truth.
    #[serde(rename = "true")]
    True,
    /// Falsehood.
    #[serde(rename = "false")]
    False,
}

/// Which values are shown as something else.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapping {
    /// Certain values, by their text.
    Value(BTreeMap<String, MappingResult>),
    /// All numbers of a range, both ends included; an open end is `None`.
    Range {
        /// The least number.
        from: Option<f64>,
        /// The greatest number.
        to: Option<f64>,
        /// What they are shown as.
        result: MappingResult,
    },
    /// A value that is none.
    Special(Special, MappingResult),
}

impl Serialize for Mapping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, options) = match self {
            Self::Value(results) => ("value", json!(results)),
            Self::Range { from, to, result } => ("range", json!({"from": from, "to": to, "result": result})),
            Self::Special(special, result) => ("special", json!({"match": special, "result": result})),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("options", &options)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_config_writes_nothing() {
        assert!(Config::default().is_empty());
        assert_eq!(serde_json::to_string(&Config::default()).unwrap(), "{}");
    }

    #[test]
    fn mappings_have_grafanas_types() {
        let result = MappingResult { text: Some("no fault".to_owned()), color: Some("green".to_owned()) };
        let mappings = [
            Mapping::Value([("none".to_owned(), result.clone())].into()),
            Mapping::Range { from: Some(0.0), to: None, result: result.clone() },
            Mapping::Special(Special::NullOrNan, result),
        ];
        let expected = json!([
            {"type": "value", "options": {"none": {"text": "no fault", "color": "green"}}},
            {"type": "range", "options": {"from": 0.0, "to": null, "result": {"text": "no fault", "color": "green"}}},
            {"type": "special", "options": {"match": "null+nan", "result": {"text": "no fault", "color": "green"}}},
        ]);
        assert_eq!(serde_json::to_value(mappings).unwrap(), expected);
    }

    #[test]
    fn thresholds_are_sorted_and_begin_at_minus_infinity() {
        let thresholds = Thresholds::absolute("red", &[(0.9, "green"), (0.5, "orange")]);
        let expected = json!({"mode": "absolute", "steps": [
            {"value": null, "color": "red"}, {"value": 0.5, "color": "orange"}, {"value": 0.9, "color": "green"},
        ]});
        assert_eq!(serde_json::to_value(thresholds).unwrap(), expected);
    }

    #[test]
    fn links_lead_outside_or_into_explore() {
        let outside = Link { title: "Trace".to_owned(), url: "https://example.org".to_owned(), ..Link::default() };
        assert_eq!(serde_json::to_value(outside).unwrap(), json!({"title": "Trace", "url": "https://example.org"}));
        let internal =
            Internal { query: json!({"query": "abc"}), datasource_uid: "tempo".to_owned(), ..Internal::default() };
        let inside = Link { title: "Trace".to_owned(), internal: Some(internal), ..Link::default() };
        let expected =
            json!({"title": "Trace", "url": "", "internal": {"query": {"query": "abc"}, "datasourceUid": "tempo"}});
        assert_eq!(serde_json::to_value(inside).unwrap(), expected);
    }
}
