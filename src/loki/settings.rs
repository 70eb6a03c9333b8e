//! How to reach a Loki: address, tenant, credentials, certificates and bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{ClientBuilder, Url};
use serde_json::{Map, Value, json};

use crate::hash;
use crate::http::Secret;

use super::client::Client;
use super::error::SettingsError;
use super::tls::{Certificate, Tls};

/// The header that names the tenant.
const ORG_ID: &str = "x-scope-orgid";

/// How to reach a Loki. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Root of the server, such as `http://loki:3100` or `https://gateway/loki`.
    pub url: String,
    /// The tenant (`X-Scope-OrgID`), where Loki has any.
    pub org_id: Option<String>,
    /// Who asks.
    pub auth: Auth,
    /// Headers to send with every request, such as those of a gateway.
    pub headers: Vec<(String, Secret)>,
    /// Certificates.
    pub tls: Tls,
    /// Longest time for one answer, from connecting to its last byte.
    pub timeout: Duration,
    /// Most bytes of an answer, decompressed; also the most bytes of lines in one result of several answers.
    pub max_bytes: usize,
    /// Most entries to ask for at once; lowered to Loki's own limit when that turns out lower.
    pub page: u32,
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nobody in particular.
    #[default]
    None,
    /// A user with a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// The bearer of a token.
    Bearer(Secret),
}

impl Settings {
    /// Settings for the Loki at `url` with neither tenant nor credentials: 30 s, 64 MiB, 5,000 entries at once.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            org_id: None,
            auth: Auth::None,
            headers: Vec::new(),
            tls: Tls::default(),
            timeout: Duration::from_secs(30),
            max_bytes: 64 << 20,
            page: 5000,
        }
    }

    /// The address without a slash at its end.
    ///
    /// # Errors
    /// If it is not `http(s)://HOST…`, or carries credentials.
    pub(super) fn root(&self) -> Result<String, SettingsError> {
        let wrong = |url: &str, reason: &str| SettingsError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let shown = if self.url.contains('@') { "(with credentials)" } else { self.url.as_str() };
        let url = Url::parse(self.url.trim())
            .map_err(|error| wrong(shown, &format!("{error}: expected http://HOST:PORT or https://HOST")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(shown, "credentials do not belong into the address: set user and password"));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(shown, "expected http:// or https://"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(shown, "give the root of Loki, without `?` or `#`"));
        }
        let root = url.as_str().trim_end_matches('/');
        match root.find("/loki/api/") {
            Some(at) => Err(wrong(shown, &format!("give the root of Loki, `{}`", &root[..at]))),
            None => Ok(root.to_owned()),
        }
    }

    /// A client builder with the certificates and with the headers of every request.
    pub(super) fn http(&self, root: &str) -> Result<ClientBuilder, SettingsError> {
        let mut headers = self.headers()?;
        if let Some(renamed) = self.tls.renamed(root)? {
            headers.entry(HOST).or_insert(renamed.host);
        }
        Ok(self.tls.http(root)?.default_headers(headers))
    }

    /// The root to send requests to.
    pub(super) fn asked(&self, root: &str) -> Result<String, SettingsError> {
        Ok(self.tls.renamed(root)?.map_or_else(|| root.to_owned(), |renamed| renamed.root))
    }

    fn headers(&self) -> Result<HeaderMap, SettingsError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(header_name(name)?, header_value(name, value.expose())?);
        }
        if let Some(org_id) = &self.org_id {
            headers.insert(ORG_ID, header_value("the organisation id", org_id)?);
        }
        let authorization = match &self.auth {
            Auth::None => return Ok(headers),
            Auth::Basic { user, .. } if user.contains(':') => {
                return Err(unusable("the user", "a user name may not contain `:`"));
            }
            Auth::Basic { user, password } => format!("Basic {}", base64(&format!("{user}:{}", password.expose()))),
            Auth::Bearer(token) => format!("Bearer {}", token.expose()),
        };
        headers.insert(AUTHORIZATION, header_value("the password or token", &authorization)?);
        Ok(headers)
    }

    /// Everything that may never be shown, as it could be echoed.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<Secret> = self.headers.iter().map(|(_, value)| value.clone()).collect();
        match &self.auth {
            Auth::None => {}
            Auth::Bearer(token) => secrets.push(token.clone()),
            Auth::Basic { user, password } => {
                secrets.push(Secret::new(base64(&format!("{user}:{}", password.expose()))));
                secrets.push(password.clone());
            }
        }
        secrets
    }
}

