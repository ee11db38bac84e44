//! MG-ShopDial: conversations of people, one of whom plays the shop, and what each was told to look for.

use jangbogo_events::{Currency, ProductId, Role, Understanding};
use serde::Deserialize;

use super::{Part, Said};
use crate::merge::next_request;
use crate::parse_state::{Context, ShownProduct};

/// A label that so many annotators gave.
const VOTES: f64 = 3.0;
/// The products that a shopper may speak of are the newest.
const SHOWN: usize = 10;

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
    /// Acts, and how many annotators saw each.
    #[serde(rename = "intents")]
    acts: Vec<(String, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Participant {
    Client,
    Wizard,
}

/// What a turn is about, as annotators say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Goal {
    Recommendation,
    Search,
    Qa,
    Meta,
}

/// A product of a catalogue that the people talked about.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    #[serde(rename = "name")]
    pub title: String,
    /// Longer text.
    #[serde(rename = "product_description")]
    pub description: Option<String>,
}

/// Reads the file of conversations.
///
/// # Errors
/// When it is not such a file; the error says where.
pub fn read_dialogues(json: &str) -> serde_json::Result<Vec<Dialogue>> {
    serde_json::from_str(json)
}

/// Reads a file of products.
///
/// # Errors
/// When it is not such a file; the error says where.
pub fn read_items(json: &str) -> serde_json::Result<Vec<Item>> {
    serde_json::from_str(json)
}

impl Turn {
    pub(super) fn is(&self, act: &str) -> bool {
        self.acts.iter().any(|(name, votes)| name == act && *votes >= VOTES)
    }
}

impl Dialogue {
    /// How many messages the shopper writes.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.shopper().count()
    }

    /// What the shopper was told to look for and does name, in whichever words: a task is a hint, and not all of it is
    /// ever said.
    pub(super) fn named_goals(&self) -> Vec<Said> {
        let said: Vec<String> = self.shopper().map(|turn| format!(" {} ", jangbogo_lexicon::key(&turn.text))).collect();
        let named = |value: &str| {
            let whole = value.strip_suffix("00 USD").unwrap_or(value);
            said.iter().any(|text| text.contains(&format!(" {} ", jangbogo_lexicon::key(whole))))
        };
        let operator = |slot| if slot == "price" { "<=" } else { "=" };
        self.goals()
            .iter()
            .filter(|(_, value)| named(value))
            .map(|(slot, value)| Said::new(Part::Slot, slot, operator(*slot), value, true))
            .collect()
    }

    /// What the task asks for, as far as our slots can say it. There are none for authors, genres, memory and shoe sizes.
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

/// A conversation as an analyser goes through it: what it understood of each message is the context of the next.
#[derive(Debug)]
pub struct Conversation<'d> {
    pub(super) dialogue: &'d Dialogue,
    context: Context,
    at: usize,
    /// What was understood of the shopper's messages so far.
    pub(super) answers: Vec<(&'d Turn, Option<Understanding>)>,
}

impl<'d> Conversation<'d> {
    /// Before its first turn.
    #[must_use]
    pub fn new(dialogue: &'d Dialogue, currency: Currency) -> Self {
        Self { dialogue, context: Context::new(currency), at: 0, answers: Vec::new() }
    }

    /// Goes on to the shopper's next message and gives its text, until there is none. What the shop recommends on the way
    /// is shown, under the words that recommend it, for that is all that the shopper sees.
    pub fn next_message(&mut self) -> Option<&'d str> {
        let mut listing = false;
        loop {
            let turn = self.dialogue.turns.get(self.at)?;
            if turn.participant == Participant::Client {
                return Some(&turn.text);
            }
            if turn.is("recommend") {
                if !listing {
                    self.context.shown.clear();
                }
                listing = true;
                if self.context.shown.len() < SHOWN {
                    self.context.shown.extend(shown(self.at, turn));
                }
            }
            self.at += 1;
        }
    }

    /// What was looked for and shown before this message.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What was said before this message, the oldest first.
    pub fn earlier(&self) -> impl Iterator<Item = (Role, &'d str)> {
        self.dialogue.turns[..self.at].iter().map(|turn| {
            let role = if turn.participant == Participant::Client { Role::User } else { Role::Ai };
            (role, turn.text.as_str())
        })
    }

    /// Goes past this message, of which this was understood, or nothing.
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
