//! Checks of the installation's files: prompts and their lock, routes, datasets, models.

use std::path::Path;
use std::time::Duration;

use super::Finding;
use crate::experiment::{Kind, ModelSpec, Models};
use crate::golden;
use crate::installation::{datasets as datasets_in, load_dataset, load_models, load_prompts, load_routes};
use crate::llama::{self, Client};
use crate::prompt::Prompts;

/// A server that is there says so at once.
const SERVER_ANSWERS: Duration = Duration::from_secs(3);

/// The way out of an error that names none: what cannot be found says where it should be.
const MEND: &str = "mend the file";

pub(super) fn prompts(root: &Path) -> Finding {
    let prompts = match load_prompts(root) {
        Ok(prompts) => prompts,
        Err(problem) => return Finding::of_error("prompts", &problem, MEND),
    };
    let all: Vec<String> = prompts.iter().map(|prompt| prompt.id.to_string()).collect();
    let drafts: Vec<&str> = all.iter().filter(|id| prompts.lock.released(id).is_none()).map(String::as_str).collect();
    match &drafts[..] {
        [] => Finding::ok("prompts", format!("{} versions, all as they were released", all.len())),
        drafts => Finding::warn(
            "prompts",
            format!("{} versions, the released ones unchanged; drafts: {}", all.len(), drafts.join(", ")),
            "`assay prompt release NAME` freezes one: a run of a draft cannot be repeated",
        ),
    }
}

pub(super) fn routes(root: &Path) -> Finding {
    let prompts: Option<Prompts> = load_prompts(root).ok();
    match prompts.map(|prompts| load_routes(root, &prompts)) {
        Some(Ok(routes)) => Finding::ok("routes", format!("{} rules", routes.iter().count())),
        Some(Err(problem)) => Finding::of_error("routes", &problem, MEND),
        None => Finding::warn("routes", "not checked", "mend prompts first"),
    }
}

pub(super) fn datasets(root: &Path) -> Vec<Finding> {
    let names = datasets_in(root);
    if names.is_empty() {
        return vec![Finding::warn(
            "datasets",
            "there is none in golden/",
            "evaluations need one; a checkout has golden-v1",
        )];
    }
    names.iter().map(|name| dataset(root, name)).collect()
}

fn dataset(root: &Path, name: &str) -> Finding {
    let check = format!("dataset {name}");
    let dataset = match load_dataset(root, name) {
        Ok(dataset) => dataset,
        Err(problem) => return Finding::of_error(check, &problem, "mend or restore it"),
    };
    let manifest = &dataset.manifest;
    let ontology = load_prompts(root).ok().and_then(|prompts| prompts.ontologies().get(&manifest.ontology).cloned());
    let Some(ontology) = ontology else {
        let version = manifest.ontology;
        return Finding::fail(check, format!("is labelled with ontology {version}"), "restore that ontology");
    };
    let problems = golden::verify(name, &dataset, &ontology);
    if let Some(first) = problems.first() {
        let detail = format!("{} problems, the first: {}", problems.len(), first.to_string().replace('\n', " "));
        return Finding::fail(check, detail, format!("`assay golden verify {name}` shows all"));
    }
    let frozen = if manifest.frozen { "frozen" } else { "not frozen" };
    Finding::ok(check, format!("{} cases, {frozen}, sound", manifest.counts.total))
}

pub(super) fn models(root: &Path) -> Result<Models, Finding> {
    load_models(root).map_err(|problem| Finding::of_error("models", &problem, MEND))
}

pub(super) async fn model(root: &Path, spec: &ModelSpec) -> Finding {
    let check = format!("model {}", spec.name);
    match &spec.kind {
        Kind::Rules => Finding::ok(check, "patterns, always there"),
        Kind::Managed { file, sha256, .. } => managed(check, &root.join("models").join(file), sha256).await,
        Kind::External { url, fingerprint } => external(check, url, fingerprint.as_deref()).await,
    }
}

async fn managed(check: String, path: &Path, expected: &str) -> Finding {
    let name = path.display();
    match llama::gguf_sha256(path).await {
        Ok(actual) if actual.eq_ignore_ascii_case(expected) => {
            Finding::ok(check, format!("{name} is the file that models.toml declares"))
        }
        Ok(actual) => {
            let detail = format!("{name} has sha256 {actual}, models.toml says {expected}");
            Finding::fail(check, detail, "restore the file, or declare the new one under a new name")
        }
        Err(error) => {
            let fix = "put the file there, or remove the model from models/models.toml";
            Finding::fail(check, format!("{name} cannot be read: {error}"), fix)
        }
    }
}

async fn external(check: String, url: &str, pinned: Option<&str>) -> Finding {
    let client = match Client::new(url, None) {
        Ok(client) => client,
        Err(error) => return Finding::of_error(check, &error, "mend `url` in models/models.toml"),
    };
    // Nobody promises that another machine's server is up just now.
    let identity = match tokio::time::timeout(SERVER_ANSWERS, client.identify()).await {
        Ok(Ok(identity)) => identity,
        Ok(Err(error)) => return Finding::warn(check, error.to_string(), "start the server"),
        Err(_) => return Finding::warn(check, format!("{url} does not answer"), "start the server"),
    };
    match pinned {
        Some(expected) if expected != identity.fingerprint => {
            let detail = format!("{url} shows {}, models.toml expects {expected}", identity.fingerprint);
            Finding::fail(check, detail, "serve the expected model, or pin the new one under a new name")
        }
        Some(_) => Finding::ok(check, format!("{url} serves the pinned model, {}", identity.build_info)),
        None => {
            let fix = format!("pin it: fingerprint = \"{}\"", identity.fingerprint);
            Finding::warn(check, format!("{url} answers, but may serve anything"), fix)
        }
    }
}
