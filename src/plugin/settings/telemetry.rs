//! Where spans, metrics and logs are sent, if anywhere.

use super::read::Reader;
use crate::telemetry::{Protocol, Raw, Target, TargetError};

/// `secureJsonData.otlpHeaders`: headers of every export, `name=value,name=value`.
pub(super) const OTLP_HEADERS: &str = "otlpHeaders";

/// `jsonData.otlpEndpoint`: a receiver of all signals. `otlpProtocol`: `grpc`, the default, or `http/protobuf`.
/// `otlpCaptureContent`: whether what was said to a model is sent too. The others: a signal's own whole URL, or `none`.
pub(super) const KEYS: [&str; 6] = [
    "otlpEndpoint",
    "otlpProtocol",
    "otlpCaptureContent",
    "otlpTracesEndpoint",
    "otlpMetricsEndpoint",
    "otlpLogsEndpoint",
];

/// What the settings say of OTLP.
pub(in crate::plugin) type Otlp = Target;

/// Reads the section; `None` if it names no receiver.
pub(super) fn otlp(mut reader: Reader<'_>) -> Result<Option<Otlp>, String> {
    let mut url = |key| reader.text(key, "http://alloy:4317");
    let endpoint = url("otlpEndpoint");
    let own = ["otlpTracesEndpoint", "otlpMetricsEndpoint", "otlpLogsEndpoint"].map(|key| (url(key), None));
    let raw = Raw { endpoint, protocol: reader.text("otlpProtocol", "grpc"), own };
    let content = reader.flag("otlpCaptureContent").unwrap_or(false);
    let resolved = raw.resolve(Protocol::Grpc).and_then(|target| match reader.secret(OTLP_HEADERS) {
        Some(headers) => target.with_headers(headers.expose()),
        None => Ok(target),
    });
    match resolved {
        Ok(target) if target.is_off() => reader.done(None),
        Ok(target) => reader.done(Some(Target { content, ..target })),
        Err(error) => {
            reader.fault(match error {
                TargetError::Protocol(given) => {
                    format!("setting `otlpProtocol` is `{given}`: give grpc or http/protobuf")
                }
                other => other.to_string(),
            });
            reader.done(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::http::Secret;

    fn read(json: &Value, headers: &str) -> Result<Option<Otlp>, String> {
        let secure = BTreeMap::from([(OTLP_HEADERS.to_owned(), Secret::new(headers))]);
        otlp(Reader::new(json.as_object().unwrap(), &secure))
    }

    #[test]
    fn a_receiver_is_an_address_with_headers() {
        assert_eq!(read(&json!({}), "a=b"), Ok(None));
        let otlp = read(&json!({"otlpEndpoint": "http://alloy:4318", "otlpProtocol": "http/protobuf"}), "a=b, c=d=e");
        let otlp = otlp.unwrap().unwrap();
        assert_eq!((otlp.logs.as_ref().unwrap().url.as_str(), otlp.content), ("http://alloy:4318/v1/logs", false));
        assert_eq!(otlp.headers, [("a".to_owned(), Secret::new("b")), ("c".to_owned(), Secret::new("d=e"))]);
    }

    #[test]
    fn a_signal_may_have_a_place_of_its_own_or_none() {
        let json = json!({"otlpEndpoint": "tempo:4317", "otlpMetricsEndpoint": "none", "otlpLogsEndpoint": "none"});
        assert_eq!(read(&json, "").unwrap().unwrap().to_string(), "traces to http://tempo:4317");
    }

    #[test]
    fn what_is_wrong_is_told_without_what_may_be_secret() {
        for (json, expected) in [
            (json!({"otlpEndpoint": "http://me:canary@alloy"}), "(with credentials)"),
            (json!({"otlpEndpoint": "http://alloy", "otlpProtocol": "http/json"}), "`http/json`"),
            (json!({"otlpEndpoint": "http://alloy"}), "name=value"),
        ] {
            let fault = read(&json, "canary").unwrap_err();
            assert!(fault.contains(expected) && !fault.contains("canary"), "{fault}");
        }
    }
}
