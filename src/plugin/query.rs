//! Query types: what can be asked, and the way from a query's JSON to the one that answers it.
//!
//! Each type is a file here with a [`QueryType`]: its name, and a function from the question to frames. A query names its
//! type in `queryType`; a field that the type does not know is an error, so that a misspelling is never taken for a
//! default.

mod analyze;
mod annotations;
mod attribution;
mod cases;
mod compare;
mod drift;
mod golden;
mod macros;
mod metrics;
mod prompts;
mod runs;
mod select;
mod shown;
mod signals;
mod tradeoff;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use grafana_plugin_sdk::pluginv2::DataQuery;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(super) use compare::Comparisons;
use select::{FILTERS, Filter};

use super::error::QueryError;
use super::instance::Instance;
use super::request::Headers;
use crate::frame::{Config, Frame};
use crate::problem::{did_you_mean, excerpt, parse_json};

/// Every query type, in alphabetical order.
const TYPES: [QueryType; 13] = [
    analyze::TYPE,
    annotations::TYPE,
    attribution::TYPE,
    cases::TYPE,
    compare::TYPE,
    drift::TYPE,
    golden::TYPE,
    metrics::TYPE,
    prompts::TYPE,
    runs::TYPE,
    signals::TYPE,
    tradeoff::TYPE,
    verdicts::TYPE,
];

/// Fields that Grafana adds to a query or keeps in it.
const GRAFANAS: [&str; 11] = [
    "queryType",
    "refId",
    "datasource",
    "datasourceId",
    "hide",
    "intervalMs",
    "maxDataPoints",
    "key",
    "timeRange",
    "queryCachingTTL",
    "scopes",
];

/// A kind of question.
pub(super) struct QueryType {
    /// The value of `queryType`.
    name: &'static str,
    /// Answers it.
    answer: fn(Ask) -> Answering,
}

/// An answer that is being made.
pub(super) type Answering = BoxFuture<'static, Result<Vec<Frame>, QueryError>>;

/// One question.
pub(super) struct Ask {
    /// Through which data source.
    pub(super) instance: Arc<Instance>,
    /// The query as it was sent.
    pub(super) json: Map<String, Value>,
    /// The panel's time range, in nanoseconds since the epoch, both ends included.
    pub(super) range: Option<(i64, i64)>,
    /// The time between two points of the panel's graph.
    pub(super) interval: Duration,
    /// Whether an alert rule or an expression asks.
    pub(super) alert: bool,
    /// The user's login, if there is a user.
    pub(super) user: Option<String>,
    /// What else came with the request.
    pub(super) headers: Headers,
}

impl Ask {
    /// The query without what Grafana adds to it.
    fn own(&self) -> Map<String, Value> {
        let own = self.json.iter().filter(|(name, _)| !GRAFANAS.contains(&name.as_str()));
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The panel's time range.
    fn times(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), QueryError> {
        match self.range {
            Some((from, to)) if from < to => {
                Ok((DateTime::from_timestamp_nanos(from), DateTime::from_timestamp_nanos(to)))
            }
            _ => Err(QueryError::Invalid("the request has no time range, or an empty one".to_owned())),
        }
    }

    /// The query's own fields as `T`.
    fn fields<T: DeserializeOwned>(&self) -> Result<T, QueryError> {
        read(self.own(), &[])
    }

    /// The query's own fields as `T`, and the shared ones as a filter.
    fn filtered<T: DeserializeOwned>(&self) -> Result<(T, Filter), QueryError> {
        let mut own = self.own();
        let filter = Filter::take(&mut own)?;
        Ok((read(own, &FILTERS)?, filter))
    }
}

/// A query's fields as `T`; `others` are names that it might have meant as well.
fn read<T: DeserializeOwned>(own: Map<String, Value>, others: &[&str]) -> Result<T, QueryError> {
    let given: Vec<String> = own.keys().cloned().collect();
    parse_json("the query", 1, &Value::Object(own).to_string()).map_err(|problem| {
        let field = problem.field.map(|name| format!("field `{name}`: ")).unwrap_or_default();
        let message = problem.message.split(" at line ").next().unwrap_or_default();
        let unknown = given.iter().find(|name| message.starts_with(&format!("unknown field `{name}`")));
        let meant = unknown.and_then(|name| did_you_mean(name, others.iter().copied()));
        let own_hint = problem.hint.filter(|hint| meant.is_none() || hint.starts_with("did you mean"));
        let hint = own_hint.or(meant).map(|hint| format!(": {hint}")).unwrap_or_default();
        QueryError::Invalid(format!("{field}{message}{hint}"))
    })
}

/// The name under which a query is counted: the type that it asks for, or `unknown`.
pub(super) fn name_of(query: &DataQuery) -> &'static str {
    TYPES.iter().find(|kind| kind.name == query.query_type).map_or("unknown", |kind| kind.name)
}

/// A query's bytes as a JSON object.
pub(super) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, QueryError> {
    serde_json::from_slice(bytes)
        .map_err(|error| QueryError::Invalid(format!("the query is not a JSON object: {error}")))
}

/// Answers a question of the type that the request names, or else the query itself.
pub(super) async fn answer(named: &str, ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let name = match ask.json.get("queryType").and_then(Value::as_str) {
        Some(name) if named.is_empty() => name.to_owned(),
        _ => named.to_owned(),
    };
    let Some(kind) = TYPES.iter().find(|kind| kind.name == name) else { return Err(unknown(&name)) };
    // The query inspector shows what was understood, not what was sent.
    let understood = format!("{} {}", kind.name, excerpt(&Value::Object(ask.own()).to_string()));
    let mut frames = (kind.answer)(ask).await?;
    for frame in frames.iter_mut().filter(|frame| frame.meta.executed_query.is_empty()) {
        frame.meta.executed_query.clone_from(&understood);
    }
    Ok(frames)
}

fn unknown(name: &str) -> QueryError {
    let names = TYPES.iter().map(|kind| kind.name);
    let hint = did_you_mean(name, names.clone())
        .unwrap_or_else(|| format!("choose one of {}", names.collect::<Vec<_>>().join(", ")));
    QueryError::Invalid(match name {
        "" => format!("the query has no queryType: {hint}"),
        _ => format!("unknown queryType `{}`: {hint}", excerpt(name)),
    })
}

/// The colours of severities, wherever they are shown.
fn severity_colours(config: Config) -> Config {
    config.colours(&[("info", "green"), ("warning", "yellow"), ("error", "orange"), ("critical", "red")])
}

/// A count as frames hold it.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
