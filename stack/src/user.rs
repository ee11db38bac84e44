//! The unprivileged user that runs the servers when the caller is root: Postgres and Elasticsearch refuse to run as
//! root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::process::Command;

use crate::command;
use crate::error::StackError;
use crate::files::FileErrors;

const NAME: &str = "jangbogo";

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub name: String,
    uid: u32,
    gid: u32,
}

impl User {
    /// The user that the servers run as: `None`, the caller, unless that is root.
    pub(crate) async fn for_servers() -> Result<Option<Self>, StackError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if let Some(user) = Self::find(NAME)? {
            return Ok(Some(user));
        }
        let mut useradd = Command::new("useradd");
        useradd.args(["--system", "--user-group", "--no-create-home"]);
        useradd.args(["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", NAME]);
        let created = command::run("creating a user for the servers", &mut useradd, |_| {}).await;
        match Self::find(NAME)? {
            Some(user) => Ok(Some(user)),
            None => created.map(|_| None),
        }
    }

    fn find(name: &str) -> Result<Option<Self>, StackError> {
        let path = Path::new("/etc/passwd");
        let text = std::fs::read_to_string(path).or_file_error("read", path)?;
        Ok(text.lines().find_map(|line| Self::parse(line, name)))
    }

    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        Some(Self { name: name.to_owned(), uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }

    /// Configures `command` to run as this user.
    pub(crate) fn apply_to(&self, command: &mut Command) {
        command
            .uid(self.uid)
            .gid(self.gid)
            .env("HOME", "/nonexistent")
            .env("USER", &self.name)
            .env("LOGNAME", &self.name);
    }

    /// Changes the owner of `directory` and everything below to this user, unless it is already theirs.
    pub(crate) fn own_directory(&self, directory: &Path) -> Result<(), StackError> {
        let metadata = std::fs::metadata(directory).or_file_error("read", directory)?;
        if (metadata.uid(), metadata.gid()) == (self.uid, self.gid) {
            return Ok(());
        }
        self.own(directory)
    }

    /// Changes the owner of `path` and everything below to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), StackError> {
        let metadata = std::fs::symlink_metadata(path).or_file_error("read", path)?;
        if (metadata.uid(), metadata.gid()) != (self.uid, self.gid) {
            std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
                .or_file_error("change the owner of", path)?;
        }
        if !metadata.is_dir() {
            return Ok(());
        }
        for entry in std::fs::read_dir(path).or_file_error("list", path)? {
            self.own(&entry.or_file_error("list", path)?.path())?;
        }
        Ok(())
    }

    /// True if this user may traverse every directory down to `path`.
    pub(crate) fn reaches(&self, path: &Path) -> bool {
        path.ancestors().all(|directory| {
            let Ok(metadata) = std::fs::metadata(directory) else {
                // A missing directory will be created traversable.
                return true;
            };
            let needed = match () {
                () if metadata.uid() == self.uid => 0o100,
                () if metadata.gid() == self.gid => 0o010,
                () => 0o001,
            };
            !metadata.is_dir() || metadata.mode() & needed != 0
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_user_is_found_in_the_table() {
        let line = "jangbogo:x:998:997::/nonexistent:/usr/sbin/nologin";
        let user = User::parse(line, "jangbogo").unwrap();
        assert_eq!((user.uid, user.gid), (998, 997));
        assert_eq!(User::parse(line, "jangbo"), None);
        assert_eq!(User::find("root").unwrap().unwrap().uid, 0);
    }

    #[test]
    fn a_directory_below_a_private_one_is_out_of_reach() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let user = User { name: "other".into(), uid: 64_999, gid: 64_999 };
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        assert!(user.reaches(&inner));
        assert!(user.reaches(&inner.join("not/yet/there")));
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(directory.path(), private).unwrap();
        assert!(!user.reaches(&inner));
    }
}
