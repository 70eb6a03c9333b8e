//! A model that is asked again when the surroundings failed, and that counts how often it was asked.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::llama::{Client, Retry, retry};
use crate::model::{Model, ModelError, Question, Reply};

/// One question's patience with one server.
#[derive(Debug)]
pub(super) struct Patient<'a> {
    client: &'a Client,
    policy: Retry,
    attempts: AtomicU32,
}

impl<'a> Patient<'a> {
    pub(super) fn new(client: &'a Client, policy: Retry) -> Self {
        Self { client, policy, attempts: AtomicU32::new(0) }
    }

    /// How often the model was asked so far.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }
}

impl Model for Patient<'_> {
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError> {
        retry(&self.policy, tokio::time::sleep, |_| {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            self.client.ask(question)
        })
        .await
    }

    async fn count_tokens(&self, system: &str, user: &str) -> Result<u32, ModelError> {
        retry(&self.policy, tokio::time::sleep, |_| self.client.count_tokens(system, user)).await
    }
}
