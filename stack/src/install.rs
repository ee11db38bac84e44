//! Downloads software with the clients of its package registries, and unpacks it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jangbogo_platform::progress::Progress;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::command;
use crate::error::StackError;
use crate::files::{self, FileErrors, megabytes};
use crate::versions::{self, VERSIONS};

const SMALLEST_SIZE_SHOWN: u64 = 1_000_000;
const INCOMPLETE_PREFIX: &str = ".incomplete-";

/// Serialises Maven processes, which share a local repository.
static MAVEN: Mutex<()> = Mutex::const_new(());

/// A temporary directory that atomically becomes `<software>/<name>`.
#[derive(Debug)]
pub(crate) struct Installation {
    temporary: tempfile::TempDir,
    target: PathBuf,
}

impl Installation {
    pub(crate) fn begin(software: &Path, name: &str) -> Result<Self, StackError> {
        let temporary = tempfile::Builder::new()
            .prefix(INCOMPLETE_PREFIX)
            .tempdir_in(software)
            .or_file_error("create a directory in", software)?;
        files::create_directory(&temporary.path().join("content"))?;
        Ok(Self { temporary, target: software.join(name) })
    }

    pub(crate) fn content(&self) -> PathBuf {
        self.temporary.path().join("content")
    }

    pub(crate) fn workspace(&self) -> &Path {
        self.temporary.path()
    }

    /// Moves the content to its place, readable for every user.
    pub(crate) fn finish(self) -> Result<(), StackError> {
        let content = self.content();
        files::make_readable(&content)?;
        std::fs::rename(&content, &self.target).or_file_error("create", &self.target)
    }
}

/// Deletes remains of interrupted installations. The caller holds the lock, so none is in progress.
pub(crate) fn remove_incomplete(software: &Path) -> Result<(), StackError> {
    for entry in std::fs::read_dir(software).or_file_error("list", software)? {
        let entry = entry.or_file_error("list", software)?;
        if entry.file_name().to_string_lossy().starts_with(INCOMPLETE_PREFIX) {
            files::remove_directory(&entry.path())?;
        }
    }
    Ok(())
}

/// Copies one file from Maven Central, given as `group:artifact:version[:type]`, into `directory`.
pub(crate) async fn copy_artifact(artifact: &str, directory: &Path, progress: &Progress) -> Result<(), StackError> {
    let mut maven = maven("copy");
    maven
        .arg(format!("-Dartifact={artifact}"))
        .arg(format!("-DoutputDirectory={}", directory.display()))
        .current_dir(directory);
    run_maven(&format!("fetching {artifact}"), maven, progress).await
}

/// Copies all dependencies of the project description `pom` into `directory`.
pub(crate) async fn copy_dependencies(pom: &Path, directory: &Path, progress: &Progress) -> Result<(), StackError> {
    let mut maven = maven("copy-dependencies");
    maven.arg("-f").arg(pom).arg(format!("-DoutputDirectory={}", directory.display()));
    run_maven("fetching the dependencies of kafka", maven, progress).await
}

fn maven(goal: &str) -> Command {
    let mut command = Command::new("mvn");
    command
        .arg("--batch-mode")
        .arg(format!("org.apache.maven.plugins:maven-dependency-plugin:{}:{goal}", VERSIONS.maven_dependency_plugin));
    command
}

async fn run_maven(purpose: &str, mut maven: Command, progress: &Progress) -> Result<(), StackError> {
    let _turn = MAVEN.lock().await;
    let downloaded = AtomicU64::new(0);
    command::run(purpose, &mut maven, |line| {
        if let Some(bytes) = downloaded_bytes(line) {
            let total = downloaded.fetch_add(bytes, Ordering::Relaxed) + bytes;
            if total >= SMALLEST_SIZE_SHOWN {
                progress.detail(&format!("downloaded {}", megabytes(total)));
            }
        }
    })
    .await?;
    Ok(())
}

