//! Encryption to age recipients, as a filter around the compressed stream.
//!
//! Promises: what is written any age reads (`age -d -i KEY FILE | gunzip`); a stream that is cut, or whose parts were
//! moved, ends in an [`Integrity`](crate::error::ErrorKind::Integrity) error and never in a quiet end, because every
//! part of 64 KiB bears its number and the last one says that it is the last; memory is constant; no identity is in a
//! message or in `Debug`.

#[cfg(not(feature = "encryption"))]
mod absent;
#[cfg(feature = "encryption")]
mod decrypt;
#[cfg(feature = "encryption")]
mod encrypt;
#[cfg(feature = "encryption")]
mod identities;
#[cfg_attr(not(feature = "encryption"), allow(dead_code, reason = "nothing is opened without encryption"))]
mod keyring;
#[cfg(feature = "encryption")]
mod positioned;
#[cfg(feature = "encryption")]
mod recipients;
#[cfg(test)]
#[cfg(feature = "encryption")]
pub(crate) mod tests;

use super::Digest;
#[cfg(not(feature = "encryption"))]
pub(crate) use absent::{
    NoEncryptedFile as EncryptedFile, NoEncryptingThread as EncryptingThread, NoIdentities as AgeIdentities,
    NoRecipients as AgeRecipients, decrypt_text, encrypt_text, open, opens, stanzas,
};
#[cfg(feature = "encryption")]
pub(crate) use decrypt::{decrypt_text, open, opens, stanzas};
#[cfg(feature = "encryption")]
pub(crate) use encrypt::{EncryptingThread, encrypt_text};
#[cfg(feature = "encryption")]
pub(crate) use identities::AgeIdentities;
pub(crate) use keyring::{EncryptedFor, Keyring};
#[cfg(feature = "encryption")]
pub(crate) use positioned::EncryptedFile;
#[cfg(feature = "encryption")]
pub(crate) use recipients::AgeRecipients;

/// An encrypted stream that was written to its end.
#[derive(Debug)]
pub(crate) struct EncryptedStream {
    pub(crate) bytes: u64,
    pub sha256: Digest,
    /// Beginning of the stream: the header and the first part.
    pub(crate) head: Vec<u8>,
}

/// Reports whether a file that begins with `head` is encrypted with age, binary or armoured.
pub(crate) fn is_encrypted(head: &[u8]) -> bool {
    head.starts_with(b"age-encryption.org/") || head.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}
