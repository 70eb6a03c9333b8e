//! The settings of a data source as a person saved them in Grafana, and what is opened because of them.
//!
//! Grafana sends them with every request; they are read again only when their `updated` changes. Each section is read by
//! itself, so that a fault in one leaves the others in use. Keys that are not ours are left alone, because Grafana keeps
//! its own beside them; one that looks like a misspelling of ours is told in the health check.

mod live;
mod read;
mod store;
mod telemetry;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use grafana_plugin_sdk::pluginv2::{DataSourceInstanceSettings, PluginContext};
use serde_json::{Map, Value};

pub(super) use live::{Live, ModelServer, RULES, Standing};
use read::Reader;
use store::Place;
pub(super) use store::STORE_URL;
pub(super) use telemetry::Otlp;

use super::error::QueryError;
use super::query::Comparisons;
use crate::http::Secret;
use crate::loki;
use crate::problem::did_you_mean;
use crate::store::{Access, Cache, Counts, Store};
use crate::telemetry::configure;

/// Data sources that are kept open; beyond it the map starts anew, which costs each one reading of its settings.
const MAX_INSTANCES: usize = 64;

/// `jsonData.rootPath`: the folder that holds `prompts/`, `golden/` and `models/`, as an absolute path. Optional:
/// without it no live log is analysed, the prompt lock is not checked and evidence is shown by its ids alone.
pub(super) const ROOT_PATH: &str = "rootPath";

/// `jsonData.tempoUid`, `lokiUid`, `prometheusUid`: the data sources that links lead to.
const LINKS: [&str; 3] = ["tempoUid", "lokiUid", "prometheusUid"];

/// Keys of Grafana's own that are near enough to ours, or to Loki's, to be taken for a misspelling.
const GRAFANAS: [&str; 8] = [
    "timeout",
    "orgId",
    "tlsAuth",
    "tlsAuthWithCACert",
    "tlsSkipVerify",
    "oauthPassThru",
    "keepCookies",
    "basicAuthPassword",
];

/// The uids of the data sources that links lead to.
#[allow(dead_code, reason = "the frames of live verdicts link there")]
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    pub(super) tempo: Option<String>,
    pub(super) loki: Option<String>,
    pub(super) prometheus: Option<String>,
}

/// What a data source was told, section by section.
#[derive(Debug)]
struct Settings {
    store: Result<Place, String>,
    root: Result<Option<PathBuf>, String>,
    /// Loki, if there is one.
    loki: Result<Option<loki::Client>, String>,
    /// Whether Loki is asked in the name of the user.
    forwards_identity: bool,
    live: Result<Live, String>,
    links: Result<Links, String>,
    otlp: Result<Option<Otlp>, String>,
    /// Settings that are probably misspelt.
    remarks: Vec<String>,
}

/// A data source, as far as its settings could be read.
#[derive(Debug)]
pub(super) struct Instance {
    /// Its uid in Grafana, for links to itself.
    pub(super) uid: String,
    /// Its name in Grafana.
    pub(super) name: String,
    settings: Settings,
    /// The store with what was read of it, once it was opened.
    cache: Mutex<Option<Arc<Cache>>>,
    counts: Counts,
    /// Comparisons that were computed.
    pub(super) comparisons: Comparisons,
    /// One run at a time is taken in.
    pub(super) pushes: tokio::sync::Mutex<()>,
}

fn set<T: Clone>(section: &Result<T, String>) -> Result<T, QueryError> {
    section.clone().map_err(QueryError::Settings)
}

impl Instance {
    /// The store. A folder is looked for each time, so that one that is away is told and one that is back is found.
    pub(super) fn store(&self) -> Result<Arc<Cache>, QueryError> {
        let place = set(&self.settings.store)?;
        // A store that is opened for writing is created; a misspelt path must not be.
        if let Place::Folder(path) = &place
            && !path.is_dir()
        {
            let message = format!("there is no store at {}: check `{STORE_URL}` and what is mounted", path.display());
            return Err(QueryError::Store(message));
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cache) = cache.as_ref() {
            return Ok(Arc::clone(cache));
        }
        let store = match place {
            Place::Folder(path) => Store::attach(&path.to_string_lossy(), &Access::default())?,
            Place::Bucket(url, access) => Store::attach(&url, &access)?,
        };
        Ok(Arc::clone(cache.insert(Arc::new(Cache::new(store, self.counts.clone())))))
    }

    /// The installation's directory, if one is set.
    pub(super) fn root(&self) -> Result<Option<&Path>, QueryError> {
        self.settings.root.as_ref().map(Option::as_deref).map_err(|reason| QueryError::Settings(reason.clone()))
    }

