//! Threads with a model whose batches wait for permits. They are not on tokio's clock: waits are real.

use std::sync::{Mutex, mpsc as blocking};
use std::time::Duration;

use jangbogo_telemetry::Metrics;

use super::*;
use crate::model::{Tokenise, Tokens};

const BATCH_TOKENS: usize = 256;

/// Makes a token of each character, and a vector of the number of tokens. Each batch takes a permit.
#[derive(Clone)]
struct SlowModel {
    permits: Arc<Mutex<blocking::Receiver<()>>>,
    batches: blocking::Sender<Vec<usize>>,
}

impl TextModel for SlowModel {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn dimensions(&self) -> usize {
        1
    }

    fn batch_tokens(&self) -> usize {
        BATCH_TOKENS
    }

    fn prompts(&self) -> Prompts {
        Prompts::NONE
    }

    fn tokenizer(&self) -> Arc<dyn Tokenise> {
        Arc::new(Characters)
    }

    fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let _ = self.batches.send(lengths.clone());
        let _ = self.permits.lock().unwrap().recv();
        assert!(!lengths.contains(&13), "a text of 13 tokens");
        Ok(lengths.into_iter().map(|length| vec![f32::from(u16::try_from(length).unwrap())]).collect())
    }

    fn in_background(&self) -> Result<Self, ModelError> {
        Ok(self.clone())
    }
}

struct Characters;

impl Tokenise for Characters {
    fn tokenise(&self, text: &str) -> Result<Tokens, ModelError> {
        assert_ne!(text, "cannot be tokenised");
        Ok(Tokens { ids: text.chars().map(u32::from).collect(), truncated: false })
    }
}

struct Slow {
    encoder: Encoder,
    permits: blocking::Sender<()>,
    batches: blocking::Receiver<Vec<usize>>,
}

async fn slow(queue: usize) -> Slow {
    let (permits, permitted) = blocking::channel();
    let (batches_of_model, batches) = blocking::channel();
    // Warm-up takes two batches.
    permits.send(()).unwrap();
    permits.send(()).unwrap();
    let load = move || Ok(SlowModel { permits: Arc::new(Mutex::new(permitted)), batches: batches_of_model });
    let metrics = EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let encoder = Encoder::start(load, NonZeroUsize::new(queue).unwrap(), metrics).await.unwrap();
    assert_eq!(batches.recv().unwrap().len(), 1);
    let warming: usize = batches.recv().unwrap().iter().sum();
    assert!(warming > BATCH_TOKENS / 2 && warming <= BATCH_TOKENS, "{warming}");
    Slow { encoder, permits, batches }
}

impl Slow {
    /// Requests a text, which then is in the queue or computed.
    fn ask(&self, text: &str) -> tokio::task::JoinHandle<Result<TextEmbedding, EncodeError>> {
        let (encoder, text) = (self.encoder.clone(), text.to_owned());
        tokio::spawn(async move { encoder.embed(&text).await })
    }

    /// Lets the next batch be computed, and gives the lengths of its texts.
    fn batch(&mut self) -> Vec<usize> {
        let batches = &self.batches;
        tokio::task::block_in_place(|| batches.recv_timeout(Duration::from_secs(10)).unwrap())
    }

    async fn until_waiting(&self, texts: i64) {
        while self.encoder.metrics.embedding_queue_texts.get() != texts {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_arrive_meanwhile_are_one_batch_within_the_budget() {
    let mut slow = slow(100).await;
    let first = slow.ask("a");
    assert_eq!(slow.batch(), [1]);
    let long = "x".repeat(BATCH_TOKENS - 2);
    let mut others = Vec::new();
    for (waiting, text) in ["bb", &long, "ccc", "dddd"].into_iter().enumerate() {
        others.push(slow.ask(text));
        slow.until_waiting(i64::try_from(waiting).unwrap() + 1).await;
    }
    slow.permits.send(()).unwrap();
    assert_eq!(slow.batch(), [2, BATCH_TOKENS - 2]);
    slow.permits.send(()).unwrap();
    assert_eq!(slow.batch(), [3, 4]);
    slow.permits.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().vector[..], [1.0]);
    for (other, tokens) in others.into_iter().zip([2, BATCH_TOKENS - 2, 3, 4]) {
        assert_eq!(other.await.unwrap().unwrap().tokens, tokens);
    }
    assert_eq!(slow.encoder.metrics.embedding_texts_total.get(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn background_texts_are_batched_and_delay_no_others() {
    let mut slow = slow(100).await;
    let background = slow.encoder.clone().low_priority();
    let ask_in_background = |text: &'static str| {
        let background = background.clone();
        tokio::spawn(async move { background.embed(text).await })
    };
    let first = ask_in_background("a");
    assert_eq!(slow.batch(), [1]);
    let others = [ask_in_background("bb"), ask_in_background("bb")];
    slow.until_waiting(2).await;
    let interactive = slow.ask("ccc");
    assert_eq!(slow.batch(), [3], "while background texts are computed");
    for _ in 0..3 {
        slow.permits.send(()).unwrap();
    }
    assert_eq!(slow.batch(), [2, 2]);
    for request in others.into_iter().chain([first, interactive]) {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_rejects_at_once() {
    let mut slow = slow(2).await;
    let computed = slow.ask("a");
    assert_eq!(slow.batch(), [1]);
    let waiting = [slow.ask("bb"), slow.ask("ccc")];
    slow.until_waiting(2).await;
    assert!(matches!(slow.encoder.embed("dddd").await, Err(EncodeError::Busy)));
    assert_eq!(slow.encoder.metrics.embedding_refused_texts_total.get(), 1);
    slow.permits.send(()).unwrap();
    slow.permits.send(()).unwrap();
    computed.await.unwrap().unwrap();
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_texts_are_skipped() {
    let mut slow = slow(10).await;
    let computed = slow.ask("a");
    assert_eq!(slow.batch(), [1]);
    let cancelled = slow.ask("bb");
    slow.until_waiting(1).await;
    let kept = slow.ask("ccc");
    slow.until_waiting(2).await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    slow.permits.send(()).unwrap();
    assert_eq!(slow.batch(), [3]);
    slow.permits.send(()).unwrap();
    computed.await.unwrap().unwrap();
    kept.await.unwrap().unwrap();
    assert_eq!(slow.encoder.metrics.embedding_abandoned_texts_total.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_only_the_texts_of_its_batch() {
    let slow = slow(10).await;
    for _ in 0..2 {
        slow.permits.send(()).unwrap();
    }
    for text in ["cannot be tokenised", "13 characters"] {
        let failed = slow.encoder.embed(text).await;
        assert!(matches!(failed, Err(EncodeError::Model(error)) if matches!(*error, ModelError::Panic)), "{text}");
    }
    assert_eq!(slow.encoder.embed("well").await.unwrap().tokens, 4);
}

#[tokio::test]
async fn an_encoder_whose_model_cannot_be_loaded_does_not_start() {
    let start = async |load: fn() -> Result<SlowModel, ModelError>| {
        let metrics = EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
        Encoder::start(load, NonZeroUsize::MIN, metrics).await.unwrap_err().to_string()
    };
    assert_eq!(start(|| panic!("while loading")).await, "the computation panicked");
    let missing = start(|| Err(ModelError::Unsupported("something else".to_owned()))).await;
    assert_eq!(missing, "config.json asks for something else, which is not supported");
}
