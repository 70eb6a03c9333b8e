//! A session: the arms of one experiment, run together and resumed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::MissedTickBehavior;
use tracing::{Instrument, Span};

use super::backend::{Backend, Backends, Launcher};
use super::environment::environment;
use super::error::{GIVE_UP_AFTER, HarnessError};
use super::lanes::Lanes;
use super::meter::{Cost, Meter};
use super::plan;
use super::publish::{Outcome, publish};
use super::questions::{Arm, Asker};
use super::sentry::Sentry;
use super::spans;
use super::state::RunState;
use crate::experiment::{Experiment, ModelSpec};
use crate::installation::{Installation, Shelf};
use crate::llama::{Retry, retry};
use crate::ontology::Ontology;
use crate::run::{Answer, Plan};
use crate::store::Store;
use crate::verdict::Class;

/// How often managed servers are looked after.
const WATCH: Duration = Duration::from_secs(1);
/// How long a server has to say who it is when the session is ended early.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// An answer that just arrived, for a progress display.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Index of the arm.
    pub arm: usize,
    /// How it ended.
    pub class: Class,
    /// Answers of this arm so far.
    pub done: usize,
    /// The answer.
    pub answer: &'a Answer,
}

/// Watches a session.
pub trait Observer {
    /// The arms are known; `done` answers of each of `total` are already in its journal.
    fn planned(&mut self, plans: &[Plan], done: &[usize], total: usize);
    /// An answer is on disk.
    fn arrived(&mut self, arrival: &Arrival<'_>);
}

/// A session in progress.
#[derive(Debug)]
pub struct Session<'i> {
    installation: &'i Installation,
    store: &'i Store,
    shelf: Arc<Shelf>,
    backends: Backends,
    runs: Vec<RunState>,
    patience: Duration,
}

impl<'i> Session<'i> {
    /// Starts the models and writes the plans of a new session.
    ///
    /// # Errors
    /// An experiment that the installation cannot run, a model that does not start, a store that cannot be written.
    pub async fn start(
        installation: &'i Installation,
        store: &'i Store,
        experiment: &Experiment,
        launcher: &Launcher,
    ) -> Result<Self, HarnessError> {
        let shelf = installation.shelf(&experiment.dataset)?;
        plan::check(installation, experiment, &shelf)?;
        let specs = specs(installation, experiment)?;
        let specs: Vec<_> = specs.into_iter().map(|spec| (spec, None)).collect();
        let backends = Backends::start(&specs, launcher).await?;
        let mut started = plan::unused_moment(store, Utc::now()).await?;
        let mut plans = plan::plans(installation, experiment, &shelf.manifest, &backends, started)?;
        // A harness that began in the same moment may have been quicker.
        while !store.claim_plan(&plans[0]).await? {
            started += TimeDelta::milliseconds(1);
            plans = plan::plans(installation, experiment, &shelf.manifest, &backends, started)?;
        }
        let mut runs = Vec::with_capacity(plans.len());
        for plan in plans {
            let run = RunState::open(store, &shelf, plan, false).await?;
            store.put_plan(&run.plan).await?;
            runs.push(run);
        }
        let (shelf, patience) = (Arc::new(shelf), launcher.patience);
        Ok(Self { installation, store, shelf, backends, runs, patience })
    }

    /// Takes up unpublished runs of one session where they stood.
    ///
    /// # Errors
    /// A run whose dataset, prompts, pipeline or model changed since it was planned, and what [`Session::start`] refuses.
    pub async fn resume(
        installation: &'i Installation,
        store: &'i Store,
        plans: Vec<Plan>,
        launcher: &Launcher,
    ) -> Result<Self, HarnessError> {
        let shelf = installation.shelf(&plans[0].experiment.dataset)?;
        // The locks first: a second harness on the same runs is turned away before it starts a server.
        let mut runs = Vec::with_capacity(plans.len());
        for plan in plans {
            runs.push(RunState::open(store, &shelf, plan, true).await?);
        }
        let specs: Vec<_> = runs.iter().map(|run| (&run.plan.model.spec, run.plan.model.threads)).collect();
        let backends = Backends::start(&specs, launcher).await?;
        runs.iter().try_for_each(|run| run.unchanged(installation, &shelf.manifest, &backends))?;
        let here = environment(&installation.root);
        for run in &mut runs {
            run.go_on_in(store, &here).await?;
        }
        let (shelf, patience) = (Arc::new(shelf), launcher.patience);
        Ok(Self { installation, store, shelf, backends, runs, patience })
    }

    /// Answers of a server found elsewhere that are asked for again: it was not recognised after it had given them.
    pub fn doubted(&self) -> usize {
        self.runs.iter().map(|run| run.doubted).sum()
    }

