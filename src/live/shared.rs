//! The work behind a desk: when a question is asked again, who waits, and what is kept of the answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use opentelemetry::context::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::cabinet::Cabinet;
use super::capacity::Capacity;
use super::failure::{Failed, Failure};
use super::flight::{Flight, Flights};
use super::kept::Kept;
use super::look::{Counts, Direct, Freshness, Look, OnBehalf, Refresh};
use super::progress::Stage;
use super::question::{Key, Origin, Question};
use super::record::{Done, without_findings};
use super::rota::Rota;
use super::source::{Source, Standing};
use super::turns::Turn;
use super::work::Job;
use crate::ledger::{Purpose, Record};
use crate::telemetry::meters;

/// What a desk, its flights and its rota work with.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    capacity: Capacity,
    pub(super) cabinet: Arc<Cabinet>,
    pub(super) flights: Flights,
    waiting: Arc<AtomicUsize>,
    tally: Tally,
    end: CancellationToken,
}

#[derive(Debug, Default)]
struct Tally {
    answered: AtomicU64,
    reused: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    refused: AtomicU64,
}

impl Shared {
    pub(super) fn new(source: Source, capacity: Capacity, end: CancellationToken) -> Self {
        let cabinet = Arc::new(Cabinet::new(source.cache.clone()));
        let (flights, waiting, tally) = (Flights::default(), Arc::default(), Tally::default());
        Self { source, capacity, cabinet, flights, waiting, tally, end }
    }

