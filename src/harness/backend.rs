//! The models of a session: servers started here, servers found elsewhere, and the rule baseline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::experiment::{Kind, ModelSpec, Profile};
use crate::llama::{self, Client, EndpointError, Identity, Launch, Server, ServerError};
use crate::model::ModelError;
use crate::run::ModelId;

/// Loading may take a while from a slow disk.
const READY_WITHIN: Duration = Duration::from_secs(600);
/// Slots of a managed server in the throughput profile.
const THROUGHPUT_SLOTS: u32 = 4;
/// A model below this size is served by one thread: more would wait for each other, not compute.
const ONE_THREAD_BYTES: u64 = 64 << 20;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The GGUF is not the one that was declared.
    #[error(
        "model `{model}`: {path} has sha256 {actual}, models.toml says {expected}\n  hint: restore the file, or declare the new one under a new name"
    )]
    Hash {
        /// The model's name.
        model: String,
        /// The file.
        path: PathBuf,
        /// Hash of the file.
        actual: String,
        /// Hash in `models.toml`.
        expected: String,
    },
    /// The GGUF cannot be read.
    #[error("model `{model}`: cannot read {path}: {source}")]
    File {
        /// The model's name.
        model: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A managed server does not start.
    #[error("model `{model}`: {source}")]
    Server {
        /// The model's name.
        model: String,
        /// The cause.
        source: Box<ServerError>,
    },
    /// The URL of an external server cannot be used.
    #[error("model `{model}`: {source}")]
    Endpoint {
        /// The model's name.
        model: String,
        /// The cause.
        source: EndpointError,
    },
    /// An external server does not say what it serves.
    #[error("model `{model}`: {source}\n  hint: start the server, or wait until it has loaded its model")]
    Unreachable {
        /// The model's name.
        model: String,
        /// The cause.
        source: ModelError,
    },
    /// An external server serves something else.
    #[error(
        "model `{model}`: the server at {url} shows {actual}, models.toml expects {expected}\n  hint: serve the expected model, or pin the new one under a new name"
    )]
    Identity {
        /// The model's name.
        model: String,
        /// The server.
        url: String,
        /// Its fingerprint.
        actual: String,
        /// The pinned fingerprint.
        expected: String,
    },
}

/// How managed servers are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The `llama-server` to run.
    pub program: PathBuf,
    /// Folder that model files are relative to.
    pub models: PathBuf,
    /// Folder for the servers' logs.
    pub logs: PathBuf,
    /// Reproducible or throughput.
    pub profile: Profile,
    /// How long a question is asked again while the surroundings fail.
    pub patience: Duration,
}

/// One model, ready to be asked.
#[derive(Debug)]
pub struct Backend {
    /// Who it is.
    pub id: ModelId,
    /// Where it listens; `None` for rules.
    pub client: Option<Client>,
    server: Option<Server>,
}

/// All models of a session by name.
#[derive(Debug, Default)]
pub struct Backends(BTreeMap<String, Backend>);

impl Backends {
    /// Starts or finds every model of `specs`; a number is how many threads a server that is started here shall have.
    ///
    /// # Errors
    /// The first model that cannot be used; servers started before it are stopped.
    pub async fn start(specs: &[(&ModelSpec, Option<u32>)], launcher: &Launcher) -> Result<Self, BackendError> {
        let mut backends = BTreeMap::new();
        for (spec, threads) in specs {
            if !backends.contains_key(&spec.name) {
                backends.insert(spec.name.clone(), Backend::start(spec, *threads, launcher).await?);
            }
        }
        Ok(Self(backends))
    }

    /// The model `name`; every arm's model was started.
    pub fn get(&self, name: &str) -> Option<&Backend> {
        self.0.get(name)
    }

    /// Restarts a managed server that has ended; `Ok(false)` if it is still running or not ours.
    ///
    /// # Errors
    /// A server that does not start again.
    pub async fn revive(&mut self, name: &str) -> Result<bool, BackendError> {
        let Some(backend) = self.0.get_mut(name) else { return Ok(false) };
        let Some(server) = backend.server.as_ref().filter(|server| server.check().is_err()) else { return Ok(false) };
        let (server, _) = server
            .restart()
            .await
            .map_err(|source| BackendError::Server { model: name.to_owned(), source: Box::new(source) })?;
        backend.client = Some(named(server.client(), &backend.id));
        backend.server = Some(server);
        Ok(true)
    }

    /// Restarts every managed server that has ended.
    ///
    /// # Errors
    /// As [`Backends::revive`].
    pub async fn revive_all(&mut self) -> Result<(), BackendError> {
        for name in self.0.keys().cloned().collect::<Vec<_>>() {
            self.revive(&name).await?;
        }
        Ok(())
    }

