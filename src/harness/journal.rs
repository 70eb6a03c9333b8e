//! The journal of a run: one line per answer, written before the next question is asked and on disk before the next
//! answer is taken.
//!
//! What is written outlives this process, and the disk gets it while the next question is being answered: a killed
//! harness asks nothing again but what was under way, a machine that loses its power at most one more answer.
//!
//! Beside answers there are lines that say of which answers the server has been recognised since.
//!
//! What stays in memory of an answer is where it stands; it is read again when it is scored. Where the store is a
//! bucket, lines also go there, in numbered segments (`Segments`): another machine can then go on.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::run::Answer;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another harness works on this run.
    #[error("{path} is in use: another assay is working on this run")]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// A line before the last is damaged; the last may be, after a crash.
    #[error("{path}:{line} is damaged: {reason}\n  hint: remove that line; its case is asked again")]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed or is full; everything written so far is safe.
    #[error("cannot write {path}: {source}\n  hint: make room and continue with `assay eval resume`")]
    Io {
        /// The journal.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Where an answer stands, and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    length: u32,
    finished: bool,
    recognised: bool,
}

/// An open journal, locked against a second harness.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Length up to which every line is whole.
    sound: u64,
    /// The newest answer to each question, by the question's number.
    entries: Vec<Option<Entry>>,
    /// How often the run had been resumed when an answer was asked for: the most of all lines, written into the next.
    resumed: u32,
}

/// What a line says beside its answer, or in place of one.
#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    resumed: u32,
    /// Answers above, by case and repeat, whose server was found to be the one that was planned.
    #[serde(default)]
    recognised: Vec<(String, u32)>,
}

impl Journal {
    /// Opens or creates the journal at `path` and looks at what it holds. `number` says which question of how many an
    /// answer's case and repeat are; what belongs to none is left alone. A last line that a crash cut off is removed.
    ///
    /// # Errors
    /// A journal in use, a damaged line in the middle, or a failing disk.
    pub fn open(
        path: &Path,
        questions: usize,
        number: impl Fn(&str, u32) -> Option<usize>,
    ) -> Result<Self, JournalError> {
        let mut journal = Self::locked(path, questions)?;
        journal.look(number)?;
        Ok(journal)
    }

