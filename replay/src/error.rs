//! Why a replay did not do what it was asked for.

use jangbogo_log::end_offsets::OffsetsError;
use jangbogo_log::reader::LogError;
use jangbogo_publish::PublishError;
use jangbogo_store::PromotionError;

use crate::folder::FoldError;

/// Everything that may end a replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Postgres is away or refuses.
    #[error("postgres does not answer as it should")]
    Postgres(#[from] sqlx::Error),
    /// The log cannot be read.
    #[error("the log cannot be replayed; the live generation is untouched")]
    Log(#[from] LogError),
    /// Kafka does not say where the log ends.
    #[error("the log's end is not known")]
    Ends(#[from] OffsetsError),
    /// Records cannot be folded.
    #[error("the fold stopped; the live generation is untouched")]
    Fold(#[from] FoldError),
    /// The cut-over did not happen.
    #[error("the generation did not go live")]
    Promotion(#[from] PromotionError),
    /// Published values cannot be read.
    #[error("what is published cannot be compared")]
    Published(#[from] PublishError),
    /// Another replay is at work.
    #[error("another replay is working on generation {0}")]
    Busy(String),
    /// What was folded in bulk is gone.
    #[error("postgres has restarted after a crash and lost what was staged: folding from the start again")]
    StagingLost,
    /// The live rows are not what the log says.
    #[error("{0}")]
    Differs(String),
    /// What was asked for cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl ReplayError {
    /// Whether a server is away, so that trying again helps.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Postgres(error) | Self::Promotion(PromotionError::Postgres(error)) => {
                jangbogo_platform::database::is_unavailable(error)
            }
            Self::Published(error) => !matches!(error, PublishError::Answer(_)),
            Self::Log(error) => error.is_temporary(),
            Self::Fold(error) => error.is_temporary(),
            Self::Ends(error) => matches!(error, OffsetsError::Kafka(_)),
            Self::StagingLost => true,
            Self::Promotion(_) | Self::Busy(_) | Self::Differs(_) | Self::Refused(_) => false,
        }
    }
}
