//! Errors of a replay.

use jangbogo_log::end_offsets::OffsetsError;
use jangbogo_log::reader::LogError;
use jangbogo_platform::database;
use jangbogo_publish::PublishError;
use jangbogo_store::PromotionError;

use crate::folder::FoldError;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("postgres query failed")]
    Postgres(#[from] sqlx::Error),
    #[error("cannot read the log; the live generation is untouched")]
    Log(#[from] LogError),
    #[error("cannot fetch the log's end offsets")]
    EndOffsets(#[from] OffsetsError),
    #[error("the fold failed; the live generation is untouched")]
    Fold(#[from] FoldError),
    #[error("the cut-over failed")]
    Promotion(#[from] PromotionError),
    #[error("cannot compare the published values")]
    Published(#[from] PublishError),
    #[error("another replay is working on generation {0}")]
    Busy(String),
    #[error("postgres crashed and lost the staging tables: folding from the start again")]
    StagingLost,
    /// The live rows differ from the log's.
    #[error("{0}")]
    Differs(String),
    /// The request is invalid in the current state.
    #[error("{0}")]
    Refused(String),
}

impl ReplayError {
    /// True if a retry may succeed, such as after an unavailable server.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Postgres(error) | Self::Promotion(PromotionError::Postgres(error)) => database::is_unavailable(error),
            Self::Published(error) => !matches!(error, PublishError::Answer(_)),
            Self::Log(error) => error.is_temporary(),
            Self::Fold(error) => error.is_temporary(),
            Self::EndOffsets(error) => matches!(error, OffsetsError::Kafka(_)),
            Self::StagingLost => true,
            Self::Promotion(_) | Self::Busy(_) | Self::Differs(_) | Self::Refused(_) => false,
        }
    }
}
