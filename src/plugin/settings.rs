//! The settings of a data source as a person saved them in Grafana, and what is opened because of them.
//!
//! Grafana sends them with every request; they are read again only when their `updated` changes. Of the decrypted
//! credentials only the store's two are taken, and only for an S3 store. Keys that are not ours are left alone, because
//! Grafana keeps its own beside them; one that looks like a misspelling of ours is told in the health check.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use grafana_plugin_sdk::pluginv2::{DataSourceInstanceSettings, PluginContext};
use serde_json::{Map, Value};

use super::error::QueryError;
use super::query::Comparisons;
use crate::http::Secret;
use crate::problem::did_you_mean;
use crate::store::{Access, Cache, Counts, Store};

/// Data sources that are kept open; beyond it the map starts anew, which costs each one reading of its settings.
const MAX_INSTANCES: usize = 64;

/// `jsonData.storeUrl`: where the runs live, a `file://` or `s3://` URL or an absolute path.
const STORE_URL: &str = "storeUrl";

/// `jsonData.storeEndpoint`, `storeRegion` and `storePathStyle` (true or false): which S3 server, and how its buckets
/// are addressed.
const STORE_ENDPOINT: &str = "storeEndpoint";
const STORE_REGION: &str = "storeRegion";
const STORE_PATH_STYLE: &str = "storePathStyle";

/// `secureJsonData.storeAccessKey` and `storeSecretKey`: the credentials of an S3 store; without them the environment's.
const STORE_ACCESS_KEY: &str = "storeAccessKey";
const STORE_SECRET_KEY: &str = "storeSecretKey";

/// `jsonData.rootPath`: the folder that holds `prompts/`, `golden/` and `models/`, as an absolute path. Optional:
/// without it the prompt lock is not checked and evidence is shown by its ids alone.
pub(super) const ROOT_PATH: &str = "rootPath";

/// Keys of ours in `jsonData`.
const KEYS: [&str; 5] = [STORE_URL, ROOT_PATH, STORE_ENDPOINT, STORE_REGION, STORE_PATH_STYLE];

/// Where a store is, as the settings say.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    Folder(PathBuf),
    Bucket(String, Access),
}

/// A data source, as far as its settings could be read.
#[derive(Debug)]
pub(super) struct Instance {
    /// Its uid in Grafana, for links to itself.
    pub(super) uid: String,
    /// Its name in Grafana.
    pub(super) name: String,
    /// Where the store is, or why there is none.
    store: Result<Place, String>,
    /// The store with what was read of it, once it was opened.
    cache: Mutex<Option<Arc<Cache>>>,
    counts: Counts,
    /// Comparisons that were computed.
    pub(super) comparisons: Comparisons,
    /// One run at a time is taken in.
    pub(super) pushes: tokio::sync::Mutex<()>,
    /// The installation's directory, if one is set.
    root: Result<Option<PathBuf>, String>,
    /// What the health check adds: settings that are probably misspelt.
    pub(super) remarks: Vec<String>,
}

impl Instance {
    /// The store. A folder is looked for each time, so that one that is away is told and one that is back is found.
    pub(super) fn store(&self) -> Result<Arc<Cache>, QueryError> {
        let place = self.store.as_ref().map_err(|reason| QueryError::Settings(reason.clone()))?;
        // A store that is opened for writing is created; a misspelt path must not be.
        if let Place::Folder(path) = place
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
            Place::Bucket(url, access) => Store::attach(url, access)?,
        };
        Ok(Arc::clone(cache.insert(Arc::new(Cache::new(store, self.counts.clone())))))
    }

    /// The installation's directory, if one is set.
    pub(super) fn root(&self) -> Result<Option<&Path>, QueryError> {
        self.root.as_ref().map(Option::as_deref).map_err(|reason| QueryError::Settings(reason.clone()))
    }

    fn unset(reason: &str) -> Self {
        Self::made(Err(reason.to_owned()), Ok(None), Vec::new())
    }

    fn made(store: Result<Place, String>, root: Result<Option<PathBuf>, String>, remarks: Vec<String>) -> Self {
        Self {
            uid: String::new(),
            name: String::new(),
            store,
            cache: Mutex::default(),
            counts: Counts::default(),
            comparisons: Comparisons::default(),
            pushes: tokio::sync::Mutex::default(),
            root,
            remarks,
        }
    }

    /// Reads `jsonData`, which is empty for a data source that was never saved, and the credentials that are ours.
    fn read(json: &[u8], secrets: &HashMap<String, String>) -> Self {
        let json = if json.is_empty() { b"{}" } else { json };
        match serde_json::from_slice::<Map<String, Value>>(json) {
            Ok(map) => Self::made(place(&map, secrets), root_path(&map), remarks(&map)),
            // The error's own text could quote what was meant to be secret.
            Err(_) => Self::unset("the data source's settings are not a JSON object: save them again in Grafana"),
        }
    }
}

