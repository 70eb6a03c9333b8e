//! Why a session stops, in words that say how to go on.

use super::backend::BackendError;
use super::journal::JournalError;
use crate::problem::Problem;
use crate::store::StoreError;

/// Infrastructure errors in a row after which going on is pointless.
pub(super) const GIVE_UP_AFTER: u32 = 3;

/// Why a session stopped. Whatever was answered until then is safe.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A file of the installation is wrong.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// An arm cannot be run as it is declared.
    #[error("arm `{arm}`: {reason}")]
    Arm {
        /// Its name.
        arm: String,
        /// What is wrong, with the way out.
        reason: String,
    },
    /// A model cannot be used.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is on disk is no longer what the run was planned with.
    #[error(
        "run {id} cannot be {wanted}: `{field}` was {planned} and is now {found}\n  hint: restore it, or start a new run"
    )]
    Changed {
        /// The run.
        id: String,
        /// What was to be done with it, such as `resumed`.
        wanted: &'static str,
        /// The field of the plan.
        field: &'static str,
        /// Its planned value.
        planned: String,
        /// Its value now.
        found: String,
    },
    /// The surroundings keep failing.
    #[error(
        "stopped after {GIVE_UP_AFTER} infrastructure errors in a row on `{model}`: {reason}\n  hint: mend it and continue with `assay eval resume`"
    )]
    GaveUp {
        /// The model.
        model: String,
        /// The last error.
        reason: String,
    },
    /// A server serves another model than the one that the run was planned with.
    #[error(
        "model `{model}`: the server at {url} was swapped: the run was planned with {planned}, it now shows {found}; {doubtful} answers since it was last recognised will be asked again\n  hint: serve the planned model and continue with `assay eval resume`, or start a new run"
    )]
    Swapped {
        /// The model's name.
        model: String,
        /// The server.
        url: String,
        /// Fingerprint in the plan.
        planned: String,
        /// Fingerprint of what answers now.
        found: String,
        /// Answers that may be another model's.
        doubtful: usize,
    },
    /// A server does not say at the end who answered.
    #[error(
        "model `{model}` answered every question, and its server no longer says who it is: {source}\n  hint: start it again and continue with `assay eval resume`; answers since it was last recognised are asked again, unless it was started here"
    )]
    Unrecognised {
        /// The model's name.
        model: String,
        /// The cause.
        source: crate::model::ModelError,
    },
    /// The user interrupted.
    #[error("interrupted; continue with `assay eval resume`")]
    Interrupted,
}
