//! The ledger's lines in a store: `ledger/<organisation>-<data source>/<day>…`, appended to and never edited.
//!
//! In a folder a day is one file, and every line is on disk before the next. In a bucket, which cannot append, lines are
//! gathered for up to [`GATHER`] and written as one object (`<day>/<milliseconds>-<writer>-<number>.jsonl`): that long a
//! stretch is lost with a process that is killed. What was read is remembered, so that a file that grew costs its new
//! lines. A line that cannot be read is left out and counted.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::lru::Lru;
use super::{Store, StoreError};
use crate::hash;
use crate::ledger::{FORMAT, Record};

/// How long lines for a bucket are gathered.
const GATHER: Duration = Duration::from_secs(10);
/// Lines that are written at once, however young.
const MOST_GATHERED: usize = 64;
/// Lines that are kept while a bucket cannot be written; beyond it the oldest go.
const MOST_WAITING: usize = 4096;
/// Bytes that one question looks through, the newest first.
const MOST_READ: u64 = 64 << 20;
/// Bytes of lines that are remembered.
const REMEMBERED: usize = 32 << 20;
/// Files that are read at a time.
const AT_A_TIME: usize = 16;

/// The ledger of one data source in a store. Cheap to clone; clones share what they gathered and remember.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Store,
    folder: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Tells the objects of this process from others'.
    writer: String,
    gathered: Mutex<Gathered>,
    /// One writer of a file at a time.
    appending: tokio::sync::Mutex<()>,
    pieces: Mutex<Lru<String, Arc<Piece>>>,
}

/// Lines that are not written yet, by day.
#[derive(Debug, Default)]
struct Gathered {
    lines: BTreeMap<String, Vec<Vec<u8>>>,
    count: usize,
    objects: u64,
}

/// What was read of one file.
#[derive(Debug, Default)]
struct Piece {
    /// Bytes up to the end of its last whole line.
    read: u64,
    records: Vec<Arc<Record>>,
    unreadable: usize,
}

/// What was found in a ledger.
#[derive(Debug, Default)]
pub struct Lines {
    /// Oldest first.
    pub records: Vec<Arc<Record>>,
    /// Lines that are damaged or of another version.
    pub unreadable: usize,
    /// Files that were not looked into, because there is too much.
    pub left_out: usize,
}

impl Ledger {
    /// The ledger of a data source of an organisation; nothing is read or written yet.
    pub fn new(store: &Store, org: i64, datasource: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let uid: String = datasource.chars().map(plain).collect();
        let born = Utc::now().timestamp_nanos_opt().unwrap_or_default();
        let writer = hash::sha256(format!("{}/{born}/{datasource}", std::process::id()))[..8].to_owned();
        let shared = Shared {
            writer,
            gathered: Mutex::default(),
            appending: tokio::sync::Mutex::default(),
            pieces: Mutex::new(Lru::new(REMEMBERED)),
        };
        Self { store: store.clone(), folder: format!("ledger/{org}-{uid}"), shared: Arc::new(shared) }
    }

    /// The ledgers of all data sources, to look something up in for a person who has the whole store before them.
    pub fn of_all(store: &Store) -> Self {
        Self { folder: "ledger".to_owned(), ..Self::new(store, 0, "") }
    }

