//! The health check, section by section, in words that say what to do.
//!
//! Nothing is loaded or asked of a model: a store is listed, prompts are held to their lock, and the files of managed
//! models are looked at. A file is hashed only up to a size, and once for as long as it does not change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::error::{QueryError, one_line};
use super::settings::{Instance, ROOT_PATH};
use crate::experiment::{Kind, ModelSpec};
use crate::installation::{Installation, load_prompts};

/// Files beyond this many bytes are not hashed while somebody waits.
const HASHED: u64 = 512 << 20;

/// One part of the check: a sentence, and whether it is a good one.
pub(super) struct Section {
    name: &'static str,
    pub(super) ok: bool,
    pub(super) sentence: String,
}

impl Section {
    fn of(name: &'static str, finding: Result<String, String>) -> Self {
        match finding {
            Ok(sentence) => Self { name, ok: true, sentence },
            Err(sentence) => Self { name, ok: false, sentence },
        }
    }

    /// The section for a program.
    pub(super) fn json(&self) -> Value {
        json!({"section": self.name, "ok": self.ok, "message": self.sentence})
    }
}

/// Hashes of files, by path, with the size and time that they were made at.
#[derive(Debug, Default)]
pub(super) struct Hashes(Mutex<HashMap<PathBuf, (u64, SystemTime, String)>>);

/// All sections.
pub(super) async fn check(instance: &Instance, hashes: &'static Hashes) -> Vec<Section> {
    let (store, prompts, models) = futures::join!(store(instance), prompts(instance), models(instance, hashes));
    vec![Section::of("store", store), Section::of("prompts", prompts), Section::of("models", models)]
}

async fn store(instance: &Instance) -> Result<String, String> {
    match runs(instance).await {
        Ok((url, 0, _)) => Ok(format!("Store {url}: no run yet, `assay eval run` makes one")),
        Ok((url, 1, unfinished)) => Ok(format!("Store {url}: 1 run{}", open(unfinished))),
        Ok((url, runs, unfinished)) => Ok(format!("Store {url}: {runs} runs{}", open(unfinished))),
        Err(error) => Err(error.to_string()),
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

async fn prompts(instance: &Instance) -> Result<String, String> {
    let root = instance.root().map_err(|error| error.to_string())?.map(Path::to_owned);
    let Some(root) = root else { return Ok(format!("Prompts: not checked, set `{ROOT_PATH}` to have them checked")) };
    let loaded = tokio::task::spawn_blocking(move || load_prompts(&root)).await;
    match loaded.map_err(|_| "Prompts: the check failed, the log says where".to_owned())? {
        Ok(prompts) => {
            let drafts = prompts.iter().filter(|p| prompts.lock.released(&p.id.to_string()).is_none()).count();
            let drafts = if drafts == 0 { String::new() } else { format!(", {drafts} of them drafts") };
            Ok(format!("Prompts: {} versions, the lock holds{drafts}", prompts.iter().count()))
        }
        Err(problem) => Err(format!("Prompts: {}", one_line(&problem))),
    }
}

async fn models(instance: &Instance, hashes: &'static Hashes) -> Result<String, String> {
    let root = instance.root().map_err(|error| error.to_string())?.map(Path::to_owned);
    let Some(root) = root else { return Ok(format!("Models: not checked, set `{ROOT_PATH}` to have them checked")) };
    let checked = tokio::task::spawn_blocking(move || look(&root, hashes)).await;
    checked.map_err(|_| "Models: the check failed, the log says where".to_owned())?
}

fn look(root: &Path, hashes: &Hashes) -> Result<String, String> {
    let installation = match Installation::load(root) {
        Ok(installation) => installation,
        Err(problem) => return Err(format!("Models: {}", one_line(&problem))),
    };
    let managed = |spec: &&ModelSpec| matches!(spec.kind, Kind::Managed { .. });
    let all = installation.models.iter().count();
    let findings: Vec<_> =
        installation.models.iter().filter(managed).map(|spec| file(&root.join("models"), spec, hashes)).collect();
    let (sound, wrong): (Vec<_>, Vec<_>) = findings.into_iter().partition(Result::is_ok);
    let large = sound.iter().filter(|finding| matches!(finding, Ok(false))).count();
    let large = if large == 0 { String::new() } else { format!(", {large} too large to be hashed here") };
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() {
        return Ok(format!("Models: {all} known, {} files as declared{large}", sound.len()));
    }
    Err(format!("Models: {}", wrong.join("; ")))
}

/// Whether a model's file was hashed and found to be the declared one; false if it is there and too large for that.
fn file(folder: &Path, spec: &ModelSpec, hashes: &Hashes) -> Result<bool, String> {
    let Kind::Managed { file, sha256, .. } = &spec.kind else { return Ok(true) };
    let path = folder.join(file);
    let name = &spec.name;
    let meta = std::fs::metadata(&path)
        .map_err(|error| format!("file {file} of `{name}` cannot be read ({error}): put it into models/"))?;
    if meta.len() > HASHED {
        return Ok(false);
    }
    let found = hashes.of(&path, &meta).map_err(|error| format!("file {file} of `{name}` cannot be read ({error})"))?;
    if found == *sha256 {
        return Ok(true);
    }
    Err(format!("file {file} of `{name}` is another than models.toml declares: its sha256 is {found}"))
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
