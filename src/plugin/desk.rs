//! The desk of a data source, made of its settings and of the installation's files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::error::{QueryError, one_line};
use super::instance::Instance;
use super::settings::{Live, ROOT_PATH};
use crate::analyze::Consent;
use crate::installation::Installation;
use crate::live::{Capacity, Clock, Desk, Limits, ModelServer, Question, Source, Span, Standing};
use crate::redact::Redactor;
use crate::telemetry;

/// How often the installation's files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(30);

/// The files by which a changed installation is known: a released prompt stands in the lock.
const FILES: [&str; 3] = ["prompts/prompts.lock", "prompts/routes.toml", "models/models.toml"];

/// What is known of those files.
type Stamps = [Option<(SystemTime, u64)>; FILES.len()];

/// An open desk.
#[derive(Debug)]
pub(super) struct Opened {
    desk: Arc<Desk>,
    stamps: Stamps,
    looked: Instant,
}

impl Opened {
    /// The desk that is open, or a new one where there is none or the installation has changed. One that cannot be
    /// opened leaves the one before, whose standing questions go on.
    pub(super) async fn desk(
        opened: &mut Option<Self>,
        instance: &Instance,
        capacity: &Capacity,
    ) -> Result<Arc<Desk>, QueryError> {
        let root = instance.root()?.map(Path::to_owned).ok_or_else(|| {
            let message = format!("no prompts are at hand: set `{ROOT_PATH}` to the folder with prompts/ and models/");
            QueryError::Settings(message)
        })?;
        if let Some(known) = opened.as_mut() {
            if known.looked.elapsed() < LOOK {
                return Ok(known.get());
            }
            if known.stamps == stamps(&root) {
                known.looked = Instant::now();
                return Ok(known.get());
            }
        }
        let stamps = stamps(&root);
        let desk = Arc::new(Desk::open(source(instance, root).await?, capacity)?);
        *opened = Some(Self { desk: Arc::clone(&desk), stamps, looked: Instant::now() });
        Ok(desk)
    }

    fn get(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }
}

fn stamps(root: &Path) -> Stamps {
    FILES.map(|file| {
        let meta = std::fs::metadata(root.join(file)).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    })
}

/// Everything that the desk works with.
async fn source(instance: &Instance, root: PathBuf) -> Result<Source, QueryError> {
    let live = instance.live()?;
    let loki = instance.loki()?.ok_or_else(|| {
        let message = "no live logs can be read: give Loki's URL in the settings of the data source";
        QueryError::Settings(message.to_owned())
    })?;
    let installation = tokio::task::spawn_blocking(move || Installation::load(&root)).await;
    let installation = installation.map_err(|_| QueryError::Defect("the installation could not be read".to_owned()))?;
    let mut installation = installation.map_err(|problem| QueryError::Settings(one_line(&problem)))?;
    installation.pipeline.redactor = Redactor::new(live.policy);
    if let Some(key) = &live.hash_key {
        installation.pipeline.hash_key = Some(key.expose().as_bytes().to_vec());
    }
    let receiver = instance.otlp().ok().flatten().cloned();
    installation.pipeline.consent = Consent::when(move || receiver.as_ref().is_some_and(telemetry::collects_content));
    let models = live.servers.iter().map(|server| {
        let spec = installation.models.get(&server.name).map_err(QueryError::Settings)?.clone();
        Ok(ModelServer { spec, client: server.client.clone() })
    });
    Ok(Source {
        org: instance.org,
        uid: instance.uid.clone(),
        tenant: instance.tenant().map(str::to_owned),
        models: models.collect::<Result<_, QueryError>>()?,
        installation: Arc::new(installation),
        loki,
        default_model: live.default_model.clone(),
        guard: live.guard,
        limits: limits(live),
        cache: cache(instance, live),
        // A store that is away is told by the health check; it keeps no question from being answered.
        ledger: instance.ledger().ok(),
        standing: live.standing.iter().map(standing).collect(),
        scheduled: !instance.forwards_identity(),
        clock: Clock::system(),
    })
}

fn limits(live: &Live) -> Limits {
    Limits {
        digest_tokens: live.budget,
        max_lines: live.max_lines,
        fresh_for: live.fresh_for,
        max_age: live.max_age,
        timeout: live.timeout,
        queue: live.queue,
        ..Limits::default()
    }
}

/// Where verdicts are kept: where the settings say, else beside a store that is a folder, else in the temporary folder, if
/// nobody else can have a hand in it there.
fn cache(instance: &Instance, live: &Live) -> Option<PathBuf> {
    let beside = || instance.store_folder().filter(|folder| folder.is_dir()).map(|folder| folder.join("verdicts"));
    let folder = live.cache_path.clone().or_else(beside);
    folder.or_else(|| {
        let folder = std::env::temp_dir().join("assay-verdicts");
        let own = own(&folder).inspect_err(|error| {
            tracing::warn!(%error, folder = %folder.display(), "verdicts are kept in memory only: set `cachePath`");
        });
        own.ok().map(|()| folder)
    })
}

/// Makes a folder for this user alone where anybody may make one, or finds the one that was made.
#[cfg(unix)]
fn own(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    // Whose it would be if it were made now.
    let own = tempfile::tempfile()?.metadata()?.uid();
    if !found.is_dir() || found.uid() != own {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is a link, a file or somebody else's"));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn own(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn standing(asked: &super::settings::Standing) -> Standing {
    let question = Question {
        expr: asked.expr.trim().to_owned(),
        span: Span::latest(asked.window),
        prompt: asked.prompt.clone(),
        model: asked.model.clone(),
    };
    Standing { name: asked.name.clone(), question, every: asked.every }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use grafana_plugin_sdk::pluginv2::{DataSourceInstanceSettings, PluginContext};
    use serde_json::json;

    use super::*;
    use crate::plugin::instance::Instances;

    #[tokio::test]
    async fn an_installation_that_cannot_be_read_leaves_the_desk_before_it() {
        let (root, ours) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")));
        std::os::unix::fs::symlink(ours.join("prompts"), root.path().join("prompts")).unwrap();
        let models = root.path().join("models/models.toml");
        fs::create_dir(models.parent().unwrap()).unwrap();
        fs::copy(ours.join("models/models.toml"), &models).unwrap();
        let settings = DataSourceInstanceSettings {
            url: "http://127.0.0.1:9".to_owned(),
            json_data: json!({"rootPath": root.path()}).to_string().into_bytes(),
            ..Default::default()
        };
        let context = PluginContext { data_source_instance_settings: Some(settings), ..Default::default() };
        let (instance, capacity) = (Instances::default().get(Some(context)), Capacity::default());
        let mut opened = None;
        let first = Opened::desk(&mut opened, &instance, &capacity).await.unwrap();
        let good = fs::read_to_string(&models).unwrap();
        for (text, is_sound) in [("[[model", false), ("[[model", false), (&format!("{good}\n# changed"), true)] {
            fs::write(&models, text).unwrap();
            let known = opened.as_mut().unwrap();
            known.looked = known.looked.checked_sub(LOOK).unwrap();
            let desk = Opened::desk(&mut opened, &instance, &capacity).await;
            assert_eq!(desk.is_ok(), is_sound, "{desk:?}");
            assert_eq!(Arc::ptr_eq(&first, &opened.as_ref().unwrap().desk), !is_sound);
        }
    }
}
