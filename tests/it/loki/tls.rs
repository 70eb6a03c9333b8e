//! Certificates: whom we trust, who we say we are.

use std::sync::Arc;

use assay::loki::{Certificate, Client, LokiError, Secret, Settings, Tls};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::canned::{http, read_request};
use crate::tls::{pem, server};

/// Starts a Loki that speaks TLS and answers every question with a version; returns its address.
async fn secure_loki(wants_certificate: bool) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(server(wants_certificate)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            if read_request(&mut stream).await.is_some() {
                let _ = stream.write_all(&http(200, "application/json", b"{\"version\":\"3.5.0\"}")).await;
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
    let url = secure_loki(false).await;
    assert_eq!(version(&url, trusting()).await.unwrap(), "3.5.0");
    let other = Tls { ca: Some(pem("client.pem")), ..Tls::default() };
    let error = version(&url, other).await.unwrap_err();
    assert!(matches!(error, LokiError::Unreachable { .. }) && error.to_string().contains("certificate"), "{error}");
    assert_eq!(version(&url, Tls { skip_verify: true, ..Tls::default() }).await.unwrap(), "3.5.0");
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let error = version(&elsewhere, trusting()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "a certificate counts for its own name: {error}");
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let url = secure_loki(true).await;
    let client = Certificate { chain: pem("client.pem"), key: Secret::new(pem("client.key")) };
    assert_eq!(version(&url, Tls { client: Some(client), ..trusting() }).await.unwrap(), "3.5.0");
    let error = version(&url, trusting()).await.unwrap_err();
    assert!(matches!(error, LokiError::Unreachable { .. }), "{error:?}");
}
