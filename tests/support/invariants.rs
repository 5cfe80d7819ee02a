//! What holds after every fault, whatever the exit code.
//!
//! No file under its final name that does not verify; earlier backups byte-identical; the live database
//! old or new and connectable; no session of envctl's five seconds after its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::project::Project;
use super::rig::{CANARY, poll};

/// The files of a project's backup directory, with their bytes' digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, String>);

impl Snapshot {
    /// Every file below the project's backups.
    pub fn of(project: &Project) -> Self {
        let mut files = BTreeMap::new();
        gather(&project.path().join("backups"), &mut files);
        Self(files)
    }

    /// The dumps among them (not manifests), final names only.
    pub fn dumps(&self) -> Vec<PathBuf> {
        let is_dump = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("backup_") && !name.ends_with(".json")
        };
        self.0.keys().filter(is_dump).cloned().collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.keys().map(|path| path.display().to_string()).collect()
    }
}

fn gather(dir: &Path, files: &mut BTreeMap<PathBuf, String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, files);
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            assert!(
                !String::from_utf8_lossy(&bytes).contains(CANARY),
                "the password is in {}",
                path.display()
            );
            files.insert(path, sha256(&bytes));
        }
    }
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Project {
    /// After a backup that failed: the backups are what they were, to the byte, and nothing of envctl
    /// is left in the database.
    #[track_caller]
    pub fn assert_nothing_but(&self, before: &Snapshot) {
        let now = Snapshot::of(self);
        assert_eq!(now.names(), before.names(), "the backup directory has other files than before");
        assert_eq!(&now, before, "an earlier backup has other bytes than before");
        self.assert_no_sessions();
    }

    /// Soon after the end (a loaded machine takes its time) nobody of envctl's is in the database.
    #[track_caller]
    pub fn assert_no_sessions(&self) {
        self.assert_no_sessions_within(Duration::from_secs(15));
    }

    /// The same for an envctl that was killed: the daemon and psql notice in their own time.
    #[track_caller]
    pub fn assert_no_sessions_within(&self, limit: Duration) {
        let mut left = String::new();
        let gone = poll(limit, || {
            left = self.server.sessions(&self.database);
            left.is_empty()
        });
        assert!(gone, "envctl is still in the server: {left}");
    }

    /// After a restore that failed: the live database is as it was, connectable, and no staging database
    /// is left.
    #[track_caller]
    pub fn assert_untouched(&self, digest: &str) {
        assert_eq!(self.digest(), digest, "the live database changed");
        let siblings = self.server.siblings(&self.database);
        assert!(siblings.is_empty(), "databases are left over: {siblings:?}");
        self.assert_no_sessions();
    }
}

impl Project {
    /// The SQL of a backup, unpacked.
    #[track_caller]
    pub fn plain(&self, path: &Path) -> Vec<u8> {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return bytes;
        }
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut plain)
            .unwrap_or_else(|e| panic!("{} does not unpack: {e}", path.display()));
        plain
    }

    /// The backup is whole and what its manifest says: looked at without envctl.
    #[track_caller]
    pub fn assert_verified(&self, path: &Path) {
        let stored = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let plain = self.plain(path);
        let name = path.display();
        let end = String::from_utf8_lossy(&plain[plain.len().saturating_sub(300)..]).into_owned();
        assert!(end.contains("-- PostgreSQL database dump complete"), "{name} has no end:\n{end}");
        let json = PathBuf::from(format!("{name}.json"));
        let json = std::fs::read(&json).unwrap_or_else(|e| panic!("{name} has no manifest: {e}"));
        let manifest: serde_json::Value = serde_json::from_slice(&json).expect("the manifest is JSON");
        assert_eq!(manifest["stored_sha256"], sha256(&stored), "{name}");
        assert_eq!(manifest["plain_sha256"], sha256(&plain), "{name}");
        assert_eq!(manifest["stored_bytes"], stored.len(), "{name}");
        assert_eq!(manifest["plain_bytes"], plain.len(), "{name}");
    }

    /// No temporary file is left in this directory.
    #[track_caller]
    pub fn assert_no_partials(&self, directory: &Path) {
        let names: Vec<String> = std::fs::read_dir(directory)
            .expect("a directory")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("partial") || name.starts_with(".backup"))
            .collect();
        assert!(names.is_empty(), "left over: {names:?}");
    }

    /// Drops what restores have kept, so that servers that tests share do not fill up.
    pub fn drop_siblings(&self) {
        for name in self.server.siblings(&self.database) {
            self.server
                .sql("postgres", &format!("drop database \"{}\" with (force)", name.replace('"', "\"\"")));
        }
    }
}
