//! Request of a backup: the database, the dump's options and the place to write it to.

use std::path::PathBuf;
use std::time::Duration;

use crate::codec::Compression;
use crate::codec::age::{AgeRecipients, Keyring};
use crate::operation::Operation;
use crate::postgres::Access;
use crate::postgres::tools::pg_dump::DumpOptions;
use crate::postgres::tools::runner::TransportOptions;
use crate::repository::authenticity::ManifestKey;
use crate::repository::manifest::{BackupSource, Purpose};
use crate::repository::name::Label;
use crate::repository::remote_backups::RemoteBackups;

/// Destination of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackupTarget {
    /// A file, and its manifest beside it.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Action if the file name is taken.
        taken: OnExisting,
    },
    /// A store, without a file on this machine.
    Store(StoreTarget),
    /// Our stdout; no manifest, the exit code says whether the stream is complete.
    Stdout,
}

/// Place for a backup in a store.
#[derive(Clone, Debug)]
pub(crate) struct StoreTarget {
    pub(crate) backups: RemoteBackups,
    pub(crate) label: Label,
    pub(crate) extension: String,
}

impl StoreTarget {
    /// Returns the address of the backup.
    pub(crate) fn address(&self) -> PathBuf {
        self.backups.address(self.label, &self.extension)
    }
}

impl PartialEq for StoreTarget {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for StoreTarget {}

/// Action if a file name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnExisting {
    /// The backup is refused.
    Refuse,
    /// The backup of that name is replaced, once the new backup is verified.
    Replace,
    /// The next name of the catalog's pattern is taken.
    Next,
}

/// A backup, decided.
#[derive(Clone, Debug)]
pub(crate) struct BackupRequest {
    pub(crate) operation: Operation,
    pub(crate) purpose: Purpose,
    pub(crate) source: BackupSource,
    /// Access to the server.
    pub(crate) access: Access,
    /// Options of the dump: format and what is left out.
    pub(crate) dump: DumpOptions,
    /// Compression of the file.
    pub(crate) compression: Compression,
    /// Number of compression threads.
    pub(crate) threads: usize,
    pub(crate) destination: BackupTarget,
    /// Longest wait for envctl's own lock.
    pub(crate) lock_limit: Duration,
    /// Longest silence of the stream before the container is inspected.
    pub(crate) stall_limit: Duration,
    /// Transports that may carry the bytes.
    pub(crate) transport_options: TransportOptions,
    /// Key for the manifest; `None` where there is none, and then the manifest vouches for nothing.
    pub(crate) key: Option<ManifestKey>,
    /// Recipients that the backup is encrypted to; `None` for one that is not encrypted.
    pub(crate) recipients: Option<AgeRecipients>,
    /// Identities that open the backup once, right after it is made.
    pub(crate) keyring: Keyring,
}

impl BackupRequest {
    /// Method and level, as in the manifest: ours around a plain dump, pg_dump's own inside an archive.
    pub(crate) fn compression(&self) -> String {
        match self.dump.compress.as_deref() {
            None => self.compression.to_string(),
            Some("0") => "none".to_owned(),
            Some(zstd) if zstd.starts_with("zstd") => zstd.to_owned(),
            Some(level) => format!("gzip:{level}"),
        }
    }
}
