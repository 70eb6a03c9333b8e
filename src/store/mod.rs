//! The store: where runs live, as plain files under one URL.
//!
//! `runs/<id>/plan.json` is written when a run starts, `results.parquet` when it ends and `run.json` last: a run
//! without it was never published. Every write is atomic: a reader sees the old state or the new one.
//! `gates/<id>.json` keeps what gates said, `baselines/<name>.json` what runs are held against, `ledger/` a line for
//! every question that was asked online. `catalogue/` repeats the records of many runs, for whoever reads them all.

mod cache;
mod catalogue;
mod commit;
mod kept;
mod ledger;
mod lru;
mod parcel;
mod place;
mod segments;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use cache::{Cache, Counts, Hits, Listed, Records, Version, beginning};
pub use catalogue::Catalogued;
pub use ledger::{Ledger, Lines};
pub use lru::Lru;
pub use parcel::{Parcel, ParcelError};
pub use place::{Access, STATE_VARIABLE};
pub use segments::Segments;
pub use table::{Table, TableFile};

use crate::experiment::slug;
use crate::hash;
use crate::problem::did_you_mean;
use crate::run::{FORMAT, Plan, Run, RunRecord};
use crate::tally::Tallied;

/// The rows of a run.
const RESULTS: &str = "results.parquet";
/// The rows of a run that are about to replace the others.
const NEXT_RESULTS: &str = "results.next.parquet";
/// Results of gates that are read, newest first.
const MOST_GATES: usize = 200;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store that can be opened.
    #[error("cannot open store `{url}`: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// No run goes by this name.
    #[error("no run `{reference}` in {url}: {hint}")]
    Unknown {
        /// As given.
        reference: String,
        /// The store.
        url: String,
        /// The closest run, or how to list them.
        hint: String,
    },
    /// A file of a run is damaged.
    #[error(
        "{file} in {url} is damaged: {reason}\n  hint: the other runs are unaffected; remove this one or restore it"
    )]
    Damaged {
        /// Key of the file.
        file: String,
        /// The store.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A segment of the catalogue is damaged.
    #[error(
        "{file} in {url} is damaged: its hash is not its name\n  hint: its runs are read one by one; `assay store catalogue` replaces it"
    )]
    Segment {
        /// Key of the file.
        file: String,
        /// The store.
        url: String,
    },
    /// A pinned run is no longer what was pinned.
    #[error(
        "baseline `{name}` pins {file} as {pinned}, and it is now {found}: the run was altered\n  hint: restore it, or pin what it is now with `assay eval baseline set`"
    )]
    Altered {
        /// Name of the baseline.
        name: String,
        /// Key of the file.
        file: String,
        /// Its hash when it was pinned.
        pinned: String,
        /// Its hash now.
        found: String,
    },
    /// A run that was published already.
    #[error(
        "run {run} in {url} is published already, and a published run never changes\n  hint: `assay eval list` shows it; somebody else has finished it"
    )]
    Published {
        /// The run.
        run: String,
        /// The store.
        url: String,
    },
    /// Another machine works on a run.
    #[error(
        "run {run} in {url} is worked on by another machine: it has written the next segment of the journal\n  hint: stop one of them; `assay eval resume` on the other goes on with the answers of both"
    )]
    Taken {
        /// The run.
        run: String,
        /// The store.
        url: String,
    },
    /// The storage itself failed.
    #[error("store {url}: {source}")]
    Storage {
        /// The store.
        url: String,
        /// The cause.
        source: object_store::Error,
    },
}

/// A place for runs.
#[derive(Debug, Clone)]
pub struct Store {
    url: String,
    objects: Arc<dyn ObjectStore>,
    folder: PathBuf,
    /// Whether it is a bucket, so that journals lie elsewhere.
    bucket: bool,
}

impl Store {
    /// Opens the store at a path or a `file://` or `s3://` URL; a folder is created if it does not exist. How to get at
    /// an S3 server says the environment.
    ///
    /// # Errors
    /// A scheme that is not supported, a folder that cannot be created, a bucket without credentials.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_at(url, &Access::default(), true)
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// As [`Store::open`], or a folder that is not there.
    pub fn attach(url: &str, access: &Access) -> Result<Self, StoreError> {
        Self::open_at(url, access, false)
    }