    /// Stops every managed server.
    pub async fn stop(self) {
        for server in self.0.into_values().filter_map(|backend| backend.server) {
            if let Err(error) = server.stop().await {
                tracing::warn!(%error, "a managed server did not stop");
            }
        }
    }
}

impl Backend {
    /// Process id of a server that was started here, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(Server::pid)
    }

    async fn start(spec: &ModelSpec, threads: Option<u32>, launcher: &Launcher) -> Result<Self, BackendError> {
        match &spec.kind {
            Kind::Rules => Ok(Self { id: unknown(spec), client: None, server: None }),
            Kind::Managed { file, sha256, context } => {
                managed(spec, launcher, (file, sha256), (*context, threads)).await
            }
            Kind::External { url, fingerprint } => external(spec, url, fingerprint.as_deref()).await,
        }
    }
}

async fn managed(
    spec: &ModelSpec,
    launcher: &Launcher,
    (file, expected): (&str, &str),
    (context, threads): (u32, Option<u32>),
) -> Result<Backend, BackendError> {
    let model = spec.name.clone();
    let path = launcher.models.join(file);
    let unreadable = |source| BackendError::File { model: model.clone(), path: path.clone(), source };
    let size = std::fs::metadata(&path).map_err(unreadable)?.len();
    let actual = llama::gguf_sha256(&path).await.map_err(unreadable)?;
    if !expected.eq_ignore_ascii_case(&actual) {
        return Err(BackendError::Hash { model, path, actual, expected: expected.to_owned() });
    }
    let mut launch = launch(&spec.name, launcher, path.clone(), size, context);
    launch.threads = threads.unwrap_or(launch.threads);
    let failed = |source| BackendError::Server { model: model.clone(), source: Box::new(source) };
    let (server, identity) = Server::start(&launch).await.map_err(failed)?;
    let mut id = identified(spec, &identity);
    id.gguf_sha256 = Some(actual);
    id.threads = Some(launch.threads);
    Ok(Backend { client: Some(named(server.client(), &id)), id, server: Some(server) })
}

fn launch(name: &str, launcher: &Launcher, model: PathBuf, size: u64, context: u32) -> Launch {
    let profile = match launcher.profile {
        Profile::Reproducible => llama::Profile::Reproducible,
        Profile::Throughput => llama::Profile::Throughput { slots: THROUGHPUT_SLOTS },
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if size < ONE_THREAD_BYTES { 1 } else { u32::try_from(cpus).unwrap_or(1) };
    let log = launcher.logs.join(format!("llama-server-{name}.log"));
    Launch {
        program: launcher.program.clone(),
        model,
        profile,
        context,
        threads,
        log,
        api_key: None,
        ready_within: READY_WITHIN,
    }
}

async fn external(spec: &ModelSpec, url: &str, pinned: Option<&str>) -> Result<Backend, BackendError> {
    let model = spec.name.clone();
    let client = Client::new(url, None).map_err(|source| BackendError::Endpoint { model: model.clone(), source })?;
    let unreachable = |source| BackendError::Unreachable { model: model.clone(), source };
    let identity = client.identify().await.map_err(unreachable)?;
    match pinned {
        Some(expected) if expected != identity.fingerprint => Err(BackendError::Identity {
            model,
            url: client.url().to_owned(),
            actual: identity.fingerprint,
            expected: expected.to_owned(),
        }),
        _ => {
            let mut id = identified(spec, &identity);
            id.gguf_sha256 = local_hash(&identity.model_path).await;
            Ok(Backend { client: Some(named(client, &id)), id, server: None })
        }
    }
}

/// The client under the name that telemetry knows the model by.
fn named(client: Client, id: &ModelId) -> Client {
    client.named(&id.spec.name, Some(id.config_sha256()))
}

/// A server on this machine names a file that can be hashed.
async fn local_hash(path: &str) -> Option<String> {
    let path = Path::new(path);
    if path.is_absolute() { llama::gguf_sha256(path).await.ok() } else { None }
}

fn unknown(spec: &ModelSpec) -> ModelId {
    ModelId {
        spec: spec.clone(),
        gguf_sha256: None,
        fingerprint: None,
        build_info: None,
        context_tokens: None,
        slots: None,
        threads: None,
        chat_template_sha256: None,
        parameters: None,
    }
}

fn identified(spec: &ModelSpec, identity: &Identity) -> ModelId {
    ModelId {
        fingerprint: Some(identity.fingerprint.clone()),
        build_info: Some(identity.build_info.clone()),
        context_tokens: Some(identity.n_ctx),
        slots: Some(identity.total_slots),
        chat_template_sha256: Some(identity.chat_template_sha256.clone()),
        parameters: Some(identity.n_params),
        ..unknown(spec)
    }
}
