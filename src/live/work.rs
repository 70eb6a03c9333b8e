//! The work on one question: guard and Loki, the digest, then the verdict of an unchanged shape or the model's answer.
//!
//! Each stage is a function of its own and tells what it does before it does it. No stage keeps anything: what came of
//! it all is handed back as [`Done`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::capacity::{Capacity, Slots};
use super::failure::Failure;
use super::kept::Kept;
use super::progress::Stage;
use super::question::{Key, Origin, Question};
use super::record::Done;
use super::source::{Answerer, ModelServer, Source};
use super::spans;
use crate::analyze::{self, Analysis, Ask, Prepared, Respondent};
use crate::blocking::aside;
use crate::digest::{Budget, Shape};
use crate::experiment::{Choice, Kind};
use crate::guard::Ruling;
use crate::llama::{self, Identity, Patient, Retry};
use crate::loki::{self, Direction, LogQuery, LokiError};
use crate::model::ModelError;
use crate::stream::{TimeRange, Window};
use crate::telemetry::meters;

/// One question in work.
pub(super) struct Job<'a> {
    pub(super) source: &'a Source,
    pub(super) capacity: &'a Capacity,
    pub(super) key: &'a Key,
    pub(super) question: &'a Question,
    pub(super) origin: &'a Origin,
    /// Loki, in the name of the data source or of a user.
    pub(super) loki: &'a loki::Client,
    /// The last verdict, which stands if the logs have kept their shape.
    pub(super) previous: Option<&'a Kept>,
    /// Told of every stage.
    pub(super) tell: &'a (dyn Fn(Stage) + Send + Sync),
}

/// What was read of Loki, but for the window itself.
pub(super) struct Reading {
    pub(super) range: TimeRange,
    pub(super) complete: bool,
    pub(super) notices: Vec<String>,
    pub(super) took: Duration,
}

/// What is asked, and whom.
pub(super) struct Chosen<'a> {
    pub(super) prepared: Prepared<'a>,
    pub(super) model: String,
    pub(super) server: Option<Known<'a>>,
}

/// A model server, and what it said of itself; `None` while it does not answer.
pub(super) struct Known<'a> {
    pub(super) server: &'a ModelServer,
    pub(super) identity: Option<Identity>,
    slots: Arc<Slots>,
}

/// What came back.
pub(super) struct Answer<'a> {
    pub(super) analysis: Analysis<'a>,
    pub(super) model: String,
    pub(super) server: Option<Known<'a>>,
    pub(super) attempts: u32,
    /// Waited for a slot.
    pub(super) waited: Duration,
    /// Digesting and asking.
    pub(super) took: Duration,
}

impl<'a> Job<'a> {
    /// Does the work, after a seat was waited for.
    pub(super) async fn run(&self, queued: Duration) -> Result<Done, Failure> {
        let span = spans::answer(self.origin.purpose);
        let work = async {
            let (window, reading) = self.read().await?;
            self.conclude(window, reading, queued).instrument(analyze::span()).await
        };
        let done = work.instrument(span.clone()).await;
        spans::answered(&span, self.origin.purpose, &done);
        done.inspect(|done| meters().observed(&done.record))
    }

    /// From the window to the verdict.
    async fn conclude(&self, window: Window, reading: Reading, queued: Duration) -> Result<Done, Failure> {
        let begun = Instant::now();
        let chosen = aside(|| self.prepare(window))?;
        let (lines, templates) = (chosen.prepared.digest.lines, chosen.prepared.digest.templates.len());
        (self.tell)(Stage::Digested { lines, templates });
        let shape = chosen.prepared.digest.shape(self.hash_key());
        let prepared_in = begun.elapsed();
        let chosen = self.recognise(chosen).await?;
        if let Some(kept) = self.unchanged(&shape, &chosen) {
            return Ok(self.reused(kept, &shape, &reading, queued));
        }
        let mut answer = self.ask(chosen).await?;
        meters().answered(&answer.analysis, &answer.model);
        answer.took += prepared_in;
        Ok(self.answered(answer, shape, reading, queued))
    }

