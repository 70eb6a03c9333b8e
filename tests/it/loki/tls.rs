//! Certificates: whom we trust, who we say we are, and the name that the server has to show.

use std::sync::Arc;

use assay::loki::{Certificate, Client, LokiError, Secret, Settings, Tls};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::canned::{http, read_request};
use crate::tls::{pem, server};

/// Starts a Loki that speaks TLS with a certificate and answers every question with a version; returns its address.
async fn secure_loki(certificate: &str, wants_certificate: bool) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(server(certificate, wants_certificate)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let name = stream.get_ref().1.server_name().unwrap_or("no name").to_owned();
            if let Some(request) = read_request(&mut stream).await {
                let host = request.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("no host");
                let version = json!({"version": format!("3.5.0 of {name} at {host}")});
                let _ = stream.write_all(&http(200, "application/json", version.to_string().as_bytes())).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    url
}

async fn version(url: &str, tls: Tls) -> Result<String, LokiError> {
    Client::new(&Settings { tls, ..Settings::new(url) }).unwrap().version().await
}

fn trusting() -> Tls {
    Tls { ca: Some(pem("ca.pem")), ..Tls::default() }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_or_not_at_all() {
    let url = secure_loki("server", false).await;
    let of_no_name = format!("3.5.0 of no name at {}", url.strip_prefix("https://").unwrap());
    assert_eq!(version(&url, trusting()).await.unwrap(), of_no_name);
    let other = Tls { ca: Some(pem("client.pem")), ..Tls::default() };
    let error = version(&url, other).await.unwrap_err();
    assert!(matches!(error, LokiError::Unreachable { .. }) && error.to_string().contains("certificate"), "{error}");
    assert_eq!(version(&url, Tls { skip_verify: true, ..Tls::default() }).await.unwrap(), of_no_name);
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let error = version(&elsewhere, trusting()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "a certificate counts for its own name: {error}");
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let url = secure_loki("server", true).await;
    let client = Certificate { chain: pem("client.pem"), key: Secret::new(pem("client.key")) };
    assert!(version(&url, Tls { client: Some(client), ..trusting() }).await.unwrap().starts_with("3.5.0"));
    let error = version(&url, trusting()).await.unwrap_err();
    assert!(matches!(error, LokiError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_certificate_may_be_for_the_name_that_was_set() {
    let url = secure_loki("named", false).await;
    let place = url.strip_prefix("https://").unwrap().to_owned();
    let named =
        |name: Option<&str>| Tls { ca: Some(pem("named.pem")), server_name: name.map(str::to_owned), ..Tls::default() };
    let error = version(&url, named(None)).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "it is not that of an IP address: {error}");
    let error = version(&url, named(Some("loki.elsewhere"))).await.unwrap_err().to_string();
    assert!(error.contains("certificate") && error.contains(&place), "{error}");
    for address in [url.clone(), url.replace("127.0.0.1", "localhost")] {
        let host = address.strip_prefix("https://").unwrap();
        let told = version(&address, named(Some("loki.example"))).await.unwrap();
        assert_eq!(told, format!("3.5.0 of loki.example at {host}"), "the name is for TLS alone");
    }
    let unchecked = Tls { skip_verify: true, ..named(Some("loki.anything")) };
    assert!(
        version(&url, unchecked).await.unwrap().contains("of loki.anything at"),
        "a name is asked for all the same"
    );
    let client = Client::new(&Settings { tls: named(Some("loki.example")), ..Settings::new(&url) }).unwrap();
    assert_eq!(client.url(), url, "what people are told is the address");
    let refused = Settings { tls: named(Some("127.0.0.1")), ..Settings::new(&url) };
    assert!(Client::new(&refused).unwrap_err().to_string().contains("give the DNS name"));
}
