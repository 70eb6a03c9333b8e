//! Following a query: the window moves on with what is logged, and a verdict is worth telling again when the digest has
//! another shape.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::digest::Shape;
use crate::loki::{Client, Tail, Tailed};
use crate::stream::{TextLog, TimeRange};

/// The least time between two verdicts.
const PAUSE: Duration = Duration::from_secs(10);

/// A query that is followed.
#[derive(Debug)]
pub(super) struct Follow {
    tail: Tail,
    /// Length of the window, in nanoseconds.
    length: i64,
    limit: usize,
}

impl Follow {
    /// Goes on where a window of the same query ends.
    pub(super) fn new(client: &Client, query: &str, range: TimeRange, limit: usize) -> Result<Self> {
        Ok(Self { tail: client.tail(query, range.end)?, length: range.end.saturating_sub(range.start), limit })
    }

    /// Waits until the window has another shape than `known`.
    pub(super) async fn until_changed(
        &mut self,
        log: &mut TextLog,
        known: &Shape,
        shape: impl Fn(&TextLog) -> Result<Shape>,
    ) -> Result<()> {
        let told = Instant::now();
        loop {
            let tailed = self.tail.next().await?;
            self.take(log, tailed);
            // What comes in while there is a pause is looked at once.
            while let Some(rest) = PAUSE.checked_sub(told.elapsed()) {
                let Ok(more) = tokio::time::timeout(rest, self.tail.next()).await else { break };
                self.take(log, more?);
            }
            if !log.window.entries.is_empty() && !shape(log)?.is_like(known) {
                return Ok(());
            }
        }
    }

    fn take(&self, log: &mut TextLog, tailed: Tailed) {
        if tailed.dropped > 0 {
            eprintln!("note: Loki left out {} entries, because they came too fast", tailed.dropped);
        }
        log.window.append(tailed.window);
        let newest = log.window.entries.last().map_or(i64::MIN, |entry| entry.ts);
        log.window.keep_newest(newest.saturating_sub(self.length), self.limit);
        let count = log.window.entries.len();
        (log.lines, log.timed) = ((1..=count).collect(), count);
    }
}
