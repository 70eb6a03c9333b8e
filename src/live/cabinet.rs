//! The cabinet: kept verdicts by question, in memory and as plain files that survive a restart.
//!
//! A folder with one JSON file for each question, replaced atomically, read when its question is asked again. A file
//! that cannot be read is ignored with a warning and replaced by the next verdict; of too many the oldest go. Deleting
//! the folder costs a question to the model each, nothing else. No log text is in it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::failure::{Failed, REST};
use super::kept::{Cited, FORMAT, Kept, Line};
use super::question::Key;
use crate::store::Lru;

/// Bytes of verdicts in memory.
const VERDICTS: usize = 8 << 20;
/// Bytes of cited lines in memory.
const LINES: usize = 8 << 20;
/// Bytes of failures in memory.
const FAILURES: usize = 1 << 20;
/// Files in the folder; beyond it a tenth of them go.
const MOST_FILES: usize = 2000;
/// How the name of a file in the making begins.
const TEMPORARY: &str = ".verdict-";

/// Kept verdicts, their lines, and the failures since.
#[derive(Debug)]
pub(super) struct Cabinet {
    folder: Option<PathBuf>,
    memory: Mutex<Memory>,
    /// Files in the folder, once they were counted.
    files: Mutex<Option<usize>>,
}

#[derive(Debug)]
struct Memory {
    verdicts: Lru<Key, Arc<Kept>>,
    lines: Lru<Key, Lines>,
    failures: Lru<Key, Arc<Failed>>,
}

/// The cited lines of a verdict, or why they cannot be shown, and until when nobody tries again.
#[derive(Debug, Clone)]
enum Lines {
    Shown(Arc<Vec<Line>>),
    Hidden { cited: Vec<Cited>, reason: String, until: DateTime<Utc> },
}

impl Cabinet {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        let memory = Memory { verdicts: Lru::new(VERDICTS), lines: Lru::new(LINES), failures: Lru::new(FAILURES) };
        Self { folder, memory: Mutex::new(memory), files: Mutex::default() }
    }

    /// The last verdict and the failure since, as far as they are in memory.
    pub(super) fn remembered(&self, key: &Key) -> (Option<Arc<Kept>>, Option<Arc<Failed>>) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        (memory.verdicts.get(key), memory.failures.get(key))
    }

    /// The last verdict, from disk if need be.
    pub(super) async fn verdict(self: &Arc<Self>, key: &Key) -> Option<Arc<Kept>> {
        if let (Some(kept), _) = self.remembered(key) {
            return Some(kept);
        }
        let (path, wanted) = (self.file(key)?, key.clone());
        let kept = Arc::new(tokio::task::spawn_blocking(move || read(&path, &wanted)).await.ok()??);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // What was reached meanwhile is newer than the file.
        if let Some(newer) = memory.verdicts.get(key) {
            return Some(newer);
        }
        memory.verdicts.put(key.clone(), Arc::clone(&kept), weight(&kept));
        Some(kept)
    }

    /// The cited lines of a verdict, or why they cannot be shown, if either is in memory.
    pub(super) fn lines(&self, kept: &Kept, now: DateTime<Utc>) -> Option<Result<Arc<Vec<Line>>, String>> {
        // What is known of another verdict of the question is not about this one.
        match self.memory.lock().unwrap_or_else(PoisonError::into_inner).lines.get(&kept.key)? {
            Lines::Shown(lines) => lines.iter().map(|line| &line.cited).eq(&kept.evidence).then_some(Ok(lines)),
            Lines::Hidden { cited, reason, until } => (cited == kept.evidence && now < until).then_some(Err(reason)),
        }
    }

    pub(super) fn keep_lines(&self, key: &Key, lines: Arc<Vec<Line>>) {
        let bytes = lines.iter().map(|line| line.line.len() + 512).sum();
        let lines = Lines::Shown(lines);
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).lines.put(key.clone(), lines, bytes);
    }

    /// Keeps in mind why the cited lines of a verdict cannot be shown, for as long as a question rests.
    pub(super) fn hide_lines(&self, kept: &Kept, reason: &str, now: DateTime<Utc>) {
        let bytes = reason.len() + 512 * (kept.evidence.len() + 1);
        let lines = Lines::Hidden { cited: kept.evidence.clone(), reason: reason.to_owned(), until: now + REST };
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).lines.put(kept.key.clone(), lines, bytes);
    }

    /// Keeps a verdict in memory and on disk. A disk that fails is told in the log and costs nothing else.
    pub(super) async fn keep(self: &Arc<Self>, kept: &Arc<Kept>) {
        let key = &kept.key;
        {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.failures.remove(key);
            memory.verdicts.put(key.clone(), Arc::clone(kept), weight(kept));
        }
        let Some(path) = self.file(key) else { return };
        let (cabinet, kept) = (Arc::clone(self), Arc::clone(kept));
        let written = tokio::task::spawn_blocking(move || cabinet.write(&path, &kept)).await;
        if let Err(error) = written.map_err(io::Error::other).and_then(|written| written) {
            tracing::warn!(%error, folder = ?self.folder, "a verdict could not be written and is kept in memory only");
        }
    }

    pub(super) fn keep_failure(&self, key: &Key, failed: Arc<Failed>) {
        let bytes = failed.failure.to_string().len() + 256;
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).failures.put(key.clone(), failed, bytes);
    }

    fn file(&self, key: &Key) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{key}.json")))
    }

    /// Replaces the file atomically, and takes the oldest files away if there are too many.
    fn write(&self, path: &Path, kept: &Kept) -> io::Result<()> {
        let Some(folder) = path.parent() else { return Ok(()) };
        // One writer at a time, so that the count is right.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(folder)?;
        let is_new = !path.exists();
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
        serde_json::to_writer(&mut file, kept).map_err(io::Error::from)?;
        file.write_all(b"\n")?;
        file.as_file().sync_data()?;
        file.persist(path).map_err(|error| error.error)?;
        let count = match *files {
            Some(count) => count + usize::from(is_new),
            None => ours(folder)?.count(),
        };
        *files = Some(if count > MOST_FILES { thin(folder, MOST_FILES - MOST_FILES / 10)? } else { count });
        Ok(())
    }
}

