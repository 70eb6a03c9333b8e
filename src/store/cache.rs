//! A store that is read again and again: what was read once is kept, and what is new shows without a restart.
//!
//! A published run does not change, so its record and its rows are kept for as long as `run.json` shows the same tag
//! (the ETag of object storage, else time and size). What is kept is bounded in bytes. A listing serves everybody who
//! asks while it is made and for ten times as long as it took: listings then take at most a tenth of the time, however
//! slow the storage and however many panels refresh.

mod published;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;

use published::{Published, Read};

pub use published::Records;

use super::lru::Lru;
use super::{RESULTS, Store, StoreError, key, table};
use crate::problem::did_you_mean;
use crate::run::{CaseResult, Plan, Run, RunRecord};
use crate::tally::Tallied;

/// How long a listing may be old at most.
const STALEST: Duration = Duration::from_secs(5);
/// How long a storage that failed is not asked again, at least.
const RETRY: Duration = Duration::from_millis(500);
/// Runs that are decoded at a time: each may take tens of megabytes while it is.
const DECODES: usize = 2;
/// Bytes of `results.parquet` beyond which it is not read.
const LARGEST_RESULTS: u64 = 256 << 20;
/// Bytes that are kept: of records, measured as JSON; of rows, in memory; of hashes.
const KEPT_RECORDS: usize = 96 << 20;
const KEPT_RUNS: usize = 64 << 20;
const KEPT_TALLIES: usize = 32 << 20;
const KEPT_HASHES: usize = 16 << 20;

/// How often something was found in the cache, and how often it had to be read.
#[derive(Debug, Clone, Default)]
pub struct Hits {
    /// Found.
    pub hit: Counter,
    /// Read.
    pub miss: Counter,
}

impl Hits {
    fn count<T>(&self, found: Option<T>) -> Option<T> {
        if found.is_some() {
            self.hit.inc()
        } else {
            self.miss.inc()
        };
        found
    }
}

/// What the caches of a process count, whichever store they are of.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Listings.
    pub listings: Hits,
    /// Records.
    pub records: Hits,
    /// Rows.
    pub runs: Hits,
}

/// A state of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Differs between two states.
    pub tag: String,
    /// Bytes.
    pub size: u64,
}

impl From<&ObjectMeta> for Version {
    fn from(meta: &ObjectMeta) -> Self {
        let dated = || format!("{}-{}", meta.last_modified.timestamp_micros(), meta.size);
        Self { tag: meta.e_tag.clone().unwrap_or_else(dated), size: meta.size }
    }
}

/// A run as a listing shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// State of its record; `None` if it was never published.
    pub record: Option<Version>,
    /// State of its plan.
    pub plan: Option<Version>,
}

type Kept<T> = Mutex<Lru<String, (String, T)>>;
type Listing = Arc<Vec<Listed>>;

/// A store with what was read of it.
#[derive(Debug)]
pub struct Cache {
    store: Store,
    counts: Counts,
    /// The last listing, or why there is none, and until when it serves.
    listing: tokio::sync::Mutex<Option<(Instant, Result<Listing, String>)>>,
    /// The last that there was: one that shows the same is the same.
    shown: Mutex<Listing>,
    records: Kept<Read>,
    /// Held by whoever reads the catalogue.
    gathering: tokio::sync::Mutex<()>,
    /// Made of `records`, if they all fit in there: it keeps nothing that they do not.
    published: tokio::sync::Mutex<Option<Arc<Published>>>,
    plans: Kept<Result<Arc<Plan>, String>>,
    runs: Kept<Arc<Run>>,
    tallies: Kept<Arc<Tallied>>,
    hashes: Kept<Arc<[u64]>>,
    decodes: Semaphore,
}

impl Cache {
    /// Nothing is read yet.
    pub fn new(store: Store, counts: Counts) -> Self {
        Self {
            store,
            counts,
            listing: tokio::sync::Mutex::new(None),
            shown: Mutex::default(),
            records: Mutex::new(Lru::new(KEPT_RECORDS)),
            gathering: tokio::sync::Mutex::default(),
            published: tokio::sync::Mutex::new(None),
            plans: Mutex::new(Lru::new(KEPT_RECORDS / 8)),
            runs: Mutex::new(Lru::new(KEPT_RUNS)),
            tallies: Mutex::new(Lru::new(KEPT_TALLIES)),
            hashes: Mutex::new(Lru::new(KEPT_HASHES)),
            decodes: Semaphore::new(DECODES),
        }
    }