/// The size in Maven's `Downloaded from central: <address> (6.7 MB at 15 MB/s)`.
fn downloaded_bytes(line: &str) -> Option<u64> {
    let (_, sizes) = line.split_once("Downloaded from ")?.1.rsplit_once('(')?;
    let mut words = sizes.split_whitespace();
    let number = words.next()?;
    let unit: u64 = match words.next()? {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    Some(whole.parse::<u64>().ok()? * unit + tenths.parse::<u64>().ok()? * unit / 10)
}

/// Unpacks the files of a zip archive whose path `select` maps to a path below `directory`.
pub(crate) async fn unzip(
    archive: PathBuf,
    directory: PathBuf,
    select: fn(&Path) -> Option<PathBuf>,
) -> Result<(), StackError> {
    blocking(&archive.clone(), move || {
        let file = File::open(&archive).or_file_error("read", &archive)?;
        unzip_now(file, &directory, select).map_err(std::io::Error::other).or_file_error("unpack", &archive)
    })
    .await
}

fn unzip_now(file: File, directory: &Path, select: fn(&Path) -> Option<PathBuf>) -> zip::result::ZipResult<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut archive = zip::ZipArchive::new(file)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let target = entry.enclosed_name().and_then(|name| select(&name));
        let Some(target) = target.map(|target| directory.join(target)) else {
            continue;
        };
        if entry.is_dir() {
            std::fs::create_dir_all(&target)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::io::copy(&mut entry, &mut File::create(&target)?)?;
        if let Some(mode) = entry.unix_mode() {
            let permissions = std::fs::Permissions::from_mode(mode & 0o777);
            std::fs::set_permissions(&target, permissions)?;
        }
    }
    Ok(())
}

/// Checks `file` against its pinned checksum.
pub(crate) async fn verify_file(file: PathBuf, sha256: &'static str) -> Result<(), StackError> {
    blocking(&file.clone(), move || versions::verify_file(&file, sha256)).await
}

/// Runs blocking work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).or_file_error("process", path)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_maven_reports_are_read() {
        let line = "[INFO] Downloaded from central: https://example.org/a.jar (6.7 MB at 15 MB/s)";
        assert_eq!(downloaded_bytes(line), Some(6_700_000));
        let line = "[INFO] Downloaded from mirror: https://example.org/a(1).pom (151 kB at 459 kB/s)";
        assert_eq!(downloaded_bytes(line), Some(151_000));
        assert_eq!(downloaded_bytes("[INFO] Downloading from central: https://a/b"), None);
        assert_eq!(downloaded_bytes("[INFO] BUILD SUCCESS"), None);
    }

    #[test]
    fn an_interrupted_installation_does_not_count() {
        let software = tempfile::tempdir().unwrap();
        let installation = Installation::begin(software.path(), "tool-1").unwrap();
        std::fs::write(installation.content().join("half"), "").unwrap();
        // As after a SIGKILL: the directory stays.
        let left = installation.temporary.keep();
        assert!(left.exists());
        assert!(!software.path().join("tool-1").exists());
        remove_incomplete(software.path()).unwrap();
        assert!(!left.exists());

        let installation = Installation::begin(software.path(), "tool-1").unwrap();
        std::fs::write(installation.content().join("whole"), "").unwrap();
        installation.finish().unwrap();
        assert!(software.path().join("tool-1/whole").exists());
        assert_eq!(std::fs::read_dir(software.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn unpacking_keeps_what_is_selected_and_its_mode() {
        use std::io::Write;
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("a.zip");
        let mut writer = zip::ZipWriter::new(File::create(&archive).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file("top/bin/run", options.unix_permissions(0o755)).unwrap();
        writer.write_all(b"#!").unwrap();
        writer.start_file("other/file", options).unwrap();
        writer.start_file("../escape", options).unwrap();
        writer.finish().unwrap();
        let target = directory.path().join("out");
        let select: fn(&Path) -> Option<PathBuf> = |path| Some(path.strip_prefix("top").ok()?.to_owned());
        unzip(archive, target.clone(), select).await.unwrap();
        let mode = std::fs::metadata(target.join("bin/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
        assert!(!directory.path().join("escape").exists());
    }
}
