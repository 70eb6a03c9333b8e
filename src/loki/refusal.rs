//! What Loki answers when it refuses, and whatever answers in its place: read, and turned into an error.
//!
//! Loki explains itself in plain text; this is the only place that reads those texts. Log text is left out.

use std::time::Duration;

use super::error::{LokiError, Place};
use crate::http::with_causes;
use crate::problem::excerpt;

/// Longest explanation of a server that is passed on, in characters.
const MAX_REASON: usize = 400;

/// What was asked, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) url: &'a str,
    /// The query; of a question without one, its path.
    pub(super) query: &'a str,
}

/// An answer that is not the one hoped for.
#[derive(Debug)]
pub(super) struct Rejection<'a> {
    pub(super) status: u16,
    pub(super) is_html: bool,
    pub(super) retry_after: Option<&'a str>,
    /// The body, without credentials.
    pub(super) text: &'a str,
}

impl Asked<'_> {
    fn url(&self) -> String {
        self.url.to_owned()
    }

    fn shown(&self) -> String {
        one_line(&excerpt(self.query))
    }

    pub(super) fn not_loki(&self, reason: impl AsRef<str>) -> LokiError {
        LokiError::NotLoki { url: self.url(), reason: one_line(reason.as_ref()) }
    }

    pub(super) fn other_kind(&self, given: &str) -> LokiError {
        LokiError::Kind { query: self.shown(), given: one_line(given) }
    }

    pub(super) fn too_large(&self, limit: usize) -> LokiError {
        LokiError::TooLarge { query: self.shown(), limit }
    }

    pub(super) fn late(&self, budget: Option<Duration>) -> LokiError {
        LokiError::Timeout { query: self.shown(), budget }
    }

    pub(super) fn crowded(&self, ts: i64, limit: u32) -> LokiError {
        LokiError::Crowded { query: self.shown(), ts, limit }
    }

    /// A connection or protocol error, with the causes that reqwest hides behind it and without the address.
    pub(super) fn transport(&self, error: reqwest::Error) -> LokiError {
        let is_decode = error.is_decode();
        let reason = with_causes(&error.without_url());
        if is_decode {
            self.not_loki(reason)
        } else {
            LokiError::Unreachable { url: self.url(), reason: one_line(&reason) }
        }
    }

    /// Classifies an answer whose status is not 200.
    pub(super) fn rejected(&self, rejection: &Rejection<'_>) -> LokiError {
        let text = rejection.text.trim();
        let status = rejection.status;
        let reason = reason(rejection);
        match status {
            _ if text == "no org id" => LokiError::NoTenant { url: self.url() },
            300..=399 => self.refused(status, reason, REDIRECT),
            401 | 403 | 407 => LokiError::Denied { url: self.url(), status, reason },
            429 => LokiError::Busy { url: self.url(), reason, retry_after: seconds(rejection.retry_after) },
            408 | 504 => self.late(None),
            400..=499 => self.of_text(text).unwrap_or_else(|| self.refused(status, reason, hint(status, text))),
            _ if text.contains("multiple org IDs") => self.refused(status, reason, TENANTS),
            _ if text.contains("context deadline exceeded") => self.late(None),
            _ => LokiError::Unavailable { url: self.url(), status, reason },
        }
    }

    fn refused(&self, status: u16, reason: String, hint: &'static str) -> LokiError {
        LokiError::Refused { query: self.shown(), status, reason, hint }
    }

    /// The refusals of Loki that have a class of their own.
    fn of_text(&self, text: &str) -> Option<LokiError> {
        let query = self.shown();
        if let Some(rest) = text.strip_prefix("parse error") {
            let (place, reason) = self.place(rest);
            return Some(LokiError::Query { query, place, reason: one_line(reason) });
        }
        if let Some(rest) = text.strip_prefix("pipeline error: '") {
            // What follows the error's name quotes the line.
            let reason = one_line(&format!("pipeline error {}", rest.split('\'').next().unwrap_or_default()));
            return Some(self.refused(400, reason, PIPELINE));
        }
        if let Some((_, rest)) = text.split_once("time range exceeds the limit (query length: ") {
            let (asked, limit) = rest.strip_suffix(')')?.split_once(", limit: ")?;
            return Some(LokiError::RangeTooLong { query, asked: one_line(asked), limit: one_line(limit) });
        }
        if let Some((_, rest)) = text.split_once("limit > max_entries_limit_per_query (") {
            let limit = rest.strip_suffix(')')?.split_once(" > ")?.1.parse().ok()?;
            return Some(LokiError::TooManyEntries { query, limit });
        }
        let rest = text.strip_prefix("maximum number of series (").or(text.strip_prefix("maximum of series ("))?;
        Some(LokiError::TooManySeries { query, limit: rest.split_once(')')?.0.parse().ok()? })
    }

    /// Reads ` at line 1, col 20: reason` or ` : reason`.
    fn place<'t>(&self, rest: &'t str) -> (Option<Place>, &'t str) {
        let plain = rest.trim_start_matches([' ', ':']);
        let at = || {
            let (line, rest) = rest.strip_prefix(" at line ")?.split_once(", col ")?;
            let (column, reason) = rest.split_once(": ")?;
            let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
            let text = self.query.lines().nth(line.checked_sub(1)?).unwrap_or_default();
            let near: String = text.chars().skip(column.checked_sub(1)?).take(24).collect();
            Some((Place { line, column, near: one_line(&near) }, reason))
        };
        at().map_or((None, plain), |(place, reason)| (Some(place), reason))
    }
}

