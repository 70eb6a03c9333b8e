//! The server's side of TLS, with the certificates of `tests/tls`.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

pub(crate) fn pem(file: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/tls/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A server that shows this certificate, and may want to see one too.
pub(crate) fn server(certificate: &str, wants_certificate: bool) -> ServerConfig {
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
    let chain = vec![CertificateDer::from_pem_slice(pem(&format!("{certificate}.pem")).as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pem(&format!("{certificate}.key")).as_bytes()).unwrap();
    builder.with_single_cert(chain, key).unwrap()
}
