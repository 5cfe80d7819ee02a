//! New files for a project: never over one that is there.
//!
//! Promises: a file appears whole or not at all; without `force` one that exists is left as it is, byte for byte.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Write as _};
use std::path::Path;

use crate::error::{self, Error, Result};

/// Writes a new file; with `force` in the place of the one that is there.
///
/// # Errors
/// Kind `Refused`: it exists. `Failed`: it cannot be written.
pub(crate) fn create(path: &Path, text: &str, force: bool) -> Result<()> {
    let failed =
        |e: std::io::Error| error::failed(format!("{} cannot be written", path.display())).because(e);
    if force {
        // A link is followed: what it points at is what the user calls by this name.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut beside = tempfile::Builder::new().permissions(mode()).tempfile_in(folder).map_err(failed)?;
        beside.write_all(text.as_bytes()).map_err(failed)?;
        beside.as_file().sync_all().map_err(failed)?;
        beside.persist(&path).map_err(|e| failed(e.error))?;
        return Ok(());
    }
    let mut file: File =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| match e.kind() {
            Io::AlreadyExists => exists(path),
            _ => failed(e),
        })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|e| {
        // It is ours, made a moment ago: half of it helps nobody.
        let _ = std::fs::remove_file(path);
        failed(e)
    })
}

/// The error of a file that is there.
pub(crate) fn exists(path: &Path) -> Error {
    error::refused(format!("{} exists and is not replaced", path.display()))
        .hint("replace it with `--force`, or write another file with `-o FILE`")
}

/// Returns the permissions of a new file, before the user's umask.
fn mode() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_is_there_stays_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("envctl.toml");
        create(&path, "one", false).unwrap();
        assert_eq!(create(&path, "two", false).unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        create(&path, "two", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_is_not_replaced_by_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::write(&real, "one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(create(&link, "two", false).unwrap_err().kind(), ErrorKind::Refused);
        create(&link, "two", true).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "two");
    }
}
