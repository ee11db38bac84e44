//! MG-ShopDial: conversations of two people, one of whom plays the shop, with the task that the shopper was given.

use jangbogo_events::{Currency, ProductId, Role, Understanding};
use serde::Deserialize;

use super::{Annotation, Kind};
use crate::merge::next_request;
use crate::parse_state::{Context, ShownProduct};

/// Number of annotators from which on a label counts.
const MIN_VOTES: f64 = 3.0;
/// Most products shown in a context.
const MAX_SHOWN: usize = 10;

/// A conversation between a shopper and a person who plays the shop.
#[derive(Clone, Debug, Deserialize)]
pub struct Dialogue {
    pub id: String,
    #[serde(rename = "metadata")]
    task: Task,
    #[serde(rename = "utterances")]
    turns: Vec<Turn>,
}

#[derive(Clone, Debug, Deserialize)]
struct Task {
    id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Turn {
    participant: Participant,
    #[serde(rename = "utterance")]
    text: String,
    pub(super) goal: Goal,
    /// Acts with the number of annotators who gave each.
    #[serde(rename = "intents")]
    acts: Vec<(String, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Participant {
    Client,
    Wizard,
}

/// Goal of a turn, as annotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Goal {
    Recommendation,
    Search,
    Qa,
    Meta,
}

/// A product of the catalogue of the conversations.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    #[serde(rename = "name")]
    pub title: String,
    #[serde(rename = "product_description")]
    pub description: Option<String>,
}

/// Reads a file of conversations.
///
/// # Errors
/// When the JSON is invalid; the error names line and column.
pub fn read_dialogues(json: &str) -> serde_json::Result<Vec<Dialogue>> {
    serde_json::from_str(json)
}

/// Reads a file of products.
///
/// # Errors
/// When the JSON is invalid; the error names line and column.
pub fn read_items(json: &str) -> serde_json::Result<Vec<Item>> {
    serde_json::from_str(json)
}

impl Turn {
    pub(super) fn is(&self, act: &str) -> bool {
        self.acts.iter().any(|(name, votes)| name == act && *votes >= MIN_VOTES)
    }
}

impl Dialogue {
    /// Goals of the task that the shopper names in any message. A task is a hint: some goals are never named.
    pub(super) fn named_goals(&self) -> Vec<Annotation> {
        let messages: Vec<String> =
            self.shopper().map(|turn| format!(" {} ", jangbogo_lexicon::key(&turn.text))).collect();
        let is_named = |value: &str| {
            let whole = value.strip_suffix("00 USD").unwrap_or(value);
            messages.iter().any(|text| text.contains(&format!(" {} ", jangbogo_lexicon::key(whole))))
        };
        let operator = |slot| if slot == "price" { "<=" } else { "=" };
        self.goals()
            .iter()
            .filter(|(_, value)| is_named(value))
            .map(|(slot, value)| Annotation::new(Kind::Slot, slot, operator(*slot), value, true))
            .collect()
    }

    /// Goals of the task by slot. There are no slots for authors, genres, memory and shoe sizes.
    fn goals(&self) -> &'static [(&'static str, &'static str)] {
        let catalogue = self.id.split([':', '&']).next().unwrap_or_default();
        match (catalogue, self.task.id.as_str()) {
            ("Books", "45" | "46") => &[("product", "book")],
            ("Books", "49") => &[("product", "book"), ("price", "2000 USD")],
            ("Cellphones", "45") => &[("product", "smartphone")],
            ("Cellphones", "46") => &[("product", "smartphone"), ("price", "60000 USD")],
            ("Cellphones", "49") => &[("product", "phone"), ("product", "microphone"), ("product", "light")],
            ("Officeproducts", "45") => &[("product", "calendar"), ("price", "3000 USD")],
            ("Officeproducts", "46") => &[("product", "cartridge"), ("product", "paper")],
            ("Officeproducts", "49") => {
                &[("product", "pen"), ("product", "pencil case"), ("product", "notebook"), ("color", "green")]
            }
            ("SportsandOutdoors", "45") => &[("product", "running shoe")],
            ("SportsandOutdoors", "46") => &[("product", "running shoe"), ("color", "red")],
            ("SportsandOutdoors", "47") => &[("product", "running shoe"), ("color", "red"), ("material", "recycled")],
            ("SportsandOutdoors", "48") => &[("product", "racquet"), ("product", "shuttlecock")],
            _ => &[],
        }
    }

    fn shopper(&self) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(|turn| turn.participant == Participant::Client)
    }
}

/// State of an analyser in a conversation: its answer to each message is part of the context of the next.
#[derive(Debug)]
pub struct Conversation<'d> {
    pub(super) dialogue: &'d Dialogue,
    context: Context,
    at: usize,
    /// Answers to the shopper's messages so far.
    pub(super) answers: Vec<(&'d Turn, Option<Understanding>)>,
}

impl<'d> Conversation<'d> {
    /// Begins before the first turn.
    #[must_use]
    pub fn new(dialogue: &'d Dialogue, currency: Currency) -> Self {
        Self { dialogue, context: Context::new(currency), at: 0, answers: Vec::new() }
    }

    /// Advances to the shopper's next message and returns its text; none at the end. The shop's recommendations on the
    /// way count as products shown, titled with the text of the turn, since the shopper sees no other title.
    pub fn next_message(&mut self) -> Option<&'d str> {
        let mut is_listing = false;
        loop {
            let turn = self.dialogue.turns.get(self.at)?;
            if turn.participant == Participant::Client {
                return Some(&turn.text);
            }
            if turn.is("recommend") {
                if !is_listing {
                    self.context.shown.clear();
                }
                is_listing = true;
                if self.context.shown.len() < MAX_SHOWN {
                    self.context.shown.extend(shown(self.at, turn));
                }
            }
            self.at += 1;
        }
    }

    /// Request and products shown before the current message.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Texts before the current message, the oldest first.
    pub fn earlier(&self) -> impl Iterator<Item = (Role, &'d str)> {
        self.dialogue.turns[..self.at].iter().map(|turn| {
            let role = if turn.participant == Participant::Client { Role::User } else { Role::Ai };
            (role, turn.text.as_str())
        })
    }

    /// Records the answer to the current message and advances past it.
    pub fn understood(&mut self, understanding: Option<Understanding>) {
        let Some(turn) = self.dialogue.turns.get(self.at) else { return };
        if let Some(understanding) = &understanding {
            self.context.request = next_request(&self.context.request, understanding, &self.context.shown);
        }
        self.answers.push((turn, understanding));
        self.at += 1;
    }
}

fn shown(at: usize, turn: &Turn) -> Option<ShownProduct> {
    let product_id = ProductId::new(format!("turn-{at}")).ok()?;
    Some(ShownProduct { product_id, title: turn.text.clone(), category: None, price: None })
}
