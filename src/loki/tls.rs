//! Certificates: whom we trust, who we say we are, and the name that the server has to show.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use reqwest::{ClientBuilder, Identity, Url};

use crate::http::{self, Secret};

use super::error::SettingsError;
use super::settings::unusable;

/// Certificates, in PEM, and what they are checked for.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The only authorities to trust; without any, those of the system.
    pub ca: Option<String>,
    /// What to show to a server that wants to know who asks.
    pub client: Option<Certificate>,
    /// Whether any certificate is accepted, which gives up the protection of TLS against a man in the middle.
    pub skip_verify: bool,
    /// The name that the server is asked for, and that its certificate has to hold, where that is not the host of its
    /// address: that of a gateway which is reached by an IP address, or by a name within a cluster. As in Grafana's own
    /// client, TLS alone goes by it; the connection and the `Host` header stay with the address.
    pub server_name: Option<String>,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, with its chain.
    pub chain: String,
    /// Its private key.
    pub key: Secret,
}

/// A server that is asked for under another name than that of its address.
#[derive(Debug)]
pub(super) struct Renamed {
    /// The root to ask, with that name in it.
    pub(super) root: String,
    /// What HTTP calls the server.
    pub(super) host: HeaderValue,
    /// Where it is.
    place: At,
}

impl Tls {
    /// A client builder for the server at `root`.
    pub(super) fn http(&self, root: &str) -> Result<ClientBuilder, SettingsError> {
        if !root.starts_with("https:") {
            return Ok(http::plain_builder());
        }
        let builder = match self {
            Self { skip_verify: true, .. } => http::builder().tls_danger_accept_invalid_certs(true),
            Self { ca: Some(pem), .. } => {
                let given = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).ok().filter(|all| !all.is_empty());
                http::builder().tls_certs_only(given.ok_or_else(|| unusable("the CA certificate", "expected PEM"))?)
            }
            _ => http::builder(),
        };
        let builder = match &self.client {
            Some(Certificate { chain, key }) => {
                let pem = format!("{chain}\n{}", key.expose());
                let wrong = |_| unusable("the client certificate", "expected a PEM certificate and its PEM key");
                builder.identity(Identity::from_pem(pem.as_bytes()).map_err(wrong)?)
            }
            None => builder,
        };
        Ok(match self.renamed(root)? {
            // HTTP/2 has no `Host` beside the name in the address.
            Some(renamed) => builder.http1_only().dns_resolver(renamed.place),
            None => builder,
        })
    }

    /// How to ask for the server at `root` by its name, if it was given one. reqwest takes the name for TLS from the
    /// address alone: so the name goes into the address, and is resolved to where the server is.
    pub(super) fn renamed(&self, root: &str) -> Result<Option<Renamed>, SettingsError> {
        let Some(name) = self.server_name.as_deref().filter(|_| root.starts_with("https:")) else { return Ok(None) };
        let wrong =
            || unusable(&format!("setting `serverName`, `{name}`"), "give the DNS name that the certificate holds");
        let mut url = Url::parse(root).map_err(|_| wrong())?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        // An IP address is never resolved, so it would be where the server is.
        if name.parse::<IpAddr>().is_ok() || url.set_host(Some(name)).is_err() {
            return Err(wrong());
        }
        Ok(Some(Renamed {
            root: url.as_str().trim_end_matches('/').to_owned(),
            host: HeaderValue::from_str(&authority).map_err(|_| wrong())?,
            place: At(host.trim_start_matches('[').trim_end_matches(']').to_owned()),
        }))
    }
}

/// A resolver that finds one host, whatever it is asked for.
#[derive(Debug)]
struct At(String);

impl Resolve for At {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // The port is that of the address.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(name: &str, root: &str) -> Result<Option<Renamed>, SettingsError> {
        Tls { server_name: Some(name.to_owned()), ..Tls::default() }.renamed(root)
    }

    #[test]
    fn a_name_stands_in_for_the_host_and_for_nothing_else() {
        for (root, asked, host, place) in [
            ("https://10.0.0.3:3100/logs", "https://loki.example:3100/logs", "10.0.0.3:3100", "10.0.0.3"),
            ("https://[::1]", "https://loki.example", "[::1]", "::1"),
            ("https://gateway.svc", "https://loki.example", "gateway.svc", "gateway.svc"),
        ] {
            let renamed = renamed("loki.example", root).unwrap().unwrap();
            assert_eq!((renamed.root.as_str(), renamed.host.to_str().unwrap()), (asked, host));
            assert_eq!(renamed.place.0, place);
        }
        assert!(renamed("loki.example", "http://10.0.0.3").unwrap().is_none(), "without TLS nobody shows a name");
        for name in ["10.0.0.3", "::1", "a b", "a/b"] {
            let error = renamed(name, "https://gateway").unwrap_err().to_string();
            assert!(error.contains("`serverName`") && error.contains(name), "{name}: {error}");
        }
    }
}
