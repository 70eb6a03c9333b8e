//! The desk of one data source: says what was last found, and finds out more in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::capacity::Capacity;
use super::evidence::read_again;
use super::failure::Failure;
use super::flight::Viewer;
use super::kept::{Kept, Line};
use super::look::{Counts, Direct, Look, OnBehalf};
use super::question::{Key, Origin, Question};
use super::rota::Rota;
use super::shared::Shared;
use super::source::{Source, Standing};

/// Answers the questions of one data source. Dropping it ends its flights and its standing questions.
#[derive(Debug)]
pub struct Desk {
    shared: Arc<Shared>,
    /// One at a time reads cited lines again.
    reading: tokio::sync::Mutex<()>,
    _end: DropGuard,
}

/// How long the lines behind a verdict are waited for, where Loki has to be read for them again.
const PATIENCE: Duration = Duration::from_secs(5);

impl Desk {
    /// Opens a desk and starts its standing questions. Needs a tokio runtime.
    ///
    /// # Errors
    /// A default model or a standing question that cannot be asked.
    pub fn open(source: Source, capacity: &Capacity) -> Result<Self, Failure> {
        source.answerer(&source.default_model)?;
        let spread: Vec<(Duration, f64)> = source
            .standing
            .iter()
            .map(|standing| Ok((standing.every, source.key(&standing.question, None)?.fraction())))
            .collect::<Result<_, Failure>>()?;
        let end = CancellationToken::new();
        let shared = Arc::new(Shared::new(source, capacity.clone(), end.clone()));
        let turns = spread.into_iter().filter(|_| shared.source.scheduled);
        tokio::spawn(Arc::clone(&shared).attend(Rota::new(turns)));
        Ok(Self { shared, reading: tokio::sync::Mutex::default(), _end: end.drop_guard() })
    }

    /// What can be said about a question now; where that is not fresh, it is asked in the background. Waits for neither
    /// Loki nor a model.
    ///
    /// # Errors
    /// A question that cannot be asked: an unknown prompt or model.
    pub async fn look(&self, question: &Question, origin: &Origin) -> Result<Look, Failure> {
        self.shared.look(question, origin, self.shared.source.limits.fresh_for).await
    }

    /// Asks now, in the name of a user, within their time. Nothing is shared with anyone, kept or streamed; the ledger
    /// says how it went and not what was found.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ask_directly(
        &self,
        question: &Question,
        origin: &Origin,
        on_behalf: &OnBehalf<'_>,
    ) -> Result<Direct, Failure> {
        let late = |_| Failure::Late(on_behalf.deadline);
        tokio::time::timeout(on_behalf.deadline, self.shared.direct(question, origin, on_behalf)).await.map_err(late)?
    }

    /// Whether a question is on its way, or has a verdict; unlike [`Desk::view`] without watching it.
    pub async fn knows(&self, key: &Key) -> bool {
        self.shared.flights.lock().contains_key(key) || self.shared.cabinet.verdict(key).await.is_some()
    }

    /// Watches a question that is on its way, or sees the verdict that it came to; `None` if nothing is known of it.
    pub async fn view(&self, key: &Key) -> Option<Viewer> {
        if let Some(viewer) = self.shared.flights.view(key) {
            return Some(viewer);
        }
        self.shared.cabinet.verdict(key).await.map(Viewer::of_kept)
    }

    /// The lines that a verdict cites, redacted: from memory, else read again from Loki, the lines of one verdict after
    /// those of another. Where that fails it is not tried again for a while.
    ///
    /// # Errors
    /// Why they cannot be shown, in words.
    pub async fn evidence(&self, question: &Question, kept: &Kept) -> Result<Arc<Vec<Line>>, String> {
        let (cabinet, source) = (&self.shared.cabinet, &self.shared.source);
        if let Some(known) = cabinet.lines(kept, source.clock.now()) {
            return known;
        }
        let read = async {
            let _turn = self.reading.lock().await;
            // Whoever had the turn before may have been after the same lines.
            match cabinet.lines(kept, source.clock.now()) {
                Some(known) => known,
                None => read_again(source, question, kept).await,
            }
        };
        let late = |_| Err("Loki takes long to give them again".to_owned());
        let lines = tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(late);
        match &lines {
            Ok(lines) => cabinet.keep_lines(&kept.key, Arc::clone(lines)),
            Err(reason) => cabinet.hide_lines(kept, reason, source.clock.now()),
        }
        lines
    }

    /// The key of a question, under an identity where it is asked directly.
    ///
    /// # Errors
    /// An unknown prompt or model.
    pub fn key(&self, question: &Question, identity: Option<&str>) -> Result<Key, Failure> {
        self.shared.source.key(question, identity)
    }

    /// The standing question of this name.
    ///
    /// # Errors
    /// An unknown name, with the closest known one.
    pub fn standing(&self, name: &str) -> Result<&Standing, Failure> {
        self.shared.source.standing(name)
    }

    /// What the desk works with.
    pub fn source(&self) -> &Source {
        &self.shared.source
    }

    /// What it did, and does.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }
}