    /// Asks every question that has no answer yet, then scores and publishes. Stops early, with everything safe, when
    /// `interrupt` resolves.
    ///
    /// # Errors
    /// A failing disk or store, surroundings that keep failing, an interruption.
    pub async fn run(
        mut self,
        observer: &mut dyn Observer,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Vec<Outcome>, HarnessError> {
        let span = self.runs.first().map_or_else(Span::none, |run| spans::experiment(&run.plan));
        let mut sentry = Sentry::default();
        let mut asked = self.ask_all(observer, interrupt, &mut sentry).instrument(span).await;
        if asked.is_err()
            && let Err(swapped) = self.last_look(&mut sentry).await
        {
            asked = Err(swapped);
        }
        let backends = std::mem::take(&mut self.backends);
        backends.stop().await;
        let mut written = Ok(());
        for run in &mut self.runs {
            written = written.and(run.sync.end(&run.journal).await);
            if let Err(error) = run.flush().await {
                tracing::warn!(%error, run = run.plan.id, "the last answers are on this machine alone");
            }
        }
        // Whatever stopped it is told first.
        asked?;
        written?;
        let mut outcomes = Vec::with_capacity(self.runs.len());
        for run in std::mem::take(&mut self.runs) {
            let ontology = self.ontology(&run.plan)?;
            // What a resumed run cost before it was interrupted is not known, and part of it is no figure.
            let cost = if run.resumed > 0 { Cost::default() } else { run.cost };
            let made = (run.resumed, cost);
            let outcome = publish(self.store, ontology, &self.shelf, run.plan, run.journal, made).await?;
            if let (Outcome::Published(_), Some(backup)) = (&outcome, run.backup) {
                backup.remove().await;
            }
            outcomes.push(outcome);
        }
        self.store.keep_catalogue().await;
        Ok(outcomes)
    }

    async fn ask_all(
        &mut self,
        observer: &mut dyn Observer,
        interrupt: impl Future<Output = ()>,
        sentry: &mut Sentry,
    ) -> Result<(), HarnessError> {
        let repeats = self.runs.iter().map(|run| run.plan.experiment.repeats).max().unwrap_or(1);
        let total = self.shelf.ids().len() * repeats as usize;
        let plans: Vec<Plan> = self.runs.iter().map(|run| run.plan.clone()).collect();
        let spans: Vec<Span> = plans.iter().map(spans::run).collect();
        let mut done: Vec<usize> = self.runs.iter().map(|run| run.journal.finished()).collect();
        observer.planned(&plans, &done, total);
        let mut lanes = Lanes::new(&plans, self.shelf.ids().len());
        let (mut interrupt, mut watch) = (std::pin::pin!(interrupt), tokio::time::interval(WATCH));
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures: BTreeMap<String, u32> = BTreeMap::new();
        let shelf = Arc::clone(&self.shelf);
        let asker = Asker { installation: self.installation, shelf: &shelf, patience: self.patience };
        let mut asked = FuturesUnordered::new();
        let pid = |backends: &Backends, model: &str| backends.get(model).and_then(Backend::pid);
        let mut meter = Meter::start(plans.iter().map(|plan| (&*plan.arm.model, pid(&self.backends, &plan.arm.model))));
        loop {
            while let Some((lane, question, turns)) = lanes.next(|question| self.runs[question.arm].is_open(question)) {
                let (plan, span) = (&plans[question.arm], &spans[question.arm]);
                let client = self.backends.get(&plan.arm.model).and_then(|backend| backend.client.clone());
                let arm = Arm { plan, span, client };
                asked.push(async move { (lane, question, asker.ask(arm, question, turns).await) });
            }
            let (lane, question, (turn, answer)) = tokio::select! {
                next = asked.next() => match next {
                    Some(next) => next,
                    None => break,
                },
                () = &mut interrupt => return Err(HarnessError::Interrupted),
                // A question whose server has died is being asked again: it finds the next one at the same address.
                _ = watch.tick() => {
                    self.backends.revive_all().await?;
                    continue;
                }
            };
            lanes.answered(lane);
            let (arm, number) = (question.arm, question.number(plans[question.arm].experiment.repeats));
            let name = &plans[arm].arm.model;
            self.runs[arm].cost += meter.take(name, pid(&self.backends, name));
            let answer = answer?;
            self.runs[arm].append(number, &answer).await?;
            done[arm] += usize::from(answer.is_finished());
            observer.arrived(&Arrival { arm, class: answer.class, done: done[arm], answer: &answer });
            let model = &plans[arm].arm.model;
            sentry.note(model, arm, number, &answer);
            if !answer.is_finished() {
                self.recognise(model, false, sentry).await?;
            }
            if self.weigh(model, &answer, &mut failures).await? {
                lanes.again(lane, question);
            }
            for model in sentry.due(false) {
                self.recognise(&model, false, sentry).await?;
            }
            // The answer is written down and its server still the one it was: now the next question may be asked.
            drop(turn);
        }
        for model in sentry.due(true) {
            self.recognise(&model, true, sentry).await?;
        }
        Ok(())
    }

    /// Asks the servers once more who they are before a session ends early, so that few answers stay in doubt.
    ///
    /// # Errors
    /// A server that was swapped, and nothing else.
    async fn last_look(&mut self, sentry: &mut Sentry) -> Result<(), HarnessError> {
        for model in sentry.due(true) {
            let look = tokio::time::timeout(LAST_LOOK, self.recognise(&model, false, sentry)).await;
            if let Ok(Err(swapped @ HarnessError::Swapped { .. })) = look {
                return Err(swapped);
            }
        }
        Ok(())
    }

    /// Asks a model's server who it is. If it is not who the plan says, the answers in doubt are marked to be asked
    /// again and the run stops. A server that does not say is left in doubt; where that `must` end, it is asked with
    /// patience.
    async fn recognise(&mut self, model: &str, must: bool, sentry: &mut Sentry) -> Result<(), HarnessError> {
        if must {
            self.backends.revive(model).await?;
        }
        let planned = self.runs.iter().find(|run| run.plan.arm.model == model).map(|run| &run.plan.model);
        let client = self.backends.get(model).and_then(|backend| backend.client.as_ref());
        let (Some(planned), Some(client)) = (planned.and_then(|id| id.fingerprint.clone()), client) else {
            sentry.settle(model);
            return Ok(());
        };
        let url = client.url().to_owned();
        let policy = Retry { budget: if must { self.patience } else { Duration::ZERO }, ..Retry::default() };
        let found = match retry(&policy, tokio::time::sleep, |_| client.identify()).await {
            Ok(identity) => identity.fingerprint,
            Err(source) if must => return Err(HarnessError::Unrecognised { model: model.to_owned(), source }),
            Err(_) => return Ok(()),
        };
        let doubtful = sentry.settle(model);
        if found == planned {
            for (arm, run) in self.runs.iter_mut().enumerate() {
                run.recognised(
                    doubtful.iter().filter(|(of, ..)| *of == arm).map(|(_, number, answer)| (*number, answer)),
                )
                .await?;
            }
            return Ok(());
        }
        let doubts = doubtful.len();
        for (arm, number, answer) in doubtful.into_iter().filter(|(.., answer)| answer.is_finished()) {
            let reason = Some("the server was swapped around this answer".to_owned());
            let answer = Answer { class: Class::InfraError, reason, verdict: None, ..answer };
            self.runs[arm].append(number, &answer).await?;
        }
        Err(HarnessError::Swapped { model: model.to_owned(), url, planned, found, doubtful: doubts })
    }

    fn ontology(&self, plan: &Plan) -> Result<&Ontology, HarnessError> {
        let version = plan.pipeline.ontology;
        self.installation.pipeline.prompts.ontologies().get(&version).ok_or_else(|| HarnessError::Arm {
            arm: plan.arm.name.clone(),
            reason: format!("there is no ontology {version}"),
        })
    }

    /// Revives a dead server, and gives up where failures do not end; whether it revived one.
    async fn weigh(
        &mut self,
        model: &str,
        answer: &Answer,
        failures: &mut BTreeMap<String, u32>,
    ) -> Result<bool, HarnessError> {
        let in_a_row = failures.entry(model.to_owned()).or_default();
        if answer.is_finished() {
            *in_a_row = 0;
            return Ok(false);
        }
        *in_a_row += 1;
        if *in_a_row >= GIVE_UP_AFTER {
            let reason = answer.reason.clone().unwrap_or_default();
            return Err(HarnessError::GaveUp { model: model.to_owned(), reason });
        }
        Ok(self.backends.revive(model).await?)
    }
}

fn specs<'a>(installation: &'a Installation, experiment: &Experiment) -> Result<Vec<&'a ModelSpec>, HarnessError> {
    let mut seen = BTreeSet::new();
    let mut specs = Vec::new();
    for arm in &experiment.arms {
        let refuse = |reason| HarnessError::Arm { arm: arm.name.clone(), reason };
        let spec = installation.models.get(&arm.model).map_err(refuse)?;
        if seen.insert(&spec.name) {
            specs.push(spec);
        }
    }
    Ok(specs)
}
