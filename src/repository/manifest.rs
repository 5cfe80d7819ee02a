//! Manifest: a JSON file beside a backup that describes the backup and records its hashes.
//! The format is documented in `docs/manifest.md`.
//!
//! Promises: schema 1 is only ever added to; a newer schema is refused with words; no secret is in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::authenticity::{Authenticity, Doubt, Mac, ManifestKey, ManifestKeys, PLAIN_END};
use super::private_part::{Encryption, take_private};
use crate::codec::Digest;
use crate::dump::sql::{CopyBlock, Entry};
use crate::error::{self, Result};
use crate::fsutil::atomic_file::{self, AtomicFile};
use crate::fsutil::read_lock::SoleLock;
use crate::operation::OperationId;
use crate::text::encoding::Text;

/// The schema this version writes, and the newest it reads.
pub(crate) const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Always [`SCHEMA`] for what this version writes.
    pub(crate) schema: u32,
    /// envctl's version.
    pub(crate) envctl: String,
    /// The operation's id.
    pub(crate) operation: OperationId,
    /// Purpose of the backup.
    #[serde(default)]
    pub(crate) purpose: Purpose,
    pub(crate) source: BackupSource,
    /// The database's name; empty where it is of all.
    pub(crate) database: String,
    /// The databases of a backup of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) databases: Vec<DatabaseEntry>,
    #[serde(default)]
    pub(crate) server_version: String,
    /// pg_dump's version, from the dump's header.
    pub(crate) pg_dump_version: Option<String>,
    /// `plain`, `custom`, `directory`, or [`CLUSTER`].
    pub(crate) format: String,
    /// `gzip:4`, `zstd:1`, `none`.
    pub(crate) compression: String,
    /// `worker` or `exec`: how the bytes came out of the container.
    #[serde(default)]
    pub(crate) transport: String,
    /// Reason why `auto` used no worker.
    #[serde(default, alias = "transport_why", skip_serializing_if = "Option::is_none")]
    pub(crate) transport_reason: Option<String>,
    /// True if the dump is complete: no `--schema-only`, `--data-only` or `--exclude-table-data`.
    pub(crate) whole: bool,
    /// Start time of the backup.
    pub(crate) started: Timestamp,
    /// Duration of the backup, in milliseconds.
    pub(crate) duration_ms: u64,
    /// Bytes of SQL.
    pub(crate) plain_bytes: u64,
    /// Their SHA-256.
    #[serde(default)]
    pub plain_sha256: Digest,
    /// Bytes of the file.
    pub(crate) stored_bytes: u64,
    /// Their SHA-256: what `sha256sum FILE` prints.
    pub stored_sha256: Digest,
    /// Rows by table, in the order of the dump; `data` of plain dumps only.
    #[serde(default)]
    pub(crate) tables: Vec<CopyBlock>,
    /// Entries of the dump, with their offsets.
    #[serde(default)]
    pub(crate) entries: Vec<Entry>,
    /// Facts that a restore needs before the file is read. If they are missing, the restore reads the whole file first.
    #[serde(default, alias = "foreknown", skip_serializing_if = "Option::is_none")]
    pub(crate) restore_hints: Option<RestoreHints>,
    /// Extensions it creates.
    #[serde(default)]
    pub(crate) extensions: Vec<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Schemas on the database's search path, in order: what its functions may rely on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) search_path: Vec<String>,
    /// Libraries that the server loads at its start (`shared_preload_libraries`), where the role may read that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) preload_libraries: Vec<String>,
    /// The last migration applied, where Prisma's history is there.
    pub(crate) last_migration: Option<String>,
    /// The database held nothing: no table, no other object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty: bool,
    /// Level and time of the verification.
    pub(crate) verified: Verification,
    /// Of an encrypted backup: its recipients, and the part of the manifest that they alone can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
    /// MAC over the text before it: the last member. A manifest without one vouches for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mac: Option<Mac>,
}

/// The format of a backup of all databases.
pub(crate) const CLUSTER: &str = "cluster";

/// One database of a backup of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatabaseEntry {
    pub(crate) name: String,
    /// File name of the dump in the tar; the dump's own manifest lies beside the dump.
    pub(crate) file: String,
    /// Number of tables that have rows of their own.
    pub(crate) tables: usize,
    /// Rows in them.
    pub(crate) rows: u64,
    /// Bytes of SQL.
    pub(crate) plain_bytes: u64,
    /// Bytes of its dump.
    pub(crate) stored_bytes: u64,
}

