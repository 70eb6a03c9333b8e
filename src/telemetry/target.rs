//! Where telemetry goes, as variables or settings say.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::Secret;

/// How long one export may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a signal's place says to switch it off, as in `OTEL_TRACES_EXPORTER`.
const NONE: &str = "none";

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    Http,
}

impl Protocol {
    /// Reads the word that OpenTelemetry uses for it.
    ///
    /// # Errors
    /// Any other word.
    pub fn parse(word: &str) -> Result<Self, TargetError> {
        match word {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::Http),
            other => Err(TargetError::Protocol(other.to_owned())),
        }
    }
}

/// Where one signal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The whole address that the signal is sent to.
    pub url: String,
    /// In which form.
    pub protocol: Protocol,
}

impl Destination {
    /// Whether TLS is spoken.
    pub(super) fn is_secure(&self) -> bool {
        // `checked` has made it an address with a scheme; a scheme's case does not matter.
        self.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }
}

/// Where each signal goes; nowhere by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Spans.
    pub traces: Option<Destination>,
    /// Metrics.
    pub metrics: Option<Destination>,
    /// Log records.
    pub logs: Option<Destination>,
    /// Headers of every request; those of `OTEL_EXPORTER_OTLP_HEADERS` come on top.
    pub headers: Vec<(String, Secret)>,
    /// The authorities that receivers are checked against, a file in PEM; without one, those of the system.
    pub authorities: Option<PathBuf>,
    /// What receivers are shown that want to know who sends: a certificate with its chain, a file in PEM.
    pub client_certificate: Option<PathBuf>,
    /// Its private key, a file in PEM.
    pub client_key: Option<PathBuf>,
    /// Budget of one export.
    pub timeout: Duration,
    /// Whether what was said to the model and by it is sent as well, redacted.
    pub content: bool,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            traces: None,
            metrics: None,
            logs: None,
            headers: Vec::new(),
            authorities: None,
            client_certificate: None,
            client_key: None,
            timeout: TIMEOUT,
            content: false,
        }
    }
}

/// Why telemetry cannot be sent where it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// An unknown protocol.
    #[error("unknown OTLP protocol `{0}`: give grpc or http/protobuf")]
    Protocol(String),
    /// An address that is none.
    #[error("`{0}` is no address for OTLP: give one such as http://alloy:4318")]
    Url(String),
    /// A file without a certificate or a key in it.
    #[error("no {what} for OTLP in {path}: {reason}; give a file in PEM")]
    File {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A client's certificate alone.
    #[error("the client certificate for OTLP, {0}, has no key: name its file in OTEL_EXPORTER_OTLP_CLIENT_KEY")]
    NoKey(String),
    /// A client's key alone.
    #[error("the client key for OTLP, {0}, has no certificate: name its file in OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")]
    NoCertificate(String),
    /// Headers that are none.
    #[error("the OTLP headers cannot be read: give name=value,name=value")]
    Headers,
    /// Whatever the exporter refuses.
    #[error("OTLP to {url}: {reason}")]
    Exporter {
        /// Where it was to go.
        url: String,
        /// The exporter's words.
        reason: String,
    },
}

/// What variables or settings say of a target, before it is resolved.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw<'a> {
    /// A place for all signals.
    pub endpoint: Option<&'a str>,
    /// How it is spoken to; the default is the surface's own.
    pub protocol: Option<&'a str>,
    /// What traces, metrics and logs have of their own: a whole address or `none`, and a protocol.
    pub own: [(Option<&'a str>, Option<&'a str>); 3],
}

impl Raw<'_> {
    /// Where each signal goes.
    ///
    /// # Errors
    /// An address or a protocol that cannot be used.
    pub fn resolve(&self, default: Protocol) -> Result<Target, TargetError> {
        let [traces, metrics, logs] = ["/v1/traces", "/v1/metrics", "/v1/logs"];
        Ok(Target {
            traces: self.destination(0, traces, default)?,
            metrics: self.destination(1, metrics, default)?,
            logs: self.destination(2, logs, default)?,
            ..Target::default()
        })
    }

    fn destination(&self, signal: usize, path: &str, default: Protocol) -> Result<Option<Destination>, TargetError> {
        let (own, protocol) = self.own[signal];
        let protocol = protocol.or(self.protocol).map_or(Ok(default), Protocol::parse)?;
        let url = match (own, self.endpoint) {
            (Some(NONE), _) | (None, None) => return Ok(None),
            (Some(own), _) => own.to_owned(),
            (None, Some(base)) if protocol == Protocol::Http => format!("{}{path}", base.trim_end_matches('/')),
            (None, Some(base)) => base.to_owned(),
        };
        checked(url, protocol).map(Some)
    }
}