impl Client {
    /// A hash over what decides which logs are seen: the address, and all that tells Loki, or a gateway before it, who
    /// asks, but for a user on whose behalf. A password does not: it only proves who the user is.
    pub fn identity(&self) -> String {
        let settings = self.settings();
        let auth = match &settings.auth {
            Auth::None => json!(null),
            Auth::Basic { user, .. } => json!({"user": user}),
            Auth::Bearer(token) => json!({"token": hash::sha256(token.expose())}),
        };
        let header =
            |(name, value): &(String, Secret)| json!([name.to_ascii_lowercase(), hash::sha256(value.expose())]);
        let headers: Vec<Value> = settings.headers.iter().map(header).collect();
        let certificate = settings.tls.client.as_ref().map(|certificate| hash::sha256(&certificate.chain));
        hash::sha256(json!([self.url(), settings.org_id, auth, headers, certificate]).to_string())
    }
}

/// A data source's settings as Grafana keeps them, with the names that its HTTP settings editor gives them.
#[derive(Debug, Clone, Copy)]
pub struct Grafana<'a> {
    /// The address.
    pub url: &'a str,
    /// Whether basic authentication is on.
    pub basic_auth: bool,
    /// Its user.
    pub basic_auth_user: &'a str,
    /// `jsonData`.
    pub json: &'a Map<String, Value>,
    /// `secureJsonData`, decrypted.
    pub secure: &'a BTreeMap<String, Secret>,
}

impl TryFrom<Grafana<'_>> for Settings {
    type Error = SettingsError;

    /// Reads `tlsAuthWithCACert`, `tlsAuth`, `tlsSkipVerify`, `serverName`, `httpHeaderName1`…, `orgId`, `timeout` (s) and,
    /// secure, `basicAuthPassword`, `bearerToken`, `tlsCACert`, `tlsClientCert`, `tlsClientKey`, `httpHeaderValue1`….
    fn try_from(grafana: Grafana<'_>) -> Result<Self, SettingsError> {
        let mut settings = Self::new(grafana.url);
        settings.org_id = grafana.text("orgId");
        settings.headers = grafana.headers()?;
        settings.tls = grafana.tls()?;
        if let Some(seconds) = grafana.json.get("timeout").and_then(Value::as_u64).filter(|seconds| *seconds > 0) {
            settings.timeout = Duration::from_secs(seconds);
        }
        if grafana.basic_auth {
            let password = grafana.secret("basicAuthPassword")?;
            settings.auth = Auth::Basic { user: grafana.basic_auth_user.to_owned(), password };
        } else if let Ok(token) = grafana.secret("bearerToken") {
            settings.auth = Auth::Bearer(token);
        }
        Ok(settings)
    }
}

impl Grafana<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.json.get(key)?.as_str().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn flag(&self, key: &str) -> bool {
        self.json.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn secret(&self, key: &str) -> Result<Secret, SettingsError> {
        let set = self.secure.get(key).filter(|secret| !secret.expose().is_empty()).cloned();
        set.ok_or_else(|| unusable(&format!("secure setting `{key}`"), "it is not set: enter it and save"))
    }

    fn headers(&self) -> Result<Vec<(String, Secret)>, SettingsError> {
        let names = (1..).map_while(|i| Some((i, self.text(&format!("httpHeaderName{i}"))?)));
        names.map(|(i, name)| Ok((name, self.secret(&format!("httpHeaderValue{i}"))?))).collect()
    }

    fn tls(&self) -> Result<Tls, SettingsError> {
        let pem = |key: &str| self.secret(key).map(|secret| secret.expose().to_owned());
        let ca = self.flag("tlsAuthWithCACert").then(|| pem("tlsCACert")).transpose()?;
        let client = || Ok(Certificate { chain: pem("tlsClientCert")?, key: self.secret("tlsClientKey")? });
        let client = self.flag("tlsAuth").then(client).transpose()?;
        Ok(Tls { ca, client, skip_verify: self.flag("tlsSkipVerify"), server_name: self.text("serverName") })
    }
}

