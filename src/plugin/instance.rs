//! The data sources that are in use, each with what is opened because of its settings: store, ledger, and the desk that
//! answers questions about live logs.
//!
//! Grafana sends the settings with every request; they are read again only when their `updated` changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use grafana_plugin_sdk::pluginv2::{DataSourceInstanceSettings, PluginContext};

use super::desk::{LOOK, Opened};
use super::error::QueryError;
use super::log;
use super::query::Comparisons;
use super::settings::{Links, Live, Otlp, Place, STORE_URL, Settings};
use crate::live::{Capacity, Desk};
use crate::loki;
use crate::store::{Access, Cache, Counts, Ledger, Store};
use crate::telemetry::{TargetError, configure};

/// Data sources that are kept open; of more, the one goes that was not asked for longest.
const MAX_INSTANCES: usize = 64;
/// How long one stays open that nobody asks for: Grafana does not tell when a data source was deleted.
const UNUSED: Duration = Duration::from_secs(6 * 3600);
/// The same for one with standing questions, which are asked while nobody looks.
const UNUSED_SCHEDULE: Duration = Duration::from_secs(7 * 86_400);
/// How often such are looked for.
const SWEEP: Duration = Duration::from_secs(600);

/// A data source, as far as its settings could be read.
#[derive(Debug)]
pub(super) struct Instance {
    /// Grafana's organisation.
    pub(super) org: i64,
    /// Its uid in Grafana, for links to itself.
    pub(super) uid: String,
    /// Its name in Grafana.
    pub(super) name: String,
    settings: Settings,
    /// The store with what was read of it, and its ledger, once it was opened.
    opened: Mutex<Option<(Arc<Cache>, Ledger)>>,
    /// The desk, once a live question was asked.
    desk: tokio::sync::Mutex<Option<Opened>>,
    /// When the standing questions were last seen to.
    attended: Mutex<Option<Instant>>,
    surroundings: Surroundings,
    /// Comparisons that were computed.
    pub(super) comparisons: Comparisons,
    /// One run at a time is taken in.
    pub(super) pushes: tokio::sync::Mutex<()>,
}

fn set<T: Clone>(section: &Result<T, String>) -> Result<T, QueryError> {
    section.clone().map_err(QueryError::Settings)
}

impl Instance {
    /// The store.
    pub(super) fn store(&self) -> Result<Arc<Cache>, QueryError> {
        self.opened().map(|(cache, _)| cache)
    }

    /// The ledger of this data source.
    pub(super) fn ledger(&self) -> Result<Ledger, QueryError> {
        self.opened().map(|(_, ledger)| ledger)
    }

