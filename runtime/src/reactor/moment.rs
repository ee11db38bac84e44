//! The state of the projections that an effect works on: one snapshot of the live generation, past its input.

use std::sync::Arc;
use std::time::Duration;

use events::{EventHash, FoldedOffset, InvalidValue, Text};
use sqlx::postgres::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use super::Folded;
use crate::read::{Rows, Served};
use crate::store::{Live, Offsets, Partition, positions};

/// How long another process may take to fold an input before the checkpoints are looked at, at first and at last.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// One snapshot of the live generation's rows.
#[derive(Debug)]
pub struct Moment {
    rows: Rows,
    stand: Stand,
}

/// Which generation, and how far it was folded: what an event says of the state that it was made from.
#[derive(Clone, Debug)]
pub struct Stand {
    /// The generation, live under this promotion.
    pub served: Served,
    offsets: Offsets,
}

impl Stand {
    /// How far it was folded, as events record it.
    ///
    /// # Errors
    /// Never: topics' names fit.
    pub fn offsets(&self) -> Result<Vec<FoldedOffset>, InvalidValue> {
        let offset = |(partition, next_offset): (&Partition, &i64)| {
            let topic = Text::new(partition.topic.name())?;
            Ok(FoldedOffset { topic, partition: partition.number, next_offset: *next_offset })
        };
        self.offsets.iter().map(offset).collect()
    }
}

impl Moment {
    /// The rows. Effects that take long are done after the snapshot was [closed](Self::close).
    pub fn rows(&mut self) -> &mut Rows {
        &mut self.rows
    }

    /// Which generation this is, and how far it is.
    #[must_use]
    pub fn stand(&self) -> &Stand {
        &self.stand
    }

    /// Gives the connection back.
    #[must_use]
    pub fn close(self) -> Stand {
        self.stand
    }

    /// Whether an event is folded.
    pub(super) async fn has(&mut self, event: EventHash) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM seen WHERE event = $1)")
            .bind(Uuid::from_u128(event))
            .fetch_one(self.rows.connection())
            .await
    }
}

/// What it takes to open moments of a processor.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) pool: PgPool,
    pub(crate) live: watch::Receiver<Live>,
    pub(crate) folded: Arc<Folded>,
}

impl Moments {
    /// A moment in which the record at this offset is folded. Waits until it is.
    ///
    /// # Errors
    /// When Postgres is away.
    pub(super) async fn past(&self, partition: Partition, offset: i64) -> Result<Moment, sqlx::Error> {
        let mut wait = WAIT.0;
        loop {
            let was_told = self.folded.past(partition, offset, wait).await;
            wait = (wait * 2).min(WAIT.1);
            let Live { generation, promotion } = self.live.borrow().clone();
            let mut rows = Rows::begin(&self.pool, &generation).await?;
            let offsets = positions(rows.connection(), &generation).await?;
            if offsets.get(&partition).is_some_and(|next| *next > offset) {
                let served = Served { generation, promotion: Some(promotion) };
                return Ok(Moment { rows, stand: Stand { served, offsets } });
            }
            drop(rows);
            if was_told {
                // Of a database that was wiped since, or of another generation.
                tokio::time::sleep(WAIT.0).await;
            }
        }
    }
}
