//! Kafka: a single node that is broker and controller (`KRaft`).

use std::ffi::OsString;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jangbogo_platform::progress::Progress;
use jangbogo_platform::servers::Server;

use super::{Native, data_property};
use crate::error::StackError;
use crate::files::{self, FileErrors};
use crate::install::{self, Installation};
use crate::ports::Listener;
use crate::process::Launch;
use crate::versions::{VERSIONS, verify_directory};
use crate::{command, tools};

/// Settings that `docker-compose.yml` has too; a test compares them.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    // Topics come from topology.toml alone.
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "8"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "8"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "3000"),
    // After a kill the node waits for the timeout of its former session (9 s by default) before it serves again.
    ("broker.session.timeout.ms", "5000"),
    ("broker.heartbeat.interval.ms", "1000"),
    // 9 MiB: a dead letter of 8 MiB and its headers.
    ("message.max.bytes", "9437184"),
    ("replica.fetch.max.bytes", "9437184"),
    ("log.retention.ms", "-1"),
    ("log.retention.bytes", "-1"),
    // The default takes a quarter of this heap.
    ("log.cleaner.dedupe.buffer.size", "16777216"),
];

const JAVA_OPTIONS: &[&str] = &["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC"];

const LOG_SETTINGS: &str = "\
log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %m (%c)%n
";

pub(super) async fn install(native: &Native, progress: &Progress) -> Result<(), StackError> {
    let pinned = &VERSIONS.kafka;
    let software = native.layout.software();
    let installation = Installation::begin(&software, &format!("kafka-{}", pinned.version))?;
    let pom = installation.workspace().join("pom.xml");
    let (version, scala, slf4j) = (&pinned.version, &pinned.scala, &pinned.slf4j);
    let description = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>jangbogo</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>\
         <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_{scala}</artifactId>\
         <version>{version}</version></dependency>\
         <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId>\
         <version>{slf4j}</version></dependency></dependencies></project>\n"
    );
    std::fs::write(&pom, description).or_file_error("write", &pom)?;
    let jars = installation.content().join("lib");
    install::copy_dependencies(&pom, &jars, progress).await?;
    let verified = jars.clone();
    install::blocking(&jars, move || verify_directory(&verified, &pinned.jars_sha256)).await?;
    installation.finish()
}

/// Writes the configuration and, the first time, formats the data directory.
pub(super) async fn prepare(native: &Native) -> Result<Launch, StackError> {
    let java_home = tools::java_home().ok_or_else(tools::no_java)?;
    let configuration = native.layout.configuration(Server::Kafka);
    let properties = configuration.join("server.properties");
    let log_settings = configuration.join("log4j.properties");
    files::write_atomically(&properties, &server_properties(native), 0o644)?;
    files::write_atomically(&log_settings, LOG_SETTINGS, 0o644)?;
    let mut java: Vec<OsString> = JAVA_OPTIONS.iter().map(OsString::from).collect();
    java.push("-cp".into());
    java.push(native.software(Server::Kafka).join("lib/*").into());
    let temporary = native.layout.temporary(Server::Kafka);
    java.push(format!("-Djava.io.tmpdir={}", temporary.display()).into());
    java.push(format!("-Dlog4j.configuration=file:{}", log_settings.display()).into());
    let program = java_home.join("bin/java");

    let data = native.layout.data(Server::Kafka);
    if !data.join("meta.properties").exists() {
        let cluster_id = URL_SAFE_NO_PAD.encode(uuid::Uuid::now_v7().as_bytes());
        let mut format = native.command(&program);
        format.args(&java).args(["kafka.tools.StorageTool", "format", "-t", &cluster_id, "-c"]);
        format.arg(&properties);
        command::run("formatting kafka's data directory", &mut format, |_| {}).await?;
    }

    let mut arguments = java;
    arguments.push(data_property(&data).into());
    arguments.push("kafka.Kafka".into());
    arguments.push(properties.into());
    Ok(Launch { program, arguments, environment: Vec::new(), working_directory: temporary, ends_when_started: false })
}

fn server_properties(native: &Native) -> String {
    let port = native.port(Server::Kafka);
    let controller = Listener::KafkaController.port(&native.ports);
    let data = native.layout.data(Server::Kafka);
    let mut text = String::from("# Written by `jangbogo stack`; changes are overwritten.\n");
    for (name, value) in SETTINGS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    let _ = write!(
        text,
        "controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={}\n",
        data.display()
    );
    text
}