/// Purpose of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// Somebody asked for it.
    #[default]
    Backup,
    /// Safety backup of a database that a restore was about to replace. Never `latest`: the same restore, run
    /// again, restores the same backup again.
    #[serde(alias = "safety")]
    PreRestore,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupSource {
    pub(crate) stack: String,
    /// The profile's name, where it was known.
    pub(crate) profile: Option<String>,
    /// The Docker context.
    pub(crate) context: String,
    pub(crate) container: String,
    pub(crate) container_id: String,
    /// Image reference, as in the container's configuration.
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) image_id: String,
    /// The compose or swarm service; missing where there is none, and in manifests of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
}

/// Facts that a restore needs before the file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestoreHints {
    /// True if the dump contains `\restrict`, which older psql versions do not know.
    pub(crate) restrict: bool,
    /// Tablespaces that have to exist.
    pub(crate) tablespaces: Vec<String>,
    /// The encoding that its text is in.
    #[serde(default)]
    pub(crate) encoding: Option<String>,
    /// Kind of the text, detected from its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<Text>,
}

/// Level, time and author of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verification {
    pub(crate) level: VerificationLevel,
    /// Time of the verification.
    pub(crate) at: Timestamp,
    /// User and host that verified it: `user@host`; missing in manifests of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// Time that a restore took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restored_in_ms: Option<u64>,
    /// Time of the last restore test, passed or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tested_at: Option<Timestamp>,
    /// Time when an identity last opened the encrypted backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) opened_at: Option<Timestamp>,
}

/// Levels of verification, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VerificationLevel {
    /// Not at all.
    None,
    /// Complete when it was made: the dump trailer is there, and every byte is counted and hashed.
    #[serde(alias = "trailer")]
    Complete,
    /// Restored somewhere, and the rows counted.
    Restored,
    /// Restored, and the contents of every table compared with those that were dumped.
    Contents,
}

impl VerificationLevel {
    /// Returns the level as written in the JSON.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Complete => "complete",
            Self::Restored => "restored",
            Self::Contents => "contents",
        }
    }
}

