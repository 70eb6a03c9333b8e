//! How a managed llama-server is started: the command line of each profile.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ServerError;
use crate::http::Secret;

/// The first bytes of every GGUF file.
const MAGIC: [u8; 4] = *b"GGUF";

/// What is more important: the same bits every time, or answers per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// One slot and no cache of any kind.
    Reproducible,
    /// Several slots, each of which keeps the prefix of its last prompt.
    Throughput {
        /// Requests that are answered at the same time; at least one.
        slots: u32,
    },
}

impl Profile {
    /// Number of slots.
    pub fn slots(self) -> u32 {
        match self {
            Self::Reproducible => 1,
            Self::Throughput { slots } => slots.max(1),
        }
    }

    /// What every question of this profile says in `cache_prompt`: a request overrides the server's own setting.
    pub fn cache_prompt(self) -> bool {
        matches!(self, Self::Throughput { .. })
    }
}

/// Everything that starting a server needs.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The `llama-server` to run.
    pub program: PathBuf,
    /// The GGUF to serve.
    pub model: PathBuf,
    /// See [`Profile`].
    pub profile: Profile,
    /// Context of one slot, in tokens.
    pub context: u32,
    /// Threads for prompts and decoding. More threads than free cores is far slower than one.
    pub threads: u32,
    /// File that takes the server's output; truncated at the start.
    pub log: PathBuf,
    /// Required of every request but `/health`, if given. Handed over in the environment, where `ps` does not show it.
    pub api_key: Option<Secret>,
    /// How long loading the model may take.
    pub ready_within: Duration,
}

impl Launch {
    /// The command line, without the program.
    pub(super) fn args(&self, port: u16, alias: &str) -> Vec<OsString> {
        let slots = self.profile.slots();
        let threads = self.threads.max(1).to_string();
        let context = self.context.saturating_mul(slots).to_string();
        let cache = if self.profile.cache_prompt() { "--cache-prompt" } else { "--no-cache-prompt" };
        let mut args: Vec<OsString> = vec!["-m".into(), self.model.clone().into()];
        args.extend(["--host", "127.0.0.1", "--offline", "--no-ui", "--metrics", "--slots"].map(OsString::from));
        args.extend(["--port", &port.to_string(), "--alias", alias].map(OsString::from));
        args.extend(["-t", &threads, "-tb", &threads].map(OsString::from));
        // No cache in host memory: it revives evicted prompts and grows to 8 GiB.
        args.extend(["-c", &context, "-np", &slots.to_string(), "--cache-ram", "0"].map(OsString::from));
        args.push(cache.into());
        args
    }
}

/// Finds what the server itself would report only in the middle of its log.
///
/// # Errors
/// A file that cannot be read, or that is no GGUF.
pub fn check_model(model: &Path) -> Result<(), ServerError> {
    let wrong = |reason: String| ServerError::Model { path: model.to_owned(), reason };
    let start = read_start(model).map_err(|error| wrong(error.to_string()))?;
    if start == MAGIC {
        return Ok(());
    }
    Err(wrong(format!("it starts with `{}`, a GGUF file with `GGUF`", start.escape_ascii())))
}

fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(profile: Profile) -> String {
        let launch = Launch {
            program: "llama-server".into(),
            model: "m.gguf".into(),
            profile,
            context: 2048,
            threads: 1,
            log: "log".into(),
            api_key: Some(Secret::new("k")),
            ready_within: Duration::ZERO,
        };
        launch.args(1234, "me").into_iter().map(|arg| arg.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_profile_has_its_command_line() {
        assert_eq!(
            args(Profile::Reproducible),
            "-m m.gguf --host 127.0.0.1 --offline --no-ui --metrics --slots --port 1234 --alias me -t 1 -tb 1 -c 2048 \
             -np 1 --cache-ram 0 --no-cache-prompt"
        );
        assert!(args(Profile::Throughput { slots: 3 }).ends_with("-c 6144 -np 3 --cache-ram 0 --cache-prompt"));
    }
}
