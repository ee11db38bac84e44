//! The four servers that the pipeline needs, and the form of their addresses.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the four servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    Kafka,
    /// The projections, their checkpoints, the outbox.
    Postgres,
    /// Published views and caches.
    Redis,
    Elasticsearch,
}

impl Server {
    /// Every server, in the order in which tables show them.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Postgres, Self::Redis, Self::Elasticsearch];

    /// The lower-case name used for directories, log files and Compose services.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Elasticsearch => "elasticsearch",
        }
    }

    /// The environment variable that gives the server's address.
    #[must_use]
    pub const fn environment_variable(self) -> &'static str {
        match self {
            Self::Kafka => "KAFKA_BOOTSTRAP_SERVERS",
            Self::Postgres => "POSTGRES_URL",
            Self::Redis => "REDIS_URL",
            Self::Elasticsearch => "ELASTICSEARCH_URL",
        }
    }

    #[must_use]
    pub const fn well_known_port(self) -> u16 {
        match self {
            Self::Kafka => 9092,
            Self::Postgres => 5432,
            Self::Redis => 6379,
            Self::Elasticsearch => 9200,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Addresses of the four servers. `Debug` hides the Postgres and Redis passwords.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// `host:port`, several separated by commas.
    pub kafka: String,
    /// `postgres://user[:password]@host:port`, without a database.
    pub postgres: String,
    /// `redis://[:password@]host:port`, without a database number.
    pub redis: String,
    /// `http://host:port`, without a trailing slash.
    pub elasticsearch: String,
}

impl Addresses {
    /// The address of one server, password included.
    #[must_use]
    pub fn get(&self, server: Server) -> &str {
        match server {
            Server::Kafka => &self.kafka,
            Server::Postgres => &self.postgres,
            Server::Redis => &self.redis,
            Server::Elasticsearch => &self.elasticsearch,
        }
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Addresses");
        for server in Server::ALL {
            shown.field(server.name(), &without_password(self.get(server)));
        }
        shown.finish()
    }
}

/// `address` with the password of its user part, if any, replaced by `***`.
#[must_use]
pub fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let Some((credentials, host)) = rest.rsplit_once('@') else {
        return address.to_owned();
    };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
        None => address.to_owned(),
    }
}

/// An address in the environment has the wrong form.
#[derive(Debug, thiserror::Error)]
#[error("{variable}={value} is not of the form {expected}")]
pub struct AddressError {
    variable: &'static str,
    /// The value, without its password.
    value: String,
    expected: &'static str,
}

/// Reads the address of `server` from the value of its environment variable.
///
/// # Errors
/// When it is not of the form that [`Addresses`] documents; the message hides passwords.
pub(crate) fn parse_address(server: Server, value: &str) -> Result<String, AddressError> {
    let value = value.trim().trim_end_matches('/');
    let invalid = |expected: &'static str| AddressError {
        variable: server.environment_variable(),
        value: without_password(value),
        expected,
    };
    match server {
        Server::Kafka => {
            let is_host_and_port = |entry: &str| {
                entry
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok())
            };
            if !value.split(',').all(is_host_and_port) {
                return Err(invalid("host:port, several separated by commas"));
            }
        }
        Server::Postgres => check_url(value, &["postgres", "postgresql"])
            .ok_or_else(|| invalid("postgres://user[:password]@host[:port] without a database"))?,
        Server::Redis => check_url(value, &["redis"])
            .ok_or_else(|| invalid("redis://[:password@]host[:port] without a database number, without TLS"))?,
        Server::Elasticsearch => {
            check_url(value, &["http"]).ok_or_else(|| invalid("http://host:port without a path, without TLS"))?;
        }
    }
    Ok(value.to_owned())
}

fn check_url(value: &str, schemes: &[&str]) -> Option<()> {
    let (scheme, rest) = value.split_once("://")?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    (schemes.contains(&scheme) && !host.is_empty() && !host.contains(['/', '?'])).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_passwords() {
        let addresses = Addresses {
            kafka: "127.0.0.1:9092".into(),
            postgres: "postgres://shop:hunter2@127.0.0.1:5432".into(),
            redis: "redis://:hunter2@127.0.0.1:6379".into(),
            elasticsearch: "http://127.0.0.1:9200".into(),
        };
        let shown = format!("{addresses:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("postgres://shop:***@127.0.0.1:5432"), "{shown}");
    }

    #[test]
    fn addresses_are_checked_for_their_shape() {
        let good = [
            (Server::Kafka, "a:9092,b.example:9093"),
            (Server::Postgres, "postgres://shop@db:5432"),
            (Server::Postgres, "postgresql://shop:p%40ss@db/"),
            (Server::Redis, "redis://cache:6379"),
            (Server::Elasticsearch, "http://search:9200/"),
        ];
        for (server, value) in good {
            assert!(parse_address(server, value).is_ok(), "{server}: {value}");
        }
        let bad = [
            (Server::Kafka, "kafka"),
            (Server::Kafka, "http://kafka:9092"),
            (Server::Kafka, ""),
            (Server::Postgres, "postgres://shop@db:5432/shop"),
            (Server::Postgres, "mysql://shop@db:5432"),
            (Server::Redis, "redis://cache:6379/1"),
            (Server::Redis, "rediss://cache:6379"),
            (Server::Elasticsearch, "https://search:9200"),
            (Server::Elasticsearch, "search:9200"),
        ];
        for (server, value) in bad {
            assert!(parse_address(server, value).is_err(), "{server}: {value}");
        }
    }

    #[test]
    fn a_refused_address_does_not_show_its_password() {
        let error = parse_address(Server::Postgres, "postgres://shop:hunter2@db/shop").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
