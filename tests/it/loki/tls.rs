//! Certificates: whom we trust, who we say we are.

use std::sync::Arc;

use assay::loki::{Certificate, Client, LokiError, Secret, Settings, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::canned::{http, read_request};

fn pem(file: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/tls/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Starts a Loki that speaks TLS and answers every question with a version; returns its address.
async fn secure_loki(wants_certificate: bool) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem("ca.pem").as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_slice(pem("server.pem").as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pem("server.key").as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
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
