//! An installation on disk: the folder that holds `prompts/`, `golden/`, `models/` and `experiments/`.
//!
//! Reads files and names them as the user would; what they mean is the domain's business.

mod shelf;

use std::path::{Path, PathBuf};

pub use shelf::Shelf;

use crate::analyze::{Consent, Pipeline};
use crate::experiment::{Experiment, Models};
use crate::golden::{Case, Dataset};
use crate::ontology::Ontology;
use crate::problem::Problem;
use crate::prompt::{Lock, Prompt, Prompts};
use crate::redact::{Policy, Redactor};
use crate::route::Routes;

/// Environment variable with the key of the rendered-prompt hash.
pub const HASH_KEY_VARIABLE: &str = "ASSAY_HASH_KEY";

/// Everything that an installation's files say.
#[derive(Debug)]
pub struct Installation {
    /// Folder that the paths in messages are relative to.
    pub root: PathBuf,
    /// Prompts, routes, redaction: what turns lines into questions.
    pub pipeline: Pipeline,
    /// Known models.
    pub models: Models,
}

impl Installation {
    /// Reads the installation in `root`.
    ///
    /// # Errors
    /// The first file that is missing, unreadable or malformed.
    pub fn load(root: &Path) -> Result<Self, Problem> {
        let prompts = load_prompts(root)?;
        let routes = load_routes(root, &prompts)?;
        let models = load_models(root)?;
        let hash_key = std::env::var(HASH_KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(String::into_bytes);
        let pipeline = Pipeline {
            prompts,
            routes,
            redactor: Redactor::new(Policy::default()),
            hash_key,
            consent: Consent::default(),
        };
        Ok(Self { root: root.to_owned(), pipeline, models })
    }

    /// Reads the dataset in a folder: a path, or a name below `golden/`.
    ///
    /// # Errors
    /// As [`Dataset::parse`], or a folder without dataset.
    pub fn dataset(&self, name: &str) -> Result<Dataset, Problem> {
        load_dataset(&self.root, name)
    }

    /// Reads an experiment file.
    ///
    /// # Errors
    /// As [`Experiment::parse`], or an unreadable file.
    pub fn experiment(&self, path: &Path) -> Result<Experiment, Problem> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| named(&name, &error))?;
        Experiment::parse(&name, &text)
    }
}

/// Reads the routing rules, which must lead to known prompts.
///
/// # Errors
/// As [`Routes::parse`], or a rule whose prompt does not exist.
pub fn load_routes(root: &Path, prompts: &Prompts) -> Result<Routes, Problem> {
    let file = "prompts/routes.toml";
    let routes = Routes::parse(file, &read(root, file)?)?;
    for route in routes.iter() {
        let field = || format!("route `{}`.prompt", route.name);
        prompts.get(&route.prompt).map_err(|message| Problem::new(file, message).in_field(field()))?;
    }
    Ok(routes)
}

/// Reads the list of models; their files are looked at when they are used.
///
/// # Errors
/// As [`Models::parse`].
pub fn load_models(root: &Path) -> Result<Models, Problem> {
    Models::parse("models/models.toml", &read(root, "models/models.toml")?)
}

/// Reads a dataset without the rest of an installation.
///
/// # Errors
/// As [`Installation::dataset`].
pub fn load_dataset(root: &Path, name: &str) -> Result<Dataset, Problem> {
    let folder = dataset_folder(name);
    let manifest = manifest(root, &folder)?;
    let cases = read(root, &format!("{folder}/cases.jsonl"))?;
    Dataset::parse(&folder, &manifest, &cases)
}

/// Folder of a dataset, relative to the installation: a path as it is, or a name below `golden/`.
pub fn dataset_folder(name: &str) -> String {
    if name.contains('/') { name.trim_end_matches('/').to_owned() } else { format!("golden/{name}") }
}

/// The manifest of the dataset in a folder. Where there is none the datasets that there are are named.
fn manifest(root: &Path, folder: &str) -> Result<String, Problem> {
    let file = format!("{folder}/dataset.toml");
    let known = datasets(root);
    if root.join(&file).exists() || known.is_empty() {
        return read(root, &file);
    }
    let message = "there is no dataset in this folder";
    Err(Problem::new(folder, message).hint(format!("golden/ has {}", known.join(", "))))
}

/// The names of the datasets below `golden/`, sorted.
pub fn datasets(root: &Path) -> Vec<String> {
    let folders = entries(root, "golden").unwrap_or_default();
    folders.into_iter().filter(|name| root.join("golden").join(name).join("dataset.toml").is_file()).collect()
}

/// Reads a JSON Lines file of cases.
///
/// # Errors
/// An unreadable or malformed file.
pub fn load_cases(path: &Path) -> Result<Vec<Case>, Problem> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| named(&name, &error))?;
    Case::parse_lines(&name, &text)
}

/// Reads `prompts/`: ontologies, prompt versions and the lock.
///
/// # Errors
/// As [`Prompts::new`], or a file that is unreadable or malformed.
pub fn load_prompts(root: &Path) -> Result<Prompts, Problem> {
    let lock_file = "prompts/prompts.lock";
    let lock =
        if root.join(lock_file).exists() { Lock::parse(lock_file, &read(root, lock_file)?)? } else { Lock::default() };
    let mut ontologies = Vec::new();
    let mut prompts = Vec::new();
    for folder in entries(root, "prompts")?.into_iter().filter(|name| root.join("prompts").join(name).is_dir()) {
        for file in entries(root, &format!("prompts/{folder}"))? {
            let name = format!("prompts/{folder}/{file}");
            match name.rsplit_once('.').map(|(_, extension)| extension) {
                Some("toml") if folder == "ontology" => ontologies.push(Ontology::parse(&name, &read(root, &name)?)?),
                Some("md") => prompts.push(Prompt::parse(&name, &read(root, &name)?)?),
                _ => {
                    let hint = "prompts are `<id>/<version>.md`, ontologies `ontology/<version>.toml`";
                    return Err(Problem::new(name, "is neither a prompt nor an ontology").hint(hint));
                }
            }
        }
    }
    Prompts::new(prompts, ontologies, lock)
}

/// Names in a folder, sorted; hidden files are skipped.
fn entries(root: &Path, folder: &str) -> Result<Vec<String>, Problem> {
    let listing = std::fs::read_dir(root.join(folder)).map_err(|error| unreadable(folder, &error))?;
    let mut names: Vec<String> = listing
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

fn read(root: &Path, name: &str) -> Result<String, Problem> {
    std::fs::read_to_string(root.join(name)).map_err(|error| unreadable(name, &error))
}

/// A file that a person named, which may lie anywhere.
fn named(name: &str, error: &std::io::Error) -> Problem {
    let problem = unreadable(name, error);
    if error.kind() == std::io::ErrorKind::NotFound { Problem { hint: None, ..problem } } else { problem }
}

fn unreadable(name: &str, error: &std::io::Error) -> Problem {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "run assay in the folder that holds prompts/ and golden/, or give --root",
        std::io::ErrorKind::InvalidData => "the file must be UTF-8",
        _ => "check the file and its permissions",
    };
    Problem::new(name, format!("cannot be read: {error}")).hint(hint)
}
