//! What can be wrong with a query, by whose fault it is and what the person can do.
//!
//! The status and the source are Grafana's terms: `downstream` for what lies with the query, the settings or the store,
//! `plugin` for our own defects. Grafana's error budgets count only the latter.

use super::wire::DataResponse;
use crate::frame::EncodeError;
use crate::live::Failure;
use crate::store::StoreError;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    /// The query itself is wrong: unknown type, unknown field, bad value.
    #[error("{0}")]
    Invalid(String),
    /// It asks for something that is not there.
    #[error("{0}")]
    Missing(String),
    /// It asks for something that exists but cannot be had this way.
    #[error("{0}")]
    Refused(String),
    /// The data source is not set up.
    #[error("{0}")]
    Settings(String),
    /// The store does not answer or holds something unreadable.
    #[error("{0}")]
    Store(String),
    /// A question about live logs came to no verdict.
    #[error("{}", one_line(.0))]
    Live(#[from] Failure),
    /// Ours.
    #[error("{0}")]
    Defect(String),
}

impl QueryError {
    /// The status, as HTTP has it.
    pub(super) fn status(&self) -> i32 {
        match self {
            Self::Invalid(_) | Self::Settings(_) => 400,
            Self::Missing(_) => 404,
            Self::Refused(_) => 422,
            Self::Store(_) => 502,
            Self::Live(failure) => failure.status(),
            Self::Defect(_) => 500,
        }
    }

    fn source(&self) -> &'static str {
        match self {
            Self::Defect(_) | Self::Live(Failure::Defect) => "plugin",
            _ => "downstream",
        }
    }
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        let message = one_line(&error);
        match error {
            StoreError::Unknown { .. } => Self::Missing(message),
            StoreError::Url { .. } => Self::Settings(message),
            StoreError::Damaged { .. }
            | StoreError::Altered { .. }
            | StoreError::Published { .. }
            | StoreError::Taken { .. }
            | StoreError::Segment { .. }
            | StoreError::Storage { .. } => Self::Store(message),
        }
    }
}

impl From<EncodeError> for QueryError {
    fn from(error: EncodeError) -> Self {
        Self::Defect(error.to_string())
    }
}

impl From<QueryError> for DataResponse {
    fn from(error: QueryError) -> Self {
        Self {
            frames: Vec::new(),
            error: error.to_string(),
            status: error.status(),
            error_source: error.source().to_owned(),
        }
    }
}

/// An error as Grafana shows it, in one line with the way out at its end.
pub(super) fn one_line(error: &impl ToString) -> String {
    error.to_string().replace("\n  hint: ", ": ").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_ends_with_the_way_out() {
        assert_eq!(
            one_line(&"prompts.lock:3: is gone\n  hint: restore it\nsoon"),
            "prompts.lock:3: is gone: restore it soon"
        );
    }

    #[test]
    fn every_error_has_status_and_source() {
        let table = [
            (QueryError::Invalid(String::new()), 400, "downstream"),
            (QueryError::Missing(String::new()), 404, "downstream"),
            (QueryError::Refused(String::new()), 422, "downstream"),
            (QueryError::Settings(String::new()), 400, "downstream"),
            (QueryError::Store(String::new()), 502, "downstream"),
            (QueryError::Live(Failure::Cancelled), 499, "downstream"),
            (QueryError::Live(Failure::Defect), 500, "plugin"),
            (QueryError::Defect(String::new()), 500, "plugin"),
        ];
        for (error, status, source) in table {
            let shown = format!("{error:?}");
            let response = DataResponse::from(error);
            assert_eq!((response.status, response.error_source.as_str()), (status, source), "{shown}");
        }
    }
}
