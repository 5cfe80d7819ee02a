//! Last attempt to restore a backup in a test that its manifest does not record: a file `….tested` beside the backup.
//!
//! Promise: it orders the backups that `backup verify --next` takes, and vouches for nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fsutil::atomic_file::{self, AtomicFile};
use crate::operation::OperationId;

/// Ending of the file's name, behind the whole name of the backup.
const EXTENSION: &str = ".tested";

/// Larger files are none of envctl's.
const LARGEST: u64 = 1 << 12;

#[derive(Debug, Serialize, Deserialize)]
struct TestAttempt {
    at: Timestamp,
}

/// Path of the file for a backup's path.
pub(crate) fn path_for(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(EXTENSION);
    name.into()
}

/// Reads the time of the last attempt; what cannot be read was none.
pub(crate) fn read(backup: &Path) -> Option<Timestamp> {
    let path = path_for(backup);
    let meta = path.symlink_metadata().ok()?;
    let text = (meta.is_file() && meta.len() <= LARGEST).then(|| std::fs::read(&path).ok())??;
    serde_json::from_slice::<TestAttempt>(&text).ok().map(|attempt| attempt.at)
}

/// Notes an attempt.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(backup: &Path, at: Timestamp) -> Result<()> {
    let path = path_for(backup);
    let mut file = AtomicFile::create(&path, OperationId::new().short())?;
    let text = serde_json::to_string(&TestAttempt { at }).expect("a time always serialises") + "\n";
    file.write_all(text.as_bytes()).map_err(|e| atomic_file::write_failure(&path, e))?;
    file.publish(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_reads_back_and_anything_else_is_none() {
        let home = tempfile::tempdir().unwrap();
        let backup = home.path().join("backup_20260101_000000.sql.gz");
        assert_eq!(read(&backup), None);
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        for _ in 0..2 {
            write(&backup, at).unwrap();
            assert_eq!(read(&backup), Some(at));
        }
        std::fs::write(path_for(&backup), "{").unwrap();
        assert_eq!(read(&backup), None);
        std::fs::remove_file(path_for(&backup)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", path_for(&backup)).unwrap();
        assert_eq!(read(&backup), None);
    }
}
