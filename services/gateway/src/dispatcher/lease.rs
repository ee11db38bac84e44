//! Leader election: a lease in a row of Postgres, timed by Postgres' clock.

use std::time::Duration;

use jangbogo_telemetry::causes;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Primary key of the lease's row.
pub(super) const NAME: &str = "outbox-dispatcher";
/// A holder that has not renewed the lease for this long has lost it.
pub(super) const LIFETIME: Duration = Duration::from_secs(3);
/// Interval at which the holder renews the lease.
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// The exclusive right to relay the outbox.
#[derive(Clone)]
pub(super) struct Lease {
    pool: PgPool,
    holder: String,
}

impl Lease {
    pub(super) fn new(pool: PgPool, holder: String) -> Self {
        Self { pool, holder }
    }

    /// Takes the lease if it is free, or renews it; returns whether it is held.
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

    /// Renews the lease until `lost` is cancelled; cancels it when another process holds the lease, or may.
    pub(super) async fn keep(self, lost: CancellationToken) {
        let lease = &self;
        keep(|| lease.acquire(), lost).await;
    }

    /// Releases the lease, so that the next holder need not wait until it expires.
    pub(super) async fn release(&self) {
        let release = sqlx::query("DELETE FROM lease WHERE name = $1 AND holder = $2")
            .bind(NAME)
            .bind(&self.holder)
            .execute(&self.pool);
        match tokio::time::timeout(RENEW_INTERVAL, release).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(error = %causes(&error), "lease not released: it expires by itself"),
            Err(_) => warn!("lease not released in time: it expires by itself"),
        }
    }
}

async fn keep<Renewal>(renew: impl Fn() -> Renewal, lost: CancellationToken)
where
    Renewal: Future<Output = Result<bool, sqlx::Error>>,
{
    // By this process' clock, from before the statement is sent: it expires here earlier than by Postgres' clock.
    let mut expires = Instant::now() + RENEW_INTERVAL;
    let mut interval = tokio::time::interval(RENEW_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = lost.cancelled() => return,
            _ = interval.tick() => {}
        }
        let sent_at = Instant::now();
        let outcome = tokio::select! {
            () = lost.cancelled() => return,
            outcome = tokio::time::timeout_at(expires, renew()) => outcome,
        };
        match outcome {
            Ok(Ok(true)) => expires = sent_at + LIFETIME,
            Ok(Ok(false)) | Err(_) => return lost.cancel(),
            Ok(Err(error)) => {
                warn!(error = %causes(&error), "lease not renewed");
                if Instant::now() >= expires {
                    return lost.cancel();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;

    /// Keeps a lease whose renewals are these until it is lost; returns the seconds that takes.
    async fn seconds_until_lost<Renewal>(renew: impl Fn() -> Renewal) -> u64
    where
        Renewal: Future<Output = Result<bool, sqlx::Error>>,
    {
        let (began, lost) = (Instant::now(), CancellationToken::new());
        keep(renew, lost.clone()).await;
        assert!(lost.is_cancelled());
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_process_took_is_lost_at_once() {
        assert_eq!(seconds_until_lost(|| ready(Ok(false))).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_cannot_be_renewed_is_lost_before_it_expires() {
        let renewals = Cell::new(0);
        let failing_after_the_third = || {
            renewals.set(renewals.get() + 1);
            ready(if renewals.get() <= 3 { Ok(true) } else { Err(sqlx::Error::PoolTimedOut) })
        };
        // Renewed after 0, 1 and 2 seconds.
        assert_eq!(seconds_until_lost(failing_after_the_third).await, 2 + LIFETIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_without_an_answer_does_not_outlive_the_lease() {
        let renewals = Cell::new(0);
        let silent_after_the_first = || {
            let is_first = renewals.replace(1) == 0;
            async move { if is_first { Ok(true) } else { pending().await } }
        };
        assert_eq!(seconds_until_lost(silent_after_the_first).await, LIFETIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_kept_until_the_holder_ends() {
        let lost = CancellationToken::new();
        let keeping = tokio::time::timeout(Duration::from_mins(1), keep(|| ready(Ok(true)), lost.clone()));
        assert!(keeping.await.is_err() && !lost.is_cancelled());
    }
}
