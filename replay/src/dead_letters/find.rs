//! Reading the dead letters that are meant, with what was decided about them.

use std::collections::BTreeSet;
use std::vec::IntoIter;

use anyhow::{Context as _, bail};
use jangbogo_consume::dead_letter::{DeadLetter, Decision, Decisions, Letters, decisions, letters};
use jangbogo_platform::config::Connections;

use super::select::{LetterId, Selection, Status};

/// A dead letter and what was decided about it.
#[derive(Debug)]
pub struct Found {
    /// The letter.
    pub letter: DeadLetter,
    /// The newest decision that settles it.
    pub decision: Option<Decision>,
}

impl Found {
    /// Its name.
    pub fn id(&self) -> LetterId {
        LetterId::of(&self.letter)
    }

    /// What became of it.
    pub fn status(&self) -> Status {
        Status::of(self.decision.as_ref())
    }
}

/// Reads one group after the other; holds one letter at a time.
pub struct Finder {
    connections: Connections,
    selection: Selection,
    decisions: Decisions,
    groups: IntoIter<String>,
    reading: Option<Letters>,
    left: usize,
}

impl Finder {
    /// Reads what was decided; letters come with [`Finder::next`].
    pub async fn open(connections: &Connections, selection: Selection) -> anyhow::Result<Self> {
        Ok(Self {
            connections: connections.clone(),
            decisions: decisions(connections).await.context("cannot learn what was decided about dead letters")?,
            groups: selection.groups()?.into_iter(),
            left: selection.limit().unwrap_or(usize::MAX),
            reading: None,
            selection,
        })
    }

    /// The next letter that is meant.
    pub async fn next(&mut self) -> anyhow::Result<Option<Found>> {
        while self.left > 0 {
            let Some(reading) = &mut self.reading else {
                let Some(group) = self.groups.next() else { return Ok(None) };
                self.reading = Some(letters(&self.connections, &group));
                continue;
            };
            let Some(letter) = reading.next().await? else {
                self.reading = None;
                continue;
            };
            let decision = self.decisions.of(&letter.group, letter.position);
            if self.selection.takes(&letter, Status::of(decision)) {
                self.left -= 1;
                return Ok(Some(Found { decision: decision.cloned(), letter }));
            }
        }
        Ok(None)
    }
}

/// The ids of the letters that are meant.
///
/// # Errors
/// When Kafka does not answer, or a letter does not exist.
pub async fn find_ids(connections: &Connections, selection: &Selection) -> anyhow::Result<BTreeSet<LetterId>> {
    let mut finder = Finder::open(connections, selection.clone()).await?;
    let mut found = BTreeSet::new();
    while let Some(letter) = finder.next().await? {
        found.insert(letter.id());
    }
    if let Selection::Ids(ids) = selection {
        let unknown: Vec<String> = ids.difference(&found).map(LetterId::to_string).collect();
        if !unknown.is_empty() {
            bail!(
                "no such dead letter: {}; `jangbogo replay dead-letters list` shows those there are",
                unknown.join(", ")
            );
        }
    }
    Ok(found)
}
