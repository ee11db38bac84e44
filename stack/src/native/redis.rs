//! Redis 7, from the machine's own package.

use std::fmt::Write;
use std::path::PathBuf;

use jangbogo_platform::progress::Progress;
use jangbogo_platform::servers::Server;
use tokio::process::Command;

use super::Native;
use crate::error::StackError;
use crate::process::Launch;
use crate::tools::{self, find_on_path};
use crate::{command, files};

/// Settings that `docker-compose.yml` has too; a test compares them.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("databases", "16"),
    ("appendonly", "no"),
    ("save", "900 1"),
    ("maxmemory", "1gb"),
    // Views have no time to live and are never evicted; caches have one.
    ("maxmemory-policy", "volatile-lru"),
];

/// The server: on the PATH, or under the name that Debian's `redis-tools` gives the same program.
pub(super) fn program(native: &Native) -> Option<PathBuf> {
    let link = native.software(Server::Redis).join("redis-server");
    find_on_path("redis-server").or_else(|| link.is_file().then_some(link))
}

/// Installs Debian's `redis-tools`, which holds the server without starting it as a service of the machine.
pub(super) async fn install(native: &Native, progress: &Progress) -> Result<(), StackError> {
    if find_on_path("redis-check-rdb").is_none() {
        let purpose = "installing redis-tools";
        let mut attempt = apt_get(&["install", "--yes", "--no-install-recommends", "redis-tools"]);
        if command::run(purpose, &mut attempt, |_| {}).await.is_err() {
            progress.begin("updating the list of packages", 0);
            command::run(purpose, &mut apt_get(&["update"]), |_| {}).await?;
            command::run(purpose, &mut attempt, |_| {}).await?;
        }
    }
    let program = find_on_path("redis-check-rdb").ok_or_else(tools::no_redis)?;
    let directory = native.software(Server::Redis);
    files::create_directory(&directory)?;
    files::link(&program, &directory.join("redis-server"))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    command
}

pub(super) fn configuration_file(native: &Native) -> PathBuf {
    native.layout.configuration(Server::Redis).join("redis.conf")
}

pub(super) fn prepare(native: &Native) -> Result<Launch, StackError> {
    let configuration = configuration_file(native);
    files::write_atomically(&configuration, &redis_conf(native), 0o644)?;
    Ok(Launch {
        program: program(native).ok_or_else(tools::no_redis)?,
        arguments: vec![configuration.into()],
        environment: Vec::new(),
        working_directory: native.layout.temporary(Server::Redis),
        ends_when_started: false,
    })
}

fn redis_conf(native: &Native) -> String {
    let mut text = String::from("# Written by `jangbogo stack`; changes are overwritten.\n");
    for (name, value) in SETTINGS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} {value}");
    }
    let _ = write!(
        text,
        "bind 127.0.0.1\nport {}\ndir \"{}\"\ndaemonize no\nshutdown-on-sigterm save\n\
         # The command line stays as it was, so that this process can be recognised.\nset-proc-title no\n",
        native.port(Server::Redis),
        native.layout.data(Server::Redis).display()
    );
    text
}
