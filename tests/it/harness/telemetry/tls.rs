//! Receivers over TLS: whom the harness trusts, and what it shows of itself.

use super::super::faults::external;
use super::super::folder::{Folder, stderr};
use super::{model, run};
use crate::otlp::Receiver;

/// A file of `tests/tls`.
fn pem_file(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Fault: a receiver whose certificate is of nobody that is trusted. Injected: other authorities. Outcome: nothing is sent to it, and the run is published as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_over_tls_is_trusted_by_its_authority_or_gets_nothing() {
    for (protocol, variable, authorities, arrives) in [
        ("grpc", "OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem", true),
        ("grpc", "SSL_CERT_FILE", "ca.pem", true),
        ("grpc", "OTEL_EXPORTER_OTLP_CERTIFICATE", "client.pem", false),
        ("http/protobuf", "OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem", true),
        ("http/protobuf", "OTEL_EXPORTER_OTLP_CERTIFICATE", "client.pem", false),
    ] {
        let (model, receiver) = (model().await, Receiver::secure(protocol, false).await);
        let variables = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000".to_owned()),
            (variable, pem_file(authorities)),
        ];
        let (output, _folder) = run(external(model.url()), variables).await;
        assert!(output.status.success() && !stderr(&output).contains("OTLP"), "{}", stderr(&output));
        let arrived = receiver.arrived();
        let signals = [arrived.spans.len(), arrived.logs.len(), arrived.metrics.len()];
        assert!(
            signals.iter().all(|count| (*count > 0) == arrives),
            "{protocol} {variable}={authorities}: {signals:?}"
        );
    }
}

/// Fault: a receiver that wants to know who sends, and a sender that shows nothing. Injected: no client certificate. Outcome: nothing is sent to it, and the run is published as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_is_shown_a_certificate() {
    for (protocol, shown) in [("grpc", true), ("grpc", false), ("http/protobuf", true), ("http/protobuf", false)] {
        let (model, receiver) = (model().await, Receiver::secure(protocol, true).await);
        let mut variables = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000".to_owned()),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", pem_file("ca.pem")),
        ];
        if shown {
            variables.push(("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", pem_file("client.pem")));
            variables.push(("OTEL_EXPORTER_OTLP_CLIENT_KEY", pem_file("client.key")));
        }
        let (output, _folder) = run(external(model.url()), variables).await;
        assert!(output.status.success() && !stderr(&output).contains("OTLP"), "{}", stderr(&output));
        let arrived = receiver.arrived();
        let signals = [arrived.spans.len(), arrived.logs.len(), arrived.metrics.len()];
        assert!(signals.iter().all(|count| (*count > 0) == shown), "{protocol}, shown {shown}: {signals:?}");
    }
}

/// Fault: a client certificate that cannot be used. Injected: a missing half, a missing file, a file without one, the key of another. Outcome: a warning names the file and the way out, and the command goes on.
#[test]
fn a_client_certificate_that_cannot_be_used_is_named() {
    let folder = Folder::new(1, crate::gguf::Habit::Brief);
    let (certificate, key) = (pem_file("client.pem"), pem_file("client.key"));
    for (shown, its_key, said) in [
        (&certificate, "", format!("{certificate}, has no key: name its file in OTEL_EXPORTER_OTLP_CLIENT_KEY")),
        (&String::new(), &*key, format!("{key}, has no certificate: name its file in OTEL_EXPORTER_OTLP_CLIENT_CERT")),
        (&certificate, "/nowhere.key", "no key for OTLP in /nowhere.key: No such file".to_owned()),
        (&key, &key, format!("no certificate for OTLP in {key}: there is none; give a file in PEM")),
        (&certificate, &certificate, format!("no key for OTLP in {certificate}: ")),
        (&certificate, &pem_file("server.key"), format!("server.key: it is not that of {certificate}")),
    ] {
        for protocol in ["grpc", "http/protobuf"] {
            let mut command = folder.command(&["prompt", "list"]);
            command
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector")
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
            command.env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", shown).env("OTEL_EXPORTER_OTLP_CLIENT_KEY", its_key);
            let output = command.output().unwrap();
            let told = stderr(&output);
            assert!(output.status.success() && told.contains("warning: nothing is sent by OTLP"), "{told}");
            assert!(told.contains(&said), "{said:?} is not in {told}");
        }
    }
}
