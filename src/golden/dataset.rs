//! A frozen set of cases, held to the hash and the counts that its manifest states.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Case;
use crate::hash;
use crate::problem::{self, Problem};

/// How many cases there are of what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Cases.
    pub total: usize,
    /// Captures.
    pub clusters: usize,
    /// Log lines.
    pub entries: usize,
    /// Cases that a second reader labelled without seeing the first labels.
    pub reviewed_twice: usize,
    /// Cases by family.
    pub family: BTreeMap<String, usize>,
    /// Cases by split.
    pub split: BTreeMap<String, usize>,
    /// Cases by difficulty.
    pub difficulty: BTreeMap<String, usize>,
    /// Cases by severity.
    pub severity: BTreeMap<String, usize>,
    /// Cases by root cause.
    pub root_cause: BTreeMap<String, usize>,
}

impl Coverage {
    /// Counts some cases.
    pub fn of(cases: &[Case]) -> Self {
        let mut coverage = Self::default();
        cases.iter().for_each(|case| coverage.count(case));
        coverage.clusters = cases.iter().map(|case| &case.cluster).collect::<BTreeSet<_>>().len();
        coverage
    }

    /// Counts one more case; that clusters are counted once is the caller's business.
    pub fn count(&mut self, case: &Case) {
        let mut add = |counts: fn(&mut Self) -> &mut BTreeMap<String, usize>, name: &str| {
            *counts(self).entry(name.to_owned()).or_default() += 1;
        };
        add(|coverage| &mut coverage.family, &case.family);
        add(|coverage| &mut coverage.split, case.split.as_str());
        add(|coverage| &mut coverage.difficulty, case.difficulty.as_str());
        add(|coverage| &mut coverage.severity, &case.target.severity.to_string());
        add(|coverage| &mut coverage.root_cause, &case.target.root_cause);
        self.total += 1;
        self.entries += case.window.entries.len();
        self.reviewed_twice += usize::from(case.review.as_ref().is_some_and(|review| review.second.is_some()));
    }
}

/// `dataset.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name, the same as the folder's.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
    /// Version of the ontology whose labels the targets use.
    pub ontology: u32,
    /// Whether it may no longer change.
    pub frozen: bool,
    /// SHA-256 of `cases.jsonl`: as stated where it is frozen, else as it was found.
    #[serde(default)]
    pub sha256: String,
    /// What it contains; as found where the file does not state it.
    #[serde(default)]
    pub counts: Coverage,
}

/// A loaded dataset.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its cases in file order.
    pub cases: Vec<Case>,
}

impl Dataset {
    /// Parses `dataset.toml` and `cases.jsonl` of the folder `folder`.
    ///
    /// # Errors
    /// A malformed file, counts that do not hold, or cases that were touched after the dataset was frozen.
    pub fn parse(folder: &str, manifest: &str, cases: &str) -> Result<Self, Problem> {
        let actual = hash::sha256(cases);
        let cases = Case::parse_lines(&format!("{folder}/cases.jsonl"), cases);
        Self::checked(folder, manifest, &actual, cases.map(|cases| (Coverage::of(&cases), cases)))
    }

    /// Holds cases that were read elsewhere to the manifest: `actual` is the hash of their file, and the coverage counts
    /// them as they stood there.
    ///
    /// # Errors
    /// As [`Dataset::parse`].
    pub fn checked(
        folder: &str,
        manifest: &str,
        actual: &str,
        cases: Result<(Coverage, Vec<Case>), Problem>,
    ) -> Result<Self, Problem> {
        let file = format!("{folder}/dataset.toml");
        let mut manifest: Manifest = problem::parse_toml(&file, manifest)?;
        if manifest.frozen && manifest.sha256 != actual {
            let stated = if manifest.sha256.is_empty() { "states none" } else { &manifest.sha256 };
            let message = format!("cases.jsonl has sha256 {actual}, the frozen dataset {stated}");
            let hint = "restore cases.jsonl; a change is a new dataset";
            return Err(Problem::new(file, message).in_field("sha256").hint(hint));
        }
        // What may still change is known by what it is, not by what it was when somebody last wrote it down.
        actual.clone_into(&mut manifest.sha256);
        let (counts, cases) = cases?;
        if manifest.counts == Coverage::default() {
            manifest.counts = counts;
        } else if counts != manifest.counts {
            let message = format!("states {:?}, the cases are {counts:?}", manifest.counts);
            return Err(Problem::new(file, message).in_field("counts").hint("state what cases.jsonl contains"));
        }
        Ok(Self { manifest, cases })
    }

    /// The cases by id.
    pub fn case(&self, id: &str) -> Option<&Case> {
        self.cases.iter().find(|case| case.id == id)
    }
}
