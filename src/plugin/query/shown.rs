//! How figures look wherever they are shown: units, thresholds, links to the next question.

use serde_json::{Value, json};

use crate::frame::{Config, Field, Internal, Link, Thresholds};
use crate::plugin::settings::Instance;
use crate::score::{Metric, Unit};
use crate::stats::Direction;
use crate::stream::Labels;

/// Unit, bounds, thresholds and meaning of a metric's values.
pub(super) fn metric(config: Config, metric: Metric) -> Config {
    let config = config.unit(metric.unit().grafana());
    if metric.unit() != Unit::Share {
        return config.decimals(1);
    }
    let steps = match metric.direction() {
        Direction::HigherIsBetter => Thresholds::absolute("red", &[(0.5, "orange"), (0.8, "green")]),
        Direction::LowerIsBetter => Thresholds::absolute("green", &[(0.05, "orange"), (0.2, "red")]),
    };
    Config { thresholds: Some(steps), ..config.range(0.0, 1.0).decimals(3) }
}

/// The two fields of an interval around a series called `title`; the time series panel fills the band between them.
pub(super) fn band(
    title: &str,
    low: impl IntoIterator<Item = Option<f64>>,
    high: impl IntoIterator<Item = Option<f64>>,
    labels: &Labels,
    change: impl Fn(Config) -> Config,
) -> [Field; 2] {
    let hidden = json!({"legend": true, "tooltip": false, "viz": false});
    let (low_name, high_name) = (format!("{title} low"), format!("{title} high"));
    let low = Field::float_or_null("ci_low", low).labelled(labels.clone()).shown(|config| {
        let mut config = change(config).display_name(&low_name);
        config.custom = json!({"lineWidth": 0, "hideFrom": hidden});
        config
    });
    let high = Field::float_or_null("ci_high", high).labelled(labels.clone()).shown(|config| {
        let mut config = change(config).display_name(high_name);
        config.custom = json!({"lineWidth": 0, "fillBelowTo": low_name, "hideFrom": hidden});
        config
    });
    [low, high]
}

/// A link to another question to the same data source, shown in Explore.
pub(super) fn link(instance: &Instance, title: &str, query: Value) -> Link {
    let internal = Internal { query, datasource_uid: instance.uid.clone(), datasource_name: instance.name.clone() };
    Link { title: title.to_owned(), internal: Some(internal), ..Link::default() }
}

/// A link from a row with a column `run` to the cases of that run.
pub(super) fn to_cases(instance: &Instance) -> Link {
    link(instance, "Cases of this run", json!({"queryType": "cases", "run": "${__data.fields.run}"}))
}

/// A link from a row with the columns `run` and `case` to the verdict.
pub(super) fn to_verdict(instance: &Instance) -> Link {
    let query = json!({"queryType": "analyze", "run": "${__data.fields.run}", "case": "${__data.fields.case}"});
    link(instance, "Verdict and evidence", query)
}
