//! Locks of files that are read and removed by different runs: readers share one, a removal takes it alone.
//!
//! Promise: whoever holds a [`ReadLock`] is not robbed of the file's name by a run of envctl. A file system without locks
//! has none, and nothing fails for it: an open file stays readable once its name is gone.

use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The shared lock of a reader.
#[derive(Debug)]
pub(crate) struct ReadLock {
    _file: File,
}

impl ReadLock {
    /// Locks a file for reading; `None` where it cannot be opened or locked.
    pub(crate) fn take(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        file.try_lock_shared().ok()?;
        Some(Self { _file: file })
    }

    /// Locks a file for reading, once nobody is alone with it any more; `None` where it cannot be opened or locked.
    pub(crate) fn wait(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        file.lock_shared().ok()?;
        Some(Self { _file: file })
    }
}

/// The lock of somebody who is alone with a file or a directory.
#[derive(Debug)]
pub(crate) struct SoleLock {
    _file: Option<File>,
}

impl SoleLock {
    /// Locks a file or a directory; `None` where another holds a lock. What cannot be opened or locked is taken as free.
    pub(crate) fn try_take(path: &Path) -> Option<Self> {
        let Ok(file) = File::open(path) else { return Some(Self { _file: None }) };
        match file.try_lock() {
            Ok(()) => Some(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(cause)) if cause.kind() == io::ErrorKind::WouldBlock => None,
            Err(TryLockError::Error(_)) => Some(Self { _file: None }),
        }
    }

    /// Locks a file that others replace by a rename: waits for whoever has it, and begins anew where the name is that of
    /// another file by then. What cannot be opened or locked is taken as free.
    pub(crate) fn wait_for_name(path: &Path) -> Self {
        loop {
            let Ok(file) = File::open(path) else { return Self { _file: None } };
            if file.lock().is_err() {
                return Self { _file: None };
            }
            let inode = |meta: io::Result<Metadata>| meta.ok().map(|meta| (meta.dev(), meta.ino()));
            if inode(file.metadata()) == inode(path.metadata()) {
                return Self { _file: Some(file) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_removal_is_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let readers = [ReadLock::take(&path).unwrap(), ReadLock::take(&path).unwrap()];
        assert!(SoleLock::try_take(&path).is_none());
        drop(readers);
        let sole = SoleLock::try_take(&path).unwrap();
        assert!(ReadLock::take(&path).is_none());
        assert!(SoleLock::try_take(home.path()).is_some(), "a directory has a lock of its own");
        drop(sole);
        assert!(ReadLock::take(&home.path().join("missing")).is_none());
    }

    #[test]
    fn who_waits_reads_when_the_removal_is_over() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let sole = SoleLock::try_take(&path).unwrap();
        let (there, waiting) = (path.clone(), path);
        let reader = std::thread::spawn(move || ReadLock::wait(&waiting).map(|_| there.exists()));
        assert!(!reader.is_finished());
        std::fs::remove_file(home.path().join("file")).unwrap();
        drop(sole);
        // It may have come too late to open the file; it never sees it beside the removal.
        assert_ne!(reader.join().unwrap(), Some(true));
    }
}
