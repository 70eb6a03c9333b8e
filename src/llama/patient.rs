//! A server that is asked again when the surroundings failed, that knows how often it was asked and in which span, and
//! may be watched.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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
        Self { client, policy, attempts: AtomicU32::new(0), call: OnceLock::new(), watcher: None }
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

    /// The span of the model call, if there was one that is recorded: what is found out about the answer belongs there.
    pub fn call(&self) -> Option<&Context> {
        self.call.get()
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
        retry(&self.policy, tokio::time::sleep, |_| self.attempt(question)).await
    }

    async fn count_tokens(&self, system: &str, user: &str) -> Result<u32, ModelError> {
        retry(&self.policy, tokio::time::sleep, |_| self.client.count_tokens(system, user)).await
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        self.client.endpoint()
    }
}
