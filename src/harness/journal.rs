//! The journal of a run: one line per answer, on disk before the next question is asked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::run::{Answer, Answers};

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

/// An open journal, locked against a second harness.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Length up to which every line is whole.
    sound: u64,
}

impl Journal {
    /// Opens or creates the journal at `path` and reads what it holds: the newest answer of each case and repeat.
    /// A last line that a crash cut off is removed.
    ///
    /// # Errors
    /// A journal in use, a damaged line in the middle, or a failing disk.
    pub fn open(path: &Path) -> Result<(Self, Answers), JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let answers = parse(path, &bytes[..whole])?;
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok((Self { file, path: path.to_owned(), sound: whole as u64 }, answers))
    }

    /// Appends an answer and waits until it is on disk. A failed write is taken back, so that the journal stays whole.
    ///
    /// # Errors
    /// A full or failing disk.
    pub fn append(&mut self, answer: &Answer) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(answer).expect("an answer has no map with non-string keys");
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Whatever part was written would join the next line; if this fails too, open() repairs it.
            let _ = self.file.set_len(self.sound).and_then(|()| self.file.seek(SeekFrom::End(0)));
            return Err(JournalError::Io { path: self.path.clone(), source });
        }
        self.sound += line.len() as u64;
        Ok(())
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Answers, JournalError> {
    let mut answers = Answers::new();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if text.is_empty() {
            continue;
        }
        let answer: Answer = serde_json::from_slice(text).map_err(|error| JournalError::Damaged {
            path: path.to_owned(),
            line,
            reason: error.to_string(),
        })?;
        answers.insert((answer.case.clone(), answer.repeat), answer);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::model::{Timings, Usage};
    use crate::run::Asked;
    use crate::verdict::Class;

    fn answer(case: &str, class: Class) -> Answer {
        Answer {
            case: case.to_owned(),
            repeat: 0,
            at: DateTime::UNIX_EPOCH,
            asked: Asked {
                prompt: "t@1".to_owned(),
                route: None,
                rendered_hash: "sha256:0".to_owned(),
                lines: 1,
                templates: 1,
                omitted_templates: 0,
                omitted_lines: 0,
                digest_tokens: 9,
                redactions: 0,
                decisive_ids: vec![],
            },
            class,
            reason: None,
            verdict: None,
            usage: Usage::default(),
            timings: Timings::default(),
            latency_ms: 1.5,
            attempts: 1,
        }
    }

    #[test]
    fn a_cut_last_line_is_dropped_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&answer("a", Class::Ok)).unwrap();
        let first = std::fs::metadata(&path).unwrap().len() as usize;
        journal.append(&answer("b", Class::Timeout)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, answers) = Journal::open(&path).unwrap();
            assert_eq!(answers.len(), usize::from(cut >= first) + usize::from(cut == whole.len()), "cut at {cut}");
            journal.append(&answer("c", Class::Ok)).unwrap();
            drop(journal);
            assert!(Journal::open(&path).unwrap().1.contains_key(&("c".to_owned(), 0)));
        }
    }

    #[test]
    fn the_newest_answer_counts_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&answer("a", Class::InfraError)).unwrap();
        journal.append(&answer("a", Class::Ok)).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Locked { .. })));
        drop(journal);
        let (journal, answers) = Journal::open(&path).unwrap();
        assert_eq!(answers[&("a".to_owned(), 0)].class, Class::Ok);
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{{broken\n{text}")).unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("journal.jsonl:1") && error.contains("asked again"), "{error}");
    }
}
