//! A published run as one stretch of bytes, so that it can be sent to another store.
//!
//! The first line is JSON and says how long each file is and what its SHA-256 is; the files follow, one after the other.
//! A parcel is opened only if every byte is accounted for, the record is one that this version reads, the rows are those
//! that the record was made of, and the id is fit for a folder. Nothing is written before all of that holds.

use bytes::Bytes;
use object_store::{Error, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, key, table, to_json};
use crate::hash;
use crate::run::{FORMAT, RunRecord};

/// The longest id of a run.
const LONGEST_ID: usize = 128;
/// Where the first line must have ended.
const LONGEST_HEADER: usize = 4_096;

/// Why a parcel is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// It is not what was sent.
    #[error("the parcel is damaged: {0}")]
    Damaged(String),
    /// There is such a run already.
    #[error("run `{0}` exists already: a published run never changes")]
    Exists(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run on its way.
#[derive(Debug)]
pub struct Parcel {
    record: RunRecord,
    /// `run.json` as it was sent.
    text: Bytes,
    results: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    files: Vec<File>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    bytes: usize,
    sha256: String,
}

impl File {
    fn of(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.len(), sha256: hash::sha256(bytes) }
    }
}

impl Parcel {
    /// Wraps a published run of a store.
    ///
    /// # Errors
    /// An unknown or unpublished run, damaged files, or a failing storage.
    pub async fn of(store: &Store, id: &str) -> Result<Self, StoreError> {
        let (record, results) = store.run_bytes(id).await?;
        let text = Bytes::from(to_json(&record));
        Ok(Self { record, text, results })
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.record.plan.id
    }

    /// The parcel as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let files = vec![File::of("results.parquet", &self.results), File::of("run.json", &self.text)];
        let mut bytes = serde_json::to_vec(&Header { format: FORMAT, files }).expect("a header has only string keys");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.results);
        bytes.extend_from_slice(&self.text);
        bytes
    }

    /// Opens a parcel.
    ///
    /// # Errors
    /// Whatever is not as the module says.
    pub fn open(bytes: &Bytes) -> Result<Self, ParcelError> {
        let damaged = ParcelError::Damaged;
        let line = bytes.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n');
        let line = line.ok_or_else(|| damaged("its first line is missing".to_owned()))?;
        let header: Header =
            serde_json::from_slice(&bytes[..line]).map_err(|error| damaged(format!("its first line: {error}")))?;
        let [results, text] = &header.files[..] else {
            return Err(damaged("it must hold results.parquet and run.json, in this order".to_owned()));
        };
        if (header.format, results.name.as_str(), text.name.as_str()) != (FORMAT, "results.parquet", "run.json") {
            return Err(damaged("it must hold results.parquet and run.json of format 1".to_owned()));
        }
        let rest = bytes.slice(line + 1..);
        if results.bytes.checked_add(text.bytes) != Some(rest.len()) {
            return Err(damaged(format!("{} bytes follow its first line, which says otherwise", rest.len())));
        }
        let (first, second) = (rest.slice(..results.bytes), rest.slice(results.bytes..));
        for (file, content) in [(results, &first), (text, &second)] {
            if hash::sha256(content) != file.sha256 {
                return Err(damaged(format!("{} has another hash than its first line says", file.name)));
            }
        }
        let record = serde_json::from_slice(&second).map_err(|error| damaged(format!("run.json: {error}")))?;
        check(&record, &first)?;
        Ok(Self { record, text: second, results: first })
    }
}

/// Refuses a record that cannot be, or whose rows are others.
fn check(record: &RunRecord, results: &Bytes) -> Result<(), ParcelError> {
    let damaged = |reason: String| Err(ParcelError::Damaged(reason));
    let plan = &record.plan;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if plan.id.is_empty() || plan.id.len() > LONGEST_ID || !plan.id.chars().all(is_plain) {
        return damaged("the run's id is not made of letters, digits and dashes".to_owned());
    }
    if plan.format != FORMAT {
        return damaged(format!("run.json has format {}, this version reads {FORMAT}", plan.format));
    }
    if hash::sha256(results) != record.results_sha256 {
        return damaged("results.parquet is not the one that run.json names".to_owned());
    }
    let (answers, cases, repeats) = (record.answers(), plan.dataset.cases, plan.experiment.repeats);
    if cases.checked_mul(repeats as usize) != Some(answers) {
        return damaged(format!("it has {answers} answers to {cases} cases, each asked {repeats} times"));
    }
    let rows = table::decode::rows(results.clone(), answers)
        .map_err(|reason| ParcelError::Damaged(format!("results.parquet: {reason}")))?;
    match rows.iter().find(|row| !row.answer.is_finished()) {
        Some(row) => damaged(format!("case {} has no answer: a partial run is never published", row.answer.case)),
        None => Ok(()),
    }
}

impl Store {
    /// Publishes the run of a parcel. Whatever happens, readers see no run or the whole run.
    ///
    /// # Errors
    /// A run of this id that exists, published or not, or a failing storage.
    pub async fn accept(&self, parcel: &Parcel) -> Result<(), ParcelError> {
        let id = parcel.id();
        let exists = || ParcelError::Exists(id.to_owned());
        if self.get(&key(id, "run.json")).await?.is_some() {
            return Err(exists());
        }
        // The plan is the claim: of two that bring the same id at once, one makes it. A claim whose owner was
        // interrupted is taken over by whoever brings the same run again.
        let plan = to_json(&parcel.record.plan);
        match self.create(&key(id, "plan.json"), plan.clone()).await {
            Err(StoreError::Storage { source: Error::AlreadyExists { .. } | Error::Precondition { .. }, .. }) => {
                if self.get(&key(id, "plan.json")).await?.as_deref() != Some(&plan[..]) {
                    return Err(exists());
                }
            }
            made => made?,
        }
        self.put(&key(id, "results.parquet"), parcel.results.clone()).await?;
        match self.create(&key(id, "run.json"), parcel.text.to_vec()).await {
            Err(StoreError::Storage { source: Error::AlreadyExists { .. } | Error::Precondition { .. }, .. }) => {
                Err(exists())
            }
            made => Ok(made?),
        }
    }

    /// Writes a file that must not be there yet.
    pub(super) async fn create(&self, key: &object_store::path::Path, bytes: Vec<u8>) -> Result<(), StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = object_store::ObjectStore::put_opts(self.objects.as_ref(), key, bytes.into(), options).await;
        put.map(|_| ()).map_err(|source| self.failed(source))
    }
}