fn checked(url: String, protocol: Protocol) -> Result<Destination, TargetError> {
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    let parsed = reqwest::Url::parse(&url).map_err(|_| TargetError::Url(url.clone()))?;
    // Credentials belong into the headers; the address is shown in messages.
    let shown = parsed.username().is_empty() && parsed.password().is_none();
    match parsed.scheme() {
        _ if !shown || parsed.host_str().is_none() => Err(TargetError::Url("(with credentials)".to_owned())),
        "http" | "https" => Ok(Destination { url, protocol }),
        _ => Err(TargetError::Url(url)),
    }
}

impl Target {
    /// What OpenTelemetry's variables say, as `read` gives them. Headers are left to the exporters, which read them
    /// themselves.
    ///
    /// # Errors
    /// An address or a protocol that cannot be used.
    pub fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<Self, TargetError> {
        let read = |name: &str| read(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if is_true(read("OTEL_SDK_DISABLED")) {
            return Ok(Self::default());
        }
        let endpoint = read("OTEL_EXPORTER_OTLP_ENDPOINT");
        let protocol = read("OTEL_EXPORTER_OTLP_PROTOCOL");
        let own = ["TRACES", "METRICS", "LOGS"].map(|signal| {
            let off = read(&format!("OTEL_{signal}_EXPORTER")).filter(|exporter| exporter == NONE);
            let url = off.or_else(|| read(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")));
            (url, read(&format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")))
        });
        let raw = Raw {
            endpoint: endpoint.as_deref(),
            protocol: protocol.as_deref(),
            own: [0, 1, 2].map(|signal| (own[signal].0.as_deref(), own[signal].1.as_deref())),
        };
        let timeout = read("OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        Ok(Self {
            authorities: read("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from),
            client_certificate: read("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE").map(PathBuf::from),
            client_key: read("OTEL_EXPORTER_OTLP_CLIENT_KEY").map(PathBuf::from),
            timeout: timeout.unwrap_or(TIMEOUT),
            content: is_true(read("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")),
            ..raw.resolve(Protocol::Http)?
        })
    }

    /// Adds headers in the form of `OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    /// A part that is no `name=value`.
    pub fn with_headers(mut self, text: &str) -> Result<Self, TargetError> {
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(TargetError::Headers)?;
            self.headers.push((name.trim().to_ascii_lowercase(), Secret::new(value.trim())));
        }
        Ok(self)
    }

    /// Whether nothing is sent anywhere.
    pub fn is_off(&self) -> bool {
        self.traces.is_none() && self.metrics.is_none() && self.logs.is_none()
    }
}

/// Names the places, for the health check and the log.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals = [("traces", &self.traces), ("metrics", &self.metrics), ("logs", &self.logs)];
        let mut comma = "";
        for (signal, destination) in signals {
            if let Some(destination) = destination {
                write!(f, "{comma}{signal} to {}", destination.url)?;
                comma = ", ";
            }
        }
        if comma.is_empty() { f.write_str("nothing is sent") } else { Ok(()) }
    }
}

fn is_true(text: Option<String>) -> bool {
    text.is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(variables: &[(&str, &str)]) -> Result<Target, TargetError> {
        Target::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_a_place_nothing_is_sent() {
        assert!(target(&[]).unwrap().is_off());
        assert!(target(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_SERVICE_NAME", "x")]).unwrap().is_off());
        let disabled = [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")];
        assert!(target(&disabled).unwrap().is_off());
    }

    #[test]
    fn a_place_serves_all_signals_that_have_none_of_their_own() {
        let target = target(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://loki:3100/otlp/v1/logs"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ])
        .unwrap();
        assert_eq!(target.traces.as_ref().unwrap().url, "http://c:4318/v1/traces");
        assert_eq!(target.logs.as_ref().unwrap().url, "http://loki:3100/otlp/v1/logs");
        assert_eq!((target.metrics.as_ref(), target.timeout), (None, Duration::from_millis(250)));
        assert_eq!(target.to_string(), "traces to http://c:4318/v1/traces, logs to http://loki:3100/otlp/v1/logs");
    }

    #[test]
    fn grpc_takes_the_place_as_it_is() {
        let grpc = |url| target(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_ENDPOINT", url)]);
        assert_eq!(grpc("tempo:4317").unwrap().traces.unwrap().url, "http://tempo:4317");
        assert_eq!(grpc("https://tempo:4317").unwrap().traces.unwrap().url, "https://tempo:4317");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_credentials_are_not() {
        let wrong = |name, value| target(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), (name, value)]).unwrap_err();
        assert!(wrong("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json").to_string().contains("`http/json`"));
        assert!(wrong("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://c").to_string().contains("ftp://c"));
        let error = wrong("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:hunter2@c").to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert_eq!(Target::default().with_headers("novalue").unwrap_err(), TargetError::Headers);
        let target = Target::default().with_headers("Authorization=Basic hunter2, a=b").unwrap();
        assert_eq!(target.headers.len(), 2);
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