    /// The entries of the window, once the guard lets the query pass.
    async fn read(&self) -> Result<(Window, Reading), Failure> {
        (self.tell)(Stage::Reading);
        let (begun, limits) = (Instant::now(), &self.source.limits);
        let (expr, range) = (self.question.expr.as_str(), self.question.span.range(self.source.clock.now()));
        let mut notices = Vec::new();
        match self.loki.guard(&self.source.guard, expr, range).await? {
            Ruling::Pass => {}
            Ruling::Warn(warning) => notices.push(warning),
            Ruling::Refuse(reason) => return Err(Failure::Guard(reason)),
        }
        let (direction, limit) = (Direction::Backward, limits.max_lines);
        let query = LogQuery { query: expr, range, limit, direction, metadata: false };
        let late = |_| LokiError::Timeout { query: expr.to_owned(), budget: Some(limits.timeout) };
        let logs = tokio::time::timeout(limits.timeout, self.loki.logs(&query)).await.map_err(late)??;
        if logs.window.entries.is_empty() {
            return Err(Failure::NoLines { expr: expr.to_owned(), length: range.length() });
        }
        notices.extend(logs.warnings);
        Ok((logs.window, Reading { range, complete: logs.complete, notices, took: begun.elapsed() }))
    }

    /// Redacts, digests, routes and renders, at the rate of the model that will read it.
    fn prepare(&self, window: Window) -> Result<Chosen<'a>, Failure> {
        let (pipeline, choice) = (&self.source.installation.pipeline, self.choice());
        let first = self.question.model.as_ref().unwrap_or(&self.source.default_model);
        let rate = self.source.answerer(first)?.bytes_per_token();
        let prepared = pipeline.prepare(window, &choice, self.budget(rate)).map_err(Failure::Setup)?;
        let routed = prepared.routed.as_ref().and_then(|routed| routed.model.as_ref());
        let model = self.question.model.as_ref().or(routed).unwrap_or(first).clone();
        let wanted = self.source.answerer(&model)?.bytes_per_token();
        let prepared = match wanted == rate {
            true => prepared,
            false => pipeline.prepare_again(prepared, &choice, self.budget(wanted)).map_err(Failure::Setup)?,
        };
        Ok(Chosen { prepared, model, server: None })
    }

    /// Finds out who will answer. A server that does not say is found out later, with patience.
    async fn recognise(&self, chosen: Chosen<'a>) -> Result<Chosen<'a>, Failure> {
        let Answerer::Server(server) = self.source.answerer(&chosen.model)? else { return Ok(chosen) };
        let slots = self.capacity.slots(&server.client);
        let identity = slots.identity(&server.client, &patience(Duration::ZERO)).await.ok();
        if let Some(identity) = &identity {
            expected(server, identity)?;
        }
        Ok(Chosen { server: Some(Known { server, identity, slots }), ..chosen })
    }

    /// The last verdict, if it stands: the logs have its shape, the same model would be asked, and it is not too old.
    fn unchanged(&self, shape: &Shape, chosen: &Chosen<'_>) -> Option<&'a Kept> {
        let kept = self.previous?;
        let identity = chosen.server.as_ref().and_then(|known| known.identity.as_ref());
        let same_model = kept.record.model == chosen.model
            && identity.is_none_or(|identity| Some(&identity.fingerprint) == kept.record.fingerprint.as_ref());
        let is_young = kept.asked_ago(self.source.clock.now()) <= self.source.limits.max_age;
        (same_model && is_young && shape.is_like(&kept.shape)).then_some(kept)
    }

    /// Asks, in its turn where a server answers.
    async fn ask(&self, chosen: Chosen<'a>) -> Result<Answer<'a>, Failure> {
        let Chosen { prepared, model, server } = chosen;
        let Some(mut known) = server else {
            let begun = Instant::now();
            let analysis = self.analyze(prepared, &Respondent::Rules::<Patient<'_>>, None, None).await?;
            let (attempts, waited, took) = (0, Duration::ZERO, begun.elapsed());
            return Ok(Answer { analysis, model, server: None, attempts, waited, took });
        };
        let begun = Instant::now();
        let _turn = known.slots.turns.take(self.source.org, |ahead| (self.tell)(Stage::Queued { ahead })).await;
        let waited = begun.elapsed();
        let (analysis, attempts) = self.ask_server(prepared, &model, &mut known).await?;
        let took = begun.elapsed() - waited;
        Ok(Answer { analysis, model, server: Some(known), attempts, waited, took })
    }

    async fn ask_server(
        &self,
        prepared: Prepared<'a>,
        model: &str,
        known: &mut Known<'a>,
    ) -> Result<(Analysis<'a>, u32), Failure> {
        let client = &known.server.client.clone().named(model, None);
        let tokens = Tokens {
            tell: self.tell,
            model,
            done: AtomicU32::new(0),
            total: AtomicU32::new(0),
            made: AtomicU32::new(0),
        };
        tokens.show();
        if known.identity.is_none() {
            match known.slots.identity(client, &patience(self.source.limits.patience)).await {
                Ok(identity) => expected(known.server, &identity).map(|()| known.identity = Some(identity))?,
                Err(error) => return Ok((prepared.unanswered(error), 0)),
            }
        }
        let watcher = |progress: llama::Progress<'_>| tokens.take(progress);
        let patient = Patient::new(client, patience(self.source.limits.patience)).watched(&watcher);
        let context = known.identity.as_ref().map(|identity| identity.n_ctx);
        let rate = known.server.spec.bytes_per_token;
        let analysis = self.analyze(prepared, &Respondent::Model(&patient), Some(rate), context).await?;
        if matches!(analysis.error, Some(ModelError::Infra { .. })) {
            known.slots.doubt().await;
        }
        Ok((analysis, patient.attempts()))
    }

    async fn analyze(
        &self,
        prepared: Prepared<'a>,
        respondent: &Respondent<'_, Patient<'_>>,
        rate: Option<f64>,
        context_tokens: Option<u32>,
    ) -> Result<Analysis<'a>, Failure> {
        let ask = Ask {
            budget: self.budget(rate.unwrap_or(crate::digest::DEFAULT_BYTES_PER_TOKEN)),
            sampling: self.source.limits.sampling,
            cache_prompt: true,
            timeout: self.source.limits.timeout,
            context_tokens,
        };
        let pipeline = &self.source.installation.pipeline;
        pipeline.ask(prepared, &self.choice(), respondent, &ask).await.map_err(Failure::Setup)
    }

    pub(super) fn hash_key(&self) -> Option<&'a [u8]> {
        self.source.installation.pipeline.hash_key.as_deref()
    }

    fn choice(&self) -> Choice {
        self.question.prompt.clone().map_or(Choice::Route, Choice::Prompt)
    }

    fn budget(&self, bytes_per_token: f64) -> Budget {
        Budget { tokens: self.source.limits.digest_tokens, bytes_per_token }
    }
}

/// An answer in the making, in tokens.
struct Tokens<'a> {
    tell: &'a (dyn Fn(Stage) + Send + Sync),
    model: &'a str,
    done: AtomicU32,
    total: AtomicU32,
    made: AtomicU32,
}

