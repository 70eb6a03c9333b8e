//! What all data sources of a process share: places for questions in work, and the slots of every model server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::turns::Turns;
use crate::llama::{Client, Identity, Retry, retry};
use crate::model::ModelError;

/// Questions that are in work at a time, from reading Loki to the verdict. Each may hold a window of logs in memory.
pub const SEATS: usize = 8;

/// How long what a server said of itself is believed.
const BELIEVED: Duration = Duration::from_secs(30);

/// How long a server may take to say what it is: a question holds a seat meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// A failure that took this long is not waited for again, for [`SILENT`].
const LONG: Duration = Duration::from_secs(1);

/// How long a server that kept a question waiting counts as silent.
const SILENT: Duration = Duration::from_secs(10);

/// Places for questions in work, shared by all data sources of a process. Clones are the same.
#[derive(Debug, Clone)]
pub struct Capacity {
    pub(super) seats: Turns,
    servers: Arc<Mutex<HashMap<String, Weak<Slots>>>>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self::new(SEATS)
    }
}

impl Capacity {
    /// Room for so many questions in work at a time.
    pub fn new(seats: usize) -> Self {
        Self { seats: Turns::new(seats.max(1)), servers: Arc::default() }
    }

    /// The slots of the server at this address, the same for everyone who asks there.
    pub(super) fn slots(&self, client: &Client) -> Arc<Slots> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, slots| slots.strong_count() > 0);
        if let Some(slots) = servers.get(client.url()).and_then(Weak::upgrade) {
            return slots;
        }
        let slots = Arc::new(Slots::default());
        servers.insert(client.url().to_owned(), Arc::downgrade(&slots));
        slots
    }
}

/// A model server's slots, and what it said of itself.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) turns: Turns,
    said: tokio::sync::Mutex<Option<Said>>,
}

/// What a server said when it was last asked what it is; nothing, if it kept that question waiting.
#[derive(Debug)]
struct Said {
    at: Instant,
    identity: Option<Identity>,
}

impl Default for Slots {
    fn default() -> Self {
        // One until the server has said how many it has.
        Self { turns: Turns::new(1), said: tokio::sync::Mutex::default() }
    }
}

impl Slots {
    /// What the server is; asked for at most every half minute, by one asker at a time. Whoever waits for that one waits
    /// no longer than it: neither for an answer nor for a failure is the server asked twice.
    pub(super) async fn identity(&self, client: &Client, patience: &Retry) -> Result<Identity, ModelError> {
        retry(patience, tokio::time::sleep, |_| self.ask(client)).await
    }

    async fn ask(&self, client: &Client) -> Result<Identity, ModelError> {
        let late = || ModelError::Timeout { url: client.url().to_owned(), budget: PATIENCE };
        let mut said = self.said.lock().await;
        match said.as_ref() {
            Some(Said { at, identity: Some(identity) }) if at.elapsed() < BELIEVED => return Ok(identity.clone()),
            Some(Said { at, identity: None }) if at.elapsed() < SILENT => return Err(late()),
            _ => *said = None,
        }
        let asked = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, client.identify()).await.unwrap_or_else(|_| Err(late()));
        if answer.is_ok() || asked.elapsed() >= LONG {
            *said = Some(Said { at: Instant::now(), identity: answer.as_ref().ok().cloned() });
        }
        if let Ok(identity) = &answer {
            self.turns.set_places(identity.total_slots.max(1) as usize);
        }
        answer
    }

    /// Forgets what the server said: it failed, and may come back as another.
    pub(super) async fn doubt(&self) {
        *self.said.lock().await = None;
    }
}
