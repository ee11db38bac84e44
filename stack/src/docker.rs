//! Servers as containers of `docker-compose.yml`, if a Docker engine is available.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jangbogo_platform::progress::ProgressReporter;
use jangbogo_platform::servers::Server;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::error::StackError;
use crate::ports::Listener;
use crate::{command, files};

const COMPOSE: &str = include_str!("../../docker-compose.yml");

/// The containers of one stack directory.
#[derive(Debug)]
pub(crate) struct Docker {
    compose_file: PathBuf,
    environment_file: PathBuf,
    /// Prefix of containers and volumes, so that stack directories do not share them.
    project: String,
}

impl Docker {
    pub(crate) fn new(directory: &Path) -> Self {
        let digest = hex::encode(Sha256::digest(directory.as_os_str().as_encoded_bytes()));
        Self {
            compose_file: directory.join("docker-compose.yml"),
            environment_file: directory.join("docker.env"),
            project: format!("jangbogo-{}", &digest[..8]),
        }
    }

    /// True if an engine answers and the client has the compose plugin.
    pub(crate) async fn is_available() -> bool {
        const LIMIT: Duration = Duration::from_secs(5);
        for arguments in [["info", "--format={{.ServerVersion}}"], ["compose", "version"]] {
            let mut docker = Command::new("docker");
            docker.args(arguments).kill_on_drop(true).stdin(Stdio::null());
            docker.stdout(Stdio::null()).stderr(Stdio::null());
            let status = tokio::time::timeout(LIMIT, docker.status()).await;
            if !status.is_ok_and(|status| status.is_ok_and(|status| status.success())) {
                return false;
            }
        }
        true
    }

    /// Starts the stopped containers of `servers` and waits until all are healthy.
    pub(crate) async fn up(
        &self,
        servers: &[Server],
        ports: &BTreeMap<String, u16>,
        postgres_password: &str,
        progress: &ProgressReporter,
    ) -> Result<(), StackError> {
        files::write_atomically(&self.compose_file, COMPOSE, 0o644)?;
        let environment = environment(ports, postgres_password);
        files::write_atomically(&self.environment_file, &environment, 0o600)?;
        let mut compose = self.compose();
        compose.args(["up", "--detach", "--build", "--wait", "--wait-timeout=180"]);
        compose.args(servers.iter().map(|server| server.name()));
        command::run("starting the containers", &mut compose, |line| progress.note(line)).await?;
        Ok(())
    }

    /// The servers whose containers run.
    pub(crate) async fn running(&self) -> Result<Vec<Server>, StackError> {
        if !self.compose_file.exists() {
            return Ok(Vec::new());
        }
        let mut compose = self.compose();
        compose.args(["ps", "--services", "--status=running"]);
        let output = command::run("listing the containers", &mut compose, |_| {}).await?;
        let names: Vec<&str> = output.lines().map(str::trim).collect();
        Ok(Server::ALL.into_iter().filter(|server| names.contains(&server.name())).collect())
    }

    /// Stops the containers, keeping their volumes.
    pub(crate) async fn stop(&self) -> Result<(), StackError> {
        let mut compose = self.compose();
        compose.args(["stop", "--timeout=6"]);
        command::run("stopping the containers", &mut compose, |_| {}).await?;
        Ok(())
    }

    fn compose(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.args(["compose", "--project-name", &self.project]);
        docker.arg("--file").arg(&self.compose_file);
        docker.arg("--env-file").arg(&self.environment_file);
        docker
    }
}

/// Values of the variables in `docker-compose.yml`.
fn environment(ports: &BTreeMap<String, u16>, postgres_password: &str) -> String {
    let mut lines = vec![format!("POSTGRES_PASSWORD={postgres_password}")];
    for server in Server::ALL {
        let port = Listener::Clients(server).port(ports);
        lines.push(format!("{}_PORT={port}", server.name().to_uppercase()));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::settings;
    use crate::versions::VERSIONS;

    /// The lines of one service of the compose file.
    fn service(server: Server) -> Vec<&'static str> {
        let heading = format!("  {}:", server.name());
        COMPOSE
            .lines()
            .skip_while(|line| *line != heading)
            .skip(1)
            .take_while(|line| line.starts_with("    ") || line.trim().is_empty())
            .map(str::trim)
            .collect()
    }

    #[test]
    fn containers_have_the_settings_of_native_servers() {
        let expected = settings::KAFKA
            .iter()
            .map(|(name, value)| {
                let variable = name.to_uppercase().replace('.', "_");
                (Server::Kafka, format!("KAFKA_{variable}: \"{value}\""))
            })
            .chain(settings::POSTGRES.iter().map(|(name, value)| (Server::Postgres, format!("- {name}={value}"))))
            .chain(settings::REDIS.iter().map(|(name, value)| (Server::Redis, format!("- \"{value}\" # --{name}"))))
            .chain(
                settings::ELASTICSEARCH
                    .iter()
                    .map(|(name, value)| (Server::Elasticsearch, format!("{name}: \"{value}\""))),
            );
        for (server, line) in expected {
            assert!(service(server).contains(&line.as_str()), "{server} lacks {line}");
        }
    }

    #[test]
    fn containers_have_the_versions_of_native_servers() {
        let expected = [
            (Server::Kafka, format!("image: apache/kafka:{}", VERSIONS.kafka.version)),
            (Server::Postgres, "image: pgvector/pgvector:pg16".to_owned()),
            (Server::Redis, "image: redis:7".to_owned()),
            (Server::Elasticsearch, format!("FROM elasticsearch:{}", VERSIONS.elasticsearch.version)),
        ];
        for (server, line) in expected {
            assert!(service(server).contains(&line.as_str()), "{server} lacks {line}");
        }
    }

    #[test]
    fn containers_listen_on_the_loopback_interface_only() {
        for server in Server::ALL {
            let lines = service(server);
            let ports = lines.iter().skip_while(|line| **line != "ports:").nth(1).unwrap();
            let variable = format!("{}_PORT", server.name().to_uppercase());
            let default = server.well_known_port();
            let expected = format!("- \"127.0.0.1:${{{variable}:-{default}}}:{default}\"");
            assert_eq!(*ports, expected);
        }
    }

    #[test]
    fn the_environment_file_gives_every_open_value() {
        let given = environment(&BTreeMap::new(), "secret");
        for (index, _) in COMPOSE.match_indices("${") {
            let name: String =
                COMPOSE[index + 2..].chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            assert!(given.contains(&format!("{name}=")), "{name} is not given");
        }
    }

    #[tokio::test]
    #[ignore = "needs docker with the compose plugin"]
    async fn the_compose_client_accepts_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let docker = Docker::new(directory.path());
        std::fs::write(&docker.compose_file, COMPOSE).unwrap();
        let values = environment(&BTreeMap::new(), "secret");
        std::fs::write(&docker.environment_file, values).unwrap();
        let mut compose = docker.compose();
        compose.args(["config", "--quiet"]);
        command::run("checking the compose file", &mut compose, |_| {}).await.unwrap();
    }
}
