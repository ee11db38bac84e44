//! Change of the embedding model: the old generation serves until the new one has a vector for every product.

use std::time::{Duration, Instant};

use jangbogo_shared_projections::vectors::lacking;
use jangbogo_store::Generation;

use crate::catch_up::CatchUp;
use crate::context::Context;
use crate::error::ReplayError;

const CHECK_INTERVAL: Duration = Duration::from_millis(500);
const MESSAGE_INTERVAL: Duration = Duration::from_secs(10);

/// Waits until a generation of another embedding model than the live one's has at least as many vectors.
pub async fn await_vectors(catch_up: CatchUp<'_>) -> Result<(), ReplayError> {
    let CatchUp { context, generation, .. } = catch_up;
    let (Some(live), Some(model)) = (context.live().await?, &generation.embedding_model) else { return Ok(()) };
    if live.generation.embedding_model.as_ref() == Some(model) {
        return Ok(());
    }
    let mut last_message: Option<Instant> = None;
    loop {
        let missing = missing_vectors(context, generation).await?;
        if missing <= missing_vectors(context, &live.generation).await? {
            return Ok(());
        }
        if last_message.is_none_or(|at| at.elapsed() > MESSAGE_INTERVAL) {
            let name = context.processor.name;
            context.progress.println(&format!(
                "{missing} products have no vector of {model} yet; {name} is served by the live generation until they \
                 have: `jangbogo run embedder --embedding-model {model}` makes them"
            ));
            last_message = Some(Instant::now());
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
        catch_up.run().await?;
    }
}

async fn missing_vectors(context: &Context, generation: &Generation) -> Result<i64, ReplayError> {
    Ok(sqlx::query_scalar(&lacking(&generation.schema)).fetch_one(&context.pool).await?)
}
