//! New files that appear under their name only when they are whole.
//!
//! Promises: written under a temporary name in the same directory, 0600 whatever the umask, synced, then
//! renamed without ever replacing anything that was not asked to be replaced; nothing is left when it
//! fails. A killed run leaves a file that the next run recognises (nobody holds its lock) and removes.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};

use super::owned_lock::{self, Orphan};
use crate::error::{self, Error, Result};

const PARTIAL: &str = ".partial";

/// A file in the making.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl AtomicFile {
    /// Begins a file that will be called `target`. Its directory is made (0700) where it is missing.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub(crate) fn create(target: &Path, id: &str) -> Result<Self> {
        let directory = directory_of(target);
        make(directory)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let temporary = directory.join(format!(".{name}.{id}{PARTIAL}"));
        // Its name bears the operation's id: nobody else has it.
        let file = owned_lock::claim(&temporary, false, |path| {
            // create_new never follows a link and never opens what is there.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(file)
        })
        .map_err(|e| write_failure(&temporary, e))?;
        Ok(Self { file, temporary, target: target.to_owned(), published: false })
    }

    /// The name it will have.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Chooses another name in the same directory, for when the first one was taken meanwhile.
    pub(crate) fn rename_target(&mut self, target: PathBuf) {
        self.target = target;
    }

    /// A second handle for writing, for a thread that owns its output.
    ///
    /// # Errors
    /// No handles are left.
    pub(crate) fn writer(&self) -> Result<File> {
        self.file.try_clone().map_err(|e| write_failure(&self.temporary, e))
    }

    /// Makes sure the bytes are on the disk.
    ///
    /// # Errors
    /// The disk failed; nothing may be believed then.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| write_failure(&self.target, e))
    }

    /// Gives the synced file its name, which is durable when the directory is synced.
    ///
    /// # Errors
    /// Kind `Refused`: the name is taken and `overwrite` is not set.
    fn name(&mut self, overwrite: bool) -> Result<()> {
        let result =
            if overwrite { fs::rename(&self.temporary, &self.target) } else { self.rename_to_free_name() };
        result.map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.target),
            _ => write_failure(&self.target, cause),
        })?;
        self.published = true;
        Ok(())
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    /// Kind `Refused`: the name is taken and `overwrite` is not set. `Failed`: the disk.
    pub(crate) fn publish(&mut self, overwrite: bool) -> Result<()> {
        self.sync()?;
        self.name(overwrite)?;
        sync_directory(directory_of(&self.target))
    }

    /// Takes the name back; the file is as before [`AtomicFile::name`].
    fn unname(&mut self) {
        if self.published && fs::rename(&self.target, &self.temporary).is_ok() {
            self.published = false;
        }
    }

    fn rename_to_free_name(&self) -> io::Result<()> {
        match renameat_with(CWD, &self.temporary, CWD, &self.target, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // Some network file systems do not know the flag; a hard link refuses just as well.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                link_and_unlink(&self.temporary, &self.target, |path| fs::remove_file(path))
            }
            Err(cause) => Err(cause.into()),
        }
    }
}

/// Moves a file to a free name by a hard link. Where the old name cannot be removed the new one is taken back: an error
/// means that nothing is under the new name.
fn link_and_unlink(from: &Path, to: &Path, remove: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    fs::hard_link(from, to)?;
    remove(from).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Gives a backup and its manifest their names; the backup's name is what counts.
///
/// The manifest goes first: killed in between, there is a manifest without a backup, which nobody takes
/// for one. Where an old pair is replaced its manifest goes away first, so that at no instant a manifest
/// stands beside a backup that is not its own.
///
/// # Errors
/// Kind `Refused`: a name is taken. Otherwise the disk failed: nothing is under the names then; only where an old pair
/// was to be replaced, and the disk does not confirm that, the new one stays in its place.
pub(crate) fn publish_pair(
    backup: &mut AtomicFile,
    manifest: &mut AtomicFile,
    overwrite: bool,
) -> Result<PathBuf> {
    backup.sync()?;
    manifest.sync()?;
    let directory = directory_of(&backup.target).to_owned();
    if !overwrite {
        if occupied(&backup.target) {
            return Err(taken(&backup.target));
        }
        let named = manifest.name(false).and_then(|()| backup.name(false));
        // Taken back, the pair may try another name.
        named.and_then(|()| sync_directory(&directory)).inspect_err(|_| {
            backup.unname();
            manifest.unname();
        })?;
        return Ok(backup.target.clone());
    }
    match fs::remove_file(&manifest.target) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(write_failure(&manifest.target, cause));
        }
        _ => {}
    }
    backup.name(true)?;
    manifest.name(true)?;
    sync_directory(&directory).map_err(|error| {
        error.hint(format!(
            "copy {} elsewhere: it is the new backup, verified, but the disk does not confirm its name",
            backup.target.display()
        ))
    })?;
    Ok(backup.target.clone())
}

/// Reports whether the path exists, also as a dangling symlink.
pub(crate) fn occupied(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The error for a name that is taken.
pub(crate) fn taken(path: &Path) -> Error {
    error::refused(format!("{} exists and is not replaced", path.display()))
        .hint("choose another name with `-o`, or replace it with `--force`")
}

/// The directory of this file, from the root, as a mount needs it.
///
/// # Errors
/// The working directory is gone.
pub(crate) fn home_of(path: &Path) -> Result<PathBuf> {
    let directory = directory_of(path);
    std::path::absolute(directory)
        .map_err(|e| error::failed(format!("cannot resolve {}", directory.display())).because(e))
}

fn make(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| write_failure(directory, e).context("the directory cannot be made"))
}

