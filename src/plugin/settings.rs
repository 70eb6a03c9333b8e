//! The settings of a data source as a person saved them in Grafana. Each section is read by itself, so that a fault in one leaves the others in use. Keys that are not ours are left alone, because Grafana keeps
//! its own beside them; one that looks like a misspelling of ours is told in the health check.

mod live;
mod read;
mod store;
mod telemetry;

use std::collections::BTreeMap;
use std::path::PathBuf;

use grafana_plugin_sdk::pluginv2::DataSourceInstanceSettings;
use serde_json::{Map, Value};

pub(super) use live::{Live, ModelServer, RULES, Standing};
use read::Reader;
pub(super) use store::{Place, STORE_URL};
pub(super) use telemetry::Otlp;

use crate::http::Secret;
use crate::loki;
use crate::problem::did_you_mean;

/// `jsonData.rootPath`: the folder that holds `prompts/`, `golden/` and `models/`, as an absolute path. Optional:
/// without it no live log is analysed, the prompt lock is not checked and evidence is shown by its ids alone.
pub(super) const ROOT_PATH: &str = "rootPath";

/// `jsonData.tempoUid`, `lokiUid`, `prometheusUid`: the data sources that links lead to.
const LINKS: [&str; 3] = ["tempoUid", "lokiUid", "prometheusUid"];

/// Keys of Grafana's own that are near enough to ours, or to Loki's, to be taken for a misspelling.
const GRAFANAS: [&str; 9] = [
    "timeout",
    "orgId",
    "tlsAuth",
    "tlsAuthWithCACert",
    "tlsSkipVerify",
    "serverName",
    "oauthPassThru",
    "keepCookies",
    "basicAuthPassword",
];

/// The uids of the data sources that links lead to.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    pub(super) tempo: Option<String>,
    pub(super) loki: Option<String>,
    pub(super) prometheus: Option<String>,
}

/// What a data source was told, section by section.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where the store is, or why there is none.
    pub(super) store: Result<Place, String>,
    /// The installation's directory, if one is set.
    pub(super) root: Result<Option<PathBuf>, String>,
    /// Loki, if there is one.
    pub(super) loki: Result<Option<loki::Client>, String>,
    /// Loki's tenant, if one is set.
    pub(super) tenant: Option<String>,
    /// Whether Loki is asked in the name of the user.
    pub(super) forwards_identity: bool,
    /// What the analysis of live logs goes by.
    pub(super) live: Result<Live, String>,
    /// Where links lead.
    pub(super) links: Result<Links, String>,
    /// Where spans and metrics are exported to.
    pub(super) otlp: Result<Option<Otlp>, String>,
    /// Settings that are probably misspelt.
    pub(super) remarks: Vec<String>,
}

impl Settings {
    /// Reads what Grafana keeps; `jsonData` is empty for a data source that was never saved.
    pub(super) fn read(given: &DataSourceInstanceSettings) -> Self {
        let json = if given.json_data.is_empty() { b"{}" } else { &given.json_data[..] };
        match serde_json::from_slice::<Map<String, Value>>(json) {
            Ok(json) => Self::of(given, &json),
            // The error's own text could quote what was meant to be secret.
            Err(_) => Self::none("the data source's settings are not a JSON object: save them again in Grafana"),
        }
    }

    /// Nothing is set, for this reason.
    pub(super) fn none(reason: &str) -> Self {
        let reason = || reason.to_owned();
        Self {
            store: Err(reason()),
            root: Ok(None),
            loki: Ok(None),
            tenant: None,
            forwards_identity: false,
            live: Err(reason()),
            links: Ok(Links::default()),
            otlp: Ok(None),
            remarks: Vec::new(),
        }
    }

    fn of(given: &DataSourceInstanceSettings, json: &Map<String, Value>) -> Self {
        let secrets = given.decrypted_secure_json_data.iter();
        let secure: BTreeMap<String, Secret> = secrets.map(|(key, value)| (key.clone(), Secret::new(value))).collect();
        let reader = || Reader::new(json, &secure);
        let live = live::live(reader());
        Self {
            store: store::place(reader()),
            root: section(reader(), |reader| reader.path(ROOT_PATH)),
            loki: loki_client(given, json, &secure),
            tenant: json
                .get("orgId")
                .and_then(Value::as_str)
                .map(|id| id.trim().to_owned())
                .filter(|id| !id.is_empty()),
            forwards_identity: json.get("oauthPassThru") == Some(&Value::Bool(true)),
            links: section(reader(), |reader| {
                let [tempo, loki, prometheus] =
                    LINKS.map(|key| reader.text(key, "P8E80F9AEF21F6940").map(str::to_owned));
                Links { tempo, loki, prometheus }
            }),
            otlp: telemetry::otlp(reader()),
            remarks: remarks(json, &secure, &live),
            live,
        }
    }
}

fn section<'a, T>(mut reader: Reader<'a>, read: impl FnOnce(&mut Reader<'a>) -> T) -> Result<T, String> {
    let read = read(&mut reader);
    reader.done(read)
}

/// The client of the Loki at the data source's own address; `None` without an address.
fn loki_client(
    given: &DataSourceInstanceSettings,
    json: &Map<String, Value>,
    secure: &BTreeMap<String, Secret>,
) -> Result<Option<loki::Client>, String> {
    let url = given.url.trim();
    if url.is_empty() {
        return Ok(None);
    }
    let (basic_auth, basic_auth_user) = (given.basic_auth_enabled, given.basic_auth_user.as_str());
    let settings = loki::Settings::try_from(loki::Grafana { url, basic_auth, basic_auth_user, json, secure });
    settings.and_then(|settings| loki::Client::new(&settings)).map(Some).map_err(|error| error.to_string())
}

