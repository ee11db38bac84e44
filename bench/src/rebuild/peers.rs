//! Other stream processors: built from `bench/peers` by their own tools, and run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::Executor as _;
use tokio::process::Command;
use uuid::Uuid;

use super::contestant::Contestant;
use super::log::remove_topics_of;
use super::process::{Ended, run};
use super::rows::TABLES;
use crate::limits::create_tables;
use crate::shop::{Shop, sibling};
use crate::tools::{finished, python};

/// Schema of a peer's tables.
pub const SCHEMA: &str = "peer";
/// Directory of the peers' sources.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// The peers' programs, built next to this one.
pub struct Peers {
    folder: PathBuf,
}

impl Peers {
    /// Builds the selected peers; downloads missing dependencies.
    pub async fn build(contestants: &[Contestant]) -> anyhow::Result<Self> {
        let folder = sibling("peers")?;
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let peers = Self { folder };
        let competes = |peers: &[Contestant]| peers.iter().any(|peer| contestants.contains(peer));
        if competes(&[Contestant::KafkaStreams, Contestant::KafkaStreamsTransactional]) {
            peers.build_kafka_streams().await.context("cannot build the Kafka Streams peer")?;
        }
        if competes(&[Contestant::QuixStreams]) {
            peers.build_quix_streams().await.context("cannot install the Quix Streams peer")?;
        }
        Ok(peers)
    }

    async fn build_kafka_streams(&self) -> anyhow::Result<()> {
        let mut maven = Command::new("mvn");
        maven.args(["--quiet", "--batch-mode", "package", "dependency:copy-dependencies"]);
        maven.arg("--file").arg(Path::new(SOURCES).join("kafka-streams"));
        maven.arg(format!("-Dpeer.target={}", self.folder.join("kafka-streams").display()));
        finished(&mut maven).await
    }

    async fn build_quix_streams(&self) -> anyhow::Result<()> {
        let requirements = Path::new(SOURCES).join("quix-streams/requirements.txt");
        python(&self.folder.join("quix-streams"), &requirements).await.map(drop)
    }

    /// Runs a peer that fills tables of an empty database from the beginning of the log.
    pub async fn run(&self, shop: &Shop, peer: Contestant, limit: Duration) -> anyhow::Result<Ended> {
        let mut database = shop.database().await?;
        create_tables(&mut database, SCHEMA, TABLES).await?;
        // Table of offsets for peers that commit them with their sums.
        let offsets = format!(
            "CREATE TABLE {SCHEMA}.peer_offset (topic_partition text PRIMARY KEY, next_offset bigint NOT NULL)"
        );
        database.execute(sqlx::raw_sql(&offsets)).await.context("cannot create a table")?;
        let state = tempfile::tempdir_in(&self.folder).context("cannot create a folder for its state")?;
        let group = shop.connections.namespace.group(&format!("{}-{}", peer.name(), Uuid::now_v7().simple()));
        let mut command = self.command(shop, peer)?;
        command
            .env("PEER_DATABASE", shop.connections.namespace.database())
            .env("PEER_SCHEMA", SCHEMA)
            .env("PEER_GROUP", &group)
            .env("PEER_STATE", state.path());
        let ended = run(&mut command, limit).await;
        let removed = remove_topics_of(&shop.connections, &group).await;
        let ended = ended?;
        removed?;
        Ok(ended)
    }

    fn command(&self, shop: &Shop, peer: Contestant) -> anyhow::Result<Command> {
        match peer {
            Contestant::KafkaStreams | Contestant::KafkaStreamsTransactional => {
                let folder = self.folder.join("kafka-streams");
                let mut command = shop.command("java".into());
                command.arg("-Xmx3g").arg("-cp");
                command.arg(format!("{0}/peer.jar:{0}/dependency/*", folder.display()));
                let main = if peer == Contestant::KafkaStreams { "GroupedPeer" } else { "TransactionalPeer" };
                command.arg(format!("bench.{main}"));
                Ok(command)
            }
            Contestant::QuixStreams => {
                let mut command = shop.command(self.folder.join("quix-streams/bin/python"));
                command.arg(Path::new(SOURCES).join("quix-streams/peer.py"));
                Ok(command)
            }
            other => bail!("{} is not a peer", other.name()),
        }
    }
}
