//! Comparison of an analyser's answers with the annotations of conversations.
//!
//! Conversations have other labels than the utterances, so only this is compared:
//! - **goals**: `recommendation` asks for products or states a taste, `qa` asks about a product, `meta` is neither.
//!   `search` may be either of the first two: it is shown and not scored.
//! - **feedback**: positive and negative feedback with the sign of the sentiment.
//! - **needs**: messages that disclose a need or taste and have a non-empty answer. Other messages may have wishes too,
//!   so there is no precision.
//! - **tasks**: product kinds, colours, materials and price limits of the task that the shopper names, found in any
//!   message. Shoppers want more than their task says, so there is no precision here either.

use std::collections::BTreeMap;

use jangbogo_events::{Intent, Understanding};
use serde::Serialize;

use super::annotations;
use super::dialogue::{Conversation, Goal};
use super::score::Score;

/// Scores of an analyser in annotated conversations.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DialogueReport {
    pub dialogues: usize,
    /// Messages of shoppers in them.
    pub messages: usize,
    /// By annotated goal, except `search`.
    pub goals: BTreeMap<String, Score>,
    /// Number of messages by annotated goal and by goal of the answer.
    pub taken_for: BTreeMap<String, BTreeMap<String, usize>>,
    /// `positive` and `negative`.
    pub feedback: BTreeMap<String, Score>,
    /// Messages that disclose a need or taste, and those of them with a non-empty answer.
    pub needs: RecallCount,
    pub tasks: BTreeMap<String, RecallCount>,
}

/// Counts of a recall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecallCount {
    pub found: usize,
    pub labelled: usize,
}

impl RecallCount {
    fn count(&mut self, is_found: bool) {
        self.found += usize::from(is_found);
        self.labelled += 1;
    }
}

impl DialogueReport {
    /// Compares a finished conversation. A message without an answer counts as `meta`.
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
            let answered = answer.as_ref().map(annotations).unwrap_or_default();
            if turn.is("disclose") {
                self.needs.count(!answered.is_empty());
            }
            all.extend(answered);
        }
        for goal in conversation.dialogue.named_goals() {
            self.tasks.entry(goal.attribute.clone()).or_default().count(all.contains(&goal));
        }
    }

    fn feedback(&mut self, sign: &str, labelled: bool, answered: bool) {
        let score = self.feedback.entry(sign.to_owned()).or_default();
        match (labelled, answered) {
            (true, true) => score.add(Score::RIGHT),
            (true, false) => score.add(Score::MISSED),
            (false, true) => score.add(Score::WRONG),
            (false, false) => {}
        }
    }
}

/// The annotators' goal of an intent; never `search`.
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
