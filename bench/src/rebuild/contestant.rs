//! Who competes.

use clap::ValueEnum;
use serde::Serialize;

/// One way to the tables, or a limit of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// A bare consumer of the order topics
    Consumer,
    /// COPY of the same rows into tables with their keys and indexes
    Copy,
    /// COPY of the same rows, then keys and indexes
    CopyIndexesLast,
    /// Kafka Streams: sums grouped in its own state stores, exactly once
    KafkaStreams,
    /// Kafka Streams: sums added up in Postgres, with the offsets in the same transaction
    KafkaStreamsTransactional,
    /// Quix Streams: sums added up in Postgres, with the offsets in the same transaction
    QuixStreams,
    /// `replay rebuild analytics`
    Analytics,
    /// `replay rebuild recommendation`, which has co-purchase
    Recommendation,
}

/// What a contestant's figure is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing on this machine reads the log faster.
    ReadLimit,
    /// Nothing on this machine writes the rows faster; of several, the fastest.
    WriteLimit,
    /// Other stream processors with the same tables.
    Peer,
    /// What is measured.
    Ours,
    /// What is measured, with other tables.
    OursApart,
}

impl Contestant {
    /// As on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// For people.
    pub fn description(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    /// What its figure is good for.
    pub fn role(self) -> Role {
        match self {
            Self::Consumer => Role::ReadLimit,
            Self::Copy | Self::CopyIndexesLast => Role::WriteLimit,
            Self::KafkaStreams | Self::KafkaStreamsTransactional | Self::QuixStreams => Role::Peer,
            Self::Analytics => Role::Ours,
            Self::Recommendation => Role::OursApart,
        }
    }
}
