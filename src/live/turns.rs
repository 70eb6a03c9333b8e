//! Turns: a number of places that organisations take one after the other.
//!
//! Who waits longest within an organisation goes first; between organisations places go round, so that one that asks a
//! hundred questions delays another's by one place and not by a hundred.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

/// The places and who waits for them. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Changes whenever somebody may have moved up.
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    places: usize,
    taken: usize,
    waiting: BTreeMap<i64, VecDeque<Waiter>>,
    /// The organisation that had the last turn.
    last: Option<i64>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    call: oneshot::Sender<()>,
}

/// A place; dropping it gives it to the next.
#[derive(Debug)]
pub(super) struct Turn(Turns);

impl Turns {
    pub(super) fn new(places: usize) -> Self {
        let state = Mutex::new(State { places, ..State::default() });
        Self(Arc::new(Inner { state, moved: watch::Sender::new(()) }))
    }

    /// How many places there are from now on.
    pub(super) fn set_places(&self, places: usize) {
        let mut state = self.lock();
        if state.places != places {
            state.places = places;
            state.call_next();
            drop(state);
            self.0.moved.send_replace(());
        }
    }

    /// A place, if one is free and nobody waits.
    pub(super) fn take_now(&self, org: i64) -> Option<Turn> {
        let mut state = self.lock();
        let free = state.taken < state.places && state.waiting.is_empty();
        free.then(|| {
            state.taken += 1;
            state.last = Some(org);
            Turn(self.clone())
        })
    }

    /// Waits for a place; `ahead` is told how many have their turn before. Dropping the future gives up the wait.
    pub(super) async fn take(&self, org: i64, ahead: impl Fn(usize)) -> Turn {
        if let Some(turn) = self.take_now(org) {
            return turn;
        }
        let mut moved = self.0.moved.subscribe();
        let mut wait = Wait::begin(self, org);
        let mut told = None;
        loop {
            let now = self.lock().ahead(org, wait.ticket);
            if now.is_some() && now != told {
                told = now;
                ahead(now.unwrap_or_default());
            }
            tokio::select! {
                biased;
                // The sender is only dropped after it has sent.
                _ = &mut wait.called => return wait.into_turn(),
                _ = moved.changed() => {}
            }
        }
    }

    /// How many wait.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.lock().waiting.values().map(VecDeque::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        {
            let mut state = self.lock();
            state.taken -= 1;
            state.call_next();
        }
        self.0.moved.send_replace(());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl State {
    /// Calls those whose turn it is, as long as there are places.
    fn call_next(&mut self) {
        while self.taken < self.places {
            let Some(org) = self.next_org() else { return };
            let Some(waiter) = self.waiting.get_mut(&org).and_then(VecDeque::pop_front) else { return };
            self.forget_if_empty(org);
            self.last = Some(org);
            // Nobody listens if the wait was given up this very moment.
            self.taken += usize::from(waiter.call.send(()).is_ok());
        }
    }

    /// The organisation after the last one, in the order of their numbers.
    fn next_org(&self) -> Option<i64> {
        let after = self.last.and_then(|last| self.waiting.range((Excluded(last), Unbounded)).next());
        after.or_else(|| self.waiting.first_key_value()).map(|(org, _)| *org)
    }

    fn forget_if_empty(&mut self, org: i64) {
        if self.waiting.get(&org).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(&org);
        }
    }

    /// How many are called before this one; `None` if it was called.
    fn ahead(&self, org: i64, ticket: u64) -> Option<usize> {
        let own = self.waiting.get(&org)?.iter().position(|waiter| waiter.ticket == ticket)?;
        let last = self.last.unwrap_or(i64::MAX);
        // In each round before its own every other organisation has a turn; in its own those that come before it.
        let before = |other: i64| (other <= last, other) < (org <= last, org);
        let others = self.waiting.iter().filter(|(other, _)| **other != org);
        Some(own + others.map(|(other, queue)| queue.len().min(own + usize::from(before(*other)))).sum::<usize>())
    }
}

