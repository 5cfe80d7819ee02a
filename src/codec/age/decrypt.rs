//! Decrypts a stream, to its authenticated end.

use std::io::{self, BufReader, Read};

use age::DecryptError;
use age::armor::ArmoredReader;
use age::stream::StreamReader;

use super::{AgeIdentities, EncryptedFor, Keyring};
use crate::error::{self, Error, Result};

/// The plain end of an encrypted stream. Its errors hold an [`Error`] of kind `Integrity` where the stream is damaged,
/// cut or in another order.
pub(crate) struct DecryptReader<R: Read> {
    inner: StreamReader<ArmoredReader<BufReader<R>>>,
}

/// Opens an encrypted stream.
///
/// # Errors
/// Kind `Usage`: there is no identity, or none that opens it. `Integrity`: its header is damaged.
pub(crate) fn open<R: Read>(source: R, keyring: &Keyring, what: &EncryptedFor) -> Result<DecryptReader<R>> {
    let source = ArmoredReader::new(source);
    let decryptor = age::Decryptor::new_buffered(source).map_err(|e| of_header(e, what))?;
    if decryptor.is_scrypt() {
        return Err(error::usage(format!(
            "{} is encrypted with a passphrase and not to recipients",
            what.name
        ))
        .hint("decrypt in a pipe, where age asks for it: `age -d FILE | envctl restore -`"));
    }
    let identities = keyring.identities_for(what)?;
    let inner = decryptor.decrypt(identities.keys()).map_err(|error| match error {
        DecryptError::NoMatchingKeys => what.not_opened(&identities),
        other => of_header(other, what),
    })?;
    Ok(DecryptReader { inner })
}

/// Reports whether one of the identities opens a stream that begins with `head`: its header, and the first part.
pub(crate) fn opens(head: &[u8], identities: &AgeIdentities) -> bool {
    let Ok(decryptor) = age::Decryptor::new_buffered(head) else { return false };
    let Ok(mut plain) = decryptor.decrypt(identities.keys()) else { return false };
    plain.read_exact(&mut [0]).is_ok()
}

/// Decrypts a text whose parts are few.
///
/// # Errors
/// Errors of [`open`]; kind `Integrity`: the text is damaged.
pub(crate) fn decrypt_text(text: &str, keyring: &Keyring, what: &EncryptedFor) -> Result<String> {
    let mut plain = String::new();
    let mut reader = open(text.as_bytes(), keyring, what)?;
    match reader.read_to_string(&mut plain) {
        Ok(_) => Ok(plain),
        Err(cause) => {
            Err(cause.downcast::<Error>().unwrap_or_else(|cause| damaged(&what.name).because(cause)))
        }
    }
}

/// Returns the kinds of the recipients in a header, for files that no manifest describes: an age1 recipient leaves no
/// name in it, a key of ssh the first bytes of its hash.
pub(crate) fn stanzas(head: &[u8]) -> Vec<String> {
    let text = head.split(|byte| *byte == b'\n').skip(1);
    let lines = text.map(String::from_utf8_lossy).take_while(|line| !line.starts_with("---"));
    let kinds = lines.filter_map(|line| {
        let mut tokens = line.strip_prefix("-> ")?.split(' ');
        Some(match (tokens.next()?, tokens.next()) {
            ("X25519", _) => "an age1 recipient".to_owned(),
            (kind @ ("ssh-ed25519" | "ssh-rsa"), Some(tag)) => format!("{kind} (tag {})", tag.escape_debug()),
            (kind, _) if kind.ends_with("-grease") => return None,
            (kind, _) => kind.escape_debug().to_string(),
        })
    });
    kinds.take(20).collect()
}

fn damaged(name: &str) -> Error {
    error::integrity(format!("{name} is damaged: a part of it does not decrypt, or stands in another place"))
}

fn truncated(name: &str) -> Error {
    error::integrity(format!("{name} is truncated: its last encrypted part is missing"))
}

fn of_header(cause: DecryptError, what: &EncryptedFor) -> Error {
    match cause {
        DecryptError::Io(cause) => match cause.downcast::<Error>() {
            Ok(error) => error,
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                error::integrity(format!("{} is truncated: it ends inside its age header", what.name))
            }
            Err(cause) => error::failed(format!("cannot read {}", what.name)).because(cause),
        },
        _ => error::integrity(format!("the age header of {} is damaged", what.name)),
    }
}

/// An error of the cipher, or of what it reads from.
pub(super) fn of_part(cause: io::Error) -> io::Error {
    // The source's own error stays what it is.
    if cause.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>)
        || cause.raw_os_error().is_some()
    {
        return cause;
    }
    match cause.kind() {
        io::ErrorKind::Interrupted => cause,
        io::ErrorKind::UnexpectedEof => io::Error::other(truncated("the encrypted file")),
        _ => io::Error::other(damaged("the encrypted file")),
    }
}

impl<R: Read> Read for DecryptReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.inner.read(buffer).map_err(of_part)
    }
}
