//! What was understood of people's conversations, beside what annotators say of them.
//!
//! They are labelled otherwise than our utterances are, so only this is compared:
//! - **goals**: what a message is about. `recommendation` asks for products or says what is liked, `qa` asks about a product,
//!   `meta` is neither. `search` may be either of the first two: it is shown and not scored.
//! - **feedback**: positive and negative feedback with the sign of our sentiment.
//! - **needs**: whether anything at all is found in a message that discloses a need or taste. Other messages may hold wishes
//!   too, so there is no precision.
//! - **tasks**: which of the things, colours, materials and price limits that the shopper was told to look for, and names, are
//!   found in any of the messages. Shoppers want more than their task says, so there is no precision here either.

use std::collections::BTreeMap;

use jangbogo_events::{Intent, Understanding};
use serde::Serialize;

use super::dialogue::{Conversation, Goal};
use super::said;
use super::score::Score;

/// What was understood of conversations, beside what annotators say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DialogueReport {
    pub dialogues: usize,
    /// Messages of shoppers in them.
    pub messages: usize,
    /// By goal, as annotated, except `search`.
    pub goals: BTreeMap<String, Score>,
    /// By goal, as annotated, and by what the messages were taken for: how many.
    pub taken_for: BTreeMap<String, BTreeMap<String, usize>>,
    /// `positive` and `negative`.
    pub feedback: BTreeMap<String, Score>,
    /// Messages that disclose a need or taste, and of them those in which one was found.
    pub needs: Found,
    pub tasks: BTreeMap<String, Found>,
}

/// How much was found of what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// So much of it.
    pub found: usize,
    /// So much is there.
    pub labelled: usize,
}

impl Found {
    fn count(&mut self, found: bool) {
        self.found += usize::from(found);
        self.labelled += 1;
    }
}

impl DialogueReport {
    /// Compares a conversation that was gone through to its end. A message without an answer was taken for neither.
    pub fn add(&mut self, conversation: &Conversation<'_>) {
        self.dialogues += 1;
        let mut all = Vec::new();
        for (turn, answer) in &conversation.answers {
            self.messages += 1;
            let taken_for = answer.as_ref().map_or(Goal::Meta, goal);
            *self.taken_for.entry(name(turn.goal)).or_default().entry(name(taken_for)).or_default() += 1;
            if turn.goal == taken_for {
                self.goals.entry(name(turn.goal)).or_default().add(Score::RIGHT);
            } else if turn.goal != Goal::Search {
                self.goals.entry(name(turn.goal)).or_default().add(Score::MISSED);
                self.goals.entry(name(taken_for)).or_default().add(Score::WRONG);
            }
            let sentiment = answer.as_ref().map_or(0, |answer| answer.sentiment_permille);
            self.feedback("positive", turn.is("pf"), sentiment > 0);
            self.feedback("negative", turn.is("nf"), sentiment < 0);
            let said = answer.as_ref().map(said).unwrap_or_default();
            if turn.is("disclose") {
                self.needs.count(!said.is_empty());
            }
            all.extend(said);
        }
        for goal in conversation.dialogue.named_goals() {
            self.tasks.entry(goal.attribute.clone()).or_default().count(all.contains(&goal));
        }
    }

    fn feedback(&mut self, sign: &str, labelled: bool, said: bool) {
        let score = self.feedback.entry(sign.to_owned()).or_default();
        match (labelled, said) {
            (true, true) => score.add(Score::RIGHT),
            (true, false) => score.add(Score::MISSED),
            (false, true) => score.add(Score::WRONG),
            (false, false) => {}
        }
    }
}

/// The goal that an intent has in the annotators' words; never `search`.
fn goal(understanding: &Understanding) -> Goal {
    match understanding.intent {
        Intent::FindProduct | Intent::RefineSearch | Intent::StatePreference | Intent::RetractPreference => {
            Goal::Recommendation
        }
        Intent::AskAboutProduct => Goal::Qa,
        Intent::SmallTalk | Intent::Other => Goal::Meta,
    }
}

fn name(goal: Goal) -> String {
    let name = match goal {
        Goal::Recommendation => "recommendation",
        Goal::Search => "search",
        Goal::Qa => "qa",
        Goal::Meta => "meta",
    };
    name.to_owned()
}
