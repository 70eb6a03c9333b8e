//! A llama-server of our own, on a free loopback port, for as long as the handle lives.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::model::ModelError;

use super::client::Client;
use super::error::ServerError;
use super::identity::Identity;
use super::launch::{Launch, check_model};
use super::process::Process;

/// How often a port that somebody else took meanwhile is replaced by another.
const PORT_ATTEMPTS: u32 = 5;

/// How long a server may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Pause between two looks at a server that is loading.
const POLL: Duration = Duration::from_millis(25);

/// How much of the log is quoted, in bytes.
const TAIL: u64 = 1500;

/// Makes the alias of each server unique within this process.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A running llama-server. Dropping it kills the process; [`Server::stop`] lets it finish.
#[derive(Debug)]
pub struct Server {
    process: Process,
    client: Client,
    alias: String,
    launch: Launch,
    port: u16,
}

impl Server {
    /// Starts a server and waits until it has loaded the model.
    ///
    /// # Errors
    /// If the program or the model cannot be used, the server ends or does not get ready, or its slots are smaller
    /// than asked for. Where the server has something to say about it, the end of its log is quoted.
    pub async fn start(launch: &Launch) -> Result<(Self, Identity), ServerError> {
        let mut attempt = 1;
        loop {
            let server = Self::spawn(launch).await?;
            match server.loaded().await {
                Ok(identity) => return Ok((server, identity)),
                Err(ServerError::Died { tail, .. }) if attempt < PORT_ATTEMPTS && port_taken(&tail) => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a server and returns at once: until the model is loaded, questions fail as infrastructure.
    ///
    /// # Errors
    /// If the program, the model file or the log file cannot be used.
    pub async fn spawn(launch: &Launch) -> Result<Self, ServerError> {
        Self::spawn_at(launch, free_port().map_err(ServerError::Control)?).await
    }

    /// Starts a server that has ended once more, where it listened: whoever asks it again finds it there.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn restart(&self) -> Result<(Self, Identity), ServerError> {
        let server = Self::spawn_at(&self.launch, self.port).await?;
        match server.loaded().await {
            Err(ServerError::Died { tail, .. }) if port_taken(&tail) => Self::start(&self.launch).await,
            loaded => loaded.map(|identity| (server, identity)),
        }
    }

    async fn spawn_at(launch: &Launch, port: u16) -> Result<Self, ServerError> {
        check_model(&launch.model)?;
        let log = |source| ServerError::Log { path: launch.log.clone(), source };
        let output = File::create(&launch.log).map_err(log)?;
        let errors = output.try_clone().map_err(log)?;
        let alias = format!("assay-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let client = Client::new(&format!("http://127.0.0.1:{port}"), launch.api_key.as_ref())?;
        let mut command = command(&launch.program);
        command.args(launch.args(port, &alias)).stdout(output).stderr(errors);
        if let Some(key) = &launch.api_key {
            command.env("LLAMA_API_KEY", key.expose());
        }
        let program = |source| ServerError::Program { program: launch.program.clone(), source };
        let process = Process::spawn(command).await.map_err(program)?;
        Ok(Self { process, client, alias, launch: launch.clone(), port })
    }

    /// Waits until the model is loaded, and checks that the server is ours and as it was asked for.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn loaded(&self) -> Result<Identity, ServerError> {
        let within = self.launch.ready_within;
        let mut failure = None;
        let Ok(identity) = tokio::time::timeout(within, self.identified(&mut failure)).await else {
            let (log, tail) = (self.launch.log.clone(), tail(&self.launch.log));
            return Err(failure.map_or(ServerError::Slow { within, log, tail }, ServerError::Identify));
        };
        let identity = identity?;
        if identity.n_ctx < self.launch.context {
            return Err(ServerError::Context { asked: self.launch.context, got: identity.n_ctx });
        }
        Ok(identity)
    }

    /// Polls until our own server says what it is. On a port that was snatched away another one answers, or refuses,
    /// until ours has ended over it.
    async fn identified(&self, failure: &mut Option<ModelError>) -> Result<Identity, ServerError> {
        loop {
            self.check()?;
            if self.client.healthy().await.is_ok() {
                match self.client.identify().await {
                    Ok(identity) if identity.alias == self.alias => return Ok(identity),
                    Ok(_) => {}
                    Err(error) => *failure = Some(error),
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A client for this server.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// How it was started.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Its process id, as long as it is not known to have ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Whether it is still running; to be asked when a question fails as infrastructure.
    ///
    /// # Errors
    /// If it has ended, with the end of its log.
    pub fn check(&self) -> Result<(), ServerError> {
        match self.process.exited().map_err(ServerError::Control)? {
            None => Ok(()),
            Some(status) => {
                let (log, tail) = (self.launch.log.clone(), tail(&self.launch.log));
                Err(ServerError::Died { status: status.to_string(), log, tail })
            }
        }
    }

    /// Asks the server to end and waits for it; kills it if that takes too long.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.process.stop(GRACE).await.map(|_| ()).map_err(ServerError::Control)
    }

    /// The version line of a llama-server, such as `0.7.0 (build 11669, commit Debian)`.
    ///
    /// # Errors
    /// If the program cannot be run or prints no version.
    pub async fn version(program: &Path) -> Result<String, ServerError> {
        let wrong = |source| ServerError::Program { program: program.to_owned(), source };
        let mut command = command(program);
        command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
        let late = |_| wrong(io::ErrorKind::TimedOut.into());
        let output = tokio::time::timeout(GRACE, command.output()).await.map_err(late)?.map_err(wrong)?;
        // It writes to the standard error today; nothing says that it will stay there.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find_map(|line| line.strip_prefix("version: "));
        line.map(str::to_owned).ok_or_else(|| wrong(io::Error::other("`--version` prints no line `version: …`")))
    }
}

/// SHA-256 of a model file, in hexadecimal. Reads the whole file.
///
/// # Errors
/// If the file cannot be read.
pub async fn gguf_sha256(path: &Path) -> io::Result<String> {
    let path = path.to_owned();
    let hash = move || {
        let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hex::encode(hasher.finalize())),
                length => hasher.update(&piece[..length]),
            }
        }
    };
    tokio::task::spawn_blocking(hash).await.map_err(io::Error::other)?
}

/// llama-server takes every option from the environment too; a run must not depend on what happens to be set there.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("LLAMA_")) {
            command.env_remove(name);
        }
    }
    command
}

/// A port that is free now. It can be taken before the server binds it: `start` then tries another.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn port_taken(tail: &str) -> bool {
    tail.contains("couldn't bind")
}

/// The last lines of a log, without terminal codes and from the start of a line.
fn tail(path: &PathBuf) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.is_empty() => "(it wrote nothing)".to_owned(),
        Ok(bytes) => printable(&bytes),
        Err(error) => format!("(cannot be read: {error})"),
    }
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let whole_lines = match text.split_once('\n') {
        Some((_, rest)) if bytes.len() as u64 == TAIL && !rest.is_empty() => rest,
        _ => &text,
    };
    whole_lines.trim_end().chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}
