//! Programs that are compared, and limits of the machine.

use clap::ValueEnum;
use serde::Serialize;

/// A program that fills the tables, or a limit of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// A bare consumer of the order topics
    Consumer,
    /// COPY of the same rows into tables with their keys and indexes
    Copy,
    /// COPY of the same rows, then keys and indexes
    CopyIndexesLast,
    /// Kafka Streams: sums in its own state stores, exactly-once
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

/// Role of a contestant's figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Upper limit of reading on this machine.
    ReadLimit,
    /// Upper limit of writing on this machine; the fastest of several.
    WriteLimit,
    /// Other stream processors with the same tables.
    Peer,
    /// The measured program.
    Ours,
    /// The measured program with other tables.
    OursApart,
}

impl Contestant {
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub fn description(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

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