    fn open_at(url: &str, access: &Access, create: bool) -> Result<Self, StoreError> {
        let refuse = |reason: String| StoreError::Url { url: url.to_owned(), reason };
        let place = place::open(url, access, create).map_err(refuse)?;
        Ok(Self { url: place.url, objects: place.objects, folder: place.folder, bucket: place.bucket })
    }

    /// The store's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Local folder of a run, for its journal: in the store itself where that is a folder, else below `ASSAY_STATE`
    /// (by default `~/.local/state/assay`), from where it goes to the bucket in [`Segments`].
    pub fn folder(&self, id: &str) -> PathBuf {
        self.folder.join("runs").join(id)
    }

    /// Ids of all runs, published or not, oldest first.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn ids(&self) -> Result<Vec<String>, StoreError> {
        let listing = self.objects.list_with_delimiter(Some(&Key::from("runs"))).await;
        let listing = listing.map_err(|source| self.failed(source))?;
        let mut ids: Vec<String> =
            listing.common_prefixes.iter().filter_map(|prefix| Some(prefix.filename()?.to_owned())).collect();
        ids.sort();
        Ok(ids)
    }

    /// The record of a published run; `None` if it was never published.
    ///
    /// # Errors
    /// A damaged record, or a failing storage.
    pub async fn record(&self, id: &str) -> Result<Option<RunRecord>, StoreError> {
        let file = key(id, "run.json");
        let record: Option<RunRecord> = self.json(&file).await?;
        record.map(|record| self.at_home(id, &file, &record.plan).map(|()| record)).transpose()
    }

    /// The plan of a run; `None` if the run does not exist.
    ///
    /// # Errors
    /// A damaged plan, or a failing storage.
    pub async fn plan(&self, id: &str) -> Result<Option<Plan>, StoreError> {
        let file = key(id, "plan.json");
        let plan: Option<Plan> = self.json(&file).await?;
        plan.map(|plan| self.at_home(id, &file, &plan).map(|()| plan)).transpose()
    }

    /// Refuses a file that says it is another run's than its folder: a copy, whose answers would go into the original.
    fn at_home(&self, id: &str, file: &Key, plan: &Plan) -> Result<(), StoreError> {
        if plan.id == id {
            return Ok(());
        }
        Err(self.damaged(file, format!("it lies in the folder of run `{id}` and is of run `{}`", plan.id)))
    }

    /// A published run with its results, which are held to the record's hash.
    ///
    /// # Errors
    /// An unknown or unpublished run, damaged files, or a failing storage.
    pub async fn run(&self, id: &str) -> Result<Run, StoreError> {
        let (record, bytes) = self.run_bytes(id).await?;
        let results = table::decode::rows(bytes, record.answers());
        let results = results.map_err(|reason| self.damaged(&key(id, RESULTS), reason))?;
        Ok(Run { record, results })
    }

    /// A published run as far as figures go: no question and no answer is read, and its rows are held to the record's
    /// hash all the same.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn tallied(&self, id: &str) -> Result<Tallied, StoreError> {
        let (record, bytes) = self.run_bytes(id).await?;
        let answers = record.answers();
        let tally = self.off_thread(id, move || table::decode::tally(bytes, answers)).await?;
        Ok(Tallied { record, tally })
    }

    /// Decodes rows where that holds up nobody: a large run takes tens of milliseconds.
    async fn off_thread<T: Send + 'static>(
        &self,
        id: &str,
        decode: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, StoreError> {
        let decoded = tokio::task::spawn_blocking(decode).await;
        let decoded = decoded.unwrap_or_else(|_| Err("decoding it failed".to_owned()));
        decoded.map_err(|reason| self.damaged(&key(id, RESULTS), reason))
    }

    /// A published run's record, and its results as they are stored, held to the record's hash.
    async fn run_bytes(&self, id: &str) -> Result<(RunRecord, bytes::Bytes), StoreError> {
        let Some(record) = self.record(id).await? else {
            let hint = "it is not finished: `assay eval resume` continues it".to_owned();
            return Err(StoreError::Unknown { reference: id.to_owned(), url: self.url.clone(), hint });
        };
        let bytes = self.results(id, &record.results_sha256).await?;
        Ok((record, bytes))
    }

    async fn results(&self, id: &str, sha256: &str) -> Result<bytes::Bytes, StoreError> {
        let file = key(id, RESULTS);
        let found = self.get(&file).await?;
        let gone = found.is_none();
        // The second is there if a commit of new results was interrupted after the record had been replaced.
        for bytes in found.into_iter().chain(self.get(&key(id, NEXT_RESULTS)).await?) {
            if hash::sha256(&bytes) == sha256 {
                return Ok(bytes);
            }
        }
        let reason = if gone { "the file is gone" } else { "its hash is not the one in run.json" };
        Err(self.damaged(&file, reason.to_owned()))
    }

    /// The id that a person means: an id, a unique beginning of one, or an arm's name for its newest published run. A
    /// damaged run hides no other one, but it is not passed over for an older one of its arm.
    ///
    /// # Errors
    /// A reference that fits no run or several, or a damaged one.
    pub async fn find(&self, reference: &str) -> Result<String, StoreError> {
        let ids = self.ids().await?;
        let by_prefix: Vec<&String> = ids.iter().filter(|id| id.starts_with(reference)).collect();
        if let Some(exact) = ids.iter().find(|id| *id == reference) {
            return Ok(exact.clone());
        }
        if let [only] = by_prefix[..] {
            return Ok(only.clone());
        }
        let mut arms = Vec::new();
        for id in ids.iter().rev() {
            match self.record(id).await {
                Ok(Some(record)) if record.plan.arm.name == reference => return Ok(id.clone()),
                Ok(Some(record)) => arms.push(record.plan.arm.name),
                Ok(None) => {}
                Err(StoreError::Damaged { .. }) if id.split_once('-').is_none_or(|(_, arm)| arm != slug(reference)) => {
                }
                Err(error) => return Err(error),
            }
        }
        let hint = match by_prefix.len() {
            0 => did_you_mean(reference, ids.iter().chain(&arms).map(String::as_str))
                .unwrap_or_else(|| "`assay eval list` shows them".to_owned()),
            several => format!("{several} runs begin so"),
        };
        Err(StoreError::Unknown { reference: reference.to_owned(), url: self.url.clone(), hint })
    }

    /// What gates said, as their files have it, oldest first; and why others could not be read.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn gate_files(&self) -> Result<(Vec<serde_json::Value>, Vec<String>), StoreError> {
        let listed = self.objects.list(Some(&Key::from("gates"))).try_collect::<Vec<_>>().await;
        let mut keys: Vec<Key> =
            listed.map_err(|source| self.failed(source))?.into_iter().map(|object| object.location).collect();
        keys.retain(|key| key.extension() == Some("json"));
        keys.sort();
        let (mut gates, mut unreadable) = (Vec::new(), Vec::new());
        for key in keys.iter().rev().take(MOST_GATES).rev() {
            match self.json(key).await {
                Ok(gate) => gates.extend(gate),
                Err(error @ StoreError::Damaged { .. }) => unreadable.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok((gates, unreadable))
    }

    async fn json<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get(key).await? else { return Ok(None) };
        let wrong = |error: serde_json::Error| self.damaged(key, error.to_string());
        let Marked { format } = serde_json::from_slice(&bytes).map_err(wrong)?;
        if format.as_u64() != Some(u64::from(FORMAT)) {
            return Err(self.damaged(key, format!("its format is {format}, this version of assay reads {FORMAT}")));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    async fn get(&self, key: &Key) -> Result<Option<bytes::Bytes>, StoreError> {
        let found = match self.objects.get(key).await {
            Ok(found) => found.bytes().await,
            Err(source) => Err(source),
        };
        match found {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(source)),
        }
    }

    async fn put(&self, key: &Key, bytes: impl Into<PutPayload>) -> Result<(), StoreError> {
        self.objects.put(key, bytes.into()).await.map(|_| ()).map_err(|source| self.failed(source))
    }

    fn damaged(&self, key: &Key, reason: String) -> StoreError {
        StoreError::Damaged { file: key.to_string(), url: self.url.clone(), reason }
    }

    fn failed(&self, source: object_store::Error) -> StoreError {
        StoreError::Storage { url: self.url.clone(), source }
    }
}

/// What says of any file here how it is to be read; the rest is passed over.
#[derive(Deserialize)]
struct Marked {
    #[serde(default)]
    format: serde_json::Value,
}

fn key(id: &str, file: &str) -> Key {
    Key::from(format!("runs/{id}/{file}"))
}

fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("records have no map with non-string keys");
    text.push(b'\n');
    text
}
