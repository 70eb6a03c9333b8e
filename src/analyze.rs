//! The one path from log lines to a verdict: redact, digest, route, render, ask, classify.
//!
//! The data source, the harness and the command line all come through here; an evaluation of anything else would
//! prove nothing. Each stage is a span (`spans.rs`) with its numbers and hashes, and no text.

mod spans;

use tracing::{Instrument, Span};

use crate::digest::{Budget, Digest, digest};
use crate::experiment::Choice;
use crate::hash;
use crate::model::{FinishReason, Model, ModelError, Question, Reply, Sampling, Timings, Usage};
use crate::ontology::Ontology;
use crate::prompt::{Prompt, PromptId, Prompts, Rendered};
use crate::redact::Redactor;
use crate::route::{Routes, Step};
use crate::rules;
use crate::run::Asked;
use crate::semconv;
use crate::stream::Window;
use crate::verdict::{self, Outcome};
pub use spans::Consent;

/// How often the digest is shrunk when the server counts more tokens than were estimated.
const MAX_FITS: u32 = 3;
/// Prompt tokens that two counts of one server may differ by.
const CUT_SLACK: u32 = 16;

/// What the rule baseline is called where a model has its name.
const RULES: &str = "rules";

/// What an installation brings to every analysis.
#[derive(Debug)]
pub struct Pipeline {
    /// Prompts, ontologies and their lock.
    pub prompts: Prompts,
    /// Routing rules.
    pub routes: Routes,
    /// What is removed from lines before anything else sees them.
    pub redactor: Redactor,
    /// Key of the rendered-prompt hash, once one is configured.
    pub hash_key: Option<Vec<u8>>,
    /// Whether what is said may be told where content is collected.
    pub consent: Consent,
}

/// A decision of the routing rules.
#[derive(Debug)]
pub struct Routed {
    /// Name of the rule that matched.
    pub route: String,
    /// Every rule that was tried, and why it did or did not match.
    pub steps: Vec<Step>,
    /// Model that the rule prefers.
    pub model: Option<String>,
}

/// A window made ready to be asked about.
#[derive(Debug)]
pub struct Prepared<'p> {
    /// The redacted window.
    pub window: Window,
    /// Its digest.
    pub digest: Digest,
    /// The prompt version in use.
    pub prompt: &'p Prompt,
    /// The ontology that the prompt explains.
    pub ontology: &'p Ontology,
    /// How the prompt was chosen, if by routing.
    pub routed: Option<Routed>,
    /// The messages.
    pub rendered: Rendered,
    /// Secrets that were replaced.
    pub redactions: u64,
}

/// Limits and parameters of one question.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Digest budget.
    pub budget: Budget,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Whether a prompt prefix may be reused.
    pub cache_prompt: bool,
    /// Time budget of the answer.
    pub timeout: std::time::Duration,
    /// Context of one slot, where it is known.
    pub context_tokens: Option<u32>,
}

/// Who answers.
#[derive(Debug)]
pub enum Respondent<'m, M> {
    /// The rule baseline.
    Rules,
    /// A language model.
    Model(&'m M),
}

/// An answered question.
#[derive(Debug)]
pub struct Analysis<'p> {
    /// What was asked.
    pub prepared: Prepared<'p>,
    /// How it ended.
    pub outcome: Outcome,
    /// The error behind an outcome without reply.
    pub error: Option<ModelError>,
    /// Tokens.
    pub usage: Usage,
    /// Durations.
    pub timings: Timings,
    /// Hash of the answer's text, see [`hash::of_text`]; `None` where no model answered.
    pub output_hash: Option<String>,
}

