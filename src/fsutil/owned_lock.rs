//! Names whose owner holds a lock, so that a later run tells the work of the living from orphans.
//!
//! Promise: a name appears with its lock held. What is not locked yet has another ending, and is an orphan once it is
//! older than a living process needs to lock it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ends the name of what is not locked yet.
const UNLOCKED: &str = ".new";
/// Age from which a name without a lock is an orphan.
const GRACE: Duration = Duration::from_mins(1);

/// Makes what will be called `path`, locks the file that `make` returns, and gives it that name, which nobody else may
/// have. `needed`: a file system without locks is an error; else its orphans are not recognised.
///
/// # Errors
/// Errors of the file system; what was made is removed.
pub(crate) fn claim(
    path: &Path,
    needed: bool,
    make: impl FnOnce(&Path) -> io::Result<File>,
) -> io::Result<File> {
    let mut unlocked = path.to_owned().into_os_string();
    unlocked.push(UNLOCKED);
    let unlocked = PathBuf::from(unlocked);
    let claimed = make(&unlocked).and_then(|lock| {
        match lock.try_lock() {
            // Somebody looks whether it is an orphan, and lets go at once.
            Err(TryLockError::WouldBlock) => lock.lock()?,
            Err(TryLockError::Error(cause)) if needed => return Err(cause),
            _ => {}
        }
        fs::rename(&unlocked, path)?;
        Ok(lock)
    });
    claimed.inspect_err(|cause| {
        // What exists is somebody else's.
        if cause.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&unlocked).or_else(|_| fs::remove_dir_all(&unlocked));
        }
    })
}

/// Returns the name that a name has once it is locked.
pub(crate) fn locked_name(name: &str) -> &str {
    name.strip_suffix(UNLOCKED).unwrap_or(name)
}

/// Something whose owner is gone. Held, so that nobody else takes it for an orphan, or for theirs.
pub(crate) struct Orphan {
    _lock: Option<File>,
}

/// Returns `path` as an orphan, unless somebody holds `lock`, which is `path` itself or a file in it.
pub(crate) fn orphan(path: &Path, lock: &Path) -> Option<Orphan> {
    let named = path.symlink_metadata().ok()?;
    let old = named.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > GRACE));
    let locked = path.file_name()?.to_str().is_some_and(|name| locked_name(name) == name);
    match OpenOptions::new().write(true).open(lock) {
        Ok(file) if locked || old => {
            file.try_lock().ok()?;
            // Another may have taken the name meanwhile.
            let held = file.metadata().ok()?;
            let is_same = path != lock || (held.dev(), held.ino()) == (named.dev(), named.ino());
            is_same.then_some(Orphan { _lock: Some(file) })
        }
        // Its owner was killed before it made the lock, or while it removed everything.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && old && path != lock => {
            Some(Orphan { _lock: None })
        }
        _ => None,
    }
}

/// Lists the orphans in a directory.
pub(crate) fn orphans(directory: &Path, is_orphan: impl Fn(&Path) -> Option<Orphan>) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| is_orphan(path).is_some()).collect()
}

/// Removes the orphans in a directory; returns their paths.
pub(crate) fn sweep(
    directory: &Path,
    is_orphan: impl Fn(&Path) -> Option<Orphan>,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> Vec<PathBuf> {
    let paths = orphans(directory, &is_orphan).into_iter();
    paths.filter(|path| is_orphan(path).is_some_and(|_held| remove(path).is_ok())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn file(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    #[test]
    fn a_name_is_locked_before_it_appears() {
        let home = tempfile::tempdir().unwrap();
        let is_orphan = |path: &Path| orphan(path, path);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sweeping = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let swept = sweep(home.path(), is_orphan, |path| fs::remove_file(path));
                    assert_eq!(swept, <[PathBuf; 0]>::default(), "the file of a living one");
                }
            });
            for id in 0..2000 {
                let path = home.path().join(id.to_string());
                let lock = claim(&path, true, file).unwrap();
                assert!(path.exists(), "swept while it was made");
                fs::remove_file(&path).unwrap();
                drop(lock);
            }
            done.store(true, Ordering::Relaxed);
            sweeping.join().unwrap();
        });
    }

    #[test]
    fn what_was_never_locked_is_an_orphan_after_a_minute() {
        let home = tempfile::tempdir().unwrap();
        let half = home.path().join("a.new");
        let lock = file(&half).unwrap();
        assert!(orphan(&half, &half).is_none());
        lock.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(orphan(&half, &half).is_some());
        lock.lock().unwrap();
        assert!(orphan(&half, &half).is_none(), "a slow one that lives");
    }

    #[test]
    fn nothing_is_left_of_what_cannot_be_made_and_nothing_of_others_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let made = |path: &Path| file(path).and_then(|_| Err(io::ErrorKind::StorageFull.into()));
        claim(&home.path().join("a"), true, made).unwrap_err();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let other = home.path().join("b.new");
        fs::write(&other, "x").unwrap();
        claim(&home.path().join("b"), true, file).unwrap_err();
        assert!(other.exists());
    }
}
