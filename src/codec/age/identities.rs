//! Identities: the private keys that open what was encrypted.
//!
//! Promise: neither a message nor `Debug` shows a private key or a line of the text it was read from.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use super::recipients::ssh_fingerprint;
use crate::error::{self, Error, Result};
use crate::secret::Secret;

/// One identity, and the fingerprint of its public key.
pub(super) struct AgeIdentity {
    pub(super) key: Box<dyn age::Identity + Send + Sync>,
    fingerprint: String,
}

/// Identities, at least one.
#[derive(Clone)]
pub(crate) struct AgeIdentities(Arc<[AgeIdentity]>);

impl fmt::Debug for AgeIdentities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AgeIdentities").field(&self.fingerprints()).finish()
    }
}

impl AgeIdentities {
    /// Reads the text of an identity file of age, or of a private key of ssh; `source` names it in messages.
    ///
    /// # Errors
    /// Kind `Usage`: it holds no identity, or one that cannot be used without a passphrase.
    pub(crate) fn parse(text: &Secret, source: &str) -> Result<Self> {
        let text = text.expose().trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let identities = if text.starts_with("age-encryption.org/")
            || text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----")
        {
            return Err(error::usage(format!("{source} is itself encrypted with a passphrase")).hint(
                "let a command give the identity: `backup.encryption.identity_command = [\"age\", \"-d\", \"FILE\"]`",
            ));
        } else if text.starts_with("-----BEGIN") {
            vec![of_ssh(text, source)?]
        } else {
            of_age(text, source)?
        };
        if identities.is_empty() {
            return Err(error::usage(format!("{source} holds no identity"))
                .hint("make one: `age-keygen -o key.txt`; or name a private key of ssh"));
        }
        Ok(Self(identities.into()))
    }

    /// Returns the fingerprints of their public keys.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|identity| identity.fingerprint.clone()).collect()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| &*identity.key as &dyn age::Identity)
    }
}

fn of_age(text: &str, source: &str) -> Result<Vec<AgeIdentity>> {
    let mut identities = Vec::new();
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Ok(key) = age::x25519::Identity::from_str(line) else {
            return Err(no_identity(line, &format!("{source}, line {}", number + 1)));
        };
        identities.push(AgeIdentity { fingerprint: key.to_public().to_string(), key: Box::new(key) });
    }
    Ok(identities)
}

fn no_identity(line: &str, place: &str) -> Error {
    if line.starts_with("age1") || line.starts_with("ssh-") {
        return error::usage(format!("{place}: this is a public key; an identity is the private one"));
    }
    if line.starts_with("AGE-PLUGIN-") {
        return error::usage(format!("{place}: plugins of age are not used"))
            .hint("decrypt in a pipe: `age -d -i KEY FILE | envctl restore -`");
    }
    error::usage(format!("{place}: this is no identity of age"))
}

fn of_ssh(text: &str, source: &str) -> Result<AgeIdentity> {
    let unreadable = || error::usage(format!("{source} is no private key that age can use"));
    let key = age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|_| unreadable())?;
    match &key {
        age::ssh::Identity::Unencrypted(_) => {}
        age::ssh::Identity::Encrypted(_) => {
            return Err(error::usage(format!("{source} is protected by a passphrase"))
                .hint("decrypt in a pipe, where age asks for it: `age -d -i KEY FILE | envctl restore -`")
                .hint("use a key without a passphrase, kept where only its user reads it"));
        }
        age::ssh::Identity::Unsupported(_) => {
            return Err(unreadable().note("age uses ssh-ed25519 and ssh-rsa, in the format of OpenSSH"));
        }
    }
    let public = age::ssh::Recipient::try_from(key.clone()).map_err(|_| unreadable())?;
    Ok(AgeIdentity { fingerprint: ssh_fingerprint(&public), key: Box::new(key) })
}