    /// The store and the ledger. A folder is looked for each time, so that one that is away is told and one that is back
    /// is found.
    fn opened(&self) -> Result<(Arc<Cache>, Ledger), QueryError> {
        let place = set(&self.settings.store)?;
        // A store that is opened for writing is created; a misspelt path must not be.
        if let Place::Folder(path) = &place
            && !path.is_dir()
        {
            let message = format!("there is no store at {}: check `{STORE_URL}` and what is mounted", path.display());
            return Err(QueryError::Store(message));
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = opened.as_ref() {
            return Ok(opened.clone());
        }
        let store = match place {
            Place::Folder(path) => Store::attach(&path.to_string_lossy(), &Access::default())?,
            Place::Bucket(url, access) => Store::attach(&url, &access)?,
        };
        let ledger = Ledger::new(&store, self.org, &self.uid);
        let cache = Arc::new(Cache::new(store, self.surroundings.counts.clone()));
        Ok(opened.insert((cache, ledger)).clone())
    }

    /// The ledger, if the store was opened.
    fn open_ledger(&self) -> Option<Ledger> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, ledger)| ledger.clone())
    }

    /// How long it stays open without being asked for.
    fn outlives(&self) -> Duration {
        if self.has_schedule() { UNUSED_SCHEDULE } else { UNUSED }
    }

    /// The folder of the store, if it is one.
    pub(super) fn store_folder(&self) -> Option<PathBuf> {
        match &self.settings.store {
            Ok(Place::Folder(path)) => Some(path.clone()),
            _ => None,
        }
    }

    /// Who answers questions about live logs; opened by the first of them, and again when the installation's files
    /// change.
    pub(super) async fn desk(&self) -> Result<Arc<Desk>, QueryError> {
        Opened::desk(&mut *self.desk.lock().await, self, &self.surroundings.capacity).await
    }

    /// Whether there are standing questions, and nobody's identity is needed to ask them.
    pub(super) fn has_schedule(&self) -> bool {
        !self.forwards_identity() && self.live().is_ok_and(|live| !live.standing.is_empty())
    }

    /// Sees to it in the background that the standing questions are asked, whatever the request is about; at most as
    /// often as the installation's files are looked at.
    fn attend(self: &Arc<Self>) {
        if !self.has_schedule() {
            return;
        }
        let mut attended = self.attended.lock().unwrap_or_else(PoisonError::into_inner);
        if attended.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        *attended = Some(Instant::now());
        let instance = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = instance.desk().await {
                tracing::warn!(%error, uid = instance.uid, "the standing questions cannot be asked");
            }
        });
    }

    /// The installation's directory, if one is set.
    pub(super) fn root(&self) -> Result<Option<&Path>, QueryError> {
        self.settings.root.as_ref().map(Option::as_deref).map_err(|reason| QueryError::Settings(reason.clone()))
    }

    /// Loki, if one is set.
    pub(super) fn loki(&self) -> Result<Option<loki::Client>, QueryError> {
        set(&self.settings.loki)
    }

    /// Loki's tenant, if one is set.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.settings.tenant.as_deref()
    }

    /// Whether Loki is asked in the name of the user who asks here.
    pub(super) fn forwards_identity(&self) -> bool {
        self.settings.forwards_identity
    }

    /// What the analysis of live logs goes by.
    pub(super) fn live(&self) -> Result<&Live, QueryError> {
        self.settings.live.as_ref().map_err(|reason| QueryError::Settings(reason.clone()))
    }

    /// Where links lead; nowhere if the setting cannot be read, which the health check tells.
    pub(super) fn links(&self) -> Links {
        self.settings.links.clone().unwrap_or_default()
    }

    /// Where spans and metrics are exported to.
    pub(super) fn otlp(&self) -> Result<Option<&Otlp>, QueryError> {
        self.settings.otlp.as_ref().map(Option::as_ref).map_err(|reason| QueryError::Settings(reason.clone()))
    }

    fn exports(&self) -> bool {
        matches!(self.settings.otlp, Ok(Some(_)))
    }

    /// Sends telemetry where the settings say; where Grafana's goes, if they have just ceased to say.
    fn export(&self, exported: bool) -> Result<(), TargetError> {
        match &self.settings.otlp {
            Ok(Some(target)) => configure(target),
            Ok(None) if exported => configure(&log::inherited()?),
            _ => Ok(()),
        }
    }

    /// What else is odd about the settings.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.settings.links.as_ref().err().cloned().into_iter().chain(self.settings.remarks.iter().cloned()).collect()
    }

    fn new(org: i64, given: DataSourceInstanceSettings, surroundings: Surroundings) -> Self {
        let settings = Settings::read(&given);
        Self { uid: given.uid, name: given.name, ..Self::made(org, settings, surroundings) }
    }

    fn unset(reason: &str) -> Self {
        Self::made(0, Settings::none(reason), Surroundings::default())
    }

    fn made(org: i64, settings: Settings, surroundings: Surroundings) -> Self {
        Self {
            org,
            uid: String::new(),
            name: String::new(),
            settings,
            opened: Mutex::default(),
            desk: tokio::sync::Mutex::default(),
            attended: Mutex::default(),
            surroundings,
            comparisons: Comparisons::default(),
            pushes: tokio::sync::Mutex::default(),
        }
    }
}

/// A data source's organisation and uid.
type Key = (i64, String);

/// What all data sources of the process share.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    /// What stores count.
    counts: Counts,
    /// Places for questions at work.
    capacity: Capacity,
}

/// An open data source.
#[derive(Debug)]
struct Open {
    instance: Arc<Instance>,
    /// `updated` of the settings it was made of.
    updated: i64,
    /// When a request last named it.
    used: Instant,
}

/// The open data sources.
#[derive(Debug, Default)]
pub(super) struct Instances {
    open: Mutex<HashMap<Key, Open>>,
    surroundings: Surroundings,
}

impl Instances {
    /// None is open yet; what their stores count goes to `counts`.
    pub(super) fn new(counts: Counts) -> Self {
        Self { open: Mutex::default(), surroundings: Surroundings { counts, ..Surroundings::default() } }
    }

    /// The data source that a request goes through. Its standing questions begin with the first.
    pub(super) fn get(&self, context: Option<PluginContext>) -> Arc<Instance> {
        let Some(context) = context else {
            return Arc::new(Instance::unset("the request does not say through which data source it comes"));
        };
        let Some(settings) = context.data_source_instance_settings else {
            return Arc::new(Instance::unset("the request comes without a data source's settings"));
        };
        let instance = self.open(context.org_id, settings);
        instance.attend();
        instance
    }

