//! A private directory on this host that a worker has mounted: a FIFO, perhaps a password file.
//!
//! Promises: 0700 and its files 0600 whatever the umask, under a random name; held by a lock for as long as its
//! envctl lives, so that a later run knows the private directories of killed runs; gone when the value is dropped.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::owned_lock::{self, Orphan};
use crate::random::nonce;

/// Path of the private directory inside a worker.
pub(crate) const INSIDE: &str = "/envctl";
const LOCK: &str = "lock";
const PREFIX: &str = "envctl-worker-";

/// A private directory.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    path: PathBuf,
    /// Locked while we live.
    _lock: File,
}

impl PrivateDir {
    /// Makes one in `parent`.
    ///
    /// # Errors
    /// The directory cannot be made, or its file system knows no locks.
    pub(crate) fn make(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{}", &nonce()[..16]));
        let lock = owned_lock::claim(&path, true, |path| {
            DirBuilder::new().mode(0o700).create(path)?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(LOCK))
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// Path of the private directory on this host.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a FIFO in it; gives its path on this host. The worker finds it under [`inside`].
    ///
    /// # Errors
    /// The file system knows no FIFOs.
    pub(crate) fn fifo(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(path)
    }

    /// Makes a directory in it for a tool to write into; gives its path on this host.
    ///
    /// # Errors
    /// [`io::Error`]: the directory cannot be made.
    pub(crate) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// Writes a secret into it.
    ///
    /// # Errors
    /// [`io::Error`]: the secret cannot be written.
    pub(crate) fn secret(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text)
    }
}

/// Returns the path inside the worker of a file in the private directory.
pub(crate) fn inside(name: &str) -> String {
    format!("{INSIDE}/{name}")
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// State of a private directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirOwner {
    /// The private directory is in use by a living envctl, or does not belong to envctl.
    Kept,
    /// The private directory is an orphan: its envctl is gone.
    Left,
    /// The path could be that of a private directory, and does not exist.
    Gone,
}

/// Returns the state of `path` as a private directory in `parent`. A path that cannot be one is [`DirOwner::Kept`],
/// because such paths come from labels, which anybody may write.
pub(crate) fn standing(parent: &Path, path: &Path) -> DirOwner {
    if !is_ours(parent, path) {
        return DirOwner::Kept;
    }
    match path.symlink_metadata() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => DirOwner::Gone,
        _ if orphan(parent, path).is_some() => DirOwner::Left,
        _ => DirOwner::Kept,
    }
}

fn orphan(parent: &Path, path: &Path) -> Option<Orphan> {
    let meta = path.symlink_metadata().ok()?;
    let ours = is_ours(parent, path) && meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw();
    if ours { owned_lock::orphan(path, &path.join(LOCK)) } else { None }
}

fn is_ours(parent: &Path, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).map(owned_lock::locked_name);
    path.parent() == Some(parent) && name.and_then(|name| name.strip_prefix(PREFIX)).is_some_and(is_id)
}

fn is_id(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Removes the private directories that killed runs left in `parent`; returns their paths.
pub(crate) fn sweep(parent: &Path) -> Vec<PathBuf> {
    owned_lock::sweep(parent, |path| orphan(parent, path), |path| fs::remove_dir_all(path))
}

/// Lists the private directories that killed runs left in `parent`.
pub(crate) fn left(parent: &Path) -> Vec<PathBuf> {
    owned_lock::orphans(parent, |path| orphan(parent, path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_private_directory_is_removed_with_its_value() {
        let home = tempfile::tempdir().unwrap();
        let private_dir = PrivateDir::make(home.path()).unwrap();
        let fifo = private_dir.fifo("out").unwrap();
        private_dir.secret("pass", b"x").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(private_dir.path()), mode(&fifo), mode(&private_dir.path().join("pass"))),
            (0o700, 0o600, 0o600)
        );
        assert!(fifo.metadata().unwrap().file_type().is_fifo());
        let path = private_dir.path().to_owned();
        drop(private_dir);
        assert!(!path.exists());
    }

    #[test]
    fn orphaned_private_directories_are_removed_and_those_of_the_living_and_of_others_are_not() {
        let home = tempfile::tempdir().unwrap();
        let living = PrivateDir::make(home.path()).unwrap();
        let dead = home.path().join("envctl-worker-0123456789abcdef");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let foreign = home.path().join("envctl-worker-mine");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join(LOCK), "").unwrap();
        assert_eq!(sweep(home.path()), [dead]);
        assert!(living.path().exists() && foreign.exists());
    }

    #[test]
    fn a_private_directory_whose_maker_was_killed_before_the_lock_is_an_orphan_after_a_while() {
        let home = tempfile::tempdir().unwrap();
        let half = home.path().join("envctl-worker-0123456789abcdef.new");
        fs::create_dir(&half).unwrap();
        assert_eq!(standing(home.path(), &half), DirOwner::Kept);
        File::open(&half).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(standing(home.path(), &half), DirOwner::Left);
    }

    #[test]
    fn only_a_private_directory_of_envctl_can_be_an_orphan() {
        let home = tempfile::tempdir().unwrap();
        let of = |path: &Path| standing(home.path(), path);
        let gone = home.path().join("envctl-worker-0123456789abcdef");
        assert_eq!(of(&gone), DirOwner::Gone);
        assert_eq!(of(Path::new("/etc")), DirOwner::Kept);
        assert_eq!(of(&home.path().join("envctl-worker-../../../etc")), DirOwner::Kept);
        assert_eq!(of(&home.path().join("x/envctl-worker-0123456789abcdef")), DirOwner::Kept);
        std::os::unix::fs::symlink("/etc", &gone).unwrap();
        assert_eq!(of(&gone), DirOwner::Kept, "a link is never followed");
    }
}