    /// The store beneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn listing(&self) -> Result<Listing, StoreError> {
        let mut listing = self.listing.lock().await;
        let fresh = listing.as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, listed)| listed.clone());
        if let Some(listed) = self.counts.listings.count(fresh) {
            return listed.map_err(|reason| self.again(reason));
        }
        let begun = Instant::now();
        let listed = self.store.listed().await.map(|listed| self.shared(listed));
        let took = begun.elapsed();
        let (serves, kept) = match &listed {
            Ok(listed) => (took * 10, Ok(Arc::clone(listed))),
            // Everybody who waited would otherwise try a storage that is away, one after the other.
            Err(error) => (took.max(RETRY), Err(reason(error))),
        };
        *listing = Some((Instant::now() + serves.min(STALEST), kept));
        listed
    }

    /// The listing itself, or the one before it if nothing has changed.
    fn shared(&self, listed: Vec<Listed>) -> Listing {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if **shown != listed {
            *shown = Arc::new(listed);
        }
        Arc::clone(&shown)
    }

    /// The failure that somebody else has just met.
    fn again(&self, reason: String) -> StoreError {
        self.store.failed(object_store::Error::Generic { store: "listing", source: reason.into() })
    }

    /// Forgets the listing: something was just written through this process.
    pub async fn changed(&self) {
        *self.listing.lock().await = None;
    }

    /// A published run as far as figures go.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn tallied(&self, id: &str) -> Result<Arc<Tallied>, StoreError> {
        let Some(version) = self.version(id, "run.json").await? else {
            return self.store.tallied(id).await.map(Arc::new);
        };
        if let Some(tallied) = self.counts.runs.count(kept(&self.tallies, id, &version)) {
            return Ok(tallied);
        }
        let _turn = self.decodes.acquire().await;
        // Whoever had the turn before may have been after the same run.
        if let Some(tallied) = kept(&self.tallies, id, &version) {
            return Ok(tallied);
        }
        let (record, results) = self.bytes(id).await?;
        let answers = record.answers();
        let tally = self.store.off_thread(id, move || table::decode::tally(results, answers)).await?;
        let tallied = Arc::new(Tallied { record, tally });
        keep(&self.tallies, id, &version, Arc::clone(&tallied), tallied.tally.bytes() + version.size as usize);
        Ok(tallied)
    }

    /// A published run with its rows.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn run(&self, id: &str) -> Result<Arc<Run>, StoreError> {
        // Held to the file itself, not to a listing: one run is cheap to look at.
        let version = self.version(id, "run.json").await?;
        let Some(version) = version else { return self.store.run(id).await.map(Arc::new) };
        if let Some(run) = self.counts.runs.count(kept(&self.runs, id, &version)) {
            return Ok(run);
        }
        let _turn = self.decodes.acquire().await;
        // Whoever had the turn before may have been after the same run.
        if let Some(run) = kept(&self.runs, id, &version) {
            return Ok(run);
        }
        let run = Arc::new(self.decoded(id).await?);
        let bytes = run.results.iter().map(size_of_row).sum();
        keep(&self.runs, id, &version, Arc::clone(&run), bytes);
        Ok(run)
    }

    async fn decoded(&self, id: &str) -> Result<Run, StoreError> {
        let (record, bytes) = self.bytes(id).await?;
        let answers = record.answers();
        let results = self.store.off_thread(id, move || table::decode::rows(bytes, answers)).await?;
        Ok(Run { record, results })
    }

    /// Record and rows of a run as they are stored.
    async fn bytes(&self, id: &str) -> Result<(RunRecord, Bytes), StoreError> {
        if let Some(size) = self.version(id, RESULTS).await?.map(|version| version.size)
            && size > LARGEST_RESULTS
        {
            let reason = format!("it has {size} bytes, more than {LARGEST_RESULTS}");
            return Err(self.store.damaged(&key(id, RESULTS), reason));
        }
        self.store.run_bytes(id).await
    }

    async fn version(&self, id: &str, file: &str) -> Result<Option<Version>, StoreError> {
        match self.store.objects.head(&key(id, file)).await {
            Ok(meta) => Ok(Some(Version::from(&meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.store.failed(source)),
        }
    }

    /// The beginnings of the rendered-prompt hashes and of the trace ids of a listed run, sorted: the first 16 hexadecimal
    /// digits of each.
    ///
    /// # Errors
    /// As [`Cache::run`].
    pub async fn hashes(&self, listed: &Listed) -> Result<Arc<[u64]>, StoreError> {
        let Some(version) = &listed.record else { return Ok(Arc::default()) };
        if let Some(hashes) = kept(&self.hashes, &listed.id, version) {
            return Ok(hashes);
        }
        let run = self.run(&listed.id).await?;
        let answers = run.results.iter().map(|row| &row.answer);
        let named = answers.flat_map(|answer| [Some(&answer.asked.rendered_hash), answer.trace_id.as_ref()]);
        let mut hashes: Vec<u64> = named.flatten().filter_map(|name| beginning(name)).collect();
        hashes.sort_unstable();
        let hashes: Arc<[u64]> = hashes.into();
        keep(&self.hashes, &listed.id, version, Arc::clone(&hashes), 8 * hashes.len() + 64);
        Ok(hashes)
    }

    /// The id that a person means, as [`Store::find`].
    ///
    /// # Errors
    /// A reference that fits no run or several, or a failing storage.
    pub async fn find(&self, reference: &str) -> Result<String, StoreError> {
        // Who knows the id of a published run needs no listing, which takes a while where there are a thousand.
        let is_name = !reference.is_empty() && !reference.contains('/');
        if is_name && self.version(reference, "run.json").await?.is_some() {
            return Ok(reference.to_owned());
        }
        let listing = self.listing().await?;
        if let Some(exact) = listing.iter().find(|listed| listed.id == reference) {
            return Ok(exact.id.clone());
        }
        let begin_so: Vec<&Listed> = listing.iter().filter(|listed| listed.id.starts_with(reference)).collect();
        if let [only] = begin_so[..] {
            return Ok(only.id.clone());
        }
        let named = self.records(1, |record| record.plan.arm.name == reference).await?;
        if let Some(record) = named.records.first() {
            return Ok(record.plan.id.clone());
        }
        let hint = match begin_so.len() {
            0 => did_you_mean(reference, listing.iter().map(|listed| listed.id.as_str()))
                .unwrap_or_else(|| "`assay eval list` shows them".to_owned()),
            several => format!("{several} runs begin so"),
        };
        Err(StoreError::Unknown { reference: reference.to_owned(), url: self.store.url().to_owned(), hint })
    }
}

impl Store {
    /// All runs as a listing shows them, oldest first.
    pub(super) async fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let failed = |source| self.failed(source);
        let mut runs: BTreeMap<String, Listed> = BTreeMap::new();
        let mut objects = self.objects.list(Some(&Key::from("runs")));
        while let Some(meta) = objects.try_next().await.map_err(failed)? {
            let mut parts = meta.location.parts().skip(1);
            let (Some(id), Some(file), None) = (parts.next(), parts.next(), parts.next()) else { continue };
            let run = runs.entry(id.as_ref().to_owned()).or_default();
            match file.as_ref() {
                "run.json" => run.record = Some(Version::from(&meta)),
                "plan.json" => run.plan = Some(Version::from(&meta)),
                _ => {}
            }
        }
        Ok(runs.into_iter().map(|(id, run)| Listed { id, ..run }).collect())
    }
}

