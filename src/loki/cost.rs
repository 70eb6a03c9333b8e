//! What a query would cost Loki, and what the guard says to that.

use tracing::Instrument;
use tracing::field::Empty;

use crate::guard::{Cost, Guard, Mode, Ruling};
use crate::logql::selectors;
use crate::semconv;
use crate::stream::TimeRange;
use crate::telemetry::{failed, meters};

use super::client::{Client, Request};
use super::error::LokiError;
use super::wire;

/// Most selectors of one query whose costs are asked for.
const MAX_SELECTORS: usize = 16;

impl Client {
    /// What Loki's index says of the streams that match a selector. What is not flushed yet is not in it.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn stats(&self, selector: &str, range: TimeRange) -> Result<Cost, LokiError> {
        self.ask(Request::new("/loki/api/v1/index/stats").query(selector).range(range), wire::object).await
    }

    /// What a log query would read. The windows of a metric query's range functions are not in it: Loki reads more.
    ///
    /// # Errors
    /// See [`LokiError`].
    pub async fn cost(&self, query: &str, range: TimeRange) -> Result<Cost, LokiError> {
        let mut cost = Cost::default();
        for selector in selectors(query).into_iter().take(MAX_SELECTORS) {
            cost += self.stats(selector, range).await?;
        }
        Ok(cost)
    }

    /// Lets the guard rule on a log query. When it only warns, a cost that cannot be found out is a notice too.
    ///
    /// # Errors
    /// If the guard enforces and the cost cannot be found out. See [`LokiError`].
    pub async fn guard(&self, guard: &Guard, query: &str, range: TimeRange) -> Result<Ruling, LokiError> {
        let span = tracing::info_span!(
            "guard",
            otel.status_code = Empty,
            { semconv::GUARD_MODE } = guard.mode.as_str(),
            { semconv::GUARD_DECISION } = Empty,
            { semconv::ERROR_TYPE } = Empty,
        );
        let ruling = self.rule(guard, query, range).instrument(span.clone()).await;
        let ruling = ruling.inspect_err(|error| failed(&span, &error.status().to_string()))?;
        span.record(semconv::GUARD_DECISION, ruling.as_str());
        span.in_scope(|| meters().guarded(&ruling));
        Ok(ruling)
    }

    async fn rule(&self, guard: &Guard, query: &str, range: TimeRange) -> Result<Ruling, LokiError> {
        if let Some(ruling) = guard.rule_range(range.length()) {
            return Ok(ruling);
        }
        if guard.mode == Mode::Off || (guard.max_bytes.is_none() && guard.max_entries.is_none()) {
            return Ok(Ruling::Pass);
        }
        match self.cost(query, range).await {
            Ok(cost) => Ok(guard.rule(range.length(), cost)),
            Err(error) if guard.mode == Mode::Warn && !matches!(error, LokiError::Query { .. }) => {
                Ok(Ruling::Warn(format!("what the query costs could not be found out: {error}")))
            }
            Err(error) => Err(error),
        }
    }
}
