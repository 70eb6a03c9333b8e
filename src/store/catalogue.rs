//! The catalogue: the records of many published runs in few files, `catalogue/<sha256>.jsonl`.
//!
//! A bucket takes a request for every file, and whoever draws a year of nights needs a thousand records. Each line of a
//! segment is a run's id, the tag that its `run.json` had, and that file. A line counts only while the run is listed with
//! this very tag: a run that was removed or scored anew is not in the catalogue, whatever a segment says.
//!
//! Nothing depends on it. What no segment has is read from the run itself, and a segment that is damaged, gone or of a
//! later version costs time. A segment goes by the hash of its bytes and never changes, so two writers do each other no
//! harm. Whoever writes one takes over those that are less than half full and removes them: there are never many, and
//! each record is written a few times in its life.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Listed, Store, StoreError, Version, key};
use crate::hash;
use crate::run::{FORMAT, RunRecord};

/// Runs outside of the catalogue that are worth a segment.
const ENOUGH: usize = 64;
/// Most bytes of a segment, unless one record alone has more.
const LARGEST: usize = 8 << 20;
/// Bytes below which a segment is taken over into the next one.
const HALF: usize = LARGEST / 2;
/// Bytes beyond which a file is none of ours.
const LARGEST_READ: u64 = 32 << 20;
/// Segments and records that are fetched at a time.
const SEGMENTS: usize = 4;
const RECORDS: usize = 32;

/// What the catalogue of a store has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Catalogued {
    /// Published runs in it.
    pub runs: usize,
    /// Those among them that are new in it.
    pub added: usize,
    /// Files that it is made of.
    pub segments: usize,
}

/// A line as it is written, and as it is read for its record.
#[derive(Serialize, Deserialize)]
struct Line<R> {
    id: String,
    tag: String,
    record: R,
}

/// A line as far as it says whether it still counts.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    tag: Cow<'a, str>,
}

/// The tags of runs by their ids.
pub(super) type Tags = HashMap<String, String>;

/// A segment as the writer sees it.
struct Segment {
    key: Key,
    /// Runs whose lines count, and are in no segment before it.
    runs: HashSet<String>,
    /// Bytes of those lines.
    bytes: usize,
    /// Whether every line is one that this version reads; if not, it is left to the later one that wrote it.
    plain: bool,
}

/// What a writer finds.
#[derive(Default)]
struct Survey {
    /// Tags of the published runs that no segment has, by id.
    missing: BTreeMap<String, String>,
    segments: Vec<Segment>,
    /// Segments that are damaged: all of them can be made anew.
    broken: Vec<Key>,
}

impl Store {
    /// Hands what the catalogue has of the runs that are `wanted` to `found`; returns why parts of it could not be read.
    pub(super) async fn read_catalogue(&self, wanted: Tags, mut found: impl FnMut(String, RunRecord)) -> Vec<String> {
        let wanted = Arc::new(wanted);
        let (mut known, mut losses) = (Vec::new(), Vec::new());
        // A segment that is listed and gone was taken over by another one meanwhile: once more shows which.
        for _ in 0..2 {
            let keys = match self.segment_keys().await {
                Ok(keys) => keys,
                Err(error) => return vec![error.to_string()],
            };
            let new: Vec<Key> = keys.into_iter().filter(|key| !known.contains(key)).collect();
            let mut gone = false;
            let reads: Vec<_> = new.iter().map(|key| self.records_of(key, &wanted).boxed()).collect();
            let mut reads = stream::iter(reads).buffer_unordered(SEGMENTS);
            while let Some(read) = reads.next().await {
                match read {
                    Ok(Some(records)) => records.into_iter().for_each(|(id, record)| found(id, record)),
                    Ok(None) => gone = true,
                    Err(error) => losses.push(error.to_string()),
                }
            }
            drop(reads);
            known.extend(new);
            if !gone {
                break;
            }
        }
        losses
    }

