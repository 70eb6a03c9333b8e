//! The settings of a data source as a person saved them in Grafana, and what is opened because of them.
//!
//! Grafana sends them with every request; they are read again only when their `updated` changes. Nothing needs a
//! credential yet, so the decrypted ones are dropped unread. Keys that are not ours are left alone, because Grafana
//! keeps its own beside them; one that looks like a misspelling of ours is told in the health check.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use grafana_plugin_sdk::pluginv2::{DataSourceInstanceSettings, PluginContext};
use serde_json::{Map, Value};

use super::error::QueryError;
use crate::problem::did_you_mean;
use crate::store::Store;

/// Data sources that are kept open; beyond it the map starts anew, which costs each one reading of its settings.
const MAX_INSTANCES: usize = 64;

/// `jsonData.storeUrl`: where the runs live, a `file://` URL or an absolute path.
const STORE_URL: &str = "storeUrl";

/// `jsonData.rootPath`: the folder that holds `prompts/`, `golden/` and `models/`, as an absolute path. Optional:
/// without it the prompt lock is not checked and evidence is shown by its ids alone.
pub(super) const ROOT_PATH: &str = "rootPath";

/// Keys of ours in `jsonData`.
const KEYS: [&str; 2] = [STORE_URL, ROOT_PATH];

/// A data source, as far as its settings could be read.
#[derive(Debug)]
pub(super) struct Instance {
    /// The store's directory, or why there is none.
    store: Result<PathBuf, String>,
    /// The installation's directory, if one is set.
    root: Result<Option<PathBuf>, String>,
    /// What the health check adds: settings that are probably misspelt.
    pub(super) remarks: Vec<String>,
}

impl Instance {
    /// Opens the store. It is looked for anew each time, so that one that was away is found again.
    pub(super) fn store(&self) -> Result<Store, QueryError> {
        let path = self.store.as_ref().map_err(|reason| QueryError::Settings(reason.clone()))?;
        // A store that is opened for writing is created; a misspelt path must not be.
        if !path.is_dir() {
            let message = format!("there is no store at {}: check `{STORE_URL}` and what is mounted", path.display());
            return Err(QueryError::Store(message));
        }
        Ok(Store::open(&path.to_string_lossy())?)
    }

    /// The installation's directory, if one is set.
    pub(super) fn root(&self) -> Result<Option<&Path>, QueryError> {
        self.root.as_ref().map(Option::as_deref).map_err(|reason| QueryError::Settings(reason.clone()))
    }

    fn unset(reason: &str) -> Self {
        Self { store: Err(reason.to_owned()), root: Ok(None), remarks: Vec::new() }
    }

    /// Reads `jsonData`, which is empty for a data source that was never saved.
    fn read(json: &[u8]) -> Self {
        let json = if json.is_empty() { b"{}" } else { json };
        match serde_json::from_slice::<Map<String, Value>>(json) {
            Ok(map) => Self { store: store_path(&map), root: root_path(&map), remarks: remarks(&map) },
            // The error's own text could quote what was meant to be secret.
            Err(_) => Self::unset("the data source's settings are not a JSON object: save them again in Grafana"),
        }
    }
}

fn store_path(map: &Map<String, Value>) -> Result<PathBuf, String> {
    let text = text(map, STORE_URL)?;
    let path = text.strip_prefix("file://").unwrap_or(text);
    if path.is_empty() {
        return Err(format!("setting `{STORE_URL}` is not set: give the store's place, such as file:///var/lib/assay"));
    }
    if path.contains("://") {
        return Err(format!("setting `{STORE_URL}` is `{text}`: this version reads only file:// URLs"));
    }
    absolute(STORE_URL, path)
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
pub(super) struct Instances(Mutex<HashMap<Key, (i64, Arc<Instance>)>>);

impl Instances {
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
        let DataSourceInstanceSettings { uid, last_updated_ms: updated, json_data, .. } = settings;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, instance)) = open.get(&(org, uid.clone())).filter(|(made_of, _)| *made_of == updated) {
            return Arc::clone(instance);
        }
        if open.len() >= MAX_INSTANCES {
            open.clear();
        }
        let instance = Arc::new(Instance::read(&json_data));
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

    fn store_of(json: &str) -> Result<String, String> {
        Instance::read(json.as_bytes()).store.map(|path| path.display().to_string())
    }

    fn error_of(json: &str) -> String {
        Instance::read(json.as_bytes()).store().unwrap_err().to_string()
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
            (r#"{"storeUrl": "s3://bucket/x"}"#, "only file://"),
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
    fn an_installation_is_optional_and_absolute() {
        let root = |json: &str| Instance::read(json.as_bytes()).root;
        assert_eq!(root("{}").unwrap(), None);
        assert_eq!(root(r#"{"rootPath": "/srv/assay"}"#).unwrap(), Some(PathBuf::from("/srv/assay")));
        assert!(root(r#"{"rootPath": "here"}"#).unwrap_err().contains("`rootPath` is `here`"));
    }

    #[test]
    fn a_misspelt_setting_is_remarked_and_grafanas_own_are_not() {
        let instance = Instance::read(br#"{"storeURL": "/x", "tlsSkipVerify": true}"#);
        assert_eq!(instance.remarks, ["setting `storeURL` is not one of ours: did you mean `storeUrl`?"]);
    }

    #[test]
    fn settings_are_read_again_only_when_they_were_updated() {
        let instances = Instances::default();
        let first = instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#));
        assert!(Arc::ptr_eq(&first, &instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#))));
        let updated = instances.get(context("u", 2, r#"{"storeUrl": "/b"}"#));
        assert_eq!(updated.store.clone().unwrap(), PathBuf::from("/b"));
        assert!(!Arc::ptr_eq(&updated, &instances.get(context("v", 2, r#"{"storeUrl": "/b"}"#))));
    }

    #[test]
    fn a_request_without_settings_gets_a_reason() {
        assert!(Instances::default().get(None).store().is_err());
        assert!(Instances::default().get(Some(PluginContext::default())).store().is_err());
    }
}
