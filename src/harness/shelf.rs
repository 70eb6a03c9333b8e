//! The log lines of a run's cases, left on disk until a question is asked about them.
//!
//! A dataset is read line by line; what stays in memory of a case is its truth and where its line is. A line that has
//! changed since is refused: the run was planned with another.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::golden::{Case, Coverage, Dataset, Reader};
use crate::installation::{Installation, dataset_folder, read, unreadable};
use crate::problem::Problem;
use crate::stream::Window;

/// Where a case stands.
#[derive(Debug, Clone, Copy)]
struct Span {
    line: usize,
    start: u64,
    length: usize,
    sha256: [u8; 32],
}

/// The windows of a dataset.
#[derive(Debug)]
pub(super) struct Shelf {
    /// The file as messages name it.
    name: String,
    path: PathBuf,
    spans: BTreeMap<String, Span>,
}

impl Shelf {
    /// Reads a dataset; the windows of its cases are empty, and the shelf has them.
    pub(super) fn open(installation: &Installation, dataset: &str) -> Result<(Dataset, Self), Problem> {
        let folder = dataset_folder(dataset);
        let manifest = read(&installation.root, &format!("{folder}/dataset.toml"))?;
        let name = format!("{folder}/cases.jsonl");
        let path = installation.root.join(&name);
        let mut spans = BTreeMap::new();
        let (sha256, cases) = scan(&name, &path, &mut spans).map_err(|error| unreadable(&name, &error))?;
        let dataset = Dataset::checked(&folder, &manifest, &sha256, cases)?;
        Ok((dataset, Self { name, path, spans }))
    }

    /// The log lines of a case.
    pub(super) fn window(&self, case: &str) -> Result<Window, Problem> {
        let gone = |message: &str| {
            let hint = "restore the dataset and continue with `assay eval resume`, or start a new run";
            Problem::new(&self.name, format!("case `{case}` {message}")).hint(hint)
        };
        let span = self.spans.get(case).ok_or_else(|| gone("is not there"))?;
        let mut bytes = vec![0; span.length];
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(span.start))?;
            file.read_exact(&mut bytes)
        });
        if read.is_err() || Sha256::digest(&bytes)[..] != span.sha256 {
            return Err(gone("has changed while the run was under way").at_line(span.line));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| gone("is not UTF-8"))?;
        Ok(Case::parse(&self.name, span.line, text)?.window)
    }
}

type Cases = Result<(Coverage, Vec<Case>), Problem>;

/// The hash of the whole file, and its cases or the first that is wrong.
fn scan(name: &str, path: &Path, spans: &mut BTreeMap<String, Span>) -> io::Result<(String, Cases)> {
    let (mut file, mut all) = (BufReader::new(File::open(path)?), Sha256::new());
    let (mut reader, mut text, mut start, mut entries) = (Reader::new(name), String::new(), 0, 0);
    let mut cases: Result<Vec<Case>, Problem> = Ok(Vec::new());
    for line in 1.. {
        text.clear();
        let length = file.read_line(&mut text)?;
        if length == 0 {
            break;
        }
        all.update(&text);
        if let Ok(known) = &mut cases {
            match reader.read(&text) {
                Ok(None) => {}
                Ok(Some(mut case)) => {
                    let sha256 = Sha256::digest(&text).into();
                    spans.insert(case.id.clone(), Span { line, start, length, sha256 });
                    entries += case.window.entries.len();
                    case.window = Window::default();
                    case.provenance = None;
                    known.push(case);
                }
                Err(problem) => cases = Err(problem),
            }
        }
        start += length as u64;
    }
    // The entries are on the shelf, and were counted when they were put there.
    let counted = cases.map(|cases| (Coverage { entries, ..Coverage::of(&cases) }, cases));
    Ok((hex::encode(all.finalize()), counted))
}
