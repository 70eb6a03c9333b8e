//! A dataset whose cases stay on disk: each is read when it is asked for.
//!
//! What stays in memory of a case is its id and where its line is. A line that has changed since is refused: whoever
//! opened the dataset was promised another.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{Installation, dataset_folder, manifest, unreadable};
use crate::golden::{self, Case, Coverage, Dataset, Manifest, Reader};
use crate::ontology::Ontology;
use crate::problem::Problem;

/// Where a case stands.
#[derive(Debug, Clone)]
struct Place {
    case: Box<str>,
    line: usize,
    start: u64,
    length: usize,
    sha256: [u8; 32],
}

/// A dataset on disk, held to its manifest when it was opened.
#[derive(Debug)]
pub struct Shelf {
    /// Its manifest.
    pub manifest: Manifest,
    /// The file as messages name it.
    name: String,
    path: PathBuf,
    /// In file order.
    places: Vec<Place>,
}

impl Installation {
    /// Opens the dataset in a folder, a path or a name below `golden/`, without keeping its cases.
    ///
    /// # Errors
    /// As [`Installation::dataset`].
    pub fn shelf(&self, dataset: &str) -> Result<Shelf, Problem> {
        let folder = dataset_folder(dataset);
        let manifest = manifest(&self.root, &folder)?;
        let name = format!("{folder}/cases.jsonl");
        let path = self.root.join(&name);
        let (sha256, scanned) = scan(&name, &path).map_err(|error| unreadable(&name, &error))?;
        let (counted, places) = match scanned {
            Ok((coverage, places)) => (Ok((coverage, Vec::new())), places),
            Err(problem) => (Err(problem), Vec::new()),
        };
        let Dataset { manifest, .. } = Dataset::checked(&folder, &manifest, &sha256, counted)?;
        Ok(Shelf { manifest, name, path, places })
    }
}

impl Shelf {
    /// The ids of the cases, in file order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.places.iter().map(|place| &*place.case)
    }

    /// The case of this number in file order, from 0.
    ///
    /// # Errors
    /// A file that has changed since the dataset was opened.
    pub fn case(&self, number: usize) -> Result<Case, Problem> {
        let place = self.places.get(number).ok_or_else(|| self.gone(&number.to_string(), "is not there"))?;
        let mut line = vec![0; place.length];
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(place.start))?;
            file.read_exact(&mut line)
        });
        read.map_err(|_| self.changed(place))?;
        self.parsed(place, &line)
    }

    /// Every case in file order; of all of them one at a time is in memory.
    pub fn cases(&self) -> impl Iterator<Item = Result<Case, Problem>> {
        let mut file = File::open(&self.path).map(BufReader::new);
        let mut line = Vec::new();
        self.places.iter().map(move |place| {
            let file = file.as_mut().map_err(|error| unreadable(&self.name, error))?;
            line.resize(place.length, 0);
            let here = file.stream_position().map(|here| place.start.cast_signed() - here.cast_signed());
            let read = here.and_then(|skip| file.seek_relative(skip)).and_then(|()| file.read_exact(&mut line));
            read.map_err(|_| self.changed(place))?;
            self.parsed(place, &line)
        })
    }

    /// Holds every case to what a figure over it needs, see [`golden::unsound`].
    ///
    /// # Errors
    /// The first case that falls short.
    pub fn check(&self, ontology: &Ontology) -> Result<(), Problem> {
        for (place, case) in self.places.iter().zip(self.cases()) {
            if let Some(problem) = golden::unsound(&self.name, place.line, &case?, ontology).into_iter().next() {
                return Err(problem.hint("`assay golden verify` names every defect of a dataset"));
            }
        }
        Ok(())
    }

    fn parsed(&self, place: &Place, line: &[u8]) -> Result<Case, Problem> {
        if Sha256::digest(line)[..] != place.sha256 {
            return Err(self.changed(place));
        }
        let text = std::str::from_utf8(line).map_err(|_| self.changed(place))?;
        Case::parse(&self.name, place.line, text)
    }

    fn changed(&self, place: &Place) -> Problem {
        self.gone(&place.case, "has changed while the run was under way").at_line(place.line)
    }

    fn gone(&self, case: &str, message: &str) -> Problem {
        let hint = "restore the dataset and continue with `assay eval resume`, or start a new run";
        Problem::new(&self.name, format!("case `{case}` {message}")).hint(hint)
    }
}

type Scanned = Result<(Coverage, Vec<Place>), Problem>;

/// The hash of the whole file, and where its cases are or the first that is wrong.
fn scan(name: &str, path: &PathBuf) -> io::Result<(String, Scanned)> {
    let (mut file, mut all) = (BufReader::new(File::open(path)?), Sha256::new());
    let (mut reader, mut text, mut start) = (Reader::new(name), String::new(), 0);
    let (mut coverage, mut clusters) = (Coverage::default(), BTreeSet::new());
    let mut places: Result<Vec<Place>, Problem> = Ok(Vec::new());
    for line in 1.. {
        text.clear();
        let length = file.read_line(&mut text)?;
        if length == 0 {
            break;
        }
        all.update(&text);
        if let Ok(known) = &mut places {
            match reader.read(&text) {
                Ok(None) => {}
                Ok(Some(case)) => {
                    coverage.count(&case);
                    let sha256 = Sha256::digest(&text).into();
                    known.push(Place { case: case.id.into(), line, start, length, sha256 });
                    clusters.insert(case.cluster);
                }
                Err(problem) => places = Err(problem),
            }
        }
        start += length as u64;
    }
    coverage.clusters = clusters.len();
    Ok((hex::encode(all.finalize()), places.map(|places| (coverage, places))))
}