    pub(super) fn counts(&self) -> Counts {
        let Shared { tally, flights, waiting, .. } = self;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            answered: read(&tally.answered),
            reused: read(&tally.reused),
            failed: read(&tally.failed),
            cancelled: read(&tally.cancelled),
            refused: read(&tally.refused),
            flying: flights.lock().len(),
            waiting: waiting.load(Ordering::Relaxed),
        }
    }

    /// See [`super::Desk::look`]; a verdict younger than `fresh_for` is not asked for again.
    pub(super) async fn look(
        self: &Arc<Self>,
        question: &Question,
        origin: &Origin,
        fresh_for: Duration,
    ) -> Result<Look, Failure> {
        let key = self.source.key(question, None)?;
        // Brings it into memory, where it is compared under the lock of the flights.
        self.cabinet.verdict(&key).await;
        let refresh = self.refresh(question, &key, origin, fresh_for);
        let (last, failed) = self.cabinet.remembered(&key);
        let (now, limits) = (self.source.clock.now(), &self.source.limits);
        let freshness = last.as_ref().map(|kept| match kept.age(now) {
            _ if !question.span.is_latest() => Freshness::Fresh,
            age if age < limits.fresh_for => Freshness::Fresh,
            age if age <= limits.max_age => Freshness::Stale,
            _ => Freshness::TooOld,
        });
        let age = last.as_ref().map(|kept| kept.age(now));
        meters().looked_up(match freshness {
            Some(Freshness::Fresh) => "fresh",
            Some(Freshness::Stale) => "stale",
            Some(Freshness::TooOld) | None => "miss",
        });
        Ok(Look { key, last, freshness, age, refresh, failure: failed })
    }

    /// Asks again if the last verdict is not fresh and nothing speaks against it.
    fn refresh(self: &Arc<Self>, question: &Question, key: &Key, origin: &Origin, fresh_for: Duration) -> Refresh {
        let (now, limits) = (self.source.clock.now(), &self.source.limits);
        let mut open = self.flights.lock();
        if let Some(flight) = open.get(key).filter(|flight| flight.want(origin.purpose)) {
            return Refresh::UnderWay(flight.now());
        }
        // Under the lock: a flight that has just landed has left its verdict.
        let (last, failed) = self.cabinet.remembered(key);
        if last.as_ref().is_some_and(|kept| !question.span.is_latest() || kept.age(now) < fresh_for) {
            return Refresh::NotNeeded;
        }
        if let Some(until) = failed.and_then(|failed| failed.rests_until(now, limits.fresh_for)) {
            return Refresh::HeldOff { until };
        }
        let seat = match self.seat() {
            Ok(seat) => seat,
            Err(full) => return Refresh::Refused(full),
        };
        let ahead = self.waiting.load(Ordering::Relaxed).saturating_sub(1);
        let flight = Flight::new(key.clone(), origin.purpose, ahead, &self.end);
        open.insert(key.clone(), Arc::clone(&flight));
        let progress = flight.now();
        // In the trace of who asked first: what they see of it is what they started.
        let work = Arc::clone(self).fly(flight, question.clone(), origin.clone(), seat, last);
        tokio::spawn(work.with_current_context());
        Refresh::UnderWay(progress)
    }

    /// A seat, or a place in the queue for one.
    fn seat(&self) -> Result<Seat, Failure> {
        if let Some(turn) = self.capacity.seats.take_now(self.source.org) {
            return Ok(Seat { turn: Some(turn), _waiting: None });
        }
        let (waiting, limit) = (self.waiting.load(Ordering::Relaxed), self.source.limits.queue);
        if waiting >= limit {
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Failure::Full { waiting, limit });
        }
        Ok(Seat { turn: None, _waiting: Some(Waiting::begin(&self.waiting)) })
    }

    /// A flight, from its place in the queue to what is kept of it.
    async fn fly(
        self: Arc<Self>,
        flight: Arc<Flight>,
        question: Question,
        origin: Origin,
        mut seat: Seat,
        previous: Option<Arc<Kept>>,
    ) {
        let tell = |stage| flight.tell(stage);
        let job = Job {
            source: &self.source,
            capacity: &self.capacity,
            key: &flight.key,
            question: &question,
            origin: &origin,
            loki: &self.source.loki,
            previous: previous.as_deref(),
            tell: &tell,
        };
        let work = AssertUnwindSafe(self.work(&job, &mut seat)).catch_unwind();
        let result = tokio::select! {
            biased;
            () = flight.end.cancelled() => Err(Failure::Cancelled),
            done = work => done.unwrap_or(Err(Failure::Defect)),
        };
        self.count(&result);
        let (stage, record) = self.land(&flight.key, result).await;
        self.flights.remove(&flight);
        // Held until here: what is being written counts as being in work.
        drop(seat);
        flight.tell(stage);
        if let Some(record) = record {
            self.enter(&record).await;
        }
    }

    /// The work on a question, once it has a seat.
    async fn work(&self, job: &Job<'_>, seat: &mut Seat) -> Result<Done, Failure> {
        let begun = Instant::now();
        if seat.turn.is_none() {
            let tell = |ahead| (job.tell)(Stage::Queued { ahead });
            let turn = self.capacity.seats.take(self.source.org, tell).await;
            *seat = Seat { turn: Some(turn), _waiting: None };
        }
        job.run(begun.elapsed()).await
    }

    /// Keeps what came of a flight; how it ends for those who watch, and the line for the ledger.
    async fn land(&self, key: &Key, result: Result<Done, Failure>) -> (Stage, Option<Record>) {
        let (failure, record) = match result {
            Ok(Done { record, kept: Some(kept), lines }) => {
                let kept = Arc::new(kept);
                if !lines.is_empty() {
                    self.cabinet.keep_lines(key, Arc::new(lines));
                }
                self.cabinet.keep(&kept).await;
                return (Stage::Done(kept), Some(record));
            }
            Ok(Done { record, .. }) => (no_verdict(&record), Some(record)),
            Err(failure) => (failure, None),
        };
        let failed = Arc::new(Failed { at: self.source.clock.now(), failure });
        if failed.failure != Failure::Cancelled {
            self.cabinet.keep_failure(key, Arc::clone(&failed));
        }
        (Stage::Failed(failed), record)
    }

    fn count(&self, result: &Result<Done, Failure>) {
        let count = match result {
            Ok(Done { kept: Some(kept), .. }) if kept.reused > 0 => &self.tally.reused,
            Ok(Done { kept: Some(_), .. }) => &self.tally.answered,
            Err(Failure::Cancelled) => &self.tally.cancelled,
            Ok(_) | Err(_) => &self.tally.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Enters a record into the ledger. One that cannot be written costs its line and no verdict.
    async fn enter(&self, record: &Record) {
        let Some(ledger) = &self.source.ledger else { return };
        if let Err(error) = ledger.append(record).await {
            tracing::warn!(%error, "the ledger could not be written");
        }
    }

    /// See [`super::Desk::ask_directly`].
    pub(super) async fn direct(
        &self,
        question: &Question,
        origin: &Origin,
        on_behalf: &OnBehalf<'_>,
    ) -> Result<Direct, Failure> {
        let key = self.source.key(question, Some(on_behalf.identity))?;
        let mut seat = self.seat()?;
        let job = Job {
            source: &self.source,
            capacity: &self.capacity,
            key: &key,
            question,
            origin: &Origin { purpose: Purpose::Direct, ..origin.clone() },
            loki: &on_behalf.loki,
            previous: None,
            tell: &|_| (),
        };
        let result = self.work(&job, &mut seat).await;
        self.count(&result);
        let done = result?;
        self.enter(&without_findings(&done.record)).await;
        match done.kept {
            Some(kept) => Ok(Direct { kept, lines: done.lines }),
            None => Err(no_verdict(&done.record)),
        }
    }

    /// Asks the standing questions in their turns until the desk is closed.
    pub(super) async fn attend(self: Arc<Self>, mut rota: Rota) {
        let begun = Instant::now();
        while let Some(next) = rota.next() {
            tokio::select! {
                () = self.end.cancelled() => break,
                () = tokio::time::sleep(next.saturating_sub(begun.elapsed())) => {}
            }
            for number in rota.due(begun.elapsed()) {
                self.attend_to(&self.source.standing[number]).await;
            }
        }
        self.end.cancelled().await;
        if let Some(ledger) = &self.source.ledger
            && let Err(error) = ledger.flush().await
        {
            tracing::warn!(%error, "the ledger could not be written");
        }
    }

    async fn attend_to(self: &Arc<Self>, standing: &Standing) {
        let origin = Origin::new(Purpose::Standing);
        // Its schedule says when it is asked, not how fresh a panel wants it.
        match self.look(&standing.question, &origin, Duration::ZERO).await {
            Ok(Look { refresh: Refresh::Refused(failure), .. }) | Err(failure) => {
                tracing::warn!(question = standing.name, %failure, "a standing question could not be asked");
            }
            Ok(_) => {}
        }
    }
}

/// A seat, or the right to wait for one.
struct Seat {
    turn: Option<Turn>,
    _waiting: Option<Waiting>,
}

/// Counts as waiting as long as it lives.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        meters().queued(1);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        meters().queued(-1);
    }
}

fn no_verdict(record: &Record) -> Failure {
    let reason = record.reason.clone().unwrap_or_default();
    Failure::Model { model: record.model.clone(), class: record.class, reason }
}