impl Tokens<'_> {
    fn take(&self, progress: llama::Progress<'_>) {
        match progress {
            llama::Progress::Prompt { processed, total, .. } => {
                // Also the beginning of another attempt.
                self.made.store(0, Ordering::Relaxed);
                self.done.store(processed, Ordering::Relaxed);
                self.total.store(total, Ordering::Relaxed);
            }
            // llama-server sends an event per token.
            llama::Progress::Text(_) => {
                self.made.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.show();
    }

    fn show(&self) {
        let [prompt_done, prompt_total, tokens] =
            [&self.done, &self.total, &self.made].map(|n| n.load(Ordering::Relaxed));
        (self.tell)(Stage::Asking { model: self.model.to_owned(), prompt_done, prompt_total, tokens });
    }
}

fn patience(budget: Duration) -> Retry {
    Retry { budget, ..Retry::default() }
}

/// Refuses a server that serves another model than the one that is pinned.
fn expected(server: &ModelServer, identity: &Identity) -> Result<(), Failure> {
    let Kind::External { fingerprint: Some(pinned), .. } = &server.spec.kind else { return Ok(()) };
    if *pinned == identity.fingerprint {
        return Ok(());
    }
    Err(Failure::Setup(format!(
        "model `{}`: the server at {} shows {}, models.toml expects {pinned}: serve the expected model, or pin the new one \
         under a new name",
        server.spec.name,
        server.client.url(),
        identity.fingerprint
    )))
}