impl Pipeline {
    /// Redacts, digests, routes and renders.
    ///
    /// # Errors
    /// An unknown prompt, or a template that fails while rendering.
    pub fn prepare(&self, mut window: Window, choice: &Choice, budget: Budget) -> Result<Prepared<'_>, String> {
        let span = spans::redact(&window);
        let redactions = span.in_scope(|| self.redactor.redact_window(&mut window).total());
        span.record(semconv::REDACTIONS, redactions);
        drop(span);
        self.prepare_redacted(window, redactions, choice, budget)
    }

    /// Prepares a prepared window for another budget.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`].
    pub fn prepare_again<'p>(
        &'p self,
        prepared: Prepared<'p>,
        choice: &Choice,
        budget: Budget,
    ) -> Result<Prepared<'p>, String> {
        self.prepare_redacted(prepared.window, prepared.redactions, choice, budget)
    }

    fn prepare_redacted(
        &self,
        window: Window,
        redactions: u64,
        choice: &Choice,
        budget: Budget,
    ) -> Result<Prepared<'_>, String> {
        let digest = digested(&window, budget);
        let (id, routed) = self.choose(&window, &digest, choice);
        let prompt = self.prompts.get(&id)?;
        let ontology = self.prompts.ontology(prompt);
        let span = spans::render(prompt);
        let rendered =
            span.in_scope(|| prompt.render(ontology, &selectors(&window), &digest.text, self.hash_key.as_deref()))?;
        span.record(semconv::PROMPT_RENDERED_HASH, rendered.hash.as_str());
        drop(span);
        Ok(Prepared { window, digest, prompt, ontology, routed, rendered, redactions })
    }

    fn choose(&self, window: &Window, digest: &Digest, choice: &Choice) -> (PromptId, Option<Routed>) {
        match choice {
            Choice::Prompt(id) => (id.clone(), None),
            Choice::Route => {
                let span = spans::route();
                let (route, steps) = span.in_scope(|| self.routes.choose(&window.streams, &digest.text));
                span.record(semconv::ROUTE, route.name.as_str());
                let routed = Routed { route: route.name.clone(), steps, model: route.model.clone() };
                (route.prompt.clone(), Some(routed))
            }
        }
    }

    /// Asks one question about a window and classifies how it ended.
    ///
    /// # Errors
    /// Only what [`Pipeline::prepare`] refuses; a failing model is an outcome, not an error.
    pub async fn analyze<M: Model>(
        &self,
        window: Window,
        choice: &Choice,
        respondent: &Respondent<'_, M>,
        ask: &Ask,
    ) -> Result<Analysis<'_>, String> {
        let analysis = async {
            let prepared = self.prepare(window, choice, ask.budget)?;
            self.ask(prepared, choice, respondent, ask).await
        };
        analysis.instrument(span()).await
    }

    /// Asks about a window that was prepared with the same choice and budget. What came of it is recorded on the span
    /// that the caller is in, if it is one of [`span`].
    ///
    /// # Errors
    /// As [`Pipeline::analyze`].
    pub async fn ask<'p, M: Model>(
        &'p self,
        mut prepared: Prepared<'p>,
        choice: &Choice,
        respondent: &Respondent<'_, M>,
        ask: &Ask,
    ) -> Result<Analysis<'p>, String> {
        let reply = match respondent {
            Respondent::Rules => Ok(rules_reply(&prepared)),
            Respondent::Model(model) => match self.fit(prepared, choice, *model, ask).await? {
                (fitted, Ok(())) => {
                    prepared = fitted;
                    match self.chat(&prepared, *model, ask).await {
                        Ok(reply) => read_whole(&prepared, reply, *model, ask.budget.bytes_per_token).await,
                        failed => failed,
                    }
                }
                (fitted, Err(error)) => {
                    prepared = fitted;
                    Err(error)
                }
            },
        };
        let output_hash = match (respondent, &reply) {
            (Respondent::Model(_), Ok(reply)) => Some(hash::of_text(&reply.text, self.hash_key.as_deref())),
            _ => None,
        };
        let analysis = Analysis { output_hash, ..concluded(prepared, reply) };
        let model = match respondent {
            Respondent::Rules => RULES,
            Respondent::Model(model) => model.endpoint().map_or("", |endpoint| &endpoint.model),
        };
        spans::analyzed(&Span::current(), &analysis, model);
        Ok(analysis)
    }

    async fn chat<M: Model>(&self, prepared: &Prepared<'_>, model: &M, ask: &Ask) -> Result<Reply, ModelError> {
        let span = spans::chat(prepared, ask, model.endpoint());
        let reply = model.ask(&question(prepared, ask)).instrument(span.clone()).await;
        spans::replied(&span, &reply);
        span.in_scope(|| spans::content(prepared, &reply, self));
        reply
    }

    /// Shrinks the digest until the server's own count leaves room for the answer. The server is only asked where
    /// the local estimate is not clearly below the limit.
    async fn fit<'p, M: Model>(
        &'p self,
        mut prepared: Prepared<'p>,
        choice: &Choice,
        model: &M,
        ask: &Ask,
    ) -> Result<(Prepared<'p>, Result<(), ModelError>), String> {
        let Some(context) = ask.context_tokens else { return Ok((prepared, Ok(()))) };
        let room = context.saturating_sub(ask.sampling.max_tokens);
        let mut budget = ask.budget;
        for _ in 0..MAX_FITS {
            if pessimistic_tokens(&prepared.rendered) <= room as usize {
                return Ok((prepared, Ok(())));
            }
            let count = match model.count_tokens(&prepared.rendered.system, &prepared.rendered.user).await {
                Ok(count) => count,
                Err(error) => return Ok((prepared, Err(error))),
            };
            let excess = count.saturating_sub(room) as usize;
            if excess == 0 {
                return Ok((prepared, Ok(())));
            }
            // Take off what is too much and a tenth of it more: the estimate was too low, and will be again.
            let tokens = prepared.digest.estimated_tokens.saturating_sub(excess + excess / 10 + 8);
            if tokens == 0 || tokens >= budget.tokens {
                break;
            }
            budget.tokens = tokens;
            prepared = self.prepare_again(prepared, choice, budget)?;
        }
        Ok((prepared, Ok(())))
    }
}

