//! What each model server serves, and whether it is what `models.toml` says.

use std::time::Duration;

use super::{Section, Status};
use crate::experiment::{Kind, ModelSpec, Models};
use crate::installation::load_models;
use crate::llama::Identity;
use crate::model::ModelError;
use crate::plugin::instance::Instance;
use crate::plugin::settings::ModelServer;

/// The section of what live questions go by.
const LIVE: &str = "live analysis";

/// How long a server may take to say what it serves.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(instance: &Instance) -> Vec<Section> {
    let live = match instance.live() {
        Ok(live) => live,
        Err(error) => return vec![Section::new(LIVE, Status::Error, format!("Live analysis: {error}"))],
    };
    let root = instance.root().ok().flatten().map(std::path::Path::to_owned);
    let models = tokio::task::spawn_blocking(move || root.and_then(|root| load_models(&root).ok())).await;
    let models = models.ok().flatten();
    let sections = live.servers.iter().map(|server| section(server, models.as_ref()));
    let mut sections = futures::future::join_all(sections).await;
    sections.extend(desk(instance).await);
    sections
}

/// What keeps live questions from being asked, where all that they need is set.
async fn desk(instance: &Instance) -> Option<Section> {
    if !matches!((instance.loki(), instance.root()), (Ok(Some(_)), Ok(Some(_)))) {
        return None;
    }
    if let Err(error) = instance.desk().await {
        return Some(Section::new(LIVE, Status::Error, format!("Live analysis: {error}")));
    }
    let unasked = instance.forwards_identity() && instance.live().is_ok_and(|live| !live.standing.is_empty());
    let text = "Live analysis: no standing question is asked by itself, because Loki is asked in the name of each user";
    unasked.then(|| {
        Section::new(LIVE, Status::Warning, text)
            .hint("take them out, or give them a data source that does not forward identities")
    })
}

async fn section(server: &ModelServer, models: Option<&Models>) -> Section {
    let (name, url) = (&server.name, server.client.url());
    let title = format!("model {name}");
    let identity = match identify(server).await {
        Ok(identity) => identity,
        Err(error) => {
            let section = Section::new(title, Status::Error, format!("Model {name}: {error}"));
            return match error {
                ModelError::Refused { status: 401 | 403, .. } => {
                    section.hint(format!("check its key, `modelApiKey.{name}`"))
                }
                _ => section.hint("start llama-server there, or wait until it has loaded its model"),
            };
        }
    };
    let slots = if identity.total_slots == 1 { "1 slot".to_owned() } else { format!("{} slots", identity.total_slots) };
    let found = format!(
        "Model {name} at {url}: {} ({}) is loaded, {slots} of {} tokens, llama.cpp {}",
        file(&identity.model_path),
        identity.model_ftype,
        identity.n_ctx,
        identity.build_info
    );
    match models.map(|models| models.get(name)) {
        None => Section::new(title, Status::Ok, found),
        Some(Err(_)) => Section::new(title, Status::Error, format!("{found}, but models.toml knows no model {name}"))
            .hint("add it to models/models.toml, or give the server the name that it has there"),
        Some(Ok(spec)) => match mismatch(spec, &identity) {
            None => Section::new(title, Status::Ok, found),
            Some(mismatch) => Section::new(title, Status::Warning, format!("{found}, but {mismatch}"))
                .hint("serve the declared model, or declare this one under a name of its own"),
        },
    }
}

/// What the server says of itself, within a time that a person waits.
pub(in crate::plugin) async fn identify(server: &ModelServer) -> Result<Identity, ModelError> {
    let late = || ModelError::Timeout { url: server.client.url().to_owned(), budget: PATIENCE };
    tokio::time::timeout(PATIENCE, server.client.identify()).await.unwrap_or_else(|_| Err(late()))
}

/// In what the server differs from the declaration, as far as it tells.
fn mismatch(spec: &ModelSpec, identity: &Identity) -> Option<String> {
    let says = [(" - Small", "_S"), (" - Medium", "_M"), (" - Large", "_L")]
        .iter()
        .fold(identity.model_ftype.clone(), |name, (long, short)| name.replace(long, short));
    if spec.quantization != "-" && !says.to_ascii_uppercase().contains(&spec.quantization.to_ascii_uppercase()) {
        return Some(format!("models.toml declares {}", spec.quantization));
    }
    match &spec.kind {
        Kind::External { fingerprint: Some(pinned), .. } if *pinned != identity.fingerprint => {
            Some(format!("its fingerprint is {}, models.toml pins {pinned}", identity.fingerprint))
        }
        Kind::Managed { file: declared, .. } if file(declared) != file(&identity.model_path) => {
            Some(format!("models.toml declares {}", file(declared)))
        }
        Kind::Rules => Some("models.toml declares rules, which need no server".to_owned()),
        _ => None,
    }
}

/// A file's name without its folders.
fn file(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: Kind, quantization: &str) -> ModelSpec {
        ModelSpec {
            name: "m".to_owned(),
            description: String::new(),
            quantization: quantization.to_owned(),
            bytes_per_token: 3.0,
            demo: false,
            kind,
        }
    }

    fn identity() -> Identity {
        Identity {
            build_info: "b1".to_owned(),
            model_path: "/models/m.gguf".to_owned(),
            model_ftype: "Q4_0".to_owned(),
            n_ctx: 4096,
            n_ctx_train: 4096,
            n_params: 1,
            n_vocab: 1,
            size_bytes: 1,
            total_slots: 1,
            chat_template_sha256: String::new(),
            fingerprint: "f".to_owned(),
            alias: String::new(),
        }
    }

    #[test]
    fn a_server_that_serves_something_else_is_told() {
        let managed = |file: &str| Kind::Managed { file: file.to_owned(), sha256: String::new(), context: 4096 };
        let external = |pinned: &str| Kind::External { url: String::new(), fingerprint: Some(pinned.to_owned()) };
        let check = |kind, quantization| mismatch(&spec(kind, quantization), &identity());
        assert_eq!(check(managed("m.gguf"), "Q4_0"), None);
        assert_eq!(check(external("f"), "-"), None);
        let medium = Identity { model_ftype: "Q4_K - Medium".to_owned(), ..identity() };
        assert_eq!(mismatch(&spec(managed("m.gguf"), "Q4_K_M"), &medium), None);
        assert!(check(managed("n.gguf"), "Q4_0").unwrap().contains("declares n.gguf"));
        assert!(check(managed("m.gguf"), "Q8_0").unwrap().contains("declares Q8_0"));
        assert!(check(external("g"), "-").unwrap().contains("pins g"));
        assert!(check(Kind::Rules, "-").unwrap().contains("need no server"));
    }
}
