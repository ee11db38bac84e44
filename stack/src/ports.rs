//! Ports of the servers: the default ones if they are free, and the same ones from then on.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use jangbogo_platform::servers::Server;

use crate::error::StackError;

/// A port that a server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Clients(Server),
    KafkaController,
    ElasticsearchTransport,
}

impl Listener {
    /// The listeners of `server`, its clients' first.
    pub(crate) fn for_server(server: Server) -> impl Iterator<Item = Self> {
        let second = match server {
            Server::Kafka => Some(Self::KafkaController),
            Server::Elasticsearch => Some(Self::ElasticsearchTransport),
            Server::Postgres | Server::Redis => None,
        };
        std::iter::once(Self::Clients(server)).chain(second)
    }

    /// Name in the state file.
    const fn name(self) -> &'static str {
        match self {
            Self::Clients(server) => server.name(),
            Self::KafkaController => "kafka-controller",
            Self::ElasticsearchTransport => "elasticsearch-transport",
        }
    }

    const fn well_known_port(self) -> u16 {
        match self {
            Self::Clients(server) => server.well_known_port(),
            Self::KafkaController => 9093,
            Self::ElasticsearchTransport => 9300,
        }
    }

    /// The chosen port, else the default one.
    pub(crate) fn port(self, chosen: &BTreeMap<String, u16>) -> u16 {
        chosen.get(self.name()).copied().unwrap_or(self.well_known_port())
    }
}

/// Chooses the ports of a server that is about to start, and saves them in `chosen`.
///
/// `fixed` is the requested port; without it the first free one of the last port, the default port and any port is
/// chosen.
///
/// # Errors
/// When the requested port, or all ports, are in use.
pub(crate) fn choose(server: Server, fixed: Option<u16>, chosen: &mut BTreeMap<String, u16>) -> Result<(), StackError> {
    for listener in Listener::for_server(server) {
        let port = match (listener, fixed) {
            (Listener::Clients(_), Some(port)) => {
                if !is_free(port) {
                    return Err(StackError::PortTaken { server, port });
                }
                port
            }
            _ => choose_one(listener, chosen)
                .ok_or(StackError::PortTaken { server, port: listener.well_known_port() })?,
        };
        chosen.insert(listener.name().to_owned(), port);
    }
    Ok(())
}

const TRIES: usize = 100;

fn choose_one(listener: Listener, chosen: &BTreeMap<String, u16>) -> Option<u16> {
    let belongs_to_another = |port: u16| chosen.iter().any(|(name, taken)| *taken == port && name != listener.name());
    let remembered = chosen.get(listener.name()).copied();
    let preferred = remembered.into_iter().chain([listener.well_known_port()]);
    for port in preferred {
        if is_free(port) && !belongs_to_another(port) {
            return Some(port);
        }
    }
    (0..TRIES).filter_map(|_| any_free()).find(|port| !belongs_to_another(*port))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Below the ephemeral ports, so that no outgoing connection takes the port of a restarting server.
const FREE_PORTS: std::ops::Range<u16> = 20_000..30_000;

fn any_free() -> Option<u16> {
    let random = RandomState::new().hash_one(std::process::id());
    let port = FREE_PORTS.start + u16::try_from(random % u64::from(FREE_PORTS.end - FREE_PORTS.start)).ok()?;
    is_free(port).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occupied() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn the_port_of_last_time_is_kept_while_it_is_free() {
        let (occupant, port) = occupied();
        drop(occupant);
        let mut chosen = BTreeMap::from([("redis".to_owned(), port)]);
        choose(Server::Redis, None, &mut chosen).unwrap();
        assert_eq!(Listener::Clients(Server::Redis).port(&chosen), port);
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let (_occupant, port) = occupied();
        let mut chosen = BTreeMap::from([("redis".to_owned(), port)]);
        choose(Server::Redis, None, &mut chosen).unwrap();
        let replacement = Listener::Clients(Server::Redis).port(&chosen);
        assert_ne!(replacement, port);
    }

    #[test]
    fn a_requested_port_is_used_or_refused_by_number() {
        let (occupant, port) = occupied();
        let mut chosen = BTreeMap::new();
        let error = choose(Server::Redis, Some(port), &mut chosen).unwrap_err();
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        drop(occupant);
        choose(Server::Redis, Some(port), &mut chosen).unwrap();
        assert_eq!(Listener::Clients(Server::Redis).port(&chosen), port);
    }

    #[test]
    fn every_listener_of_a_server_gets_a_port_of_its_own() {
        let mut chosen = BTreeMap::new();
        for server in Server::ALL {
            choose(server, None, &mut chosen).unwrap();
        }
        let ports: std::collections::BTreeSet<u16> = chosen.values().copied().collect();
        assert_eq!(ports.len(), 6);
    }
}