    /// Loki, if one is set.
    pub(super) fn loki(&self) -> Result<Option<loki::Client>, QueryError> {
        set(&self.settings.loki)
    }

    /// Whether Loki is asked in the name of the user who asks here.
    pub(super) fn forwards_identity(&self) -> bool {
        self.settings.forwards_identity
    }

    /// What the analysis of live logs goes by.
    pub(super) fn live(&self) -> Result<&Live, QueryError> {
        self.settings.live.as_ref().map_err(|reason| QueryError::Settings(reason.clone()))
    }

    #[allow(dead_code, reason = "the frames of live verdicts link there")]
    /// Where links lead; nowhere if the setting cannot be read, which the health check tells.
    pub(super) fn links(&self) -> Links {
        self.settings.links.clone().unwrap_or_default()
    }

    /// Where spans and metrics are exported to.
    pub(super) fn otlp(&self) -> Result<Option<&Otlp>, QueryError> {
        self.settings.otlp.as_ref().map(Option::as_ref).map_err(|reason| QueryError::Settings(reason.clone()))
    }

    /// What else is odd about the settings.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.settings.links.as_ref().err().cloned().into_iter().chain(self.settings.remarks.iter().cloned()).collect()
    }

    fn unset(reason: &str) -> Self {
        let reason = || reason.to_owned();
        Self::made(Settings {
            store: Err(reason()),
            root: Ok(None),
            loki: Ok(None),
            forwards_identity: false,
            live: Err(reason()),
            links: Ok(Links::default()),
            otlp: Ok(None),
            remarks: Vec::new(),
        })
    }

    fn made(settings: Settings) -> Self {
        Self {
            uid: String::new(),
            name: String::new(),
            settings,
            cache: Mutex::default(),
            counts: Counts::default(),
            comparisons: Comparisons::default(),
            pushes: tokio::sync::Mutex::default(),
        }
    }

    /// Reads what Grafana keeps; `jsonData` is empty for a data source that was never saved.
    fn read(given: &DataSourceInstanceSettings) -> Self {
        let json = if given.json_data.is_empty() { b"{}" } else { &given.json_data[..] };
        match serde_json::from_slice::<Map<String, Value>>(json) {
            Ok(json) => Self::made(Settings::read(given, &json)),
            // The error's own text could quote what was meant to be secret.
            Err(_) => Self::unset("the data source's settings are not a JSON object: save them again in Grafana"),
        }
    }
}