impl<'p> Prepared<'p> {
    /// How it ends if nobody could be asked, or nothing came back.
    pub(crate) fn unanswered(self, error: ModelError) -> Analysis<'p> {
        Analysis {
            prepared: self,
            outcome: Outcome::of_error(&error),
            error: Some(error),
            usage: Usage::default(),
            timings: Timings::default(),
            output_hash: None,
        }
    }
}

impl Prepared<'_> {
    /// What a record keeps of the question; `decisive` are the entries of a golden case that show the cause.
    pub fn asked(&self, decisive: &[u32]) -> Asked {
        let mut decisive_ids: Vec<String> = Vec::new();
        for id in decisive.iter().filter_map(|entry| self.digest.template_of(*entry as usize)) {
            if !decisive_ids.iter().any(|known| known == id) {
                decisive_ids.push(id.to_owned());
            }
        }
        Asked {
            prompt: self.prompt.id.to_string(),
            route: self.routed.as_ref().map(|routed| routed.route.clone()),
            rendered_hash: self.rendered.hash.clone(),
            lines: count(self.digest.lines),
            templates: count(self.digest.templates.len()),
            omitted_templates: count(self.digest.omitted.templates),
            omitted_lines: count(self.digest.omitted.lines),
            digest_tokens: count(self.digest.estimated_tokens),
            redactions: u32::try_from(self.redactions).unwrap_or(u32::MAX),
            decisive_ids,
        }
    }
}

/// The span of one analysis, from the window to the verdict, for whoever prepares and asks by itself.
pub fn span() -> Span {
    spans::analyze()
}

fn digested(window: &Window, budget: Budget) -> Digest {
    let span = spans::digest(budget);
    let digest = span.in_scope(|| digest(window, budget));
    spans::digested(&span, &digest);
    digest
}

/// Parses, checks and classifies.
fn concluded(prepared: Prepared<'_>, reply: Result<Reply, ModelError>) -> Analysis<'_> {
    let span = spans::verdict();
    let analysis = span.in_scope(|| match reply {
        Ok(reply) => {
            let outcome = Outcome::of_reply(&reply, prepared.ontology, &prepared.digest);
            let (usage, timings, output_hash) = (reply.usage, reply.timings, None);
            Analysis { prepared, outcome, error: None, usage, timings, output_hash }
        }
        Err(error) => prepared.unanswered(error),
    });
    spans::concluded(&span, &analysis.outcome);
    analysis
}

/// The question as the model port takes it.
fn question(prepared: &Prepared<'_>, ask: &Ask) -> Question {
    Question {
        system: prepared.rendered.system.clone(),
        user: prepared.rendered.user.clone(),
        schema: verdict::schema(prepared.ontology),
        sampling: ask.sampling,
        cache_prompt: ask.cache_prompt,
        timeout: ask.timeout,
    }
}

/// The reply, unless the server counts clearly fewer prompt tokens than were sent: servers exist that cut a prompt and
/// answer about the rest. Where its count is below half the local estimate, it is asked what the whole prompt has.
async fn read_whole<M: Model>(
    prepared: &Prepared<'_>,
    reply: Reply,
    model: &M,
    bytes_per_token: f64,
) -> Result<Reply, ModelError> {
    let rendered = &prepared.rendered;
    let estimate = ((rendered.system.len() + rendered.user.len()) as f64 / bytes_per_token) as u32;
    let counted = reply.usage.prompt_tokens;
    // A server that states no usage states nothing about the prompt.
    if counted == 0 || counted >= estimate / 2 {
        return Ok(reply);
    }
    let whole = match model.count_tokens(&rendered.system, &rendered.user).await {
        Ok(sent) if counted.saturating_add(CUT_SLACK) < sent => Some(sent),
        // Without a second count only the grossest difference is beyond what an estimate may be off.
        Err(_) if counted < estimate / 4 => Some(estimate),
        _ => None,
    };
    whole.map_or(Ok(reply), |sent| Err(ModelError::PromptCut { counted, sent }))
}

/// The baseline answers in the same words as a model, so that the same checks apply.
fn rules_reply(prepared: &Prepared<'_>) -> Reply {
    let verdict = rules::judge(&prepared.digest, &prepared.window);
    let text = serde_json::to_string(&verdict).expect("a verdict has no map with non-string keys");
    Reply::of(text, FinishReason::Stop)
}

/// No tokenizer in use needs more than a token for two bytes of log text; below that, counting is not worth a request.
fn pessimistic_tokens(rendered: &Rendered) -> usize {
    (rendered.system.len() + rendered.user.len()) / 2
}

fn selectors(window: &Window) -> String {
    let selectors: Vec<String> = window.streams.iter().map(ToString::to_string).collect();
    selectors.join("\n")
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
