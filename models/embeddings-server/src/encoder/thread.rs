//! The loop of an inference thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::error;

use super::{EncodeError, EncoderMetrics, Job, TextEmbedding};
use crate::model::{ModelError, TextModel, Tokens};

/// Loads a model and computes a short text and a full batch, so that requests do not pay for lazy initialisation.
pub(super) fn warm_up<M: TextModel>(load: impl FnOnce() -> Result<M, ModelError>) -> Result<M, ModelError> {
    catch_panic(|| {
        let model = load()?;
        let tokens = model.tokenizer().tokenise("a red lunch bag for a child")?;
        model.embed(&[&tokens])?;
        let texts = model.batch_tokens() / tokens.len().max(1);
        model.embed(&vec![&tokens; texts.max(1)])?;
        Ok(model)
    })
}

/// Embeds until every sender is dropped. The first text of a batch lingers for others.
pub(super) fn serve(model: &impl TextModel, mut jobs: mpsc::Receiver<Job>, linger: Duration, metrics: &EncoderMetrics) {
    let mut next: Option<Job> = None;
    loop {
        let mut batch: Vec<Job> = Vec::new();
        let mut tokens = 0;
        while let Some(job) = next.take().or_else(|| take(&mut jobs, batch.is_empty(), metrics)) {
            if !batch.is_empty() && tokens + job.tokens.len() > model.batch_tokens() {
                next = Some(job);
                break;
            }
            if batch.is_empty() && !linger.is_zero() {
                std::thread::sleep(linger);
            }
            tokens += job.tokens.len();
            batch.push(job);
        }
        if batch.is_empty() {
            return;
        }
        compute(model, batch, metrics);
    }
}

/// The next text that is not cancelled. None if the queue is empty or, when blocking, closed.
fn take(jobs: &mut mpsc::Receiver<Job>, may_block: bool, metrics: &EncoderMetrics) -> Option<Job> {
    loop {
        let job = if may_block { jobs.blocking_recv() } else { jobs.try_recv().ok() }?;
        metrics.embedding_queue_texts.dec();
        if !job.answer.is_closed() {
            return Some(job);
        }
        metrics.embedding_abandoned_texts_total.inc();
    }
}

fn compute(model: &impl TextModel, batch: Vec<Job>, metrics: &EncoderMetrics) {
    let taken = batch.len();
    // Some may have been cancelled since they were taken.
    let batch: Vec<Job> = batch.into_iter().filter(|job| !job.answer.is_closed()).collect();
    metrics.embedding_abandoned_texts_total.inc_by((taken - batch.len()) as u64);
    if batch.is_empty() {
        return;
    }
    let timer = metrics.embedding_batch_seconds.start_timer();
    let tokens: Vec<&Tokens> = batch.iter().map(|job| &job.tokens).collect();
    let computed = catch_panic(|| model.embed(&tokens));
    timer.observe_duration();
    match computed {
        Ok(vectors) => {
            #[expect(clippy::cast_precision_loss, reason = "a batch has a few hundred texts at most")]
            metrics.embedding_batch_texts.observe(batch.len() as f64);
            for (Job { tokens, answer }, vector) in batch.into_iter().zip(vectors) {
                metrics.embedding_texts_total.inc();
                metrics.embedding_tokens_total.inc_by(tokens.len() as u64);
                metrics.embedding_truncated_texts_total.inc_by(tokens.truncated.into());
                let embedding =
                    TextEmbedding { vector: vector.into(), tokens: tokens.len(), truncated: tokens.truncated };
                // Fails if the request was cancelled in the meantime.
                let _ = answer.send(Ok(embedding));
            }
        }
        Err(error) => {
            error!(error = %jangbogo_telemetry::causes(&error), "embedding failed");
            let error = Arc::new(error);
            for job in batch {
                let _ = job.answer.send(Err(EncodeError::Model(Arc::clone(&error))));
            }
        }
    }
}

/// Turns a panic of the model or the tokenizer into an error, so that the thread continues.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(ModelError::Panic))
}