/// The first 16 hexadecimal digits of a hash, whatever kind it says it is.
pub fn beginning(hash: &str) -> Option<u64> {
    let digits = hash.rsplit(':').next()?;
    u64::from_str_radix(digits.get(..16)?, 16).ok()
}

fn kept<T: Clone>(cache: &Kept<T>, id: &str, version: &Version) -> Option<T> {
    let found = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&id.to_owned());
    found.filter(|(tag, _)| *tag == version.tag).map(|(_, value)| value)
}

fn keep<T: Clone>(cache: &Kept<T>, id: &str, version: &Version, value: T, bytes: usize) {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.put(id.to_owned(), (version.tag.clone(), value), bytes);
}

/// The cause of a failure, without the store's name, which is added when it is told.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Storage { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// About the bytes that a row takes in memory.
fn size_of_row(row: &CaseResult) -> usize {
    /// A B-tree's nodes are two thirds full on average.
    const SCORE: usize = 24;
    let answer = &row.answer;
    let texts = |texts: &[String]| texts.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
    let verdict = answer.verdict.as_ref().map_or(0, |verdict| {
        verdict.summary.len() + verdict.root_cause.len() + texts(&verdict.evidence) + texts(&verdict.components)
    });
    let asked = answer.asked.prompt.len() + answer.asked.rendered_hash.len() + texts(&answer.asked.decisive_ids);
    let own = answer.case.len() + row.cluster.len() + row.family.len() + row.target_root_cause.len();
    size_of::<CaseResult>() + own + asked + verdict + row.scores.len() * SCORE
}
