//! A build without encryption: recipients and identities are refused, and so is what is encrypted.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::sync::Arc;

use super::{EncryptedFor, EncryptedStream, Keyring};
use crate::error::{self, Error, Result};
use crate::secret::Secret;

fn absent() -> Error {
    error::usage("this build of envctl has no encryption").hint(
        "build with `--features encryption`, or decrypt in a pipe: `age -d -i KEY FILE | envctl restore -`",
    )
}

/// Recipients; there are none.
#[derive(Clone, Debug)]
pub(crate) struct NoRecipients(Infallible);

impl NoRecipients {
    /// # Errors
    /// Kind `Usage`, always.
    pub(crate) fn parse<'a>(_keys: impl Iterator<Item = (String, &'a str)>) -> Result<Self> {
        Err(absent())
    }

    /// Finds no fault: the recipients are refused where they are used.
    #[expect(clippy::unnecessary_wraps, reason = "the signature of a build with encryption")]
    pub(crate) fn check(_text: &str) -> std::result::Result<(), String> {
        Ok(())
    }

    pub(crate) fn fingerprints(&self) -> Vec<String> {
        match self.0 {}
    }
}

/// Identities; there are none.
#[derive(Clone, Debug)]
pub(crate) struct NoIdentities(Infallible);

impl NoIdentities {
    /// # Errors
    /// Kind `Usage`, always.
    pub(crate) fn parse(_text: &Secret, _source: &str) -> Result<Self> {
        Err(absent())
    }

    pub(crate) fn fingerprints(&self) -> Vec<String> {
        match self.0 {}
    }
}

/// The thread that encrypts; it is never started.
pub(crate) struct NoEncryptingThread<W>(Infallible, PhantomData<W>);

impl<W: Write + Send + 'static> NoEncryptingThread<W> {
    /// # Errors
    /// Never returns: there are no recipients.
    pub(crate) fn start(recipients: &NoRecipients, _out: W) -> Result<(io::Sink, Self)> {
        match recipients.0 {}
    }

    pub(crate) fn end<T>(self, _writer: Option<T>) -> io::Result<Option<(EncryptedStream, W)>> {
        match self.0 {}
    }
}

/// # Errors
/// Never returns: there are no recipients.
pub(crate) fn encrypt_text(recipients: &NoRecipients, _plain: &str) -> Result<String> {
    match recipients.0 {}
}

/// # Errors
/// Kind `Usage`, always.
pub(crate) fn open<R: Read>(_source: R, _keyring: &Keyring, _what: &EncryptedFor) -> Result<R> {
    Err(absent())
}

/// # Errors
/// Kind `Usage`, always.
pub(crate) fn decrypt_text(_text: &str, _keyring: &Keyring, _what: &EncryptedFor) -> Result<String> {
    Err(absent())
}

pub(crate) fn opens(_head: &[u8], identities: &NoIdentities) -> bool {
    match identities.0 {}
}

/// Returns nothing: a build without encryption names no recipients.
pub(crate) fn stanzas(_head: &[u8]) -> Vec<String> {
    Vec::new()
}

/// An encrypted file; none is ever open.
#[derive(Debug)]
pub(crate) struct NoEncryptedFile(Infallible);

impl NoEncryptedFile {
    /// # Errors
    /// Kind `Usage`, always.
    pub(crate) fn open(_file: &Arc<File>, _keyring: &Keyring, _what: &EncryptedFor) -> Result<Self> {
        Err(absent())
    }

    pub(crate) fn length(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn read_exact_at(&self, _buffer: &mut [u8], _at: u64) -> io::Result<()> {
        match self.0 {}
    }
}
