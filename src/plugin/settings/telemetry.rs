//! Where spans and metrics are exported to, if anywhere.

use super::read::Reader;
use crate::http::Secret;

/// `secureJsonData.otlpHeaders`: headers of every export, `name=value,name=value`.
pub(super) const OTLP_HEADERS: &str = "otlpHeaders";

/// Keys of this section in `jsonData`.
pub(super) const KEYS: [&str; 3] = ["otlpEndpoint", "otlpProtocol", "otlpCaptureContent"];

/// The protocols of OTLP that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugin) enum Protocol {
    /// `grpc`, the default.
    Grpc,
    /// `http/protobuf`.
    Http,
}

/// An OTLP receiver.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::plugin) struct Otlp {
    /// Its address, `http(s)://HOST:PORT`.
    pub(in crate::plugin) endpoint: String,
    /// How it is spoken to.
    pub(in crate::plugin) protocol: Protocol,
    /// Whether spans may carry prompts and answers; off unless it was asked for.
    pub(in crate::plugin) capture_content: bool,
    /// Headers of every export.
    pub(in crate::plugin) headers: Vec<(String, Secret)>,
}

/// Reads the section; `None` if nothing is exported.
pub(super) fn otlp(mut reader: Reader<'_>) -> Result<Option<Otlp>, String> {
    let Some(endpoint) = reader.text("otlpEndpoint", "http://alloy:4317") else { return reader.done(None) };
    if !(endpoint.starts_with("http://") || endpoint.starts_with("https://")) || endpoint.contains('@') {
        // It may carry credentials, so it is not repeated.
        reader.fault("setting `otlpEndpoint` is not an address such as http://alloy:4317".to_owned());
    }
    let protocol = match reader.text("otlpProtocol", "grpc") {
        None | Some("grpc") => Protocol::Grpc,
        Some("http/protobuf") => Protocol::Http,
        Some(other) => {
            reader.fault(format!("setting `otlpProtocol` is `{other}`: give grpc or http/protobuf"));
            Protocol::Grpc
        }
    };
    let headers = headers(&mut reader);
    let capture_content = reader.flag("otlpCaptureContent").unwrap_or(false);
    reader.done(Some(Otlp { endpoint: endpoint.to_owned(), protocol, capture_content, headers }))
}

fn headers(reader: &mut Reader<'_>) -> Vec<(String, Secret)> {
    let Some(given) = reader.secret(OTLP_HEADERS) else { return Vec::new() };
    let mut headers = Vec::new();
    for pair in given.expose().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                headers.push((name.trim().to_owned(), Secret::new(value.trim())));
            }
            _ => {
                reader.fault(format!("secure setting `{OTLP_HEADERS}`: give name=value, more of them after commas"));
                break;
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn read(json: &Value, headers: &str) -> Result<Option<Otlp>, String> {
        let secure = BTreeMap::from([(OTLP_HEADERS.to_owned(), Secret::new(headers))]);
        otlp(Reader::new(json.as_object().unwrap(), &secure))
    }

    #[test]
    fn a_receiver_is_an_address_with_headers() {
        assert_eq!(read(&json!({}), "a=b"), Ok(None));
        let otlp = read(&json!({"otlpEndpoint": "http://alloy:4318", "otlpProtocol": "http/protobuf"}), "a=b, c=d=e");
        let otlp = otlp.unwrap().unwrap();
        assert_eq!((otlp.protocol, otlp.capture_content), (Protocol::Http, false));
        assert_eq!(otlp.headers, [("a".to_owned(), Secret::new("b")), ("c".to_owned(), Secret::new("d=e"))]);
    }

    #[test]
    fn what_is_wrong_is_told_without_what_may_be_secret() {
        let json = json!({"otlpEndpoint": "http://me:canary@alloy", "otlpProtocol": "http/json"});
        let fault = read(&json, "canary").unwrap_err();
        assert!(fault.contains("`otlpEndpoint`") && fault.contains("`http/json`") && fault.contains("name=value"));
        assert!(!fault.contains("canary"), "{fault}");
    }
}
