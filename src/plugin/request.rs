//! What comes with a request besides its question: who asks, and whether an alert rule does.

use chrono::Utc;
use grafana_plugin_sdk::pluginv2::PluginContext;

use crate::stream::TimeRange;

/// Nanoseconds of a millisecond.
pub(super) const NS_PER_MS: i64 = 1_000_000;

/// How Grafana marks headers that it passes on.
const PREFIX: &str = "http_";

/// The headers that came with a request, under their own names.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Takes Grafana's prefix off the names.
    pub(super) fn new<'h>(headers: impl IntoIterator<Item = (&'h String, &'h String)>) -> Self {
        let own = |name: &String| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
        Self(headers.into_iter().map(|(name, value)| (own(name), value.clone())).collect())
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn says(&self, wanted: &str, value: &str) -> bool {
        self.iter().any(|(name, said)| name.eq_ignore_ascii_case(wanted) && said == value)
    }

    /// Whether the queries are an alert rule's, whose time range is always relative to now.
    pub(super) fn is_of_rule(&self) -> bool {
        self.says("FromAlert", "true")
    }

    /// Whether the queries are an alert rule's or a server-side expression's, for which each number is a series of its
    /// own.
    pub(super) fn is_of_alert(&self) -> bool {
        self.is_of_rule() || self.says("X-Grafana-From-Expr", "true")
    }
}

/// The login of the user behind a request; alert rules and public dashboards have none.
pub(super) fn user(context: Option<&PluginContext>) -> Option<String> {
    let login = &context?.user.as_ref()?.login;
    (!login.is_empty()).then(|| login.clone())
}

/// The hour that ends now.
pub(super) fn last_hour() -> TimeRange {
    let end = Utc::now().timestamp_nanos_opt().unwrap_or_default();
    TimeRange { start: end - 3_600_000 * NS_PER_MS, end }
}

/// What a user may do, as far as Grafana says. A role of tomorrow may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Reads dashboards, or is nobody: alert rules and public dashboards come without a user.
    Reader,
    /// Changes dashboards.
    Editor,
    /// Changes data sources.
    Admin,
}

impl Role {
    /// The role of the user behind a request.
    pub(super) fn of(context: Option<&PluginContext>) -> Self {
        match context.and_then(|context| context.user.as_ref()).map(|user| user.role.as_str()) {
            Some("Admin") => Self::Admin,
            Some("Editor") => Self::Editor,
            _ => Self::Reader,
        }
    }
}

#[cfg(test)]
mod tests {
    use grafana_plugin_sdk::pluginv2::User;

    use super::*;

    #[test]
    fn a_header_is_found_with_and_without_its_prefix() {
        let is_of_alert = |name: &str, value: &str| Headers::new([(&name.to_owned(), &value.to_owned())]).is_of_alert();
        assert!(is_of_alert("FromAlert", "true") && is_of_alert("http_fromalert", "true"));
        assert!(is_of_alert("http_X-Grafana-From-Expr", "true"));
        assert!(!is_of_alert("FromAlert", "false") && !Headers::default().is_of_alert());
    }

    #[test]
    fn an_unknown_role_may_read() {
        let of = |role: &str| {
            let user = Some(User { role: role.to_owned(), ..Default::default() });
            Role::of(Some(&PluginContext { user, ..Default::default() }))
        };
        assert_eq!(["Admin", "Editor", "Viewer", "None", "", "admin"].map(of), {
            use Role::{Admin, Editor, Reader};
            [Admin, Editor, Reader, Reader, Reader, Reader]
        });
        assert_eq!(Role::of(None), Role::Reader);
    }
}