impl Settings {
    fn read(given: &DataSourceInstanceSettings, json: &Map<String, Value>) -> Self {
        let secrets = given.decrypted_secure_json_data.iter();
        let secure: BTreeMap<String, Secret> = secrets.map(|(key, value)| (key.clone(), Secret::new(value))).collect();
        let reader = || Reader::new(json, &secure);
        let live = live::live(reader());
        Self {
            store: store::place(reader()),
            root: section(reader(), |reader| reader.path(ROOT_PATH)),
            loki: loki_client(given, json, &secure),
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

/// A data source's organisation and uid.
type Key = (i64, String);

/// The open data sources, each with the `updated` of the settings it was made of.
#[derive(Debug, Default)]
pub(super) struct Instances {
    open: Mutex<HashMap<Key, (i64, Arc<Instance>)>>,
    counts: Counts,
}

impl Instances {
    /// None is open yet; what their stores count goes to `counts`.
    pub(super) fn new(counts: Counts) -> Self {
        Self { open: Mutex::default(), counts }
    }

    /// The data source that a request goes through.
    pub(super) fn get(&self, context: Option<PluginContext>) -> Arc<Instance> {
        let Some(context) = context else {
            return Arc::new(Instance::unset("the request does not say through which data source it comes"));
        };
        let Some(settings) = context.data_source_instance_settings else {
            return Arc::new(Instance::unset("the request comes without a data source's settings"));
        };
        self.open(context.org_id, settings)
    }

    fn open(&self, org: i64, settings: DataSourceInstanceSettings) -> Arc<Instance> {
        let (uid, updated) = (settings.uid.clone(), settings.last_updated_ms);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, instance)) = open.get(&(org, uid.clone())).filter(|(made_of, _)| *made_of == updated) {
            return Arc::clone(instance);
        }
        if open.len() >= MAX_INSTANCES {
            open.clear();
        }
        let read = Instance::read(&settings);
        if let Ok(Some(target)) = &read.settings.otlp
            && let Err(error) = configure(target)
        {
            tracing::warn!(%error, uid, "telemetry does not go where the settings say");
        }
        let instance =
            Arc::new(Instance { uid: uid.clone(), name: settings.name, counts: self.counts.clone(), ..read });
        open.insert((org, uid), (updated, Arc::clone(&instance)));
        instance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(uid: &str, updated: i64, json: &str) -> Option<PluginContext> {
        let settings = DataSourceInstanceSettings {
            uid: uid.to_owned(),
            last_updated_ms: updated,
            json_data: json.as_bytes().to_vec(),
            ..Default::default()
        };
        Some(PluginContext { org_id: 1, data_source_instance_settings: Some(settings), ..Default::default() })
    }

    fn read(json: &str) -> Instance {
        let secrets =
            [("storeAccessKey", "key"), ("storeSecretKey", "hidden-secret"), ("modelApiKey.gone", "hidden-secret")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let (json_data, url) = (json.as_bytes().to_vec(), "http://loki:3100".to_owned());
        Instance::read(&DataSourceInstanceSettings {
            url,
            json_data,
            decrypted_secure_json_data: secrets,
            ..Default::default()
        })
    }

    fn store_of(json: &str) -> Result<String, String> {
        read(json).settings.store.map(|place| match place {
            Place::Folder(path) => path.display().to_string(),
            Place::Bucket(url, _) => url,
        })
    }

    fn error_of(json: &str) -> String {
        read(json).store().unwrap_err().to_string()
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
            (r#"{"storeUrl": "s3://"}"#, "names no bucket"),
            (r#"{"storeUrl": "s3://bucket", "storePathStyle": "yes"}"#, "give true or false"),
            (r#"{"storeUrl": "file:///nonexistent/assay"}"#, "no store at /nonexistent/assay"),
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
        let instance = read(r#"{"storeUrl": "s3://bucket/x", "storeEndpoint": "http://minio:9000"}"#);
        assert_eq!(instance.store().unwrap().store().url(), "s3://bucket/x");
        assert!(!format!("{instance:?}").contains("hidden-secret"));
    }

    #[test]
    fn an_installation_is_optional_and_absolute() {
        let root = |json: &str| read(json).settings.root;
        assert_eq!(root("{}").unwrap(), None);
        assert_eq!(root(r#"{"rootPath": "/srv/assay"}"#).unwrap(), Some(PathBuf::from("/srv/assay")));
        assert!(root(r#"{"rootPath": "here"}"#).unwrap_err().contains("`rootPath` is `here`"));
    }

    #[test]
    fn a_misspelt_setting_is_remarked_and_grafanas_own_are_not() {
        let instance = read(r#"{"storeURL": "/x", "tlsSkipVerify": true, "timeout": 30, "modelServer": []}"#);
        let expected = [
            "setting `storeURL` is not one of ours: did you mean `storeUrl`?",
            "setting `modelServer` is not one of ours: did you mean `modelServers`?",
            "secure setting `modelApiKey.gone` is of no model server: add `gone` to `modelServers`",
        ];
        assert_eq!(instance.remarks(), expected);
    }

    #[test]
    fn a_fault_in_one_section_leaves_the_others() {
        let instance = read(r#"{"storeUrl": "/x", "budget": "many", "httpHeaderName1": "X-A", "tempoUid": 7}"#);
        assert!(instance.settings.store.is_ok() && instance.root().is_ok());
        assert!(instance.live().unwrap_err().to_string().contains("setting `budget` is"));
        let loki = instance.loki().unwrap_err().to_string();
        assert!(loki.contains("secure setting `httpHeaderValue1`"), "{loki}");
        assert!(instance.remarks()[0].contains("setting `tempoUid` is 7"));
        assert_eq!(read("{}").loki().unwrap().unwrap().url(), "http://loki:3100");
    }

    #[test]
    fn settings_are_read_again_only_when_they_were_updated() {
        let instances = Instances::default();
        let first = instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#));
        assert!(Arc::ptr_eq(&first, &instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#))));
        let updated = instances.get(context("u", 2, r#"{"storeUrl": "/b"}"#));
        assert_eq!(updated.settings.store.clone().unwrap(), Place::Folder(PathBuf::from("/b")));
        assert!(!Arc::ptr_eq(&updated, &instances.get(context("v", 2, r#"{"storeUrl": "/b"}"#))));
    }

    #[test]
    fn a_request_without_settings_gets_a_reason() {
        assert!(Instances::default().get(None).store().is_err());
        assert!(Instances::default().get(Some(PluginContext::default())).store().is_err());
    }
}