const REDIRECT: &str = "; redirects are not followed, and this one often leads to a login page: give the address at \
                        which Loki itself answers";
const PIPELINE: &str = " in some lines; leave those out with `| __error__=\"\"`, after `unwrap` if there is one";
const TENANTS: &str = "; give a single tenant, or enable multi_tenant_queries_enabled in Loki";

fn hint(status: u16, text: &str) -> &'static str {
    match status {
        404 => "; give the root of Loki as the address, without /loki/api/v1",
        _ if text.contains("tenant ID") => "; correct the organisation id (header X-Scope-OrgID)",
        _ if text.contains("resolution of") => "; raise the step or narrow the time range",
        _ if text.contains("not supported as an instant query") => "; ask for it over a time range",
        _ if text.contains("too many bytes") => "; narrow the time range or add label matchers",
        _ => "",
    }
}

/// `Retry-After` in seconds; a date is not understood.
fn seconds(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

fn reason(rejection: &Rejection<'_>) -> String {
    match rejection.text.trim() {
        "" => "without an explanation".to_owned(),
        _ if rejection.is_html => "a web page instead of an explanation: a gateway answers, not Loki".to_owned(),
        text => one_line(text),
    }
}

/// At most [`MAX_REASON`] characters on one line, without control characters: it ends up in a terminal and in frames.
fn one_line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.trim().chars().take(MAX_REASON).map(clean).collect();
    if text.trim().chars().nth(MAX_REASON).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: Asked<'_> = Asked { url: "http://l", query: "{app=\"x\"}\n|! \"é\"" };

    fn rejected(status: u16, text: &str) -> LokiError {
        ASKED.rejected(&Rejection { status, is_html: false, retry_after: Some("7"), text })
    }

    #[test]
    fn a_place_in_a_later_line_shows_what_stands_there() {
        let error = rejected(400, "parse error at line 2, col 4: syntax error: unexpected STRING").to_string();
        let expected = r#"`{app="x"} |! "é"` at line 2, column 4 (at `"é"`): syntax error: unexpected STRING"#;
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn classes_say_who_can_help() {
        assert_eq!(rejected(429, "too many outstanding requests").retry_after(), Some(Duration::from_secs(7)));
        for (status, temporary, about_the_query) in [
            (400, false, true),
            (401, false, false),
            (404, false, false),
            (429, true, false),
            (500, true, false),
            (502, true, false),
            (504, true, false),
            (302, false, false),
        ] {
            let error = rejected(status, "x");
            assert_eq!((error.is_temporary(), error.is_about_the_query()), (temporary, about_the_query), "{error}");
        }
    }

    #[test]
    fn an_explanation_is_short_and_harmless() {
        let error = rejected(500, &"\u{1b}[31m€\n".repeat(1000)).to_string();
        assert!(error.chars().count() < MAX_REASON + 60 && !error.contains(['\u{1b}', '\n']), "{error}");
    }

    proptest! {
        #[test]
        fn no_explanation_makes_it_panic(
            status in 300u16..600,
            text in "\\PC{0,40}|parse error( at line [0-9]{0,20}, col [0-9]{0,20}: )?.{0,20}|\
                     maximum number of series \\(\\PC{0,9}|limit > max_entries_limit_per_query \\(\\PC{0,20}",
        ) {
            prop_assert!(!rejected(status, &text).to_string().contains('\n'));
        }
    }
}
