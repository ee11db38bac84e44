//! A test model without weights.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jangbogo_embedding::{DIMENSIONS, Prompts};
use jangbogo_telemetry::Metrics;
use tokio::sync::Semaphore;

use crate::encoder::{Encoder, EncoderMetrics};
use crate::model::{ModelError, TextModel, Tokenise, Tokens};

/// Embeds a text as the unit vector along the component of its first letter. Reads at most eight letters.
#[derive(Clone)]
pub struct LetterModel {
    /// Number of texts embedded, without those of warm-up.
    pub embedded: Arc<AtomicUsize>,
    /// Each batch takes a permit.
    pub permits: Arc<Semaphore>,
    pub name: &'static str,
    pub prompts: Prompts,
}

impl LetterModel {
    /// A model that computes without delay.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            embedded: Arc::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            name: "letters",
            prompts: Prompts::NONE,
        }
    }

    /// A model that waits for permits.
    #[must_use]
    pub fn held() -> Self {
        // Warm-up takes two batches.
        Self { embedded: Arc::default(), permits: Arc::new(Semaphore::new(2)), name: "letters", prompts: Prompts::NONE }
    }

    #[must_use]
    pub fn embedded(&self) -> usize {
        self.embedded.load(Ordering::SeqCst)
    }

    pub async fn encoder(&self, queue: usize) -> Encoder {
        let model = self.clone();
        let metrics = EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
        let encoder = Encoder::start(move || Ok(model), NonZeroUsize::new(queue).unwrap(), metrics).await.unwrap();
        self.embedded.store(0, Ordering::SeqCst);
        encoder
    }
}

impl TextModel for LetterModel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn batch_tokens(&self) -> usize {
        256
    }

    fn prompts(&self) -> Prompts {
        self.prompts
    }

    fn tokenizer(&self) -> Arc<dyn Tokenise> {
        Arc::new(Letters)
    }

    fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        while self.permits.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_err() {
            // A thread of its own, not on tokio's clock.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.embedded.fetch_add(texts.len(), Ordering::SeqCst);
        let vector = |text: &&Tokens| {
            let mut vector = vec![0.0; DIMENSIONS];
            vector[text.ids[0] as usize % DIMENSIONS] = 1.0;
            vector
        };
        Ok(texts.iter().map(vector).collect())
    }

    fn in_background(&self) -> Result<Self, ModelError> {
        Ok(self.clone())
    }
}

struct Letters;

impl Tokenise for Letters {
    fn tokenise(&self, text: &str) -> Result<Tokens, ModelError> {
        assert_ne!(text, "panic");
        let ids: Vec<u32> = text.chars().map(u32::from).collect();
        let truncated = ids.len() > 8;
        Ok(Tokens { ids: ids.into_iter().take(8).collect(), truncated })
    }
}
