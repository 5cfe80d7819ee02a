//! Keys of manifests: the one of this user in a file of envctl's own, or those that a team shares.
//!
//! Promises: a key is made once, 0600, complete under its name or not there at all; a file that others may read or write
//! holds no key; no key is in a message or in `Debug`.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _};
use sha2::{Digest as _, Sha256};

use crate::codec::Digest;
use crate::error::{self, Result};
use crate::random::nonce;
use crate::secret::Secret;

/// Fewer bytes could be guessed.
const SHORTEST: usize = 16;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ManifestKey(Secret);

impl fmt::Debug for ManifestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManifestKey({})", self.id())
    }
}

impl ManifestKey {
    /// Returns the id: a hash of the key, which tells nothing of a key as random as [`make_own`] makes them.
    pub(crate) fn id(&self) -> String {
        let hash =
            Sha256::new().chain_update(b"envctl manifest key\n").chain_update(self.0.expose()).finalize();
        Digest::from(<[u8; 32]>::from(hash)).to_string().chars().take(16).collect()
    }

    /// Begins a MAC.
    pub(crate) fn state(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.0.expose().as_bytes()).expect("HMAC takes a key of any length")
    }
}

/// The keys that are here: the first one signs, all of them verify.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestKeys(Vec<ManifestKey>);

impl ManifestKeys {
    /// Reads keys, one a line; empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// Kind `Usage`: `source` gave no key, or one that is too short. No message quotes a key.
    pub(crate) fn parse(text: &Secret, source: &str) -> Result<Self> {
        let lines =
            text.expose().lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<ManifestKey> = lines.map(|line| ManifestKey(Secret::new(line))).collect();
        let make = "make one: `openssl rand -hex 32`";
        if keys.is_empty() {
            return Err(error::usage(format!("{source} gave no key for manifests")).hint(make));
        }
        if keys.iter().any(|key| key.0.expose().len() < SHORTEST) {
            return Err(error::usage(format!(
                "{source} gave a key for manifests of fewer than {SHORTEST} characters"
            ))
            .hint(make));
        }
        Ok(Self(keys))
    }

    /// Adds keys that verify.
    #[must_use]
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(crate) fn signing(&self) -> Option<&ManifestKey> {
        self.0.first()
    }

    /// Returns every key that verifies.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &ManifestKey> {
        self.0.iter()
    }
}

/// Reads this user's own keys; `None` where there is no file yet.
///
/// # Errors
/// Kind `Usage`: the file cannot be read, others may read or write it, or it holds no key.
pub(crate) fn read_own(path: &Path) -> Result<Option<ManifestKeys>> {
    let cannot = |e: io::Error| {
        error::usage(format!("cannot read the key of manifests {}", path.display())).because(e)
    };
    let meta = match fs::metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(cannot)?,
    };
    if meta.mode() & 0o077 != 0 || meta.uid() != rustix::process::getuid().as_raw() {
        let shown = path.display();
        return Err(error::usage(format!(
            "the key of manifests {shown} belongs to another user, or others may read it"
        ))
        .hint(format!("move it away, and the next backup makes another: `mv {shown} {shown}.old`")));
    }
    let text = Secret::new(fs::read_to_string(path).map_err(cannot)?);
    ManifestKeys::parse(&text, &path.display().to_string()).map(Some)
}

/// Reads this user's own keys, and makes one where there is none yet.
///
/// # Errors
/// See [`read_own`]; kind `Usage` too where the file cannot be made.
pub(crate) fn make_own(path: &Path) -> Result<ManifestKeys> {
    if let Some(keys) = read_own(path)? {
        return Ok(keys);
    }
    let cannot = |e: io::Error| {
        error::usage(format!("cannot make the key of manifests {}", path.display())).because(e)
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(cannot)?;
    // 256 random bits.
    let key = Secret::new(nonce() + &nonce());
    // Complete before the name is there, and never in the place of another run's key.
    let temporary = directory.join(format!(".manifest.key.{}", nonce()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(format!("{}\n", key.expose()).as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&temporary, path) {
            // Some file systems have no hard links.
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
                fs::rename(&temporary, path)
            }
            other => other,
        }
    };
    let written = write();
    let _ = fs::remove_file(&temporary);
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(cannot(cause)),
        _ => read_own(path)?.ok_or_else(|| cannot(io::ErrorKind::NotFound.into())),
    }
}
