//! Flights: questions on their way, at most one for each question, however many wait for it.
//!
//! A flight that only panels asked for ends when its last viewer leaves; one that an alert or a standing question asked
//! for flies to its end. All end with the desk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use super::progress::{Progress, Stage};
use super::question::Key;
use crate::ledger::Purpose;

/// The flights of a desk.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Arc<Flight>>>);

/// One question on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) key: Key,
    begun: Instant,
    progress: watch::Sender<Progress>,
    /// Comes true when nobody waits any more.
    pub(super) end: CancellationToken,
    wanted: Mutex<Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    /// Whether it flies on without viewers.
    held: bool,
    viewers: usize,
}

impl Flights {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A viewer of the question's flight, if there is one.
    pub(super) fn view(&self, key: &Key) -> Option<Viewer> {
        let flight = self.lock().get(key).cloned()?;
        Flight::view(&flight)
    }

    /// A flight is over. A later one of the same question stays.
    pub(super) fn remove(&self, flight: &Arc<Flight>) {
        let mut open = self.lock();
        if open.get(&flight.key).is_some_and(|found| Arc::ptr_eq(found, flight)) {
            open.remove(&flight.key);
        }
    }
}

impl Flight {
    /// A flight that was just asked for; it ends with `desk` at the latest.
    pub(super) fn new(key: Key, purpose: Purpose, ahead: usize, desk: &CancellationToken) -> Arc<Self> {
        let stage = Stage::Queued { ahead };
        let first = Progress { key: key.clone(), stage, elapsed: std::time::Duration::ZERO };
        Arc::new(Self {
            key,
            begun: Instant::now(),
            progress: watch::Sender::new(first),
            end: desk.child_token(),
            wanted: Mutex::new(Wanted { held: purpose != Purpose::Panel, viewers: 0 }),
        })
    }

    /// Somebody else asks for it as well; false if it was given up already.
    pub(super) fn want(&self, purpose: Purpose) -> bool {
        let mut wanted = self.wanted();
        wanted.held |= purpose != Purpose::Panel;
        !self.end.is_cancelled()
    }

    /// Tells where it is.
    pub(super) fn tell(&self, stage: Stage) {
        let elapsed = self.begun.elapsed();
        self.progress.send_replace(Progress { key: self.key.clone(), stage, elapsed });
    }

    /// Where it is now.
    pub(super) fn now(&self) -> Progress {
        current(&self.progress.borrow(), self.begun)
    }

    fn view(flight: &Arc<Self>) -> Option<Viewer> {
        let mut wanted = flight.wanted();
        if flight.end.is_cancelled() {
            return None;
        }
        wanted.viewers += 1;
        let mut receiver = flight.progress.subscribe();
        receiver.mark_changed();
        Some(Viewer { receiver, begun: flight.begun, over: false, flight: Some(Arc::clone(flight)) })
    }

    fn leave(&self) {
        let mut wanted = self.wanted();
        wanted.viewers -= 1;
        if wanted.viewers == 0 && !wanted.held {
            self.end.cancel();
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who watches a question. Dropping it is leaving.
#[derive(Debug)]
pub struct Viewer {
    receiver: watch::Receiver<Progress>,
    begun: Instant,
    over: bool,
    /// `None` for a question that is answered already.
    flight: Option<Arc<Flight>>,
}

impl Viewer {
    /// Sees a verdict that is there already.
    pub(super) fn of_kept(kept: Arc<Kept>) -> Self {
        let key = kept.key.clone();
        let (_, mut receiver) =
            watch::channel(Progress { key, stage: Stage::Done(kept), elapsed: std::time::Duration::ZERO });
        receiver.mark_changed();
        Self { receiver, begun: Instant::now(), over: false, flight: None }
    }

    /// Where the question is now.
    pub fn now(&self) -> Progress {
        current(&self.receiver.borrow(), self.begun)
    }

    /// Where it is first, and then each time that something changed since; `None` after the last. While the model
    /// answers, something changes with every token: whoever shows it waits a little between two calls.
    pub async fn next(&mut self) -> Option<Progress> {
        if self.over {
            return None;
        }
        // The sender of a verdict that is there already is gone, its value is not.
        let changed = self.receiver.has_changed().unwrap_or(true) || self.receiver.changed().await.is_ok();
        if !changed {
            return None;
        }
        let progress = current(&self.receiver.borrow_and_update(), self.begun);
        self.over = progress.stage.is_last();
        Some(progress)
    }

    /// How the question ends.
    pub async fn last(mut self) -> Option<Progress> {
        let mut last = None;
        while let Some(progress) = self.next().await {
            last = Some(progress);
        }
        last
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if let Some(flight) = &self.flight {
            flight.leave();
        }
    }
}

/// A progress as of now: the clock runs on between two changes.
fn current(told: &Progress, begun: Instant) -> Progress {
    let elapsed = if told.stage.is_last() { told.elapsed } else { begun.elapsed() };
    Progress { elapsed, ..told.clone() }
}
