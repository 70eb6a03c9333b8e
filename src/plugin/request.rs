//! What comes with a request besides its question: who asks, whether an alert rule does, which trace it belongs to.

use chrono::Utc;
use grafana_plugin_sdk::pluginv2::PluginContext;
use tonic::metadata::MetadataMap;

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

    /// Whether the queries are an alert rule's or a server-side expression's, for which each number is a series of its
    /// own.
    pub(super) fn is_of_alert(&self) -> bool {
        self.says("FromAlert", "true") || self.says("X-Grafana-From-Expr", "true")
    }
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

/// The trace id of a W3C `traceparent`, if it is one: `00-<32 digits>-<16 digits>-<2 digits>`, neither id all zeros.
pub(super) fn trace_id(metadata: &MetadataMap) -> Option<String> {
    let text = metadata.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let sound = is_hex(version, 2) && version != "ff" && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let is_set = |id: &str| id.bytes().any(|digit| digit != b'0');
    (sound && is_set(trace) && is_set(span)).then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use grafana_plugin_sdk::pluginv2::User;

    use super::*;

    #[test]
    fn only_a_sound_trace_id_is_taken() {
        let read = |text: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("traceparent", text.parse().unwrap());
            trace_id(&metadata)
        };
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(), Some(id));
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

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
