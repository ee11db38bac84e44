//! One dispatcher at a time: a row in Postgres, by Postgres' clock.

use std::time::Duration;

use jangbogo_telemetry::causes;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The lease's row.
pub(super) const NAME: &str = "outbox-dispatcher";
/// A holder that is silent for so long has lost it.
pub(super) const LIFETIME: Duration = Duration::from_secs(3);
/// How often a holder renews it.
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// The right to relay the outbox.
#[derive(Clone)]
pub(super) struct Lease {
    pool: PgPool,
    holder: String,
}

impl Lease {
    pub(super) fn new(pool: PgPool, holder: String) -> Self {
        Self { pool, holder }
    }

    /// Takes the lease if it is free, or renews it; says whether it is held now.
    pub(super) async fn acquire(&self) -> Result<bool, sqlx::Error> {
        let changed = sqlx::query(
            "INSERT INTO lease AS known (name, holder, expires_at)
             VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
             ON CONFLICT (name) DO UPDATE SET holder = $2, expires_at = clock_timestamp() + make_interval(secs => $3)
             WHERE known.holder = $2 OR known.expires_at < clock_timestamp()",
        )
        .bind(NAME)
        .bind(&self.holder)
        .bind(LIFETIME.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Renews the lease until `lost` is cancelled, and cancels it when another holds the lease, or may.
    pub(super) async fn keep(self, lost: CancellationToken) {
        // By our clock, and from before the statement was sent: earlier than by Postgres' clock.
        let mut expires = Instant::now() + RENEW_INTERVAL;
        let mut interval = tokio::time::interval(RENEW_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = lost.cancelled() => return,
                _ = interval.tick() => {}
            }
            let asked = Instant::now();
            let outcome = tokio::select! {
                () = lost.cancelled() => return,
                outcome = tokio::time::timeout_at(expires, self.acquire()) => outcome,
            };
            match outcome {
                Ok(Ok(true)) => expires = asked + LIFETIME,
                Ok(Ok(false)) | Err(_) => return lost.cancel(),
                Ok(Err(error)) => {
                    warn!(error = %causes(&error), "the lease was not renewed");
                    if Instant::now() >= expires {
                        return lost.cancel();
                    }
                }
            }
        }
    }

    /// Gives the lease back, so that another need not wait for its end.
    pub(super) async fn release(&self) {
        let release = sqlx::query("DELETE FROM lease WHERE name = $1 AND holder = $2")
            .bind(NAME)
            .bind(&self.holder)
            .execute(&self.pool);
        match tokio::time::timeout(RENEW_INTERVAL, release).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(error = %causes(&error), "the lease was not given back: it expires by itself"),
            Err(_) => warn!("the lease was not given back in time: it expires by itself"),
        }
    }
}
