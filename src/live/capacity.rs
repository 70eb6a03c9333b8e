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
    identity: tokio::sync::Mutex<Option<(Instant, Identity)>>,
}

impl Default for Slots {
    fn default() -> Self {
        // One until the server has said how many it has.
        Self { turns: Turns::new(1), identity: tokio::sync::Mutex::default() }
    }
}

impl Slots {
    /// What the server is; asked for at most every half minute, by one asker at a time.
    pub(super) async fn identity(&self, client: &Client, patience: &Retry) -> Result<Identity, ModelError> {
        let mut known = self.identity.lock().await;
        if let Some((at, identity)) = known.as_ref()
            && at.elapsed() < BELIEVED
        {
            return Ok(identity.clone());
        }
        *known = None;
        let identity = retry(patience, tokio::time::sleep, |_| client.identify()).await?;
        self.turns.set_places(identity.total_slots.max(1) as usize);
        *known = Some((Instant::now(), identity.clone()));
        Ok(identity)
    }

    /// Forgets what the server said: it failed, and may come back as another.
    pub(super) async fn doubt(&self) {
        *self.identity.lock().await = None;
    }
}