    /// [`Journal::open`] after taking over the lines of its copy elsewhere that it lacks; gives those that the copy lacks.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(
        path: &Path,
        copy: &[u8],
        questions: usize,
        number: impl Fn(&str, u32) -> Option<usize>,
    ) -> Result<(Self, Vec<u8>), JournalError> {
        let mut journal = Self::locked(path, questions)?;
        let lacking = journal.merge(copy).map_err(|source| journal.io(source))?;
        journal.look(number)?;
        Ok((journal, lacking))
    }

    fn locked(path: &Path, questions: usize) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        let is_new = !path.exists();
        let folder = path.parent().unwrap_or(path);
        let known = folder.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned);
        std::fs::create_dir_all(folder).map_err(io)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        if is_new {
            sync_folders(folder, known.as_deref()).map_err(io)?;
        }
        Ok(Self { file, path: path.to_owned(), sound: 0, entries: vec![None; questions], resumed: 0 })
    }

    /// Appends the lines of `copy` that are not there; gives those that are and that it lacks.
    fn merge(&mut self, copy: &[u8]) -> io::Result<Vec<u8>> {
        let mut own = Vec::new();
        self.file.read_to_end(&mut own)?;
        own.truncate(own.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let (ours, theirs): (HashSet<_>, HashSet<_>) = (lines(&own).collect(), lines(copy).collect());
        let news: Vec<u8> = lines(copy).filter(|line| !ours.contains(line)).flatten().copied().collect();
        self.file.set_len(own.len() as u64)?;
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(&news)?;
        self.file.sync_data()?;
        self.file.rewind()?;
        Ok(lines(&own).filter(|line| !theirs.contains(line)).flatten().copied().collect())
    }

    fn look(&mut self, number: impl Fn(&str, u32) -> Option<usize>) -> Result<(), JournalError> {
        let mut file = BufReader::new(self.file.try_clone().map_err(|source| self.io(source))?);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let length = file.read_until(b'\n', &mut text).map_err(|source| self.io(source))?;
            if text.pop() != Some(b'\n') {
                break;
            }
            if !text.is_empty() {
                self.read(&text, line, &number)?;
            }
            self.sound += length as u64;
        }
        let end = self.file.set_len(self.sound).and_then(|()| self.file.seek(SeekFrom::End(0)));
        end.map(|_| ()).map_err(|source| self.io(source))
    }

    fn read(
        &mut self,
        text: &[u8],
        line: usize,
        number: impl Fn(&str, u32) -> Option<usize>,
    ) -> Result<(), JournalError> {
        let Beside { resumed, recognised } = self.parsed(text, line)?;
        self.resumed = self.resumed.max(resumed);
        for at in recognised.iter().filter_map(|(case, repeat)| number(case, *repeat)) {
            self.mark_recognised(at);
        }
        if recognised.is_empty() {
            let answer: Answer = self.parsed(text, line)?;
            if let Some(at) = number(&answer.case, answer.repeat) {
                self.enter(at, text.len(), &answer);
            }
        }
        Ok(())
    }

    fn parsed<T: DeserializeOwned>(&self, text: &[u8], line: usize) -> Result<T, JournalError> {
        serde_json::from_slice(text).map_err(|error| JournalError::Damaged {
            path: self.path.clone(),
            line,
            reason: error.to_string(),
        })
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), source }
    }

    /// Says that the run is resumed; gives how often it has been, each time with an answer at least.
    pub fn resume(&mut self) -> u32 {
        self.resumed += 1;
        self.resumed
    }

    /// Whether a question has its answer.
    pub fn is_finished(&self, number: usize) -> bool {
        self.entries.get(number).is_some_and(|entry| entry.is_some_and(|entry| entry.finished))
    }

    /// How many questions have.
    pub fn finished(&self) -> usize {
        self.entries.iter().flatten().filter(|entry| entry.finished).count()
    }

    /// Opens the questions again whose server was not recognised after it had answered them; gives how many they are.
    pub fn doubt(&mut self) -> usize {
        let entries = self.entries.iter_mut().flatten();
        entries.filter(|entry| !entry.recognised).map(|entry| usize::from(std::mem::take(&mut entry.finished))).sum()
    }

    /// The newest answer to a question.
    ///
    /// # Errors
    /// A journal that was changed meanwhile, or a failing disk.
    pub fn answer(&mut self, number: usize) -> Result<Option<Answer>, JournalError> {
        let Some(entry) = self.entries.get(number).copied().flatten() else { return Ok(None) };
        let mut text = vec![0; entry.length as usize];
        let read = self.file.seek(SeekFrom::Start(entry.start)).and_then(|_| self.file.read_exact(&mut text));
        read.and_then(|()| self.file.seek(SeekFrom::End(0))).map_err(|source| self.io(source))?;
        self.parsed(&text, 0).map(Some)
    }

    /// Appends an answer to a question; a [`Syncing`] brings it to the disk. Gives its line. A failed write is taken back,
    /// so that the journal stays whole.
    ///
    /// # Errors
    /// A full or failing disk.
    pub fn append(&mut self, number: usize, answer: &Answer) -> Result<Vec<u8>, JournalError> {
        let line = line_of(answer, self.resumed);
        self.write(&line)?;
        self.enter(number, line.len() - 1, answer);
        self.sound += line.len() as u64;
        Ok(line)
    }

    /// Appends that the server of these answers was recognised after it had given them. Gives the line.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn recognise(&mut self, answers: &[(usize, &Answer)]) -> Result<Vec<u8>, JournalError> {
        let named: Vec<_> = answers.iter().map(|(_, answer)| (&answer.case, answer.repeat)).collect();
        let mut line = serde_json::to_vec(&serde_json::json!({ "recognised": named })).unwrap_or_default();
        line.push(b'\n');
        self.write(&line)?;
        self.sound += line.len() as u64;
        answers.iter().for_each(|(number, _)| self.mark_recognised(*number));
        Ok(line)
    }

    fn write(&mut self, line: &[u8]) -> Result<(), JournalError> {
        self.file.write_all(line).map_err(|source| {
            // Whatever part was written would join the next line; if this fails too, open() repairs it.
            let _ = self.file.set_len(self.sound).and_then(|()| self.file.seek(SeekFrom::End(0)));
            self.io(source)
        })
    }

    /// Notes an answer of so many bytes at the end of what is known.
    fn enter(&mut self, number: usize, length: usize, answer: &Answer) {
        if let Some(place) = self.entries.get_mut(number) {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            *place = Some(Entry { start: self.sound, length, finished: answer.is_finished(), recognised: false });
        }
    }

    fn mark_recognised(&mut self, number: usize) {
        if let Some(Some(entry)) = self.entries.get_mut(number) {
            entry.recognised = true;
        }
    }
}

/// Puts the name of a new journal on disk, and the names of the folders that were made for it below `known`.
#[cfg(unix)]
fn sync_folders(folder: &Path, known: Option<&Path>) -> io::Result<()> {
    for folder in folder.ancestors() {
        File::open(folder)?.sync_all()?;
        if Some(folder) == known {
            break;
        }
    }
    Ok(())
}

/// Other systems sync no folder.
#[cfg(not(unix))]
fn sync_folders(_: &Path, _: Option<&Path>) -> io::Result<()> {
    Ok(())
}

/// What was appended last, on its way to the disk.
#[derive(Debug, Default)]
pub(super) struct Syncing(Option<JoinHandle<io::Result<()>>>);

impl Syncing {
    /// Sends what `journal` holds to the disk, on another thread.
    ///
    /// # Errors
    /// A process that may not open any more files.
    pub(super) fn start(journal: &Journal) -> Result<Self, JournalError> {
        let file = journal.file.try_clone().map_err(|source| journal.io(source))?;
        Ok(Self(Some(spawn_blocking(move || file.sync_data()))))
    }

    /// Waits until it is there.
    ///
    /// # Errors
    /// A full or failing disk.
    pub(super) async fn end(&mut self, journal: &Journal) -> Result<(), JournalError> {
        let Some(under_way) = self.0.take() else { return Ok(()) };
        let synced = under_way.await.unwrap_or_else(|failed| Err(io::Error::other(failed)));
        synced.map_err(|source| journal.io(source))
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

/// An answer as it stands in a journal.
fn line_of(answer: &Answer, resumed: u32) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).expect("an answer has no map with non-string keys");
    if resumed > 0 {
        line.pop();
        line.extend(format!(",\"resumed\":{resumed}}}").bytes());
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
