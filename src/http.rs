//! What the adapters that speak HTTP share: how a client is set up, the secrets that it carries, and why it failed.
//!
//! TLS is rustls with the cryptography of ring, installed here once for the whole process. No client follows a proxy
//! or a redirect: log text and credentials go to the configured address or nowhere.

use std::error::Error;
use std::fmt;
use std::sync::Once;

use reqwest::{ClientBuilder, redirect};

/// Makes ring the cryptography of every TLS connection of the process.
pub(crate) fn install_tls() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that somebody installed another provider before, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// An error with the causes behind it, which libraries leave out of their own words.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// Sets up a client that checks certificates against those of the system, unless it is told others.
pub(crate) fn builder() -> ClientBuilder {
    install_tls();
    reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none())
}

/// Sets up a client for plain HTTP. Without any certificates to trust, it needs none of the system's: reading those
/// takes milliseconds, and an image without them would keep a client from being built that never uses TLS.
pub(crate) fn plain_builder() -> ClientBuilder {
    builder().tls_certs_only([])
}

/// A key, password or token. `Debug` hides it; there is no `Display` and no serialization.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_value() {
        let shown = format!("{:?}", Some(Secret::new("sk-123")));
        assert_eq!(shown, "Some(Secret(***))");
    }

    #[test]
    fn clients_can_be_built_side_by_side() {
        assert!(plain_builder().build().is_ok() && plain_builder().build().is_ok());
    }
}