fn remarks(json: &Map<String, Value>, secure: &BTreeMap<String, Secret>, live: &Result<Live, String>) -> Vec<String> {
    let ours = [ROOT_PATH].into_iter().chain(LINKS).chain(store::KEYS).chain(live::KEYS).chain(telemetry::KEYS);
    let our_secrets = store::SECURE.into_iter().chain([live::HASH_KEY, telemetry::OTLP_HEADERS]);
    let misspelt = |what: &str, key: &String, known: &mut dyn Iterator<Item = &'static str>| {
        let known: Vec<&str> = known.collect();
        let is_fine = known.contains(&key.as_str()) || GRAFANAS.contains(&key.as_str());
        let hint = (!is_fine).then(|| did_you_mean(key, known.into_iter())).flatten()?;
        Some(format!("{what} `{key}` is not one of ours: {hint}"))
    };
    let json = json.keys().filter_map(|key| misspelt("setting", key, &mut ours.clone()));
    let secrets = secure.keys().filter_map(|key| misspelt("secure setting", key, &mut our_secrets.clone()));
    let without_server = secure.keys().filter_map(|key| {
        let name = key.strip_prefix(live::API_KEY)?;
        let unknown = live.as_ref().is_ok_and(|live| live.servers.iter().all(|server| server.name != name));
        unknown.then(|| format!("secure setting `{key}` is of no model server: add `{name}` to `modelServers`"))
    });
    json.chain(secrets).chain(without_server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Settings {
        let secrets =
            [("storeAccessKey", "key"), ("storeSecretKey", "hidden-secret"), ("modelApiKey.gone", "hidden-secret")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let (json_data, url) = (json.as_bytes().to_vec(), "http://loki:3100".to_owned());
        Settings::read(&DataSourceInstanceSettings {
            url,
            json_data,
            decrypted_secure_json_data: secrets,
            ..Default::default()
        })
    }

    fn store_of(json: &str) -> Result<String, String> {
        read(json).store.map(|place| match place {
            Place::Folder(path) => path.display().to_string(),
            Place::Bucket(url, _) => url,
        })
    }

    fn error_of(json: &str) -> String {
        read(json).store.unwrap_err()
    }

    #[test]
    fn a_store_is_a_file_url_or_an_absolute_path() {
        assert_eq!(store_of(r#"{"storeUrl": "file:///srv/assay", "httpHeaderName1": "X"}"#).unwrap(), "/srv/assay");
        assert_eq!(store_of(r#"{"storeUrl": " /srv/assay "}"#).unwrap(), "/srv/assay");
    }

    #[test]
    fn a_bad_setting_is_told_with_its_value_and_the_way_out() {
        let cases = [
            ("", "not set"),
            ("{}", "not set"),
            (r#"{"storeUrl": 7}"#, "is 7"),
            (r#"{"storeUrl": "runs"}"#, "absolute path"),
            (r#"{"storeUrl": "gs://bucket/x"}"#, "only file:// and s3://"),
            (r#"{"storeUrl": "s3://bucket", "storePathStyle": "yes"}"#, "give true or false"),
            ("[]", "not a JSON object"),
            ("\u{0}", "not a JSON object"),
        ];
        for (json, expected) in cases {
            let error = error_of(json);
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn a_bucket_takes_its_credentials_from_the_secure_settings_and_shows_them_nowhere() {
        let settings = read(r#"{"storeUrl": "s3://bucket/x", "storeEndpoint": "http://minio:9000"}"#);
        let Ok(Place::Bucket(url, access)) = &settings.store else { panic!("{settings:?}") };
        assert_eq!((url.as_str(), access.endpoint.as_deref()), ("s3://bucket/x", Some("http://minio:9000")));
        assert!(access.secret_key.is_some() && !format!("{settings:?}").contains("hidden-secret"));
    }

    #[test]
    fn an_installation_is_optional_and_absolute() {
        let root = |json: &str| read(json).root;
        assert_eq!(root("{}").unwrap(), None);
        assert_eq!(root(r#"{"rootPath": "/srv/assay"}"#).unwrap(), Some(PathBuf::from("/srv/assay")));
        assert!(root(r#"{"rootPath": "here"}"#).unwrap_err().contains("`rootPath` is `here`"));
    }

    #[test]
    fn a_misspelt_setting_is_remarked_and_grafanas_own_are_not() {
        let settings = read(r#"{"storeURL": "/x", "tlsSkipVerify": true, "timeout": 30, "modelServer": []}"#);
        let expected = [
            "setting `storeURL` is not one of ours: did you mean `storeUrl`?",
            "setting `modelServer` is not one of ours: did you mean `modelServers`?",
            "secure setting `modelApiKey.gone` is of no model server: add `gone` to `modelServers`",
        ];
        assert_eq!(settings.remarks, expected);
    }

    #[test]
    fn a_fault_in_one_section_leaves_the_others() {
        let settings = read(r#"{"storeUrl": "/x", "budget": "many", "httpHeaderName1": "X-A", "tempoUid": 7}"#);
        assert!(settings.store.is_ok() && settings.root.is_ok());
        assert!(settings.live.unwrap_err().contains("setting `budget` is"));
        let loki = settings.loki.unwrap_err();
        assert!(loki.contains("secure setting `httpHeaderValue1`"), "{loki}");
        assert!(settings.links.unwrap_err().contains("setting `tempoUid` is 7"));
        assert_eq!(read("{}").loki.unwrap().unwrap().url(), "http://loki:3100");
    }
}