/// The manifest's path for a backup's path: `….json` behind the whole name.
pub(crate) fn path_for(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Names that members had in manifests of older versions.
const OLDER_NAMES: [&str; 2] = ["transport_why", "foreknown"];

/// No manifest is larger: a million tables are about 60 MB.
pub(crate) const LARGEST: u64 = 128 << 20;

impl Manifest {
    /// The file's text: of an encrypted backup without what only its recipients may read.
    ///
    /// # Panics
    /// Never: strings and numbers always serialise.
    pub(crate) fn to_json(&self) -> String {
        let text = match &self.encryption {
            None => serde_json::to_string_pretty(self),
            Some(_) => serde_json::to_string_pretty(&self.in_clear()),
        };
        // A newline makes it a text file.
        text.expect("strings and numbers always serialise") + "\n"
    }

    /// Returns the manifest as a document for the user: all of it where it is open, else the part that is not encrypted.
    pub(crate) fn document(&self) -> serde_json::Value {
        if self.is_sealed() { self.in_clear() } else { serde_json::to_value(self).unwrap_or_default() }
    }

    /// Returns the manifest without its private part.
    fn in_clear(&self) -> serde_json::Value {
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        take_private(&mut whole);
        whole
    }

    /// Reports that the encrypted part of the manifest was not opened: tables, rows and versions are not known.
    pub(crate) fn is_sealed(&self) -> bool {
        self.encryption.as_ref().is_some_and(|encryption| !encryption.opened)
    }

    /// Reports whether the backup is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    /// Adds the MAC of a key; without a key the manifest has none.
    pub(crate) fn sign(&mut self, key: Option<&ManifestKey>) {
        self.mac = None;
        let text = self.to_json();
        let covered = text.strip_suffix(PLAIN_END).unwrap_or(&text);
        self.mac = key.map(|key| Mac::of(covered, key));
    }

    /// Reads the manifest of a backup; `None` where there is none. Nothing says that it is authentic.
    ///
    /// # Errors
    /// Kind `Integrity`: it is there and cannot be understood.
    pub(crate) fn of(backup: &Path) -> Result<Option<Self>> {
        let Some(text) = Self::text_of(backup)? else { return Ok(None) };
        Self::parse(&text).map(Some).map_err(|e| e.context(path_for(backup).display()))
    }

    /// Reads the manifest of a backup and verifies its MAC.
    pub(crate) fn authenticated_of(
        backup: &Path,
        keys: &ManifestKeys,
    ) -> Result<(Option<Self>, Authenticity)> {
        let Some(text) = Self::text_of(backup)? else { return Ok((None, Authenticity::NoManifest)) };
        let read = Self::authenticate(&text, keys).map_err(|e| e.context(path_for(backup).display()))?;
        Ok((Some(read.0), read.1))
    }

    /// Reads a manifest's text and verifies its MAC.
    ///
    /// # Errors
    /// Kind `Integrity`: not a manifest, or of a newer schema.
    pub(crate) fn authenticate(text: &str, keys: &ManifestKeys) -> Result<(Self, Authenticity)> {
        let manifest = Self::parse(text)?;
        let authenticity = match &manifest.mac {
            Some(mac) => mac.verify(text, keys),
            None => Authenticity::Unauthenticated(Doubt::NoMac),
        };
        Ok((manifest, authenticity))
    }

    fn text_of(backup: &Path) -> Result<Option<String>> {
        let path = path_for(backup);
        match std::fs::metadata(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.len() > LARGEST => {
                return Err(error::integrity(format!("{} is too large for a manifest", path.display())));
            }
            _ => {}
        }
        std::fs::read_to_string(&path).map(Some).map_err(|e| {
            error::integrity(format!("the manifest {} cannot be read", path.display())).because(e)
        })
    }

    /// Compares the SHA-256 of a file with the one in its manifest; `name` is the file's name.
    ///
    /// # Errors
    /// Kind `Integrity`: the file is another.
    pub(crate) fn matches(&self, stored: Digest, name: &dyn std::fmt::Display) -> Result<()> {
        if stored == self.stored_sha256 {
            return Ok(());
        }
        Err(error::integrity(format!(
            "{name} is not what its manifest says: SHA-256 {stored} instead of {}",
            self.stored_sha256
        ))
        .note("the file was damaged or cut after it was made")
        .hint("take another: `envctl backup list`"))
    }

    /// Reports whether every member of `text`, whose manifest this is, would be written again.
    fn holds_all_of(&self, text: &str) -> bool {
        fn holds(ours: &serde_json::Value, theirs: &serde_json::Value) -> bool {
            match (ours, theirs) {
                (serde_json::Value::Object(ours), serde_json::Value::Object(theirs)) => {
                    theirs.iter().all(|(key, value)| match ours.get(key) {
                        Some(our) => holds(our, value),
                        // Left out where there is nothing to say, and names of older versions.
                        None => value.is_null() || OLDER_NAMES.contains(&key.as_str()),
                    })
                }
                (serde_json::Value::Array(ours), serde_json::Value::Array(theirs)) => {
                    ours.len() == theirs.len()
                        && ours.iter().zip(theirs).all(|(our, their)| holds(our, their))
                }
                _ => true,
            }
        }
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
        holds(&parse(&self.to_json()), &parse(text))
    }

    /// Changes the verification in the manifest beside `backup`, if it is still that of `tested`. The manifest is read
    /// again under its lock: another run may have changed it meanwhile. Returns the reason why a manifest cannot be
    /// changed here: it has a MAC of a key that is not ours.
    ///
    /// # Errors
    /// Kind `Integrity`: the manifest is gone or damaged. `Failed`: the disk.
    pub(crate) fn record(
        backup: &Path,
        tested: &Self,
        change: impl FnOnce(&mut Verification),
        key: Option<&ManifestKey>,
        keys: &ManifestKeys,
    ) -> Result<Option<String>> {
        let path = path_for(backup);
        let _alone = SoleLock::wait_for_name(&path);
        let Some(text) = Self::text_of(backup)? else {
            return Err(error::integrity(format!("{} has no manifest", backup.display())));
        };
        let (mut manifest, authenticity) = Self::authenticate(&text, keys)?;
        if manifest.operation != tested.operation || manifest.stored_sha256 != tested.stored_sha256 {
            return Ok(Some("another backup has taken its name meanwhile".to_owned()));
        }
        if !manifest.holds_all_of(&text) {
            return Ok(Some("a later envctl wrote it, and members of it would be lost".to_owned()));
        }
        let was_signed = manifest.mac.is_some();
        if let (Some(doubt), true) = (authenticity.doubt(), was_signed) {
            return Ok(Some(doubt));
        }
        let Some(key) = key.filter(|_| was_signed).map(Some).or((!was_signed).then_some(None)) else {
            return Ok(Some("there is no key here to sign it with".to_owned()));
        };
        change(&mut manifest.verified);
        manifest.sign(key);
        let id = OperationId::new();
        let mut file = AtomicFile::create(&path, id.short())?;
        file.write_all(manifest.to_json().as_bytes()).map_err(|e| atomic_file::write_failure(&path, e))?;
        file.publish(true)?;
        Ok(None)
    }

    /// Reads a manifest's text.
    ///
    /// # Errors
    /// Kind `Integrity`: not a manifest, or of a newer schema.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let damaged = |e: serde_json::Error| {
            error::integrity("not a manifest of envctl")
                .because(e)
                .note("without it the file can still be restored: its own structure is checked then")
        };
        let newer = |schema: u32| {
            error::integrity(format!("written by a newer envctl (schema {schema})")).hint("upgrade envctl")
        };
        // Read once where all is well: a list reads thousands.
        match serde_json::from_str::<Self>(text) {
            Ok(manifest) if manifest.schema > SCHEMA => Err(newer(manifest.schema)),
            // Only an encrypted backup may leave such a member out.
            Ok(manifest) if manifest.encryption.is_none() && manifest.server_version.is_empty() => {
                Err(error::integrity("not a manifest of envctl: it has no `server_version`"))
            }
            Ok(manifest) => Ok(manifest),
            Err(cause) => Err(match serde_json::from_str(text) {
                Ok(Version { schema }) if schema > SCHEMA => newer(schema),
                _ => damaged(cause),
            }),
        }
    }

    /// Rows in all tables, where they can be read.
    pub(crate) fn known_rows(&self) -> Option<u64> {
        (!self.is_sealed()).then(|| self.rows())
    }

    /// Rows in all tables; none of a manifest that is not open.
    pub(crate) fn rows(&self) -> u64 {
        let tables: u64 = self.tables.iter().map(|table| table.rows).sum();
        tables + self.databases.iter().map(|database| database.rows).sum::<u64>()
    }

    /// Returns true where there is no table and no other object in it; of manifests of older versions too.
    pub(crate) fn is_empty(&self) -> bool {
        let is_frame = |entry: &Entry| {
            let frame = ["COMMENT", "ACL", "EXTENSION", "ENCODING", "STDSTRINGS", "SEARCHPATH"];
            frame.contains(&entry.kind.as_str())
                || entry.kind.starts_with("DATABASE")
                || (entry.kind == "SCHEMA" && entry.name == "public")
        };
        self.empty
            || (!self.is_of_all()
                && !self.is_sealed()
                && self.tables.is_empty()
                && self.entries.iter().all(is_frame))
    }

    /// Returns the number of tables.
    pub(crate) fn table_count(&self) -> usize {
        self.tables.len() + self.databases.iter().map(|database| database.tables).sum::<usize>()
    }

    /// Reports whether the backup is of all databases.
    pub(crate) fn is_of_all(&self) -> bool {
        self.format == CLUSTER
    }

    /// Returns the name of the database, or "all databases".
    pub(crate) fn of_what(&self) -> &str {
        if self.is_of_all() { "all databases" } else { &self.database }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dump::sql::Span;

    pub(crate) fn sample() -> Manifest {
        let digest: Digest = "00".repeat(32).parse().unwrap();
        Manifest {
            schema: 1,
            envctl: "0.1.0".into(),
            operation: "0123456789abcdef".into(),
            purpose: Purpose::Backup,
            source: BackupSource {
                stack: "acme".into(),
                profile: Some("prod".into()),
                ..BackupSource::default()
            },
            database: "acme".into(),
            databases: Vec::new(),
            server_version: "15.18".into(),
            pg_dump_version: Some("15.18".into()),
            format: "plain".into(),
            compression: "gzip:4".into(),
            transport: "exec".into(),
            transport_reason: Some("the database is small".into()),
            whole: true,
            started: Timestamp::from_second(1_700_000_000).unwrap(),
            duration_ms: 12,
            plain_bytes: 100,
            plain_sha256: digest,
            stored_bytes: 10,
            stored_sha256: digest,
            tables: vec![CopyBlock {
                table: "public.users".into(),
                rows: 3,
                data: Some(Span { offset: 40, bytes: 30 }),
                contents: None,
            }],
            entries: vec![Entry {
                name: "users".into(),
                kind: "TABLE".into(),
                offset: 7,
                schema: None,
                owner: None,
                data: false,
                contents: None,
            }],
            restore_hints: Some(RestoreHints::default()),
            extensions: Vec::new(),
            roles: vec!["acme".into()],
            search_path: vec!["public".into()],
            preload_libraries: vec!["pg_stat_statements".into()],
            last_migration: None,
            empty: false,
            verified: Verification {
                level: VerificationLevel::Complete,
                at: Timestamp::from_second(1_700_000_001).unwrap(),
                by: None,
                restored_in_ms: None,
                tested_at: None,
                opened_at: None,
            },
            encryption: None,
            mac: None,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Manifest::parse(&sample().to_json()).unwrap(), sample());
    }

    #[test]
    fn two_verifications_at_once_lose_nothing_of_each_other() {
        let home = tempfile::tempdir().unwrap();
        let backup = home.path().join("backup_20231114_221320.sql.gz");
        std::fs::write(path_for(&backup), sample().to_json()).unwrap();
        let begun = std::sync::Barrier::new(2);
        let record = |change: &dyn Fn(&mut Verification)| {
            let refused = Manifest::record(&backup, &sample(), change, None, &ManifestKeys::default());
            assert_eq!(refused.unwrap(), None);
        };
        let at = Timestamp::from_second(1_700_000_500).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                record(&|verified| {
                    begun.wait();
                    // The other one reads meanwhile, unless it waits.
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    verified.level = VerificationLevel::Contents;
                });
            });
            scope.spawn(|| {
                begun.wait();
                record(&|verified| verified.tested_at = Some(at));
            });
        });
        let verified = Manifest::of(&backup).unwrap().unwrap().verified;
        assert_eq!((verified.level, verified.tested_at), (VerificationLevel::Contents, Some(at)));
    }

    #[test]
    fn a_member_of_a_later_version_would_be_lost() {
        let text = sample().to_json();
        assert!(sample().holds_all_of(&text));
        assert!(sample().holds_all_of(&text.replace("transport_reason", "transport_why")));
        assert!(!sample().holds_all_of(&text.replacen('{', "{\"later\": [1],", 1)));
        assert!(!sample().holds_all_of(&text.replace("\"level\"", "\"later\": 1, \"level\"")));
    }

    #[test]
    fn the_words_of_older_manifests_are_read() {
        let before = sample()
            .to_json()
            .replace("\"complete\"", "\"trailer\"")
            .replace("\"backup\"", "\"safety\"")
            .replace("transport_reason", "transport_why")
            .replace("restore_hints", "foreknown");
        let now = Manifest { purpose: Purpose::PreRestore, ..sample() };
        assert_eq!(Manifest::parse(&before).unwrap(), now);
    }

    #[test]
    fn fields_of_later_versions_are_left_alone_and_later_schemas_refused() {
        let later = sample().to_json().replacen('{', "{\"later\": [1],", 1);
        assert_eq!(Manifest::parse(&later).unwrap(), sample());
        let newer = sample().to_json().replacen("\"schema\": 1", "\"schema\": 2", 1);
        assert!(Manifest::parse(&newer).unwrap_err().message().contains("newer envctl"));
        assert!(Manifest::parse("{}").is_err());
    }

    #[test]
    fn a_dump_of_nothing_is_known_as_empty() {
        let of = |entries: &[(&str, &str)]| {
            let entry = |(name, kind): &(&str, &str)| Entry {
                name: (*name).into(),
                kind: (*kind).into(),
                offset: 0,
                schema: None,
                owner: None,
                data: false,
                contents: None,
            };
            let entries = entries.iter().map(entry).collect();
            Manifest { tables: Vec::new(), entries, ..sample() }.is_empty()
        };
        assert!(
            of(&[]) && of(&[("public", "SCHEMA"), ("SCHEMA public", "COMMENT"), ("pgcrypto", "EXTENSION")])
        );
        for something in [("users", "TABLE"), ("f()", "FUNCTION"), ("app", "SCHEMA"), ("1", "BLOB")] {
            assert!(!of(&[("public", "SCHEMA"), something]), "{something:?}");
        }
        assert!(!sample().is_empty());
    }

    #[test]
    fn every_field_is_documented() {
        let manual = include_str!("../../docs/manifest.md");
        let mut sample = sample();
        let file = "databases/acme.sql.gz".into();
        let inner = DatabaseEntry {
            name: "acme".into(),
            file,
            tables: 1,
            rows: 3,
            plain_bytes: 100,
            stored_bytes: 10,
        };
        sample.databases.push(inner);
        sample.empty = true;
        sample.encryption = Some(Encryption::default());
        sample.mac = Some(Mac { key: "0011223344556677".into(), hmac_sha256: sample.stored_sha256 });
        let value = serde_json::to_value(&sample).unwrap();
        for key in value.as_object().unwrap().keys() {
            assert!(manual.contains(&format!("`{key}`")), "docs/manifest.md does not speak of `{key}`");
        }
    }
}
