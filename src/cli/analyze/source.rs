//! Where the lines to analyse come from: a file, standard input, or Loki.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::follow::Follow;
use crate::cli::exit::Ended;
use crate::cli::input::{self, LabelArgs};
use crate::cli::output::{SECOND, counted};
use crate::logql;
use crate::loki::{self, Direction, LogQuery, Logs};
use crate::stream::{TextLog, TimeRange};

/// Most entries that are fetched unless told otherwise.
const DEFAULT_LIMIT: usize = 5_000;

/// Where the lines come from.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The log, `-` for standard input.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["loki", "query"], conflicts_with_all = ["loki", "query"])]
    file: Option<PathBuf>,
    /// A Loki, such as http://localhost:3100; its query comes as the argument.
    #[arg(long, value_name = "URL", requires = "query")]
    loki: Option<String>,
    /// LogQL, such as '{namespace="monitoring"}'.
    #[arg(value_name = "QUERY")]
    query: Option<String>,
    /// How far back to look, such as 15m, 6h or 2d.
    #[arg(long, default_value = "1h", value_name = "DURATION", conflicts_with_all = ["file", "from"], value_parser = duration)]
    since: TimeDelta,
    /// First instant, RFC 3339, instead of --since.
    #[arg(long, value_name = "TIME", conflicts_with = "file", value_parser = input::time)]
    from: Option<DateTime<Utc>>,
    /// First instant after the window, RFC 3339; now if absent.
    #[arg(long, value_name = "TIME", conflicts_with = "file", value_parser = input::time)]
    to: Option<DateTime<Utc>>,
    /// Most entries to fetch, the newest first.
    #[arg(long, default_value_t = DEFAULT_LIMIT, value_name = "N", conflicts_with = "file", value_parser = entries)]
    limit: usize,
    /// Loki's tenant (X-Scope-OrgID).
    #[arg(long, value_name = "ID", env = "ASSAY_LOKI_ORG_ID")]
    org_id: Option<String>,
    /// Go on with what is logged, and tell whenever it has another shape. Ctrl-C ends it.
    #[arg(long, conflicts_with_all = ["file", "to"])]
    follow: bool,
}

impl Source {
    /// What to do where there are no lines.
    pub(super) fn hint(&self) -> &'static str {
        if self.loki.is_some() { "\n  hint: look further back with --since, or ask for other streams" } else { "" }
    }

    /// The window, and its continuation where it is followed.
    pub(super) async fn read(&self, labels: &LabelArgs) -> Result<(TextLog, Option<Follow>)> {
        match (&self.file, &self.loki, &self.query) {
            (Some(file), _, _) => Ok((input::read(file, labels.labels())?, None)),
            (None, Some(url), Some(query)) => self.fetch(url, query).await,
            (None, _, query) => Err(Ended::usage(incomplete(query.as_deref())).into()),
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
            return Err(Ended::usage(format!(
                "the window from {start} to {end} is empty\n  hint: --from comes before --to"
            ))
            .into());
        }
        let newest = LogQuery { query, range, limit: self.limit, direction: Direction::Backward, metadata: false };
        let Logs { window, complete, .. } = client.logs(&newest).await?;
        let (count, streams) = (window.entries.len(), window.streams.len());
        let (entries, streams) = (counted(count, "entry", "entries"), counted(streams, "stream", "streams"));
        eprintln!("{entries} of {streams}, {} to {}", start.format(SECOND), end.format(SECOND));
        if !complete {
            eprintln!("note: there are older ones, which --limit {} leaves out", self.limit);
        }
        let follow = self.follow.then(|| Follow::new(&client, query, range, self.limit)).transpose()?;
        Ok((TextLog { window, lines: (1..=count).collect(), timed: count }, follow))
    }
}

/// What is missing of a question to Loki.
fn incomplete(query: Option<&str>) -> String {
    match query {
        Some(query) => {
            format!("`{query}` is taken for a query, which needs --loki URL\n  hint: a log file is --file {query}")
        }
        None => "name a log: --file FILE, or --loki URL QUERY".to_owned(),
    }
}

/// How many entries to fetch.
fn entries(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "give 1 or more".to_owned())
}

/// How far back, in Loki's own words.
fn duration(text: &str) -> Result<TimeDelta, String> {
    TimeDelta::from_std(logql::duration(text)?).map_err(|error| error.to_string())
}