    /// Appends a record: to a folder at once, to a bucket within [`GATHER`].
    ///
    /// # Errors
    /// If the storage fails. Lines for a bucket are kept and tried again with the next.
    pub async fn append(&self, record: &Record) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(record).expect("a record has no map with non-string keys");
        line.push(b'\n');
        let day = record.at.format("%Y-%m-%d").to_string();
        match self.file(&day) {
            Some(path) => self.write_line(path, line).await,
            None => self.gather(day, line).await,
        }
    }

    /// The day's file, if the store is a folder.
    fn file(&self, day: &str) -> Option<PathBuf> {
        let local = self.store.url.starts_with("file://");
        local.then(|| self.store.folder.join(&self.folder).join(format!("{day}.jsonl")))
    }

    async fn write_line(&self, path: PathBuf, line: Vec<u8>) -> Result<(), StoreError> {
        let _one = self.shared.appending.lock().await;
        let written = tokio::task::spawn_blocking(move || append_line(&path, &line)).await;
        let failed = |source: io::Error| object_store::Error::Generic { store: "ledger", source: Box::new(source) };
        written.map_err(io::Error::other).and_then(|written| written).map_err(|error| self.store.failed(failed(error)))
    }

    async fn gather(&self, day: String, line: Vec<u8>) -> Result<(), StoreError> {
        let count = {
            let mut gathered = self.shared.gathered.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.add(day, vec![line]);
            gathered.count
        };
        match count {
            1 => {
                let later = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(GATHER).await;
                    if let Err(error) = later.flush().await {
                        tracing::warn!(%error, "the ledger could not be written, its lines are kept");
                    }
                });
                Ok(())
            }
            count if count.is_multiple_of(MOST_GATHERED) => self.flush().await,
            _ => Ok(()),
        }
    }

    /// Writes what was gathered for a bucket.
    ///
    /// # Errors
    /// If the storage fails; the lines are kept.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.shared.appending.lock().await;
        let (days, mut number) = {
            let mut gathered = self.shared.gathered.lock().unwrap_or_else(PoisonError::into_inner);
            let days = std::mem::take(&mut gathered.lines);
            gathered.count = 0;
            (days, gathered.objects)
        };
        let mut result = Ok(());
        for (day, lines) in days {
            let name = format!("{:013}-{}-{number:06}.jsonl", Utc::now().timestamp_millis(), self.shared.writer);
            let key = Key::from(format!("{}/{day}/{name}", self.folder));
            match self.store.put(&key, lines.concat()).await {
                Ok(()) => number += 1,
                Err(error) => {
                    let mut gathered = self.shared.gathered.lock().unwrap_or_else(PoisonError::into_inner);
                    gathered.put_back(day, lines);
                    result = Err(error);
                }
            }
        }
        self.shared.gathered.lock().unwrap_or_else(PoisonError::into_inner).objects = number;
        result
    }

    /// The records from `from` up to but without `to`.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Lines, StoreError> {
        let day = |time: DateTime<Utc>| time.format("%Y-%m-%d").to_string();
        let mut lines = self.days(Some([&day(from), &day(to)])).await?;
        lines.records.retain(|record| from <= record.at && record.at < to);
        Ok(lines)
    }

    /// The records of a trace, a question, or the hash of a prompt or an answer, given whole or by their first digits
    /// ([`Record::is_named`]); the newest first.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn find(&self, needle: &str) -> Result<Lines, StoreError> {
        let mut lines = self.days(None).await?;
        lines.records.retain(|record| record.is_named(needle));
        lines.records.reverse();
        Ok(lines)
    }

    /// The records of all files, or of those from one day to another, both included.
    async fn days(&self, days: Option<[&str; 2]>) -> Result<Lines, StoreError> {
        self.flush().await?;
        let mut files = self.listing(days).await?;
        let mut room = MOST_READ;
        let all = files.len();
        files.sort_by(|a, b| b.location.cmp(&a.location));
        files.retain(|file| {
            let fits = file.size <= room;
            room = if fits { room - file.size } else { 0 };
            fits
        });
        let kept = files.len();
        // An async block, because a plain call would not be general enough for a boxed future.
        let pieces = stream::iter(files).map(|file| async move { self.piece(&file).await }).buffered(AT_A_TIME);
        let pieces: Vec<Arc<Piece>> = pieces.try_collect().await?;
        let mut records: Vec<Arc<Record>> = pieces.iter().flat_map(|piece| piece.records.iter().cloned()).collect();
        records.sort_by_key(|record| record.at);
        let unreadable = pieces.iter().map(|piece| piece.unreadable).sum();
        Ok(Lines { records, unreadable, left_out: all - kept })
    }

    async fn listing(&self, days: Option<[&str; 2]>) -> Result<Vec<ObjectMeta>, StoreError> {
        let folder = Key::from(self.folder.as_str());
        let listed = match days {
            Some([first, _]) => self.store.objects.list_with_offset(Some(&folder), &folder.clone().join(first)),
            None => self.store.objects.list(Some(&folder)),
        };
        let mut files: Vec<ObjectMeta> = listed.try_collect().await.map_err(|source| self.store.failed(source))?;
        // A name begins with its day: `2026-11-24.jsonl`, `2026-11-24/…`.
        let day = |file: &ObjectMeta| Some(file.location.as_ref().get(self.folder.len() + 1..)?.get(..10)?.to_owned());
        if let Some([first, last]) = days {
            files.retain(|file| day(file).is_some_and(|day| (first..=last).contains(&&*day)));
        }
        Ok(files)
    }

    /// What a file holds; only what is new in it is read.
    async fn piece(&self, file: &ObjectMeta) -> Result<Arc<Piece>, StoreError> {
        let name = file.location.to_string();
        let known = self.shared.pieces.lock().unwrap_or_else(PoisonError::into_inner).get(&name).unwrap_or_default();
        // A file that is shorter than before is not the one that was read.
        let known = if known.read <= file.size { known } else { Arc::default() };
        if known.read == file.size {
            return Ok(known);
        }
        let new = self.store.objects.get_range(&file.location, known.read..file.size).await;
        let piece = Arc::new(known.grown(&new.map_err(|source| self.store.failed(source))?));
        let bytes = usize::try_from(piece.read).unwrap_or(usize::MAX);
        self.shared.pieces.lock().unwrap_or_else(PoisonError::into_inner).put(name, Arc::clone(&piece), bytes);
        Ok(piece)
    }
}

impl Gathered {
    fn add(&mut self, day: String, lines: Vec<Vec<u8>>) {
        self.count += lines.len();
        self.lines.entry(day).or_default().extend(lines);
    }

    /// Takes back lines that could not be written, as many as there is room for.
    fn put_back(&mut self, day: String, mut lines: Vec<Vec<u8>>) {
        let room = MOST_WAITING.saturating_sub(self.count);
        let lost = lines.len().saturating_sub(room);
        if lost > 0 {
            tracing::warn!(lost, "the ledger cannot be written and its oldest lines are given up");
        }
        lines.drain(..lost);
        let newer = self.lines.remove(&day).unwrap_or_default();
        self.count += lines.len();
        lines.extend(newer);
        self.lines.insert(day, lines);
    }
}

impl Piece {
    /// This and the whole lines of `bytes`, which follow it.
    fn grown(&self, bytes: &[u8]) -> Self {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut piece =
            Self { read: self.read + whole as u64, records: self.records.clone(), unreadable: self.unreadable };
        for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                Ok(record) if record.format == FORMAT => piece.records.push(Arc::new(record)),
                _ => piece.unreadable += 1,
            }
        }
        piece
    }
}

/// Appends a line and waits until it is on disk. What a crash left of a line before it is ended first.
fn append_line(path: &Path, line: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let torn = file.seek(SeekFrom::End(0))? > 0 && {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        last != [b'\n']
    };
    let line = if torn { [b"\n", line].concat() } else { line.to_owned() };
    file.write_all(&line)?;
    file.sync_data()
}
