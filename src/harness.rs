//! The offline harness: runs the arms of an experiment over a golden dataset, and loses nothing.
//!
//! Arms are interleaved case by case, so that a drifting machine hits all alike. Every answer is written down before the
//! next question is asked; a run that was killed goes on where it stood and asks no finished question again.

mod backend;
mod backup;
mod environment;
mod error;
mod forecast;
mod frozen;
mod history;
mod journal;
mod lanes;
mod meter;
mod plan;
mod publish;
mod questions;
mod rescore;
mod sentry;
mod session;
mod spans;
mod state;

pub use backend::{BackendError, Backends, Launcher};
pub use environment::environment;
pub use error::HarnessError;
pub use forecast::{Forecast, forecast};
pub use frozen::frozen;
pub use history::{Told, write_history};
pub use journal::{Journal, JournalError};
pub use publish::Outcome;
pub use rescore::{Change, Rescored, rescore};
pub use session::{Arrival, Observer, Session};
pub use state::RunState;
