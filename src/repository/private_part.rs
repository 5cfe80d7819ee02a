//! The part of a manifest that only the recipients of an encrypted backup can read: tables, rows, versions.
//!
//! Promises: in clear stands what listing, checking and pruning need, and no more; the part is armoured text of age, so
//! that `age -d` reads it too; it says which backup it belongs to, and one that belongs to another is refused.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Encryption of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// Fingerprints of the public keys that it is encrypted to.
    pub(crate) recipients: Vec<String>,
    /// The private part, encrypted.
    pub(crate) private: String,
    /// True where the private part was read into the manifest.
    #[serde(skip)]
    pub(crate) opened: bool,
}

/// Members of the private part.
const PRIVATE: &[&str] = &[
    "databases",
    "server_version",
    "pg_dump_version",
    "transport",
    "transport_reason",
    "plain_sha256",
    "tables",
    "entries",
    "restore_hints",
    "extensions",
    "roles",
    "search_path",
    "preload_libraries",
    "last_migration",
];
/// Members of `source` in the private part.
const PRIVATE_SOURCE: &[&str] = &["image", "image_id"];
/// Takes the private part out of a manifest.
pub(super) fn take_private(manifest: &mut Value) -> Map<String, Value> {
    let mut private = Map::new();
    // Not `remove`, which changes the order: the MAC has to be the last member.
    let mut take = |from: &mut Value, names: &[&str]| {
        let Some(members) = from.as_object_mut() else { return };
        for name in names {
            private.extend(members.shift_remove(*name).map(|value| ((*name).to_owned(), value)));
        }
    };
    take(manifest, PRIVATE);
    take(&mut manifest["source"], PRIVATE_SOURCE);
    private
}

/// Puts a private part back into its manifest; other members of it are left out.
pub(super) fn put_private(manifest: &mut Value, mut private: Map<String, Value>) {
    let mut put = |to: &mut Value, names: &[&str]| {
        let Some(members) = to.as_object_mut() else { return };
        for name in names {
            members.extend(private.remove(*name).map(|value| ((*name).to_owned(), value)));
        }
    };
    put(manifest, PRIVATE);
    put(&mut manifest["source"], PRIVATE_SOURCE);
}
