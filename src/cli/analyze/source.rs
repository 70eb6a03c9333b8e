//! Where the lines to analyse come from: a file, standard input, or Loki.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::follow::Follow;
use crate::cli::input::{self, LabelArgs};
use crate::logql;
use crate::loki;
use crate::stream::{TextLog, TimeRange};

/// Most entries that are fetched unless told otherwise.
const DEFAULT_LIMIT: usize = 5_000;

/// Where the lines come from.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The log, `-` for standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "loki", conflicts_with = "loki")]
    file: Option<PathBuf>,
    /// A Loki, such as http://localhost:3100; its query comes as the argument.
    #[arg(long, value_name = "URL", requires = "query")]
    loki: Option<String>,
    /// LogQL, such as '{namespace="monitoring"}'.
    #[arg(value_name = "QUERY", requires = "loki")]
    query: Option<String>,
    /// How far back to look, such as 15m, 6h or 2d.
    #[arg(long, default_value = "1h", value_name = "DURATION", requires = "loki", value_parser = duration)]
    since: TimeDelta,
    /// First instant, RFC 3339, instead of --since.
    #[arg(long, value_name = "TIME", requires = "loki")]
    from: Option<DateTime<Utc>>,
    /// First instant after the window, RFC 3339; now if absent.
    #[arg(long, value_name = "TIME", requires = "loki")]
    to: Option<DateTime<Utc>>,
    /// Most entries to fetch, the newest first.
    #[arg(long, default_value_t = DEFAULT_LIMIT, value_name = "N", requires = "loki")]
    limit: usize,
    /// Loki's tenant (X-Scope-OrgID).
    #[arg(long, value_name = "ID", requires = "loki", env = "ASSAY_LOKI_ORG_ID")]
    org_id: Option<String>,
    /// Go on with what is logged, and tell whenever it has another shape. Ctrl-C ends it.
    #[arg(long, requires = "loki", conflicts_with = "to")]
    follow: bool,
}

impl Source {
    /// The window, and its continuation where it is followed.
    pub(super) async fn read(&self, labels: &LabelArgs) -> Result<(TextLog, Option<Follow>)> {
        match (&self.file, &self.loki, &self.query) {
            (Some(file), _, _) => Ok((input::read(file, labels.labels())?, None)),
            (None, Some(url), Some(query)) => self.fetch(url, query).await,
            _ => bail!("name a log: --file FILE, or --loki URL QUERY"),
        }
    }

    async fn fetch(&self, url: &str, query: &str) -> Result<(TextLog, Option<Follow>)> {
        let client = loki::Client::new(&loki::Settings { org_id: self.org_id.clone(), ..loki::Settings::new(url) })?;
        let end = self.to.unwrap_or_else(Utc::now);
        let start = self.from.unwrap_or(end - self.since);
        let nanos = |time: DateTime<Utc>| {
            time.timestamp_nanos_opt().ok_or_else(|| anyhow!("{time} is out of range: years 1678 to 2261"))
        };
        let range = TimeRange { start: nanos(start)?, end: nanos(end)? };
        if range.start >= range.end {
            bail!("the window from {start} to {end} is empty\n  hint: --from comes before --to");
        }
        let window = client.window(query, range, self.limit).await?;
        eprintln!("{} entries of {} streams, {start} to {end}", window.entries.len(), window.streams.len());
        let count = window.entries.len();
        let follow = self.follow.then(|| Follow::new(&client, query, range, self.limit)).transpose()?;
        Ok((TextLog { window, lines: (1..=count).collect(), timed: count }, follow))
    }
}

/// How far back, in Loki's own words.
fn duration(text: &str) -> Result<TimeDelta, String> {
    TimeDelta::from_std(logql::duration(text)?).map_err(|error| error.to_string())
}