/// Removes what killed runs left in the directory of this file; gives the names.
pub(crate) fn sweep_beside(path: &Path) -> Vec<PathBuf> {
    sweep(directory_of(path))
}

/// Removes the orphans in a directory; returns their paths.
pub(crate) fn sweep(directory: &Path) -> Vec<PathBuf> {
    owned_lock::sweep(directory, orphan, |path| fs::remove_file(path))
}

/// Lists the orphans in a directory: unfinished files that no process holds.
pub(crate) fn left(directory: &Path) -> Vec<PathBuf> {
    owned_lock::orphans(directory, orphan)
}

fn orphan(path: &Path) -> Option<Orphan> {
    let ours = path.file_name()?.to_str().is_some_and(is_ours) && path.symlink_metadata().ok()?.is_file();
    if ours { owned_lock::orphan(path, path) } else { None }
}

/// `.backup_….sql.gz.1a2b3c4d.partial`: hidden, with an operation's id.
fn is_ours(name: &str) -> bool {
    let name = owned_lock::locked_name(name);
    let operation = name.strip_suffix(PARTIAL).and_then(|rest| rest.rsplit_once('.')).map(|(_, id)| id);
    name.starts_with('.')
        && operation.is_some_and(|id| id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Bytes that can still be written where `path` lies or will lie.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = statvfs(existing).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// A failure to write, in words that name the file and the cure.
pub(crate) fn write_failure(path: &Path, cause: io::Error) -> Error {
    let error = error::failed(format!("cannot write {}", path.display()));
    let error = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let free = free_space(path).unwrap_or(0);
            error.hint(format!("free some space: {free} bytes are free there, and earlier backups are untouched"))
                .hint("write elsewhere with `-o /other/disk/backup.sql.gz`, or set `[backup] dir` in envctl.toml")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
            error.hint("write elsewhere with `-o FILE`, or set `[backup] dir` in envctl.toml")
        }
        io::ErrorKind::FileTooLarge => error.hint(
            "look at the limit of the shell or of the file system (`ulimit -f`), or write elsewhere with `-o /other/disk/backup.sql.gz`",
        ),
        _ => error.hint("see what the kernel says of that disk (`dmesg`), and write elsewhere with `-o /other/disk/backup.sql.gz`"),
    };
    error.because(cause)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(directory: &Path) -> Result<()> {
    // Some file systems cannot sync a directory; the rename is as durable there as it gets.
    match File::open(directory).and_then(|file| file.sync_all()) {
        Err(cause) if !matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Err(write_failure(directory, cause))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut new = AtomicFile::create(&home.path().join("a/b.sql"), "op").unwrap();
        new.write_all(b"x").unwrap();
        assert_eq!(names(&home.path().join("a")), [".b.sql.op.partial"]);
        drop(new);
        assert!(names(&home.path().join("a")).is_empty());
    }

    #[test]
    fn nothing_is_replaced_unasked_not_even_a_dangling_link() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("b.sql");
        std::os::unix::fs::symlink("/nowhere", &target).unwrap();
        let error = AtomicFile::create(&target, "op").unwrap().name(false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(fs::read_link(&target).unwrap(), Path::new("/nowhere"));
        AtomicFile::create(&target, "op").unwrap().name(true).unwrap();
        assert!(target.symlink_metadata().unwrap().is_file(), "the link itself was replaced, not followed");
    }

    #[test]
    fn a_name_given_by_a_link_is_taken_back_where_the_old_one_stays() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::write(&from, "x").unwrap();
        let denied = |_: &Path| Err(io::ErrorKind::PermissionDenied.into());
        link_and_unlink(&from, &to, denied).unwrap_err();
        assert_eq!(names(home.path()), ["from"]);
        link_and_unlink(&from, &to, |path| fs::remove_file(path)).unwrap();
        assert_eq!(names(home.path()), ["to"]);
        fs::write(&from, "y").unwrap();
        assert_eq!(
            link_and_unlink(&from, &to, |path| fs::remove_file(path)).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_to_string(&to).unwrap(), "x");
    }

    #[test]
    fn a_pair_appears_together_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let (data, json) = (home.path().join("b.sql"), home.path().join("b.sql.json"));
        let pair = || (AtomicFile::create(&data, "op").unwrap(), AtomicFile::create(&json, "op").unwrap());
        let (mut backup, mut manifest) = pair();
        publish_pair(&mut backup, &mut manifest, false).unwrap();
        assert_eq!(names(home.path()), ["b.sql", "b.sql.json"]);
        let (mut backup, mut manifest) = pair();
        assert_eq!(publish_pair(&mut backup, &mut manifest, false).unwrap_err().kind(), ErrorKind::Refused);
        drop((backup, manifest));
        assert_eq!(names(home.path()), ["b.sql", "b.sql.json"]);
        let mode = data.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn orphans_are_removed_and_files_of_living_runs_are_not() {
        let home = tempfile::tempdir().unwrap();
        let living = AtomicFile::create(&home.path().join("living.sql"), "89abcdef").unwrap();
        fs::write(home.path().join(".dead.sql.0123abcd.partial"), "x").unwrap();
        fs::write(home.path().join(".somebody.partial"), "x").unwrap();
        let swept = sweep(home.path());
        assert_eq!(swept, [home.path().join(".dead.sql.0123abcd.partial")]);
        assert_eq!(names(home.path()), [".living.sql.89abcdef.partial", ".somebody.partial"]);
        drop(living);
    }
}
