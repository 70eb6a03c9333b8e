//! A server that is asked again when the surroundings failed, that knows how often it was asked, what that took and in
//! which span, and may be watched.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::Context;

use crate::model::{Endpoint, Model, ModelError, Question, Reply};
use crate::telemetry::here;

use super::client::{Client, Progress};
use super::retry::{Retry, retry};

/// What is told of an answer in the making.
type Watcher<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// One question's patience with one server.
pub struct Patient<'a> {
    client: &'a Client,
    policy: Retry,
    attempts: AtomicU32,
    /// Nanoseconds.
    lost: AtomicU64,
    call: OnceLock<Context>,
    watcher: Option<Watcher<'a>>,
}

impl fmt::Debug for Patient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").field("client", self.client).field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<'a> Patient<'a> {
    /// Asks `client` under `policy`.
    pub fn new(client: &'a Client, policy: Retry) -> Self {
        let (attempts, lost) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { client, policy, attempts, lost, call: OnceLock::new(), watcher: None }
    }

    /// The same, and `watcher` is told how each attempt comes along.
    #[must_use]
    pub fn watched(self, watcher: Watcher<'a>) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    /// How often the model was asked so far.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Time that went into attempts after which another one was made, and into the pauses between them.
    pub fn lost(&self) -> Duration {
        Duration::from_nanos(self.lost.load(Ordering::Relaxed))
    }

    /// The span of the model call, if there was one that is recorded: what is found out about the answer belongs there.
    pub fn call(&self) -> Option<&Context> {
        self.call.get()
    }

    /// Makes attempts until one counts.
    async fn persist<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, ModelError>
    where
        F: Future<Output = Result<T, ModelError>>,
    {
        let mut last = Instant::now();
        let again = |number| {
            let before = std::mem::replace(&mut last, Instant::now());
            if number > 1 {
                let lost = u64::try_from((last - before).as_nanos()).unwrap_or(u64::MAX);
                self.lost.fetch_add(lost, Ordering::Relaxed);
            }
            attempt()
        };
        retry(&self.policy, tokio::time::sleep, again).await
    }

    async fn attempt(&self, question: &Question) -> Result<Reply, ModelError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        match self.watcher {
            Some(watcher) => self.client.ask_with(question, &mut |progress| watcher(progress)).await,
            None => self.client.ask(question).await,
        }
    }
}

impl Model for Patient<'_> {
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError> {
        if let Some(call) = here() {
            self.call.get_or_init(|| call);
        }
        self.persist(|| self.attempt(question)).await
    }

    async fn count_tokens(&self, system: &str, user: &str) -> Result<u32, ModelError> {
        self.persist(|| self.client.count_tokens(system, user)).await
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        self.client.endpoint()
    }
}
