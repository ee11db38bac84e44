//! The thread that owns a model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot::Sender;
use tracing::error;

use super::{EncodeError, EncoderMetrics, Job, TextEmbedding};
use crate::model::{ModelError, TextModel, Tokens};

/// Loads a model and has it compute a short text and a full batch, so that nobody waits for what is done once.
pub(super) fn warm<M: TextModel>(load: impl FnOnce() -> Result<M, ModelError>) -> Result<M, ModelError> {
    without_panic(|| {
        let model = load()?;
        let tokens = model.tokenizer().tokenise("a red lunch bag for a child")?;
        model.embed(&[&tokens])?;
        let texts = model.batch_tokens() / tokens.len().max(1);
        model.embed(&vec![&tokens; texts.max(1)])?;
        Ok(model)
    })
}

/// Embeds until every sender is gone. The first text of a batch waits so long for others.
pub(super) fn serve(
    model: &impl TextModel,
    mut jobs: mpsc::Receiver<Job>,
    gathering: Duration,
    metrics: &EncoderMetrics,
) {
    let mut next: Option<Job> = None;
    loop {
        let mut batch: Vec<Job> = Vec::new();
        let mut tokens = 0;
        while let Some(waiting) = next.take().or_else(|| take(&mut jobs, batch.is_empty(), metrics)) {
            if !batch.is_empty() && tokens + waiting.tokens.len() > model.batch_tokens() {
                next = Some(waiting);
                break;
            }
            if batch.is_empty() && !gathering.is_zero() {
                std::thread::sleep(gathering);
            }
            tokens += waiting.tokens.len();
            batch.push(waiting);
        }
        if batch.is_empty() {
            return;
        }
        compute(model, batch, metrics);
    }
}

/// The next text that somebody waits for; none when no other is there, or, if it may block, will be.
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
    let asked = batch.len();
    // One of them may have waited for the batch before.
    let batch: Vec<Job> = batch.into_iter().filter(|waiting| !waiting.answer.is_closed()).collect();
    metrics.embedding_abandoned_texts_total.inc_by((asked - batch.len()) as u64);
    if batch.is_empty() {
        return;
    }
    let timer = metrics.embedding_batch_seconds.start_timer();
    let tokens: Vec<&Tokens> = batch.iter().map(|waiting| &waiting.tokens).collect();
    let computed = without_panic(|| model.embed(&tokens));
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
                // Whoever has left in the meantime needs no answer.
                let _ = answer.send(Ok(embedding));
            }
        }
        Err(error) => refuse(batch.into_iter().map(|waiting| waiting.answer), error),
    }
}

fn refuse(answers: impl IntoIterator<Item = Sender<Result<TextEmbedding, EncodeError>>>, error: ModelError) {
    error!(error = %jangbogo_telemetry::causes(&error), "texts could not be embedded");
    let error = Arc::new(error);
    for answer in answers {
        let _ = answer.send(Err(EncodeError::Model(Arc::clone(&error))));
    }
}

/// A panic of the model or the tokenizer is the failure of these texts, not the end of a thread.
pub(super) fn without_panic<T>(work: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(ModelError::Panic))
}
