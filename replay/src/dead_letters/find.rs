//! Reads the selected dead letters with the decisions on them.

use std::collections::BTreeSet;
use std::vec::IntoIter;

use anyhow::{Context as _, bail};
use jangbogo_consume::dead_letter::{DeadLetter, DeadLetters, Decision, Decisions, dead_letters, decisions};
use jangbogo_platform::config::Connections;

use super::select::{DeadLetterId, Selection, Status};

#[derive(Debug)]
pub struct DecidedDeadLetter {
    pub dead_letter: DeadLetter,
    /// The newest decision that settles it.
    pub decision: Option<Decision>,
}

impl DecidedDeadLetter {
    pub fn id(&self) -> DeadLetterId {
        DeadLetterId::from(&self.dead_letter)
    }

    pub fn status(&self) -> Status {
        Status::from_decision(self.decision.as_ref())
    }
}

/// Reads one group after the other; holds one dead letter at a time.
pub struct Finder {
    connections: Connections,
    selection: Selection,
    decisions: Decisions,
    groups: IntoIter<String>,
    reader: Option<DeadLetters>,
    /// Number of dead letters left to read.
    left: usize,
}

impl Finder {
    /// Reads the decisions; [`Finder::next`] reads the dead letters.
    pub async fn open(connections: &Connections, selection: Selection) -> anyhow::Result<Self> {
        Ok(Self {
            connections: connections.clone(),
            decisions: decisions(connections).await.context("cannot read the decisions on dead letters")?,
            groups: selection.groups()?.into_iter(),
            left: selection.limit().unwrap_or(usize::MAX),
            reader: None,
            selection,
        })
    }

    pub async fn next(&mut self) -> anyhow::Result<Option<DecidedDeadLetter>> {
        while self.left > 0 {
            let Some(reader) = &mut self.reader else {
                let Some(group) = self.groups.next() else { return Ok(None) };
                self.reader = Some(dead_letters(&self.connections, &group));
                continue;
            };
            let Some(dead_letter) = reader.next().await? else {
                self.reader = None;
                continue;
            };
            let decision = self.decisions.get(&dead_letter.group, dead_letter.position);
            if self.selection.contains(&dead_letter, Status::from_decision(decision)) {
                self.left -= 1;
                return Ok(Some(DecidedDeadLetter { decision: decision.cloned(), dead_letter }));
            }
        }
        Ok(None)
    }
}

/// The ids of the selected dead letters.
pub async fn find_ids(connections: &Connections, selection: &Selection) -> anyhow::Result<BTreeSet<DeadLetterId>> {
    let mut finder = Finder::open(connections, selection.clone()).await?;
    let mut found = BTreeSet::new();
    while let Some(dead_letter) = finder.next().await? {
        found.insert(dead_letter.id());
    }
    if let Selection::Ids(ids) = selection {
        let unknown: Vec<String> = ids.difference(&found).map(DeadLetterId::to_string).collect();
        if !unknown.is_empty() {
            bail!("no such dead letter: {}; `jangbogo replay dead-letters list` lists them", unknown.join(", "));
        }
    }
    Ok(found)
}
