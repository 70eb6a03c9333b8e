//! How figures look wherever they are shown: units, thresholds, links to the next question.

use serde_json::{Value, json};

use super::severity_colours;
use crate::frame::{Config, Field, Internal, Link, Thresholds};
use crate::ontology::{NONE, Severity};
use crate::plugin::instance::Instance;
use crate::score::{Metric, Unit};
use crate::stats::Direction;
use crate::stream::Labels;
use crate::verdict::Verdict;

/// The metric of how long a model takes, as Prometheus names it.
const DURATION: &str = "gen_ai_client_inference_duration_seconds";

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
    Config { thresholds: Some(steps), ..config.range(0.0, 1.0).decimals(1) }
}

/// What a person reads of a verdict before all else: what broke, where, in a sentence, and by which log lines. A table panel
/// keeps to the widths and breaks the sentence into lines; Explore makes all columns alike, and our editor there repeats it.
pub(super) fn verdict(verdict: Option<&Verdict>) -> [Field; 5] {
    let column = |name: &str, pixels: u32, text: &dyn Fn(&Verdict) -> String| {
        Field::text_or_null(name, [verdict.map(text)]).shown(|config| wide(config, pixels))
    };
    // Grafana 12.3 reads the shorter one, those before it the other.
    let sentence = json!({"width": 430, "wrapText": true, "cellOptions": {"type": "auto", "wrapText": true}});
    [
        column("severity", 90, &|verdict| verdict.severity.to_string()).shown(severity_colours),
        column("root_cause", 150, &|verdict| verdict.root_cause.clone()),
        column("components", 130, &|verdict| verdict.components.join(", ")),
        column("summary", 0, &|verdict| verdict.summary.clone()).shown(|config| Config { custom: sentence, ..config }),
        column("evidence", 110, &|verdict| verdict.evidence.join(", ")),
    ]
}

/// A column of so many pixels; others share what is left.
pub(super) fn wide(config: Config, pixels: u32) -> Config {
    Config { custom: json!({"width": pixels}), ..config }
}

/// The two fields of an interval around a series called `title`; the time series panel fills the band between them,
/// and draws nothing of it at a lone point, where it would look like two more values.
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
        config.custom = json!({"lineWidth": 0, "showPoints": "never", "hideFrom": hidden});
        config
    });
    let high = Field::float_or_null("ci_high", high).labelled(labels.clone()).shown(|config| {
        let mut config = change(config).display_name(high_name);
        config.custom = json!({"lineWidth": 0, "showPoints": "never", "fillBelowTo": low_name, "hideFrom": hidden});
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

/// Links a trace id to its trace, where the data source with the traces is set.
pub(super) fn to_trace(config: Config, instance: &Instance) -> Config {
    let Some(uid) = instance.links().tempo else { return config };
    // What Tempo's query editor makes of a trace id.
    config.link(to_other("Trace", uid, json!({"queryType": "traceql", "query": "${__value.raw}", "refId": "A"})))
}

/// Links to the logs that were looked at, where the data source with the logs is set.
pub(super) fn to_logs(config: Config, instance: &Instance, expr: &str) -> Config {
    let Some(uid) = instance.links().loki else { return config };
    config.link(to_other("Logs", uid, json!({"expr": expr, "refId": "A"})))
}

/// Links a duration to how long the model has taken of late, where the data source with the metrics is set.
pub(super) fn to_latency(config: Config, instance: &Instance, model: &str) -> Config {
    let Some(uid) = instance.links().prometheus else { return config };
    let buckets = format!("{DURATION}_bucket{{gen_ai_request_model={model:?}}}[$__rate_interval]");
    let expr = format!("histogram_quantile(0.95, sum by (le) (rate({buckets})))");
    config.link(to_other("p95 of this model", uid, json!({"expr": expr, "refId": "A"})))
}

fn to_other(title: &str, uid: String, query: Value) -> Link {
    let internal = Internal { query, datasource_uid: uid, datasource_name: String::new() };
    Link { title: title.to_owned(), internal: Some(internal), ..Link::default() }
}

/// The colours of outcomes.
pub(super) fn outcome_colours(config: Config) -> Config {
    config.colours(&[("ok", "green"), ("abstained", "blue"), ("ungrounded", "orange")])
}

/// The severity of a verdict as a number: 0 (information, or no fault) to 3 (critical).
pub(super) fn severity_number(verdict: &Verdict) -> f64 {
    match verdict.severity {
        _ if verdict.root_cause == NONE => 0.0,
        Severity::Info => 0.0,
        Severity::Warning => 1.0,
        Severity::Error => 2.0,
        Severity::Critical => 3.0,
    }
}
