//! From one embedding model to another: the old one serves until the new one has a vector for every product.

use std::time::{Duration, Instant};

use jangbogo_shared_projections::vectors::lacking;
use jangbogo_store::Generation;

use crate::error::ReplayError;
use crate::job::Job;

/// How often it is looked how many vectors are there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is said what is waited for.
const SAY_INTERVAL: Duration = Duration::from_secs(10);

impl Job {
    /// Waits until a generation of another embedding model than the live one's lacks no more vectors than that.
    pub async fn wait_for_vectors(&self, generation: &Generation) -> Result<(), ReplayError> {
        let (Some(live), Some(model)) = (self.live().await?, &generation.embedding_model) else { return Ok(()) };
        if live.generation.embedding_model.as_ref() == Some(model) {
            return Ok(());
        }
        let mut said: Option<Instant> = None;
        loop {
            let left = self.lacking(generation).await?;
            if left <= self.lacking(&live.generation).await? {
                return Ok(());
            }
            if said.is_none_or(|said| said.elapsed() > SAY_INTERVAL) {
                let name = self.processor.name;
                self.progress.say(&format!(
                    "{left} products have no vector of {model} yet; {name} is served as before until they have: \
                     `jangbogo run embedder --embedding-model {model}` makes them"
                ));
                said = Some(Instant::now());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.catch_up(generation).await?;
        }
    }

    async fn lacking(&self, generation: &Generation) -> Result<i64, ReplayError> {
        Ok(sqlx::query_scalar(&lacking(&generation.schema)).fetch_one(&self.pool).await?)
    }
}
