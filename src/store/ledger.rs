//! The ledger's lines in a store: `ledger/<organisation>-<data source>/<day>…`, appended to and never edited.
//!
//! In a folder a day is one file, and every line is on disk before the next. In a bucket, which cannot append, lines are
//! gathered for up to [`GATHER`] and written as one object (`<day>/<milliseconds>-<writer>-<number>.jsonl`): that long a
//! stretch is lost with a process that is killed. Until then they are read from memory, so that who reads does not write,
//! and so that a bucket that takes nothing costs no answer.
//!
//! What was read is remembered, so that a file that grew costs its new lines. A line that cannot be read is left out and
//! counted.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
/// Lines that are kept while a bucket takes none; beyond it the oldest go.
const MOST_WAITING: usize = 4096;
/// Bytes that one question looks through, the newest first.
const MOST_READ: u64 = 64 << 20;
/// Bytes of lines that are remembered: what a question looks through, and what comes to it for a while.
const REMEMBERED: usize = 80 << 20;
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
    /// One writer at a time, and none between a listing of a bucket and a look at what was gathered for it.
    appending: tokio::sync::Mutex<()>,
    pieces: Mutex<Lru<String, Arc<Piece>>>,
}

/// What is not in the bucket yet.
#[derive(Debug, Default)]
struct Gathered {
    /// Oldest first.
    records: Vec<Arc<Record>>,
    /// Objects that were written.
    objects: u64,
    /// Whether somebody is at it ([`Ledger::attend`]).
    attended: bool,
}

/// What was read of one file.
#[derive(Debug, Default)]
struct Piece {
    /// Where it was begun.
    from: u64,
    /// Where its last whole line ends.
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
    /// Files that were not read, or not from their beginning, because there is too much.
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
        match self.file(&day(record.at)) {
            Some(path) => self.write_line(path, line(record)).await,
            None => self.gather(Arc::new(record.clone())).await,
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
        written.map_err(io::Error::from).and_then(|written| written).map_err(|error| self.failed(error))
    }

    async fn gather(&self, record: Arc<Record>) -> Result<(), StoreError> {
        let (count, attended) = {
            let mut gathered = self.gathered();
            gathered.records.push(record);
            (gathered.records.len(), std::mem::replace(&mut gathered.attended, true))
        };
        if !attended {
            tokio::spawn(self.clone().attend());
        }
        if count.is_multiple_of(MOST_GATHERED) { self.flush().await } else { Ok(()) }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.shared.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is gathered until nothing is left.
    async fn attend(self) {
        let mut fails = false;
        loop {
            tokio::time::sleep(GATHER).await;
            let written = self.flush().await;
            if let Err(error) = &written
                && !fails
            {
                tracing::warn!(%error, "the ledger cannot be written, its lines are kept in memory");
            }
            fails = written.is_err();
            let mut gathered = self.gathered();
            // Nobody adds to the ledger of a data source that is gone, and its bucket may fail for ever.
            let last = Arc::strong_count(&self.shared) == 1;
            if gathered.records.is_empty() || last {
                if fails {
                    tracing::warn!(lost = gathered.records.len(), "the last lines of a ledger could not be written");
                }
                gathered.attended = false;
                return;
            }
        }
    }

    /// Writes what was gathered for a bucket.
    ///
    /// # Errors
    /// If the storage fails; the lines are kept.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let ledger = self.clone();
        // In a task of its own: whoever waits for it may be cancelled, and would take the lines with them.
        let written = tokio::spawn(async move { ledger.write_gathered().await }).await;
        written.unwrap_or_else(|error| Err(self.failed(error)))
    }

    async fn write_gathered(&self) -> Result<(), StoreError> {
        let _one = self.shared.appending.lock().await;
        let (records, mut number) = {
            let mut gathered = self.gathered();
            (std::mem::take(&mut gathered.records), gathered.objects)
        };
        let mut days: BTreeMap<String, Vec<Arc<Record>>> = BTreeMap::new();
        for record in records {
            days.entry(day(record.at)).or_default().push(record);
        }
        let (mut kept, mut result) = (Vec::new(), Ok(()));
        for (day, records) in days {
            let name = format!("{:013}-{}-{number:06}.jsonl", Utc::now().timestamp_millis(), self.shared.writer);
            let key = Key::from(format!("{}/{day}/{name}", self.folder));
            let lines: Vec<u8> = records.iter().flat_map(|record| line(record)).collect();
            match self.store.put(&key, lines).await {
                Ok(()) => number += 1,
                Err(error) => {
                    kept.extend(records);
                    result = Err(error);
                }
            }
        }
        let mut gathered = self.gathered();
        gathered.objects = number;
        gathered.put_back(kept);
        result
    }