/// A wait that leaves nothing behind when it is given up.
struct Wait<'a> {
    turns: &'a Turns,
    org: i64,
    ticket: u64,
    called: oneshot::Receiver<()>,
    over: bool,
}

impl<'a> Wait<'a> {
    fn begin(turns: &'a Turns, org: i64) -> Self {
        let (call, called) = oneshot::channel();
        let mut state = turns.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.entry(org).or_default().push_back(Waiter { ticket, call });
        // A place may have become free since it was looked for.
        state.call_next();
        Self { turns, org, ticket, called, over: false }
    }

    fn into_turn(mut self) -> Turn {
        self.over = true;
        Turn(self.turns.clone())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let called = {
            let mut state = self.turns.lock();
            if let Some(queue) = state.waiting.get_mut(&self.org) {
                queue.retain(|waiter| waiter.ticket != self.ticket);
            }
            state.forget_if_empty(self.org);
            self.called.close();
            self.called.try_recv().is_ok()
        };
        if called {
            self.turns.give_back();
        } else {
            self.turns.0.moved.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    /// Everyone's turn lasts until the next is awaited.
    #[tokio::test]
    async fn organisations_go_round_and_within_one_the_first_goes_first() {
        let turns = Turns::new(1);
        let held = turns.take_now(9).unwrap();
        let order = Mutex::new(Vec::new());
        let asked = [(1, 'a'), (1, 'b'), (1, 'c'), (2, 'd'), (3, 'e'), (2, 'f')];
        let wait = |(org, name)| {
            let (turns, order) = (&turns, &order);
            async move {
                let _turn = turns.take(org, |_| ()).await;
                order.lock().unwrap().push(name);
                tokio::task::yield_now().await;
            }
        };
        let all = join_all(asked.map(wait));
        let mut all = std::pin::pin!(all);
        assert!(all.as_mut().now_or_never().is_none());
        drop(held);
        all.await;
        assert_eq!(*order.lock().unwrap(), ['a', 'd', 'e', 'b', 'f', 'c']);
        assert!(turns.take_now(1).is_some());
    }

    #[tokio::test]
    async fn the_number_ahead_is_the_number_that_go_first() {
        for last in [1, 2, 3, 9] {
            let turns = Turns::new(1);
            let held = turns.take_now(last).unwrap();
            let asked = [1, 1, 1, 2, 3, 2];
            let (told, served) = (Mutex::new([usize::MAX; 6]), AtomicUsize::new(0));
            let all_wait = AtomicBool::new(true);
            let all = join_all(asked.iter().enumerate().map(|(index, org)| {
                let (turns, told, served, all_wait) = (&turns, &told, &served, &all_wait);
                async move {
                    let note = |ahead| {
                        if all_wait.load(Ordering::SeqCst) {
                            told.lock().unwrap()[index] = ahead;
                        }
                    };
                    let _turn = turns.take(*org, note).await;
                    assert_eq!(told.lock().unwrap()[index], served.fetch_add(1, Ordering::SeqCst), "{index} of {last}");
                }
            }));
            let mut all = std::pin::pin!(all);
            assert!(all.as_mut().now_or_never().is_none());
            turns.0.moved.send_replace(());
            assert!(all.as_mut().now_or_never().is_none());
            all_wait.store(false, Ordering::SeqCst);
            drop(held);
            all.await;
        }
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_costs_no_place() {
        let turns = Turns::new(1);
        let held = turns.take_now(1).unwrap();
        let mut first = Box::pin(turns.take(1, |_| ()));
        let mut second = Box::pin(turns.take(2, |_| ()));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(second);
        assert_eq!(turns.waiting(), 1);
        // Called, and gone before it heard.
        drop(held);
        drop(first);
        assert!(turns.take_now(3).is_some());
    }

    #[tokio::test]
    async fn places_can_be_added_and_taken_away() {
        let turns = Turns::new(0);
        let mut first = Box::pin(turns.take(1, |_| ()));
        assert!(first.as_mut().now_or_never().is_none());
        turns.set_places(2);
        let held = first.await;
        turns.set_places(1);
        assert!(turns.take_now(1).is_none());
        drop(held);
        assert!(turns.take_now(1).is_some());
    }
}
