//! File helpers whose errors name the path.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::StackError;

/// Adds the path to an error of the operating system.
pub(crate) trait FileErrors<T> {
    fn or_file_error(self, action: &'static str, path: &Path) -> Result<T, StackError>;
}

impl<T> FileErrors<T> for io::Result<T> {
    fn or_file_error(self, action: &'static str, path: &Path) -> Result<T, StackError> {
        self.map_err(|source| StackError::File { action, path: path.to_owned(), source })
    }
}

/// Creates `path` and its missing parents, traversable by other users whatever the umask: servers may run as another
/// user.
pub(crate) fn create_directory(path: &Path) -> Result<(), StackError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|directory| !directory.exists()).collect();
    fs::create_dir_all(path).or_file_error("create", path)?;
    for directory in missing {
        set_mode(directory, 0o755)?;
    }
    Ok(())
}

/// Sets the permission bits of `path`.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), StackError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).or_file_error("change the permissions of", path)
}

/// Replaces a file atomically, with the permission bits `mode`.
pub(crate) fn write_atomically(path: &Path, contents: &str, mode: u32) -> Result<(), StackError> {
    let temporary = path.with_added_extension("new");
    // A leftover of an interrupted run would keep its own mode.
    let _ = fs::remove_file(&temporary);
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&temporary)?;
        // The umask changes the mode above.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(contents.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().or_file_error("write", path)
}

/// Makes everything below `directory` readable by every user of the machine, as its owner can read it.
pub(crate) fn make_readable(directory: &Path) -> Result<(), StackError> {
    let mode = fs::metadata(directory).or_file_error("read", directory)?.permissions().mode();
    set_mode(directory, mode | 0o755)?;
    for entry in fs::read_dir(directory).or_file_error("list", directory)? {
        let path = entry.or_file_error("list", directory)?.path();
        let metadata = fs::symlink_metadata(&path).or_file_error("read", &path)?;
        if metadata.is_dir() {
            make_readable(&path)?;
        } else if metadata.is_file() {
            let mode = metadata.permissions().mode();
            let readable = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
            set_mode(&path, mode | readable)?;
        }
    }
    Ok(())
}

/// Deletes `directory` and everything in it, if it exists.
pub(crate) fn remove_directory(directory: &Path) -> Result<(), StackError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.or_file_error("delete", directory),
    }
}

/// Makes `link` a symbolic link to `target`, replacing a file.
pub(crate) fn link(target: &Path, link: &Path) -> Result<(), StackError> {
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(target, link).or_file_error("create", link)
}

/// A size in megabytes, to a tenth: `24.7 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50_000) / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// The last `count` lines of a text file, or the error.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    const READ_AT_MOST: u64 = 32 * 1024;
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(READ_AT_MOST)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    match read() {
        Ok(bytes) => last_lines_of(&String::from_utf8_lossy(&bytes), count),
        Err(error) => format!("(it cannot be read: {error})"),
    }
}

/// The last `count` lines of `text`, indented.
pub(crate) fn last_lines_of(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(count);
    let shown: Vec<String> = lines[from..].iter().map(|line| format!("  {line}")).collect();
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_a_tenth_of_a_megabyte() {
        assert_eq!(megabytes(24_704_024), "24.7 MB");
        assert_eq!(megabytes(999), "0.0 MB");
        assert_eq!(megabytes(106_971_955), "107.0 MB");
    }

    #[test]
    fn the_last_lines_of_a_log_are_shown() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let text: Vec<String> = (1..=10_000).map(|number| format!("line {number}")).collect();
        fs::write(&log, text.join("\n")).unwrap();
        assert_eq!(last_lines(&log, 2), "  line 9999\n  line 10000");
        assert!(last_lines(&directory.path().join("none"), 2).starts_with("(it cannot be read"));
    }

    #[test]
    fn a_file_is_replaced_with_the_requested_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        fs::write(&path, "old").unwrap();
        write_atomically(&path, "new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_new_directory_is_traversable_and_an_old_one_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("old/new/newer"));
        fs::create_dir(&old).unwrap();
        set_mode(&old, 0o700).unwrap();
        create_directory(&new).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&old), mode(&new)), (0o700, 0o755));
    }

    #[test]
    fn a_private_tree_becomes_readable() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let file = inner.join("program");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
        make_readable(directory.path()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