    fn open(&self, org: i64, settings: DataSourceInstanceSettings) -> Arc<Instance> {
        let (key, updated, used) = ((org, settings.uid.clone()), settings.last_updated_ms, Instant::now());
        let mut open = self.lock();
        if let Some(known) = open.get_mut(&key).filter(|known| known.updated == updated) {
            known.used = used;
            return Arc::clone(&known.instance);
        }
        let before = open.remove(&key);
        if open.len() >= MAX_INSTANCES
            && let Some(oldest) = open.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| key.clone())
        {
            open.remove(&oldest);
        }
        let instance = Arc::new(Instance::new(org, settings, self.surroundings.clone()));
        if let Err(error) = instance.export(before.is_some_and(|before| before.instance.exports())) {
            tracing::warn!(%error, uid = key.1, "telemetry does not go where the settings say");
        }
        open.insert(key, Open { instance: Arc::clone(&instance), updated, used });
        instance
    }

    /// Closes data sources that nobody has asked for in a long time, for as long as it is polled.
    pub(super) async fn tend(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.close_unused(Instant::now());
        }
    }

    fn close_unused(&self, now: Instant) {
        self.lock().retain(|_, open| now.saturating_duration_since(open.used) < open.instance.outlives());
    }

    /// Writes what ledgers have gathered.
    pub(super) async fn flush(&self) {
        let ledgers: Vec<Ledger> = self.lock().values().filter_map(|open| open.instance.open_ledger()).collect();
        for written in join_all(ledgers.iter().map(Ledger::flush)).await {
            if let Err(error) = written {
                tracing::warn!(%error, "the ledger's last lines could not be written");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn settings_are_read_again_only_when_they_were_updated() {
        let instances = Instances::default();
        let first = instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#));
        assert!(Arc::ptr_eq(&first, &instances.get(context("u", 1, r#"{"storeUrl": "/a"}"#))));
        let updated = instances.get(context("u", 2, r#"{"storeUrl": "/b"}"#));
        assert_eq!(updated.store_folder(), Some(PathBuf::from("/b")));
        assert!(!Arc::ptr_eq(&updated, &instances.get(context("v", 2, r#"{"storeUrl": "/b"}"#))));
    }

    #[test]
    fn of_too_many_data_sources_the_one_goes_that_was_not_asked_for_longest() {
        let instances = Instances::default();
        let named = |number: usize, updated| instances.get(context(&format!("u{number}"), updated, "{}"));
        let all: Vec<_> = (0..MAX_INSTANCES).map(|number| named(number, 1)).collect();
        let is_open = |number: usize| {
            instances
                .lock()
                .get(&(1, format!("u{number}")))
                .is_some_and(|open| Arc::ptr_eq(&open.instance, &all[number]))
        };
        named(0, 1);
        let updated = named(5, 2);
        assert!((0..MAX_INSTANCES).all(|number| is_open(number) != (number == 5)), "new settings close no other");
        named(MAX_INSTANCES, 1);
        assert!((2..MAX_INSTANCES).all(|number| is_open(number) != (number == 5)));
        assert!(is_open(0) && !is_open(1) && Arc::ptr_eq(&updated, &named(5, 2)));
    }

    #[tokio::test]
    async fn a_data_source_that_nobody_asks_for_is_closed() {
        let instances = Instances::default();
        let standing = r#"{"standingQuestions": [{"name": "m", "expr": "{a=\"b\"}", "every": "5m", "window": "5m"}]}"#;
        instances.get(context("plain", 1, "{}"));
        instances.get(context("standing", 1, standing));
        let closed_after = |time: Duration| {
            instances.close_unused(Instant::now() + time);
            ["plain", "standing"].map(|uid| !instances.lock().contains_key(&(1, uid.to_owned())))
        };
        assert_eq!(closed_after(UNUSED - SWEEP), [false, false]);
        assert_eq!(closed_after(UNUSED), [true, false]);
        assert_eq!(closed_after(UNUSED_SCHEDULE), [true, true]);
    }

    #[test]
    fn a_request_without_settings_gets_a_reason() {
        assert!(Instances::default().get(None).store().is_err());
        assert!(Instances::default().get(Some(PluginContext::default())).store().is_err());
    }

    #[test]
    fn a_store_that_cannot_be_used_is_told() {
        let of =
            |json: &str| Instances::default().get(context("u", 1, json)).store().map(|_| ()).unwrap_err().to_string();
        assert!(of(r#"{"storeUrl": "s3://"}"#).contains("names no bucket"));
        assert!(of(r#"{"storeUrl": "file:///nonexistent/assay"}"#).contains("no store at /nonexistent/assay"));
    }
}
