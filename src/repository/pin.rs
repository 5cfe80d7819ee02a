//! Pins: a file `….pin` beside a backup, which keeps `backup prune` from removing the backup.
//!
//! Promises: a pin that cannot be read is still a pin, also an empty file; the manifest and its MAC stay as they are,
//! so that a pin can be set by whoever may write into the directory and vouches for nothing.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{self, Result};
use crate::fsutil::atomic_file::AtomicFile;
use crate::fsutil::read_lock::ReadLock;
use crate::operation::Operation;

/// The schema this version writes.
const SCHEMA: u32 = 1;

/// Ending of a pin's file name, behind the whole name of the backup.
pub(crate) const EXTENSION: &str = ".pin";

/// Larger files are no pins of envctl's.
pub(super) const LARGEST: u64 = 1 << 16;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupPin {
    schema: u32,
    /// Time at which the pin was set.
    #[serde(default)]
    pub(crate) at: Option<Timestamp>,
    /// User and host.
    #[serde(default)]
    pub(crate) by: Option<String>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// The user said that fewer rows than before are right.
    #[serde(default)]
    pub(crate) accept_rows: bool,
}

impl BackupPin {
    pub(super) fn new(reason: Option<String>, accept_rows: bool, operation: &Operation) -> Self {
        Self {
            schema: SCHEMA,
            at: Some(operation.started),
            by: Some(operation.actor.clone()),
            reason,
            accept_rows,
        }
    }

    /// Returns the text of the pin's file.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings always serialise") + "\n"
    }
}

/// Reads the text of a pin; any text pins.
pub(super) fn parse(text: &[u8]) -> BackupPin {
    serde_json::from_slice(text).unwrap_or_default()
}

/// The pin's path for a backup's path.
pub(crate) fn path_for(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(EXTENSION);
    name.into()
}

/// Reads the pin of a backup; `None` where there is none.
pub(crate) fn read(backup: &Path) -> Option<BackupPin> {
    let path = path_for(backup);
    let meta = match path.symlink_metadata() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return None,
        other => other.ok(),
    };
    let readable = meta.is_some_and(|meta| meta.is_file() && meta.len() <= LARGEST);
    let text = readable.then(|| std::fs::read(&path).ok()).flatten();
    Some(text.map(|text| parse(&text)).unwrap_or_default())
}

/// Pins a backup, and replaces an earlier pin of it.
///
/// # Errors
/// Kind `Target`: the backup was removed meanwhile. `Failed`: the pin cannot be written.
pub(crate) fn set(
    backup: &Path,
    reason: Option<String>,
    accept_rows: bool,
    operation: &Operation,
) -> Result<BackupPin> {
    // A prune looks for a pin and removes the backup under one lock: either it sees this pin, or the backup is gone by
    // now, which is told below.
    let _reading = ReadLock::wait(backup);
    let pin = BackupPin::new(reason, accept_rows, operation);
    let path = path_for(backup);
    let mut file = AtomicFile::create(&path, operation.id.short())?;
    file.write_all(pin.to_json().as_bytes())
        .map_err(|e| error::failed(format!("cannot write {}", path.display())).because(e))?;
    file.publish(true)?;
    if !backup.exists() {
        let _ = std::fs::remove_file(&path);
        return Err(error::target(format!("{} was removed meanwhile", backup.display()))
            .hint("list what is there: `envctl backup list`"));
    }
    Ok(pin)
}

/// Removes the pin of a backup; returns false where there is none.
///
/// # Errors
/// The pin cannot be removed.
pub(crate) fn clear(backup: &Path) -> Result<bool> {
    let path = path_for(backup);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(error::failed(format!("cannot remove {}", path.display())).because(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_the_name_of_a_pin_pins() {
        let home = tempfile::tempdir().unwrap();
        let backup = home.path().join("backup_20260101_000000.sql.gz");
        assert_eq!(read(&backup), None);
        for text in ["", "{", "{\"schema\": 99, \"later\": true}", "\u{0}"] {
            std::fs::write(path_for(&backup), text).unwrap();
            assert!(read(&backup).is_some_and(|pin| !pin.accept_rows), "{text:?}");
        }
        std::fs::remove_file(path_for(&backup)).unwrap();
        std::os::unix::fs::symlink("/nowhere", path_for(&backup)).unwrap();
        assert!(read(&backup).is_some());
        assert!(clear(&backup).unwrap() && !clear(&backup).unwrap());
    }
}
