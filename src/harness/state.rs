//! One arm in progress: its plan, its journal, and what it takes to go on with it.

use std::collections::HashMap;

use super::backend::Backends;
use super::backup::Backup;
use super::error::HarnessError;
use super::journal::{Journal, Syncing};
use super::meter::Cost;
use super::plan;
use super::questions::Question;
use crate::experiment::Kind;
use crate::golden::Manifest;
use crate::installation::{Installation, Shelf};
use crate::run::{Answer, Environment, PipelineId, Plan};
use crate::store::Store;

/// One arm in progress.
#[derive(Debug)]
pub struct RunState {
    /// What was planned.
    pub plan: Plan,
    pub(super) journal: Journal,
    pub(super) sync: Syncing,
    /// Where the store is a bucket.
    pub(super) backup: Option<Backup>,
    pub(super) resumed: u32,
    /// Answers that are asked for again because their server was not recognised since.
    pub(super) doubted: usize,
    pub(super) cost: Cost,
}

impl RunState {
    pub(super) async fn open(store: &Store, shelf: &Shelf, plan: Plan, again: bool) -> Result<Self, HarnessError> {
        let cases: HashMap<&str, usize> = shelf.ids().zip(0..).collect();
        let repeats = plan.experiment.repeats;
        let number = |case: &str, repeat: u32| {
            let question = Question { arm: 0, case: *cases.get(case)?, repeat };
            (repeat < repeats).then(|| question.number(repeats))
        };
        let (path, questions) = (store.folder(&plan.id).join("journal.jsonl"), cases.len() * repeats as usize);
        let (mut journal, backup) = match store.segments(&plan.id).await? {
            None => (Journal::open(&path, questions, number)?, None),
            Some((segments, lines)) => {
                let (journal, lacking) = Journal::open_with(&path, &lines, questions, number)?;
                (journal, Some(Backup::new(segments, lacking)))
            }
        };
        // Whoever held the lock until now may have finished it.
        store.unpublished(&plan.id).await?;
        let resumed = if again { journal.resume() } else { 0 };
        let (sync, cost) = (Syncing::default(), Cost::default());
        let mut run = Self { plan, journal, sync, backup, resumed, doubted: 0, cost };
        if again && run.is_external() {
            run.doubted = run.journal.doubt();
        }
        Ok(run)
    }

    /// Writes an answer down, once the one before is on disk; some at a time go into the bucket.
    pub(super) async fn append(&mut self, number: usize, answer: &Answer) -> Result<(), HarnessError> {
        self.sync.end(&self.journal).await?;
        let line = self.journal.append(number, answer)?;
        self.written(&line).await
    }

    /// Writes down that these answers came from the server that was planned, where another could have taken its place
    /// unseen: one that was started here ends with the harness.
    pub(super) async fn recognised<'a>(
        &mut self,
        answers: impl Iterator<Item = (usize, &'a Answer)>,
    ) -> Result<(), HarnessError> {
        let answers: Vec<_> = answers.collect();
        if answers.is_empty() || !self.is_external() {
            return Ok(());
        }
        self.sync.end(&self.journal).await?;
        let line = self.journal.recognise(&answers)?;
        self.written(&line).await
    }

    async fn written(&mut self, line: &[u8]) -> Result<(), HarnessError> {
        self.sync = Syncing::start(&self.journal)?;
        match &mut self.backup {
            Some(backup) => backup.take(line).await,
            None => Ok(()),
        }
    }

    fn is_external(&self) -> bool {
        matches!(self.plan.model.spec.kind, Kind::External { .. })
    }

    pub(super) async fn flush(&mut self) -> Result<(), HarnessError> {
        match &mut self.backup {
            Some(backup) => backup.flush().await,
            None => Ok(()),
        }
    }

    pub(super) fn is_open(&self, question: Question) -> bool {
        let repeats = self.plan.experiment.repeats;
        question.repeat < repeats && !self.journal.is_finished(question.number(repeats))
    }

    /// Goes on in these surroundings; the plan then says so, if they are new to it.
    pub(super) async fn go_on_in(&mut self, store: &Store, here: &Environment) -> Result<(), HarnessError> {
        if self.plan.goes_on_in(here) {
            store.put_plan(&self.plan).await?;
        }
        Ok(())
    }

    /// Refuses to go on where something is no longer what the plan says.
    pub(super) fn unchanged(
        &self,
        installation: &Installation,
        dataset: &Manifest,
        backends: &Backends,
    ) -> Result<(), HarnessError> {
        let plan = &self.plan;
        let same = |field, planned: String, found: String| {
            let id = plan.id.clone();
            let wanted = "resumed";
            if planned == found { Ok(()) } else { Err(HarnessError::Changed { id, wanted, field, planned, found }) }
        };
        same("dataset.sha256", plan.dataset.sha256.clone(), plan::identify(dataset).sha256)?;
        let found = plan::pipeline(installation, dataset, &plan.arm)?;
        let show = |id: &PipelineId| serde_json::to_string(id).unwrap_or_default();
        same("pipeline", show(&plan.pipeline), show(&found))?;
        let Some(backend) = backends.get(&plan.arm.model) else { return Ok(()) };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let number = |value: Option<u32>| text(&value.map(|value| value.to_string()));
        same("model.gguf_sha256", text(&plan.model.gguf_sha256), text(&backend.id.gguf_sha256))?;
        same("model.build_info", text(&plan.model.build_info), text(&backend.id.build_info))?;
        same("model.fingerprint", text(&plan.model.fingerprint), text(&backend.id.fingerprint))?;
        same("model.context_tokens", number(plan.model.context_tokens), number(backend.id.context_tokens))?;
        same("model.slots", number(plan.model.slots), number(backend.id.slots))
    }
}