/// About the bytes that a verdict takes in memory.
fn weight(kept: &Kept) -> usize {
    let record = &kept.record;
    let words: usize = record.namespaces.iter().chain(&record.components).map(String::len).sum();
    let summary = record.verdict.as_ref().map_or(0, |verdict| verdict.summary.len());
    2048 + words + summary + 48 * (kept.seen.len() + kept.shape.templates().count()) + 512 * kept.evidence.len()
}

fn read(path: &Path, key: &Key) -> Option<Kept> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, file = %path.display(), "a kept verdict cannot be read and is ignored");
            return None;
        }
    };
    match serde_json::from_slice::<Kept>(&bytes) {
        Ok(kept) if kept.format == FORMAT && kept.key == *key => Some(kept),
        Ok(_) => {
            tracing::warn!(file = %path.display(), "a kept verdict is of another version or question and is ignored");
            None
        }
        Err(error) => {
            // The error's own text could quote the file.
            let (line, column) = (error.line(), error.column());
            tracing::warn!(file = %path.display(), line, column, "a kept verdict is damaged and is ignored");
            None
        }
    }
}

/// The files in the folder that were written here: somebody may keep others in it.
fn ours(folder: &Path) -> io::Result<impl Iterator<Item = fs::DirEntry>> {
    let is_ours = |name: &str| {
        let key = name.strip_suffix(".json").is_some_and(|name| name.parse::<Key>().is_ok());
        key || name.starts_with(TEMPORARY)
    };
    Ok(fs::read_dir(folder)?.flatten().filter(move |entry| entry.file_name().to_str().is_some_and(is_ours)))
}

/// Takes the oldest files away until so many are left; how many that is.
fn thin(folder: &Path, left: usize) -> io::Result<usize> {
    let mut files: Vec<(SystemTime, PathBuf)> =
        ours(folder)?.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    files.sort();
    let spare = files.len().saturating_sub(left);
    for (_, path) in files.drain(..spare) {
        fs::remove_file(path)?;
    }
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::digest::Shape;
    use crate::hash;
    use crate::ledger::tests::record;
    use crate::verdict::Class;

    fn kept(number: usize) -> Arc<Kept> {
        let key = Key::of_hash(&hash::sha256(number.to_string()));
        let record = record(key.as_str(), 0, Class::Ok);
        Arc::new(Kept {
            format: FORMAT,
            window: (0, 1),
            confirmed: record.at,
            reused: 0,
            complete: true,
            notices: vec!["not on disk".to_owned()],
            evidence: Vec::new(),
            shape: Shape::default(),
            seen: BTreeSet::new(),
            key,
            record,
        })
    }

    #[tokio::test]
    async fn ten_thousand_verdicts_stay_within_their_bytes() {
        let cabinet = Arc::new(Cabinet::new(None));
        for number in 0..10_000 {
            cabinet.keep(&kept(number)).await;
        }
        assert!(cabinet.memory.lock().unwrap().verdicts.bytes() <= VERDICTS);
        assert!(cabinet.verdict(&kept(0).key).await.is_none() && cabinet.verdict(&kept(9_999).key).await.is_some());
    }

    #[tokio::test]
    async fn files_come_back_without_what_is_not_for_the_disk_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let cabinet = Arc::new(Cabinet::new(Some(folder.path().join("a/b"))));
        for number in 0..5 {
            cabinet.keep(&kept(number)).await;
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            let file = fs::File::options().write(true).open(cabinet.file(&kept(number).key).unwrap()).unwrap();
            file.set_modified(modified).unwrap();
        }
        let foreign = folder.path().join("a/b/notes.json");
        fs::write(&foreign, "mine").unwrap();
        assert_eq!(thin(&folder.path().join("a/b"), 2).unwrap(), 2);
        let cabinet = Arc::new(Cabinet::new(Some(folder.path().join("a/b"))));
        assert!(cabinet.verdict(&kept(2).key).await.is_none() && foreign.exists());
        let found = cabinet.verdict(&kept(3).key).await.unwrap();
        assert_eq!(*found, Kept { notices: Vec::new(), ..(*kept(3)).clone() });
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_costs_the_files_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cabinet = Arc::new(Cabinet::new(Some(file.path().join("below"))));
        cabinet.keep(&kept(1)).await;
        assert!(cabinet.verdict(&kept(1).key).await.is_some());
    }
}
