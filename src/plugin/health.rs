//! The health check, section by section, in words that say what to do.
//!
//! No model is asked anything: a store is listed, Loki is asked for its labels, prompts are held to their lock, servers
//! say what they serve, and the files of managed models are looked at. A file is hashed only up to a size, and once for
//! as long as it does not change.

mod loki;
mod servers;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(super) use servers::identify;

use super::error::{QueryError, one_line};
use super::instance::Instance;
use super::settings::ROOT_PATH;
use crate::experiment::{Kind, ModelSpec};
use crate::installation::{Installation, load_prompts};

/// Files beyond this many bytes are not hashed while somebody waits.
const HASHED: u64 = 512 << 20;

/// How a part of the surroundings is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// In use, but something is odd.
    Warning,
    /// It keeps questions from being answered.
    Error,
    /// Not set up, and not missed.
    Off,
}

/// One part of the check.
#[derive(Debug)]
pub(super) struct Section {
    name: String,
    pub(super) status: Status,
    message: String,
    hint: Option<String>,
}

impl Section {
    fn new(name: impl Into<String>, status: Status, message: impl Into<String>) -> Self {
        Self { name: name.into(), status, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The section for a person.
    pub(super) fn sentence(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}{hint}", self.message)
    }

    /// The section for a program.
    pub(super) fn json(&self) -> Value {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Error => "error",
            Status::Off => "off",
        };
        let mut section = json!({"name": self.name, "status": status, "message": self.message});
        if let Some(hint) = &self.hint {
            section["hint"] = json!(hint);
        }
        section
    }
}

/// Hashes of files, by path, with the size and time that they were made at.
#[derive(Debug, Default)]
pub(super) struct Hashes(Mutex<HashMap<PathBuf, (u64, SystemTime, String)>>);

/// All sections.
pub(super) async fn check(instance: &Instance, hashes: &'static Hashes) -> Vec<Section> {
    let (store, loki, prompts, models, servers) = futures::join!(
        store(instance),
        loki::check(instance),
        prompts(instance),
        models(instance, hashes),
        servers::check(instance)
    );
    let mut sections = vec![store, loki, prompts, models];
    sections.extend(servers);
    sections.push(telemetry(instance));
    let remarks = instance.remarks();
    if !remarks.is_empty() {
        sections.push(Section::new("settings", Status::Warning, remarks.join("; ")));
    }
    sections
}

fn telemetry(instance: &Instance) -> Section {
    match instance.otlp() {
        Ok(Some(otlp)) => Section::new("telemetry", Status::Ok, format!("Telemetry: {otlp}")),
        Ok(None) => Section::new("telemetry", Status::Off, "Telemetry: not exported"),
        Err(error) => Section::new("telemetry", Status::Error, format!("Telemetry: {error}")),
    }
}

async fn store(instance: &Instance) -> Section {
    let ok = |message| Section::new("store", Status::Ok, message);
    match runs(instance).await {
        Ok((url, 0, _)) => ok(format!("Store {url}: no run yet, `assay eval run` makes one")),
        Ok((url, 1, unfinished)) => ok(format!("Store {url}: 1 run{}", open(unfinished))),
        Ok((url, runs, unfinished)) => ok(format!("Store {url}: {runs} runs{}", open(unfinished))),
        Err(error) => Section::new("store", Status::Error, error.to_string()),
    }
}

fn open(unfinished: usize) -> String {
    if unfinished == 0 { String::new() } else { format!(", {unfinished} of them unfinished") }
}

async fn runs(instance: &Instance) -> Result<(String, usize, usize), QueryError> {
    let cache = instance.store()?;
    // Whoever presses the button wants to know how it is now.
    cache.changed().await;
    let listing = cache.listing().await?;
    let unfinished = listing.iter().filter(|listed| listed.record.is_none()).count();
    Ok((cache.store().url().to_owned(), listing.len(), unfinished))
}

async fn prompts(instance: &Instance) -> Section {
    let check = |root: &Path| match load_prompts(root) {
        Ok(prompts) => {
            let all = prompts.iter().count();
            let drafts = prompts.iter().filter(|p| prompts.lock.released(&p.id.to_string()).is_none()).count();
            let drafts = if drafts == 0 { String::new() } else { format!(", {drafts} of them drafts") };
            Section::new("prompts", Status::Ok, format!("Prompts: {all} versions, the lock holds{drafts}"))
        }
        Err(problem) => Section::new("prompts", Status::Error, format!("Prompts: {}", one_line(&problem))),
    };
    of_installation(instance, "prompts", check).await
}

