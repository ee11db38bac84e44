//! Counts and faults of all conversations.

use std::fmt;
use std::time::Instant;

use jangbogo_events::RecommendationGenerated;

use super::generator::{Expected, Meaning, Utterance};
use super::judge::{Judge, Reply};
use super::words::is_kind;

/// Maximum number of faults in the failure's message.
const MAX_SHOWN: usize = 20;

/// Counts, and a description of every fault.
pub struct Report {
    began: Instant,
    pub conversations: usize,
    messages: usize,
    hostile: usize,
    /// Number of recommendations with products, and of their products.
    lists: usize,
    products: usize,
    /// Number of searches with a result, and of those whose first product is of the wanted kind.
    searches: usize,
    hits: usize,
    faults: Vec<String>,
}

impl Report {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            conversations: 0,
            messages: 0,
            hostile: 0,
            lists: 0,
            products: 0,
            searches: 0,
            hits: 0,
            faults: Vec::new(),
        }
    }

    /// Judges the recommendation and the reply to a message.
    pub fn add(
        &mut self,
        judge: &Judge<'_>,
        (utterance, expected): (&Utterance, &Expected),
        recommendation: &RecommendationGenerated,
        reply: &Reply<'_>,
    ) {
        self.messages += 1;
        self.hostile += usize::from(matches!(utterance.meaning, Meaning::Hostile));
        self.lists += usize::from(!recommendation.items.is_empty());
        self.products += recommendation.items.len();
        if let (Meaning::Find { kind, .. }, Some(first)) = (&utterance.meaning, recommendation.items.first()) {
            self.searches += 1;
            self.hits += usize::from(is_kind(&first.title, kind));
        }
        let faults = judge.faults(utterance, expected, recommendation, reply);
        let descriptions = faults.iter().map(|fault| {
            let (text, understood) = (&utterance.text, understood(recommendation));
            format!("{text:?}: {fault}\n    understood: {understood}\n    replied: {:?}", reply.text)
        });
        self.faults.extend(descriptions);
    }

    /// Fails if there is any fault.
    pub fn assert_no_faults(&self) {
        let shown: Vec<&str> = self.faults.iter().take(MAX_SHOWN).map(String::as_str).collect();
        assert!(shown.is_empty(), "{} faults, such as:\n{}\n{self}", self.faults.len(), shown.join("\n"));
    }
}

fn understood(recommendation: &RecommendationGenerated) -> String {
    let intent = recommendation.understood.intent;
    format!("{intent:?} {}", serde_json::to_string(&recommendation.request).unwrap())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conversations, messages, hostile, lists, products, searches, hits, faults, began } = self;
        write!(
            f,
            "{conversations} conversations, {messages} messages ({hostile} hostile), {lists} lists with {products} \
             products; {hits} of {searches} searches that find anything begin with the kind asked for; \
             {} faults; {:.1} s",
            faults.len(),
            began.elapsed().as_secs_f64(),
        )
    }
}
