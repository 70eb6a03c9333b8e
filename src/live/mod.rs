//! Live questions: what do the logs of this query show, now?
//!
//! A [`Desk`] belongs to one data source. It answers at once with the last verdict for the same question and its age, and
//! finds a newer one in the background: one flight for each question, however many ask; a bounded queue; places that
//! organisations take in turn ([`Capacity`]); a model's slots never overbooked. Whoever watches a flight sees how far it
//! is ([`Viewer`]), and a flight that nobody waits for any more ends. Logs that have kept their shape
//! ([`crate::digest::Shape`]) keep their verdict, and no model is asked. Verdicts survive a restart as plain files; no
//! log text is on disk. Where Loki is read under a user's own identity, nothing is shared ([`Desk::ask_directly`]).
//!
//! It knows nothing of Grafana, and asks by the one path of [`crate::analyze`].

mod cabinet;
mod capacity;
mod desk;
mod evidence;
mod failure;
mod flight;
mod kept;
mod look;
mod progress;
mod question;
mod record;
mod rota;
mod shared;
mod source;
mod spans;
mod turns;
mod work;

pub use crate::ledger::Purpose;
pub use capacity::{Capacity, SEATS};
pub use desk::Desk;
pub use failure::{Failed, Failure};
pub use flight::Viewer;
pub use kept::{Cited, Kept, Line};
pub use look::{Counts, Direct, Freshness, Look, OnBehalf, Refresh};
pub use progress::{Progress, Stage};
pub use question::{Key, Origin, Question, Span};
pub use source::{Clock, Limits, ModelServer, RULES, Source, Standing};
