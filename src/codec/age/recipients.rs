//! Recipients: the public keys that backups are encrypted to.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::Digest as _;

use crate::error::{self, Result};

/// One recipient, and the name that messages and manifests have for it.
pub(super) struct AgeRecipient {
    pub(super) key: Box<dyn age::Recipient + Send + Sync>,
    pub(super) fingerprint: String,
}

/// Recipients, at least one.
#[derive(Clone)]
pub(crate) struct AgeRecipients(pub(super) Arc<[AgeRecipient]>);

impl fmt::Debug for AgeRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AgeRecipients").field(&self.fingerprints()).finish()
    }
}

impl AgeRecipients {
    /// Reads recipients, each with the name of its place for messages: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`.
    ///
    /// # Errors
    /// Kind `Usage`: there is none, or one that is no public key. No message quotes a key: it may be a private one.
    pub(crate) fn parse<'a>(keys: impl Iterator<Item = (String, &'a str)>) -> Result<Self> {
        let mut recipients: Vec<AgeRecipient> = Vec::new();
        for (place, text) in keys {
            let recipient =
                recipient(text.trim()).map_err(|fault| error::usage(format!("{place}: {fault}")))?;
            if recipients.iter().all(|known| known.fingerprint != recipient.fingerprint) {
                recipients.push(recipient);
            }
        }
        if recipients.is_empty() {
            return Err(error::usage("there is no recipient to encrypt a backup to"));
        }
        Ok(Self(recipients.into()))
    }

    /// Tells the fault of a public key.
    pub(crate) fn check(text: &str) -> std::result::Result<(), String> {
        recipient(text.trim()).map(drop)
    }

    /// Returns the public keys, those of ssh as `ssh-keygen -l` shows them.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|recipient| recipient.fingerprint.clone()).collect()
    }
}

fn recipient(text: &str) -> std::result::Result<AgeRecipient, String> {
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") || text.starts_with("-----BEGIN") {
        return Err("this is a private key; a recipient is a public one".to_owned());
    }
    if let Ok(key) = age::x25519::Recipient::from_str(text) {
        return Ok(AgeRecipient { fingerprint: key.to_string(), key: Box::new(key) });
    }
    match age::ssh::Recipient::from_str(text) {
        Ok(key) => Ok(AgeRecipient { fingerprint: ssh_fingerprint(&key), key: Box::new(key) }),
        Err(age::ssh::ParseRecipientKeyError::RsaModulusTooSmall) => {
            Err("this RSA key is too short: it needs 2048 bits".to_owned())
        }
        Err(age::ssh::ParseRecipientKeyError::RsaModulusTooLarge) => {
            Err("this RSA key is too long: it may have 4096 bits".to_owned())
        }
        Err(age::ssh::ParseRecipientKeyError::Unsupported(kind)) => {
            Err(format!("age knows no keys of type {}; use ssh-ed25519 or age1…", kind.escape_debug()))
        }
        Err(_) if text.starts_with("age1") => {
            Err("this is no public key of age: one has 62 characters, and those of plugins are not used"
                .to_owned())
        }
        Err(_) => Err("this is no public key: write `age1…`, `ssh-ed25519 …` or `ssh-rsa …`".to_owned()),
    }
}

/// The fingerprint of a public key of ssh: `ssh-ed25519 SHA256:…`.
pub(super) fn ssh_fingerprint(key: &age::ssh::Recipient) -> String {
    let text = key.to_string();
    let (kind, encoded) = text.split_once(' ').unwrap_or((&text, ""));
    let hash = sha2::Sha256::digest(STANDARD.decode(encoded).unwrap_or_default());
    format!("{kind} SHA256:{}", STANDARD_NO_PAD.encode(hash))
}