fn place(map: &Map<String, Value>, secrets: &HashMap<String, String>) -> Result<Place, String> {
    let text = text(map, STORE_URL)?;
    let path = text.strip_prefix("file://").unwrap_or(text);
    if path.is_empty() {
        return Err(format!("setting `{STORE_URL}` is not set: give the store's place, such as file:///var/lib/assay"));
    }
    if text.starts_with("s3://") {
        return Ok(Place::Bucket(text.to_owned(), access(map, secrets)?));
    }
    if path.contains("://") {
        return Err(format!("setting `{STORE_URL}` is `{text}`: only file:// and s3:// URLs can be read"));
    }
    absolute(STORE_URL, path).map(Place::Folder)
}

fn access(map: &Map<String, Value>, secrets: &HashMap<String, String>) -> Result<Access, String> {
    let given = |key| text(map, key).map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
    let secret = |key| secrets.get(key).filter(|value| !value.is_empty()).map(Secret::new);
    let path_style = match map.get(STORE_PATH_STYLE) {
        None | Some(Value::Null) => None,
        Some(Value::Bool(path_style)) => Some(*path_style),
        Some(other) => return Err(format!("setting `{STORE_PATH_STYLE}` is {other}: give true or false")),
    };
    Ok(Access {
        endpoint: given(STORE_ENDPOINT)?,
        region: given(STORE_REGION)?,
        access_key: secret(STORE_ACCESS_KEY),
        secret_key: secret(STORE_SECRET_KEY),
        path_style,
    })
}

fn root_path(map: &Map<String, Value>) -> Result<Option<PathBuf>, String> {
    match text(map, ROOT_PATH)? {
        "" => Ok(None),
        path => absolute(ROOT_PATH, path).map(Some),
    }
}

/// A text setting, empty if it is not set.
fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.trim()),
        Some(other) => Err(format!("setting `{key}` is {other}: give a text such as /var/lib/assay")),
    }
}

fn absolute(key: &str, path: &str) -> Result<PathBuf, String> {
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    Err(format!("setting `{key}` is `{path}`: give an absolute path, such as /var/lib/assay"))
}

fn remarks(map: &Map<String, Value>) -> Vec<String> {
    let unknown = map.keys().filter(|key| !KEYS.contains(&key.as_str()));
    let near = unknown.filter_map(|key| {
        let hint = did_you_mean(key, KEYS.into_iter())?;
        Some(format!("setting `{key}` is not one of ours: {hint}"))
    });
    near.collect()
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
        let DataSourceInstanceSettings { uid, name, last_updated_ms: updated, json_data, .. } = settings;
        let secrets = settings.decrypted_secure_json_data;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, instance)) = open.get(&(org, uid.clone())).filter(|(made_of, _)| *made_of == updated) {
            return Arc::clone(instance);
        }
        if open.len() >= MAX_INSTANCES {
            open.clear();
        }
        let read = Instance::read(&json_data, &secrets);
        let instance = Arc::new(Instance { uid: uid.clone(), name, counts: self.counts.clone(), ..read });
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
        let secrets = [(STORE_ACCESS_KEY, "key"), (STORE_SECRET_KEY, "hidden-secret")];
        Instance::read(json.as_bytes(), &secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    fn store_of(json: &str) -> Result<String, String> {
        read(json).store.map(|place| match place {
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
        let root = |json: &str| read(json).root;
        assert_eq!(root("{}").unwrap(), None);
        assert_eq!(root(r#"{"rootPath": "/srv/assay"}"#).unwrap(), Some(PathBuf::from("/srv/assay")));
        assert!(root(r#"{"rootPath": "here"}"#).unwrap_err().contains("`rootPath` is `here`"));
    }

    #[test]
    fn a_misspelt_setting_is_remarked_and_grafanas_own_are_not() {
        let instance = read(r#"{"storeURL": "/x", "tlsSkipVerify": true}"#);
        assert_eq!(instance.remarks, ["setting `storeURL` is not one of ours: did you mean `storeUrl`?"]);
    }

    #[test]
    fn settings_are_read_again_only_when_they_were_updated() {
        let instances = Instances::default();
        let first = instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#));
        assert!(Arc::ptr_eq(&first, &instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#))));
        let updated = instances.get(context("u", 2, r#"{"storeUrl": "/b"}"#));
        assert_eq!(updated.store.clone().unwrap(), Place::Folder(PathBuf::from("/b")));
        assert!(!Arc::ptr_eq(&updated, &instances.get(context("v", 2, r#"{"storeUrl": "/b"}"#))));
    }

    #[test]
    fn a_request_without_settings_gets_a_reason() {
        assert!(Instances::default().get(None).store().is_err());
        assert!(Instances::default().get(Some(PluginContext::default())).store().is_err());
    }
}
