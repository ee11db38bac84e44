//! Conversion of read errors to RFC 9457 problems.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jangbogo_http::problem::Problem;
use jangbogo_platform::database;
use jangbogo_read::{AsOfError, ReadError, SearchError};
use jangbogo_telemetry::causes;
use tracing::{error, warn};

#[derive(Debug)]
pub(super) struct Failure(Problem);

pub(super) type Answer<T> = Result<T, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<&ReadError> for Failure {
    fn from(error: &ReadError) -> Self {
        Self(match error {
            ReadError::AsOf(error) => as_of_problem(error),
            ReadError::NotLive(_) => Problem::unavailable(error.to_string()),
            // Logged: a statement that names something wrongly would look the same.
            ReadError::Postgres(source) if database::is_missing(source) => {
                warn!(error = %causes(error), "the postgres schema is not the one of this program");
                Problem::unavailable("the database is being prepared; try again")
            }
            ReadError::Postgres(_) if error.is_temporary() => {
                Problem::unavailable("postgres is unavailable; try again")
            }
            ReadError::Postgres(_) => {
                error!(error = %causes(error), "postgres query failed");
                Problem::internal()
            }
        })
    }
}

fn as_of_problem(error: &AsOfError) -> Problem {
    let (status, slug, title) = match error {
        AsOfError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown-generation", "Unknown generation"),
        AsOfError::Ambiguous { .. } => (StatusCode::BAD_REQUEST, "ambiguous-generation", "Ambiguous generation"),
        AsOfError::Twice { .. } => {
            (StatusCode::BAD_REQUEST, "generations-of-one-processor", "Generations of one processor")
        }
        AsOfError::NotNamed { .. } => (StatusCode::BAD_REQUEST, "no-generation-named", "No generation named"),
        AsOfError::Incomplete { .. } => (StatusCode::CONFLICT, "incomplete-generation", "Incomplete generation"),
        AsOfError::OtherFold { .. } => (StatusCode::CONFLICT, "other-fold-version", "Other fold version"),
    };
    Problem::new(status, slug, title, error.to_string())
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<ReadError>> for Failure {
    fn from(error: Arc<ReadError>) -> Self {
        Self::from(&*error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::from(ReadError::from(error))
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Read(error) => Self::from(error),
            SearchError::Unavailable(_) => Self(Problem::unavailable("elasticsearch is unavailable; try again")),
            SearchError::NoIndex => Self(Problem::unavailable("the search index is being built; try again")),
            // 429: too busy; 5xx: starting, or a shard is missing.
            SearchError::Refused { status: 429 | 500..=599, .. } => {
                Self(Problem::unavailable("elasticsearch is not ready; try again"))
            }
            SearchError::Refused { .. } => {
                error!(error = %causes(&error), "elasticsearch request failed");
                Self(Problem::internal())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn an_unavailable_server_or_schema_is_a_503() {
        for failure in [
            Failure::from(ReadError::NotLive("es-sync")),
            Failure::from(sqlx::Error::PoolTimedOut),
            Failure::from(sqlx::Error::TypeNotFound { type_name: "vector".to_owned() }),
            Failure::from(SearchError::NoIndex),
            Failure::from(SearchError::Refused { status: 503, body: String::new() }),
        ] {
            let response = failure.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[test]
    fn an_internal_error_discloses_nothing() {
        for failure in [
            Failure::from(sqlx::Error::RowNotFound),
            Failure::from(SearchError::Refused { status: 400, body: "secret".to_owned() }),
        ] {
            assert_eq!(failure.0.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!failure.0.detail().contains("secret"));
        }
    }
}