    /// The records from `from` up to but without `to`.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Lines, StoreError> {
        let mut lines = self.read(Some((from, to))).await?;
        lines.records.retain(|record| from <= record.at && record.at < to);
        Ok(lines)
    }

    /// The records of a trace, a question, or the hash of a prompt or an answer, given whole or by their first digits
    /// ([`Record::is_named`]); the newest first.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn find(&self, needle: &str) -> Result<Lines, StoreError> {
        let mut lines = self.read(None).await?;
        lines.records.retain(|record| record.is_named(needle));
        lines.records.reverse();
        Ok(lines)
    }

    /// The records of all files, or of those that have the days of a time.
    async fn read(&self, time: Option<(DateTime<Utc>, DateTime<Utc>)>) -> Result<Lines, StoreError> {
        let (mut files, gathered) = {
            let _nobody_writes = self.shared.appending.lock().await;
            let days = time.map(|(from, to)| [day(from), day(to)]);
            (self.listing(days).await?, self.gathered().records.clone())
        };
        files.sort_by(|a, b| b.location.cmp(&a.location));
        let mut room = MOST_READ;
        let wanted: Vec<(ObjectMeta, u64)> = files
            .into_iter()
            .map(|file| {
                let start = file.size.saturating_sub(room);
                room = room.saturating_sub(file.size);
                (file, start)
            })
            .collect();
        let mut left_out = wanted.iter().filter(|(_, start)| *start > 0).count();
        let wanted = wanted.into_iter().filter(|(file, start)| *start < file.size);
        // An async block, because a plain call would not be general enough for a boxed future.
        let pieces =
            stream::iter(wanted).map(|(file, start)| async move { self.piece(&file, start).await }).buffered(AT_A_TIME);
        let pieces: Vec<Arc<Piece>> = pieces.try_collect().await?;
        let mut records: Vec<Arc<Record>> = pieces.iter().flat_map(|piece| piece.records.iter().cloned()).collect();
        if time.is_some_and(|(from, _)| records.iter().any(|record| record.at < from)) {
            // What was left out is older still.
            left_out = 0;
        }
        records.extend(gathered);
        records.sort_by_key(|record| record.at);
        let unreadable = pieces.iter().map(|piece| piece.unreadable).sum();
        Ok(Lines { records, unreadable, left_out })
    }

    async fn listing(&self, days: Option<[String; 2]>) -> Result<Vec<ObjectMeta>, StoreError> {
        let folder = Key::from(self.folder.as_str());
        let listed = match &days {
            Some([first, _]) => {
                self.store.objects.list_with_offset(Some(&folder), &folder.clone().join(first.as_str()))
            }
            None => self.store.objects.list(Some(&folder)),
        };
        let mut files: Vec<ObjectMeta> = listed.try_collect().await.map_err(|source| self.store.failed(source))?;
        // A name begins with its day: `2026-11-24.jsonl`, `2026-11-24/…`.
        let day = |file: &ObjectMeta| Some(file.location.as_ref().get(self.folder.len() + 1..)?.get(..10)?.to_owned());
        if let Some([first, last]) = days {
            files.retain(|file| day(file).is_some_and(|day| (&first..=&last).contains(&&day)));
        }
        Ok(files)
    }

    /// What a file holds from `start` on, or a little more; only what is new in it is read.
    async fn piece(&self, file: &ObjectMeta, start: u64) -> Result<Arc<Piece>, StoreError> {
        let name = file.location.to_string();
        let known = self.shared.pieces.lock().unwrap_or_else(PoisonError::into_inner).get(&name);
        // A file that is shorter than before is not the one that was read.
        let known = known.filter(|known| known.from <= start && known.read <= file.size);
        let known = known.unwrap_or_else(|| Arc::new(Piece::at(start)));
        if known.read == file.size {
            return Ok(known);
        }
        let new = self.store.objects.get_range(&file.location, known.read..file.size).await;
        let new = new.map_err(|source| self.store.failed(source))?;
        let piece = tokio::task::spawn_blocking(move || Arc::new(known.grown(&new))).await;
        let piece = piece.map_err(|error| self.failed(error))?;
        let bytes = usize::try_from(piece.read - piece.from).unwrap_or(usize::MAX);
        self.shared.pieces.lock().unwrap_or_else(PoisonError::into_inner).put(name, Arc::clone(&piece), bytes);
        Ok(piece)
    }

    fn failed(&self, error: impl Into<io::Error>) -> StoreError {
        self.store.failed(object_store::Error::Generic { store: "ledger", source: Box::new(error.into()) })
    }
}

impl Gathered {
    /// Takes back what could not be written, as much as there is room for.
    fn put_back(&mut self, mut older: Vec<Arc<Record>>) {
        let lost = (older.len() + self.records.len()).saturating_sub(MOST_WAITING).min(older.len());
        if lost > 0 {
            tracing::warn!(lost, "the ledger cannot be written and its oldest lines are given up");
        }
        older.drain(..lost);
        older.append(&mut self.records);
        self.records = older;
    }
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("a record has no map with non-string keys");
    line.push(b'\n');
    line
}

impl Piece {
    /// Nothing yet, of a file that is read from `start`.
    fn at(start: u64) -> Self {
        Self { from: start, read: start, ..Self::default() }
    }

    /// This and the whole lines of `bytes`, which follow it.
    fn grown(&self, bytes: &[u8]) -> Self {
        // What is read from somewhere begins within a line, which is left out.
        let torn = self.from > 0 && self.read == self.from;
        let begin = if torn { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1) } else { 0 };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut piece = Self {
            read: self.read + whole as u64,
            records: self.records.clone(),
            unreadable: self.unreadable,
            ..*self
        };
        for line in bytes[begin..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
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
