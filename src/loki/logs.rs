//! Log queries: entries of a time range, however many requests they take.

use tracing::Instrument;
use tracing::field::Empty;

use crate::blocking::aside;
use crate::logql::{narrowed, selectors};
use crate::semconv;
use crate::stream::{TimeRange, Window};
use crate::telemetry::failed;

use super::answer::{Collected, Logs, Page};
use super::client::{Client, Request};
use super::error::LokiError;
use super::refusal::Asked;
use super::walk::{Progress, Step, Walk};
use super::wire;

/// The end of the range at which a query begins, which matters when there are more entries than its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// The newest entries first.
    #[default]
    Backward,
    /// The oldest entries first.
    Forward,
}

/// A log query.
#[derive(Debug, Clone, Copy)]
pub struct LogQuery<'a> {
    /// LogQL.
    pub query: &'a str,
    /// From when to when.
    pub range: TimeRange,
    /// Most entries.
    pub limit: usize,
    /// Which entries, if there are more.
    pub direction: Direction,
    /// Whether to keep the structured metadata of each entry.
    pub metadata: bool,
}

impl Client {
    /// The newest `limit` entries of a log query, as they are analysed.
    ///
    /// # Errors
    /// As [`Client::logs`].
    pub async fn window(&self, query: &str, range: TimeRange, limit: usize) -> Result<Window, LokiError> {
        let query = LogQuery { query, range, limit, direction: Direction::Backward, metadata: false };
        Ok(self.logs(&query).await?.window)
    }

    /// The entries of a log query, each of them once, also where many share an instant. Loki is asked again until
    /// the limit or the range is used up; what it writes meanwhile at times already read is not seen.
    ///
    /// # Errors
    /// See [`LokiError`]. There is no partial result.
    pub async fn logs(&self, query: &LogQuery<'_>) -> Result<Logs, LokiError> {
        let span = tracing::info_span!(
            "loki",
            otel.status_code = Empty,
            { semconv::LOKI_ENTRIES } = Empty,
            { semconv::LOKI_COMPLETE } = Empty,
            { semconv::ERROR_TYPE } = Empty,
        );
        let logs = self.walk(query).instrument(span.clone()).await;
        let logs = logs.inspect_err(|error| failed(&span, &error.status().to_string()))?;
        span.record(semconv::LOKI_ENTRIES, logs.window.entries.len()).record(semconv::LOKI_COMPLETE, logs.complete);
        Ok(logs)
    }

    async fn walk(&self, query: &LogQuery<'_>) -> Result<Logs, LokiError> {
        let mut walk = Walk::new(query.range, query.direction, query.limit);
        let (mut collected, mut bytes) = (Collected::default(), 0);
        while let Some(step) = walk.next(self.page_size()) {
            let page = match self.page(query, query.query, step).await {
                Err(LokiError::TooManyEntries { limit, .. }) if (1..step.limit).contains(&limit) => {
                    self.lower_page_size(limit);
                    continue;
                }
                page => page?,
            };
            let page = match walk.take(step, page) {
                Progress::Keep(page) => page,
                Progress::Crowded(ts) => walk.take_instant(ts, self.instant(query, ts).await?),
                Progress::Astray => return Err(self.asked(query.query).not_loki("its entries are not of the range")),
            };
            bytes += page.entries.iter().map(|(entry, _)| entry.line.len()).sum::<usize>();
            if bytes > self.max_bytes() {
                return Err(self.asked(query.query).too_large(self.max_bytes()));
            }
            collected.add(page);
        }
        Ok(collected.into_logs(walk.is_complete()))
    }

    async fn page(&self, query: &LogQuery<'_>, text: &str, step: Step) -> Result<Page, LokiError> {
        let direction = match query.direction {
            Direction::Backward => "backward",
            Direction::Forward => "forward",
        };
        let request = Request::new("/loki/api/v1/query_range")
            .query(text)
            .range(step.range)
            .with("limit", step.limit.to_string())
            .with("direction", direction);
        self.ask(request, |body| aside(|| wire::page(body, query.metadata, query.direction))).await
    }

    /// All entries of one instant that holds more than Loki gives at once: stream by stream.
    async fn instant(&self, query: &LogQuery<'_>, ts: i64) -> Result<Page, LokiError> {
        let range = TimeRange { start: ts, end: ts.saturating_add(1) };
        let mut collected = Collected::default();
        for stream in self.series(&selectors(query.query), range).await? {
            let Some(text) = narrowed(query.query, &stream) else { break };
            let limit = self.page_size();
            let page = self.page(query, &text, Step { range, limit }).await?;
            if page.entries.len() >= limit as usize {
                return Err(self.asked(query.query).crowded(ts, limit));
            }
            collected.add(page);
        }
        Ok(collected.into_page())
    }

    fn asked<'a>(&'a self, query: &'a str) -> Asked<'a> {
        Asked { url: self.url(), query }
    }
}
