//! Every way in which a question to Loki fails, in words that name the query, the place and the way out.
//!
//! What Loki itself says of a question is read in `refusal`.

use std::fmt;
use std::time::Duration;

/// Why a Loki cannot be asked with these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The address cannot be used.
    #[error("cannot use `{url}` as the address of a Loki: {reason}")]
    Url {
        /// The address, or a placeholder where it carries credentials.
        url: String,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// A setting is missing or cannot be sent. The value is not shown: it may be secret.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting, as the user knows it.
        setting: String,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// The HTTP client itself could not be set up.
    #[error("cannot set up the HTTP client for Loki: {0}")]
    Setup(String),
}

/// Where in a query something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// 1-based line.
    pub line: usize,
    /// 1-based character in it.
    pub column: usize,
    /// What stands there, shortened; empty at the end of the query.
    pub near: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if self.near.is_empty() { f.write_str(" (its end)") } else { write!(f, " (at `{}`)", self.near) }
    }
}

/// Why a question to Loki has no answer. Everything shown is short, on one line and free of credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LokiError {
    /// The query is not LogQL.
    #[error("Loki cannot read the query `{query}`{}: {reason}", .place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default())]
    Query {
        /// The query.
        query: String,
        /// Where in it, if Loki says so.
        place: Option<Place>,
        /// What is wrong there.
        reason: String,
    },
    /// The query is of another kind than was asked for: it gives numbers, or it gives lines.
    #[error("the query `{query}` gives {given}")]
    Kind {
        /// The query.
        query: String,
        /// What it gives, and the way out.
        given: String,
    },
    /// The time range is longer than this Loki allows.
    #[error("the time range of the query `{query}` is {asked}, Loki allows {limit}: narrow the time range")]
    RangeTooLong {
        /// The query.
        query: String,
        /// Its time range, as Loki says it.
        asked: String,
        /// The limit, as Loki says it.
        limit: String,
    },
    /// A metric query gives more series than this Loki allows.
    #[error(
        "the query `{query}` gives more than {limit} series: select fewer streams, narrow the time range, or aggregate \
         by fewer labels (sum, topk)"
    )]
    TooManySeries {
        /// The query.
        query: String,
        /// The limit.
        limit: u64,
    },
    /// More entries were asked for at once than this Loki gives.
    #[error("Loki gives at most {limit} entries of the query `{query}` at once: ask for fewer")]
    TooManyEntries {
        /// The query.
        query: String,
        /// The limit.
        limit: u32,
    },
    /// More entries at one instant than Loki gives out at once, so that the rest cannot be reached.
    #[error(
        "the query `{query}` gives {limit} or more entries of one stream at {ts} ns, and Loki gives no more at once: \
         add a line filter, or raise max_entries_limit_per_query in Loki"
    )]
    Crowded {
        /// The query.
        query: String,
        /// The instant, in nanoseconds since the Unix epoch.
        ts: i64,
        /// Entries that Loki gives at once.
        limit: u32,
    },
    /// This Loki has tenants and was told none.
    #[error("Loki at {url} wants a tenant: set the organisation id (header X-Scope-OrgID)")]
    NoTenant {
        /// The address.
        url: String,
    },
    /// The credentials are missing, wrong or not enough.
    #[error("Loki at {url} denies access (status {status}): {reason}; check the credentials and the tenant")]
    Denied {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says.
        reason: String,
    },
    /// Loki has no capacity now.
    #[error("Loki at {url} is busy: {reason}{}", retry_text(.retry_after))]
    Busy {
        /// The address.
        url: String,
        /// What it says.
        reason: String,
        /// When to come back, if it says so.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    #[error("the query `{query}` took longer than {}: narrow the time range or add label matchers", budget_text(.budget))]
    Timeout {
        /// The query, or the path that was asked.
        query: String,
        /// Our own patience; `None` if Loki or a gateway gave up.
        budget: Option<Duration>,
    },
    /// Loki refuses the request for another reason.
    #[error("Loki refuses the query `{query}` (status {status}): {reason}{hint}")]
    Refused {
        /// The query, or the path that was asked.
        query: String,
        /// HTTP status.
        status: u16,
        /// What it says.
        reason: String,
        /// The way out, with its separator, if one is known.
        hint: &'static str,
    },
    /// Loki or what stands before it fails.
    #[error("Loki at {url} fails (status {status}): {reason}")]
    Unavailable {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says.
        reason: String,
    },
    /// The conversation does not come about, or breaks off.
    #[error("cannot reach Loki at {url}: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The answer is larger than what is read.
    #[error("the answer to the query `{query}` is larger than {limit} bytes: narrow the time range or lower the limit")]
    TooLarge {
        /// The query, or the path that was asked.
        query: String,
        /// Most bytes that are read.
        limit: usize,
    },
    /// What answers is no Loki, or not one that is understood.
    #[error("what answers at {url} does not speak as Loki does: {reason}")]
    NotLoki {
        /// The address.
        url: String,
        /// What is odd.
        reason: String,
    },
}

impl LokiError {
    /// Whether the same question may have an answer later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Timeout { .. } | Self::Unavailable { .. } | Self::Unreachable { .. })
    }

    /// Whether the person who wrote the query can mend it; else it is for who runs Loki or set up the data source.
    pub fn is_about_the_query(&self) -> bool {
        matches!(
            self,
            Self::Query { .. }
                | Self::Kind { .. }
                | Self::RangeTooLong { .. }
                | Self::TooManySeries { .. }
                | Self::TooManyEntries { .. }
                | Self::Crowded { .. }
                | Self::TooLarge { .. }
                | Self::Refused { status: 400, .. }
        )
    }

    /// The status that it comes to, as HTTP has it.
    pub fn status(&self) -> i32 {
        if self.is_about_the_query() { 400 } else { 502 }
    }

    /// When Loki asked to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn retry_text(after: &Option<Duration>) -> String {
    after.map_or("; try again later".to_owned(), |after| format!("; try again in {} s", after.as_secs()))
}

fn budget_text(budget: &Option<Duration>) -> String {
    budget.map_or("Loki allows".to_owned(), |budget| format!("{} s", budget.as_secs_f64()))
}
