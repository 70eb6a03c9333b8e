//! The lock: the hash and date of everything released, so that a released prompt can never change unnoticed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::problem::{self, Problem};

/// One released file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Hexadecimal SHA-256 of the file.
    pub sha256: String,
    /// When it was released.
    pub released: DateTime<Utc>,
}

/// `prompts/prompts.lock`: everything released, by name (`triage@1`, `ontology@1`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lock(pub BTreeMap<String, Release>);

impl Lock {
    /// Parses the lock file.
    ///
    /// # Errors
    /// Malformed TOML or an unknown key.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        problem::parse_toml(file, text)
    }

    /// The lock file's text.
    pub fn render(&self) -> String {
        let header =
            "# Written by `assay prompt release`. What is listed here never changes; a change is a new version.\n";
        let releases = self.0.iter().map(|(name, release)| {
            let date = release.released.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            format!("\n[\"{name}\"]\nsha256 = \"{}\"\nreleased = \"{date}\"\n", release.sha256)
        });
        std::iter::once(header.to_owned()).chain(releases).collect()
    }

    /// When `name` was released, if it was.
    pub fn released(&self, name: &str) -> Option<DateTime<Utc>> {
        self.0.get(name).map(|release| release.released)
    }

    /// Refuses a released file whose content changed.
    ///
    /// # Errors
    /// The name, both hashes and the way out.
    pub fn check(&self, name: &str, sha256: &str) -> Result<(), Problem> {
        match self.0.get(name) {
            Some(release) if release.sha256 != sha256 => {
                let message = format!("`{name}` was released as {}, the file is now {sha256}", release.sha256);
                let hint = "restore the file and make the change a new version";
                Err(Problem::new("prompts/prompts.lock", message).in_field(name).hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a lock that names a file that is gone.
    ///
    /// # Errors
    /// The name that is missing among `found`.
    pub fn check_complete(&self, found: &BTreeSet<String>) -> Result<(), Problem> {
        let gone = self.0.keys().find(|name| !found.contains(*name));
        gone.map_or(Ok(()), |name| {
            let message = format!("`{name}` was released, but its file is gone");
            Err(Problem::new("prompts/prompts.lock", message).hint("restore it: runs refer to it"))
        })
    }
}
