//! An encrypted file that is read from anywhere: its parts of 64 KiB decrypt each for itself.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use age::stream::StreamReader;

use super::decrypt::of_part;
use super::{AgeIdentities, EncryptedFor, Keyring};
use crate::error::{self, Result};
use crate::sync::lock;

/// A place in a file that others read, too.
struct FileCursor {
    file: Arc<File>,
    at: u64,
}

impl Read for FileCursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for FileCursor {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let at = match position {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// An encrypted file, open.
pub(crate) struct EncryptedFile {
    file: Arc<File>,
    identities: AgeIdentities,
    /// Plain bytes.
    length: u64,
    /// Readers that nobody uses at the moment.
    idle: Mutex<Vec<StreamReader<FileCursor>>>,
}

impl std::fmt::Debug for EncryptedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptedFile").field("length", &self.length).finish_non_exhaustive()
    }
}

impl EncryptedFile {
    /// Opens a file, and reads its last part, which authenticates its length.
    ///
    /// # Errors
    /// Kind `Usage`: there is no identity, or none that opens it. `Integrity`: the file is damaged or cut.
    pub(crate) fn open(file: &Arc<File>, keyring: &Keyring, what: &EncryptedFor) -> Result<Self> {
        let identities = keyring.identities_for(what)?;
        let unreadable = |cause: io::Error| match of_part(cause).downcast::<error::Error>() {
            Ok(error) => error,
            Err(cause) => error::failed(format!("cannot read {}", what.name)).because(cause),
        };
        let mut reader = reader(file, &identities).map_err(unreadable)?;
        let length = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
        Ok(Self { file: file.clone(), identities, length, idle: Mutex::new(vec![reader]) })
    }

    /// Plain bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads exactly so many plain bytes from `at` on.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let idle = lock(&self.idle).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => reader(&self.file, &self.identities)?,
        };
        reader.seek(SeekFrom::Start(at)).and_then(|_| reader.read_exact(buffer)).map_err(of_part)?;
        // One that failed is in no state to be used again.
        lock(&self.idle).push(reader);
        Ok(())
    }
}

fn reader(file: &Arc<File>, identities: &AgeIdentities) -> io::Result<StreamReader<FileCursor>> {
    let decryptor = age::Decryptor::new(FileCursor { file: file.clone(), at: 0 });
    let opened = decryptor.and_then(|decryptor| decryptor.decrypt(identities.keys()));
    opened.map_err(|cause| match cause {
        age::DecryptError::Io(cause) => cause,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    })
}
