//! Certificates: whom receivers must be vouched for by, and who we say we are.
//!
//! They are read when an exporter is made, and only for one that speaks TLS. What is wrong with a file is said here and
//! with its name: what TLS says later, when a receiver hangs up, names none.

use std::fmt::Display;
use std::path::Path;

use opentelemetry_otlp::tonic_types::transport::{self as tonic, ClientTlsConfig};
use reqwest::ClientBuilder;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::target::{Target, TargetError};
use crate::http::{builder, install_tls};

/// What is given in place of the system's authorities and of nobody, in PEM.
pub(super) struct Tls {
    authorities: Option<(Vec<u8>, Vec<reqwest::Certificate>)>,
    client: Option<Client>,
}

/// A certificate with its chain, and its key.
struct Client {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files of a target.
    pub(super) fn read(target: &Target) -> Result<Self, TargetError> {
        install_tls();
        let client = match (target.client_certificate.as_deref(), target.client_key.as_deref()) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(Client::read(certificate, key)?),
            (Some(certificate), None) => return Err(TargetError::NoKey(shown(certificate))),
            (None, Some(key)) => return Err(TargetError::NoCertificate(shown(key))),
        };
        Ok(Self { authorities: target.authorities.as_deref().map(authorities).transpose()?, client })
    }

    /// For gRPC.
    pub(super) fn grpc(self) -> ClientTlsConfig {
        let config = match self.authorities {
            Some((pem, _)) => ClientTlsConfig::new().ca_certificate(tonic::Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match self.client {
            Some(client) => config.identity(tonic::Identity::from_pem(client.certificate, client.key)),
            None => config,
        }
    }

    /// For HTTP.
    pub(super) fn http(self) -> Result<ClientBuilder, reqwest::Error> {
        let builder = match self.authorities {
            Some((_, certificates)) => builder().tls_certs_only(certificates),
            None => builder(),
        };
        Ok(match self.client {
            Some(client) => {
                let pem = [client.certificate, client.key].join(&b'\n');
                builder.identity(reqwest::Identity::from_pem(&pem)?)
            }
            None => builder,
        })
    }
}

impl Client {
    /// Reads both files and holds one against the other.
    fn read(certificate: &Path, key: &Path) -> Result<Self, TargetError> {
        let client = Self { certificate: bytes("certificate", certificate)?, key: bytes("key", key)? };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&client.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong("certificate", certificate, error))?;
        if chain.is_empty() {
            return Err(wrong("certificate", certificate, "there is none"));
        }
        let signs = PrivateKeyDer::from_pem_slice(&client.key).map_err(|error| wrong("key", key, error))?;
        let signs = any_supported_type(&signs).map_err(|error| wrong("key", key, error))?;
        match CertifiedKey::new(chain, signs).keys_match() {
            // Not every key says what its public half is; then the receiver finds out.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(client),
            Err(_) => Err(wrong("key", key, format!("it is not that of {}", shown(certificate)))),
        }
    }
}

fn authorities(path: &Path) -> Result<(Vec<u8>, Vec<reqwest::Certificate>), TargetError> {
    let pem = bytes("certificate", path)?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(wrong("certificate", path, "there is none")),
        Ok(certificates) => Ok((pem, certificates)),
        Err(error) => Err(wrong("certificate", path, error)),
    }
}

fn bytes(what: &'static str, path: &Path) -> Result<Vec<u8>, TargetError> {
    std::fs::read(path).map_err(|error| wrong(what, path, error))
}

fn wrong(what: &'static str, path: &Path, reason: impl Display) -> TargetError {
    TargetError::File { what, path: shown(path), reason: reason.to_string() }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