pub(super) fn unusable(setting: &str, reason: &str) -> SettingsError {
    SettingsError::Setting { setting: setting.to_owned(), reason: reason.to_owned() }
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, SettingsError> {
    let wrong = |_| unusable(&format!("header `{name}`"), "this is no name of an HTTP header");
    HeaderName::from_bytes(name.trim().as_bytes()).map_err(wrong)
}

pub(super) fn header_value(setting: &str, value: &str) -> Result<HeaderValue, SettingsError> {
    let wrong = |_| unusable(setting, "it holds characters that an HTTP header cannot carry");
    let mut value = HeaderValue::from_str(value).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 4648 with padding; too little to bring a crate for.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(text.len().div_ceil(3) * 4);
    for group in text.as_bytes().chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit <= group.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_root_of_a_loki() {
        let root = |url: &str| Settings::new(url).root();
        assert_eq!(root("http://loki:3100/").unwrap(), "http://loki:3100");
        assert_eq!(root("https://gateway/logs/").unwrap(), "https://gateway/logs");
        for (url, hint) in [
            ("loki:3100", "expected http"),
            ("ftp://loki", "expected http"),
            ("http://loki/?a", "without `?`"),
            ("http://loki:3100/loki/api/v1/push", "`http://loki:3100`"),
        ] {
            let error = root(url).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
        let error = root("http://me:hunter2@loki").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("set user"), "{error}");
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(base64(text), expected);
        }
    }

    fn grafana(json: Value, secure: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let Value::Object(json) = json else { panic!("not an object") };
        let secure = secure.iter().map(|(key, value)| ((*key).to_owned(), Secret::new(*value))).collect();
        let basic_auth = json.contains_key("user");
        Settings::try_from(Grafana {
            url: "https://l",
            basic_auth,
            basic_auth_user: "me",
            json: &json,
            secure: &secure,
        })
    }

    #[test]
    fn grafanas_own_names_are_understood() {
        let json = json!({"httpHeaderName1": "X-A", "httpHeaderName2": "X-B", "tlsSkipVerify": true, "timeout": 5,
            "serverName": "loki.example", "orgId": "team-a", "tlsAuthWithCACert": true, "tlsAuth": true, "user": 1});
        let secure = [
            ("httpHeaderValue1", "canary-1"),
            ("httpHeaderValue2", "canary-2"),
            ("tlsCACert", "canary-ca"),
            ("tlsClientCert", "c"),
            ("tlsClientKey", "canary-key"),
            ("basicAuthPassword", "canary-pass"),
        ];
        let settings = grafana(json.clone(), &secure).unwrap();
        assert_eq!((settings.timeout, settings.org_id.as_deref()), (Duration::from_secs(5), Some("team-a")));
        assert_eq!(settings.tls.server_name.as_deref(), Some("loki.example"));
        assert!(settings.tls.skip_verify && settings.tls.client.is_some() && settings.headers.len() == 2);
        let shown = format!("{settings:?}").replace("canary-ca", "");
        assert!(!shown.contains("canary"), "{shown}");
        for missing in 0..secure.len() {
            let kept: Vec<_> = secure.iter().filter(|(key, _)| *key != secure[missing].0).copied().collect();
            let error = grafana(json.clone(), &kept).unwrap_err().to_string();
            assert!(error.contains(secure[missing].0) && !error.contains("canary"), "{error}");
        }
        assert!(matches!(grafana(json!({}), &[("bearerToken", "t")]).unwrap().auth, Auth::Bearer(_)));
    }

    #[test]
    fn what_cannot_be_sent_is_named_and_not_shown() {
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::new("https://l");
            change(&mut settings);
            settings.http("https://l").map(|_| ()).unwrap_err().to_string()
        };
        let secret = || Secret::new("can\nary");
        type Change<'a> = &'a dyn Fn(&mut Settings);
        let bad: [(Change<'_>, &str); 6] = [
            (&|s| s.auth = Auth::Bearer(secret()), "the password or token"),
            (&|s| s.auth = Auth::Basic { user: "a:b".to_owned(), password: secret() }, "the user"),
            (&|s| s.headers = vec![("X A".to_owned(), secret())], "header `X A`"),
            (&|s| s.headers = vec![("X-A".to_owned(), secret())], "X-A"),
            (&|s| s.tls.ca = Some("can\nary".to_owned()), "the CA certificate"),
            (&|s| s.tls.client = Some(Certificate { chain: "x".to_owned(), key: secret() }), "the client certificate"),
        ];
        for (change, expected) in bad {
            let error = with(change);
            assert!(error.contains(expected) && !error.contains("ary"), "{error}");
        }
    }
}