async fn models(instance: &Instance, hashes: &'static Hashes) -> Section {
    of_installation(instance, "models", |root| look(root, hashes)).await
}

/// A section about the installation's files, off without an installation.
async fn of_installation(
    instance: &Instance,
    name: &'static str,
    check: impl FnOnce(&Path) -> Section + Send + 'static,
) -> Section {
    let root = match instance.root() {
        Ok(Some(root)) => root.to_owned(),
        Ok(None) => {
            let hint = format!("set `{ROOT_PATH}` to the folder with prompts/ and models/");
            return Section::new(name, Status::Off, format!("No {name}: no live log is analysed")).hint(hint);
        }
        Err(error) => return Section::new(name, Status::Error, error.to_string()),
    };
    let checked = tokio::task::spawn_blocking(move || check(&root)).await;
    let failed = |_| Section::new(name, Status::Error, format!("the check of the {name} failed, the log says where"));
    checked.unwrap_or_else(failed)
}

/// What is at hand of the files that `models.toml` declares. Only the harness reads them, so that a missing one is no
/// error here; one that is another than was declared is.
fn look(root: &Path, hashes: &Hashes) -> Section {
    let installation = match Installation::load(root) {
        Ok(installation) => installation,
        Err(problem) => return Section::new("models", Status::Error, format!("Models: {}", one_line(&problem))),
    };
    let (mut sound, mut large, mut missing, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for spec in installation.models.iter() {
        match file(&root.join("models"), spec, hashes) {
            Found::NoFile => {}
            Found::AsDeclared => sound += 1,
            Found::TooLarge => large += 1,
            Found::Missing(reason) => missing.push(reason),
            Found::Wrong(reason) => wrong.push(reason),
        }
    }
    if !wrong.is_empty() {
        return Section::new("models", Status::Error, format!("Models: {}", wrong.join("; ")))
            .hint("restore the file, or declare the new one under a new name");
    }
    let large = if large == 0 { String::new() } else { format!(", {large} too large to be hashed here") };
    let found = format!("Models: {} known, {sound} files as declared{large}", installation.models.iter().count());
    if missing.is_empty() {
        return Section::new("models", Status::Ok, found);
    }
    Section::new("models", Status::Warning, format!("{found}; {}", missing.join("; ")))
        .hint("put it into models/ if `assay eval run` is to serve it here")
}

/// What was found of a model's file.
enum Found {
    /// It has none.
    NoFile,
    AsDeclared,
    TooLarge,
    Missing(String),
    Wrong(String),
}

fn file(folder: &Path, spec: &ModelSpec, hashes: &Hashes) -> Found {
    let Kind::Managed { file, sha256, .. } = &spec.kind else { return Found::NoFile };
    let path = folder.join(file);
    let name = &spec.name;
    let away = |error: std::io::Error| Found::Missing(format!("file {file} of `{name}` cannot be read ({error})"));
    let meta = match std::fs::metadata(&path) {
        Ok(meta) if meta.len() > HASHED => return Found::TooLarge,
        Ok(meta) => meta,
        Err(error) => return away(error),
    };
    match hashes.of(&path, &meta) {
        Ok(found) if found == *sha256 => Found::AsDeclared,
        Ok(found) => {
            Found::Wrong(format!("file {file} of `{name}` is another than models.toml declares: its sha256 is {found}"))
        }
        Err(error) => away(error),
    }
}

impl Hashes {
    fn of(&self, path: &Path, meta: &std::fs::Metadata) -> std::io::Result<String> {
        let (size, modified) = (meta.len(), meta.modified()?);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, hash)) = known().get(path).filter(|(s, m, _)| (*s, *m) == (size, modified)) {
            return Ok(hash.clone());
        }
        let mut hasher = Sha256::new();
        let mut file = std::fs::File::open(path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match std::io::Read::read(&mut file, &mut buffer)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        let hash = hex::encode(hasher.finalize());
        known().insert(path.to_owned(), (size, modified, hash.clone()));
        Ok(hash)
    }
}