    async fn segment_keys(&self) -> Result<Vec<Key>, StoreError> {
        let listed = self.objects.list(Some(&Key::from("catalogue"))).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|source| self.failed(source))?;
        let of_segments = listed.into_iter().filter(|object| object.size <= LARGEST_READ);
        let mut keys: Vec<Key> = of_segments.map(|object| object.location).collect();
        keys.retain(|key| key.extension() == Some("jsonl"));
        keys.sort();
        Ok(keys)
    }

    /// A segment as it was written; `None` if it is gone.
    async fn segment(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let Some(bytes) = self.get(key).await? else { return Ok(None) };
        match segment_key(&bytes) == *key {
            true => Ok(Some(bytes)),
            false => Err(StoreError::Segment { file: key.to_string(), url: self.url.clone() }),
        }
    }

    /// The records of a segment that are wanted, read where that holds up nobody.
    async fn records_of(&self, key: &Key, wanted: &Arc<Tags>) -> Result<Option<Vec<(String, RunRecord)>>, StoreError> {
        let Some(bytes) = self.segment(key).await? else { return Ok(None) };
        let wanted = Arc::clone(wanted);
        let read = move || {
            // What this version cannot read it cannot read in the run itself either, and there it is told.
            let lines = lines(&bytes).filter_map(|line| serde_json::from_slice::<Line<RunRecord>>(line).ok());
            let counts = |line: &Line<RunRecord>| {
                let plan = &line.record.plan;
                plan.format == FORMAT && plan.id == line.id && wanted.get(&line.id) == Some(&line.tag)
            };
            lines.filter(counts).map(|line| (line.id, line.record)).collect()
        };
        Ok(Some(tokio::task::spawn_blocking(read).await.unwrap_or_default()))
    }

    /// Brings the runs into the catalogue that are not in it, if they are `least` or more.
    ///
    /// # Errors
    /// A failing storage. What was written until then counts.
    pub async fn catalogue(&self, least: usize) -> Result<Catalogued, StoreError> {
        let Survey { missing, segments, broken } = self.survey().await?;
        let had = segments.iter().map(|segment| segment.runs.len()).sum();
        if missing.is_empty() || missing.len() < least {
            return Ok(Catalogued { runs: had, added: 0, segments: segments.len() });
        }
        let is_small = |segment: &Segment| segment.plain && segment.bytes < HALF;
        let (small, full): (Vec<Segment>, Vec<_>) = segments.into_iter().partition(is_small);
        let mut writer = Writer { store: self, bytes: Vec::new(), written: Vec::new() };
        for segment in &small {
            writer.take_over(segment).await?;
        }
        let mut added = 0;
        let made: Vec<_> = missing.keys().map(|id| self.line(id).boxed()).collect();
        let mut made = stream::iter(made).buffered(RECORDS);
        while let Some(line) = made.try_next().await? {
            // A damaged run is told by whoever reads it.
            let Some(line) = line else { continue };
            writer.push(&line).await?;
            added += 1;
        }
        drop(made);
        let written = writer.finish().await?;
        for key in small.into_iter().map(|segment| segment.key).chain(broken) {
            if !written.contains(&key) {
                self.forget(&key).await;
            }
        }
        Ok(Catalogued { runs: had + added, added, segments: full.len() + written.len() })
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let published = self.listed().await?.into_iter();
        let mut survey = Survey::default();
        survey.missing.extend(published.filter_map(|Listed { id, record, .. }| Some((id, record?.tag))));
        for key in self.segment_keys().await? {
            match self.segment(&key).await {
                Ok(Some(bytes)) => survey.segments.push(Segment::new(key, &bytes, &mut survey.missing)),
                Ok(None) => {}
                Err(StoreError::Segment { .. }) => survey.broken.push(key),
                Err(error) => return Err(error),
            }
        }
        Ok(survey)
    }

    /// [`Store::catalogue`] after something was published, once it is worth a segment. It is a convenience, and its
    /// failure is none of whoever publishes.
    pub async fn keep_catalogue(&self) {
        match self.catalogue(ENOUGH).await {
            Ok(Catalogued { added: 0, .. }) => {}
            Ok(made) => tracing::info!(runs = made.runs, added = made.added, "the catalogue of the store has grown"),
            Err(error) => tracing::warn!(%error, "the catalogue of the store lacks new runs; it costs readers time"),
        }
    }

    /// The line of a run; `None` if it is damaged, or gone.
    async fn line(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = match self.objects.get(&key(id, "run.json")).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(self.failed(source)),
        };
        // The tag of these very bytes, whatever the listing said.
        let tag = Version::from(&found.meta).tag;
        let bytes = found.bytes().await.map_err(|source| self.failed(source))?;
        let Ok(record) = serde_json::from_slice::<Value>(&bytes) else { return Ok(None) };
        let line = serde_json::to_vec(&Line { id: id.to_owned(), tag, record });
        Ok(line.ok().filter(|_| serde_json::from_slice::<RunRecord>(&bytes).is_ok()))
    }

    /// Removes a segment. One that stays costs a request, and the next writer finds it.
    async fn forget(&self, key: &Key) {
        match self.objects.delete(key).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(%error, segment = %key, "a segment that was taken over cannot be removed"),
        }
    }
}

impl Segment {
    /// A segment, whose lines take their runs out of those that are `missing`.
    fn new(key: Key, bytes: &[u8], missing: &mut BTreeMap<String, String>) -> Self {
        let mut segment = Self { key, runs: HashSet::new(), bytes: 0, plain: true };
        for line in lines(bytes) {
            let Some(Head { id, tag }) = head(line) else {
                segment.plain = false;
                continue;
            };
            if missing.get(&*id).is_some_and(|shown| *shown == tag) {
                missing.remove(&*id);
                segment.bytes += line.len() + 1;
                segment.runs.insert(id.into_owned());
            }
        }
        segment
    }
}

/// Writes lines into as many segments as it takes.
struct Writer<'s> {
    store: &'s Store,
    bytes: Vec<u8>,
    written: Vec<Key>,
}

impl Writer<'_> {
    /// Repeats the lines of a segment that count, unless somebody else has taken it over meanwhile.
    async fn take_over(&mut self, segment: &Segment) -> Result<(), StoreError> {
        let Some(bytes) = self.store.segment(&segment.key).await? else { return Ok(()) };
        for line in lines(&bytes) {
            if head(line).is_some_and(|head| segment.runs.contains(&*head.id)) {
                self.push(line).await?;
            }
        }
        Ok(())
    }

    async fn push(&mut self, line: &[u8]) -> Result<(), StoreError> {
        if self.bytes.len() + line.len() >= LARGEST {
            self.flush().await?;
        }
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            let key = segment_key(&bytes);
            self.store.put(&key, bytes).await?;
            self.written.push(key);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Key>, StoreError> {
        self.flush().await?;
        Ok(self.written)
    }
}

fn segment_key(bytes: &[u8]) -> Key {
    Key::from(format!("catalogue/{}.jsonl", hash::sha256(bytes)))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn head(line: &[u8]) -> Option<Head<'_>> {
    serde_json::from_slice(line).ok()
}
