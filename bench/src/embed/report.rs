//! Report of the embedding speeds, as text and JSON.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use serde::Serialize;

use super::contestant::{Contestant, Measured};
use super::texts::TextList;
use crate::report::{median, table};

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub struct EmbedReport {
    rounds: u16,
    threads: NonZeroUsize,
    lists: Vec<ListReport>,
}

#[derive(Debug, Serialize)]
struct ListReport {
    name: &'static str,
    texts: usize,
    /// Mean number of all-MiniLM-L6-v2 tokens.
    tokens: f64,
    contestants: Vec<ContestantReport>,
}

/// Speed of one program with the list.
#[derive(Debug, Serialize)]
struct ContestantReport {
    name: String,
    texts_per_second: f64,
    single_milliseconds: f64,
    /// Texts a second as a multiple of the peer's with the same model; none without a peer.
    ratio_to_peer: Option<f64>,
}

impl EmbedReport {
    pub(super) fn new(
        rounds: u16,
        threads: NonZeroUsize,
        lists: &[TextList],
        contestants: &[Contestant],
        measured: &[Vec<Measured>],
    ) -> Self {
        let list = |list: &TextList| {
            let speeds = |contestant: Contestant| {
                let rounds = contestants.iter().zip(measured).find(|(one, _)| **one == contestant)?.1;
                let of_list = || rounds.iter().filter_map(|round| round.get(list.name));
                let texts_per_second = median(of_list().map(|speed| speed.texts_per_second));
                Some((texts_per_second, median(of_list().map(|speed| speed.single_milliseconds))))
            };
            let contestant = |contestant: &Contestant| {
                let (texts_per_second, single_milliseconds) = speeds(*contestant)?;
                let peer = contestant.peer().and_then(speeds);
                Some(ContestantReport {
                    name: contestant.name(),
                    texts_per_second,
                    single_milliseconds,
                    ratio_to_peer: peer.map(|(peer, _)| texts_per_second / peer),
                })
            };
            let contestants = contestants.iter().filter_map(contestant).collect();
            ListReport { name: list.name, texts: list.texts.len(), tokens: list.tokens, contestants }
        };
        Self { rounds, threads, lists: lists.iter().map(list).collect() }
    }

    /// The report as a table per list.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} threads each; medians of {} rounds\n", self.threads, self.rounds);
        for list in &self.lists {
            let rows = list.contestants.iter().map(|contestant| {
                [
                    contestant.name.clone(),
                    format!("{:.0}", contestant.texts_per_second),
                    format!("{:.2}", contestant.single_milliseconds),
                    contestant.ratio_to_peer.map_or_else(String::new, |ratio| format!("{ratio:.1}x")),
                ]
            });
            let table = table(["", "texts/s", "one text, ms", "to the peer"], rows);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n{}: {} texts of {:.1} tokens\n{table}", list.name, list.texts, list.tokens);
        }
        text
    }
}
