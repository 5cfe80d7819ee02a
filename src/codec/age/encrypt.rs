//! Encrypts a stream on a thread of its own, so that neither the compressor nor the dump waits for the cipher.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use age::armor::{ArmoredWriter, Format};

use super::{AgeRecipients, EncryptedStream};
use crate::codec::Hashing;
use crate::codec::buffer_pool::Pool;
use crate::error::{Error, Result, failed};
use crate::sync::lock;

/// Bytes that are handed to the thread at once.
const HANDED: usize = 128 << 10;
/// Blocks that wait for the thread.
const WAITING: usize = 2;
/// Bytes of the beginning that are kept: more than a header and the first part.
const HEAD: usize = 128 << 10;

/// The writing end: what is written into it is encrypted.
pub(crate) struct EncryptingWriter {
    blocks: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    pool: Pool,
}

/// The thread that encrypts.
pub(crate) struct EncryptingThread<W> {
    thread: JoinHandle<io::Result<Option<(EncryptedStream, W)>>>,
    finished: Arc<AtomicBool>,
}

impl<W: Write + Send + 'static> EncryptingThread<W> {
    /// Starts encrypting into `out`.
    ///
    /// # Errors
    /// Kind `Failed`: the thread cannot be started, or a recipient cannot be used.
    pub(crate) fn start(recipients: &AgeRecipients, out: W) -> Result<(EncryptingWriter, Self)> {
        let encryptor = encryptor(recipients)?;
        let (blocks, queue) = sync_channel(WAITING);
        let (finished, pool) = (Arc::new(AtomicBool::new(false)), Pool::new(WAITING + 2));
        let (done, spent) = (finished.clone(), pool.clone());
        let work = move || encrypt(encryptor, &queue, out, &done, &spent);
        let thread = std::thread::Builder::new().name("encryption".to_owned()).spawn(work);
        let thread = thread.map_err(|error| failed("cannot start a thread").because(error))?;
        Ok((EncryptingWriter { blocks, block: Vec::new(), pool }, Self { thread, finished }))
    }

    /// Ends the stream with its writer, into which everything was written; without a writer, which has to be gone by then,
    /// the stream never gets a valid end. Gives `None` for such a one.
    ///
    /// # Errors
    /// Error of the output.
    pub(crate) fn end<T>(self, writer: Option<T>) -> io::Result<Option<(EncryptedStream, W)>> {
        // Before the writer goes: the thread looks when nobody can write any more.
        self.finished.store(writer.is_some(), Ordering::Release);
        drop(writer);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the encrypting thread failed")))
    }
}

impl EncryptingWriter {
    fn send(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, self.pool.take());
        // The thread hangs up only where its output failed, and has that error.
        self.blocks.send(block).map_err(|_| io::Error::other("the backup is not being encrypted any more"))
    }
}

impl Write for EncryptingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= HANDED {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for EncryptingWriter {
    fn drop(&mut self) {
        let _ = self.send();
    }
}

fn encryptor(recipients: &AgeRecipients) -> Result<age::Encryptor> {
    let keys = recipients.0.iter().map(|recipient| &*recipient.key as &dyn age::Recipient);
    age::Encryptor::with_recipients(keys)
        .map_err(|error| failed("cannot encrypt to the recipients").because(error))
}

fn encrypt<W: Write>(
    encryptor: age::Encryptor,
    blocks: &Receiver<Vec<u8>>,
    out: W,
    finished: &AtomicBool,
    pool: &Pool,
) -> io::Result<Option<(EncryptedStream, W)>> {
    let failure = Arc::default();
    let headed = Headed { inner: Hashing::new(out), head: Vec::new(), failure: Arc::clone(&failure) };
    // The library tells an error of the header in words alone.
    let mut cipher = encryptor.wrap_output(headed).map_err(|told| lock(&failure).take().unwrap_or(told))?;
    for block in blocks {
        cipher.write_all(&block)?;
        pool.put(block);
    }
    if !finished.load(Ordering::Acquire) {
        return Ok(None);
    }
    let mut output = cipher.finish()?;
    output.flush()?;
    let Headed { inner, head, .. } = output;
    let (out, hasher) = inner.into_parts();
    let (bytes, sha256) = (hasher.bytes(), hasher.finish());
    Ok(Some((EncryptedStream { bytes, sha256, head }, out)))
}

/// A writer that keeps a copy of what was written first, and the error that ends it.
struct Headed<W> {
    inner: W,
    head: Vec<u8>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl<W: Write> Write for Headed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes).inspect_err(|cause| {
            // Whoever is interrupted writes again.
            if cause.kind() != io::ErrorKind::Interrupted {
                *lock(&self.failure) = cause.raw_os_error().map(io::Error::from_raw_os_error);
            }
        })?;
        let kept = written.min(HEAD - self.head.len());
        self.head.extend_from_slice(&bytes[..kept]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Encrypts a text, as armoured text that `age -d` reads.
///
/// # Errors
/// Kind `Failed`: a recipient cannot be used.
pub(crate) fn encrypt_text(recipients: &AgeRecipients, plain: &str) -> Result<String> {
    let cannot = |error: io::Error| -> Error { failed("cannot encrypt the manifest").because(error) };
    let encryptor = encryptor(recipients)?;
    let armour = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(cannot)?;
    let mut cipher = encryptor.wrap_output(armour).map_err(cannot)?;
    cipher.write_all(plain.as_bytes()).map_err(cannot)?;
    let bytes = cipher.finish().and_then(ArmoredWriter::finish).map_err(cannot)?;
    String::from_utf8(bytes).map_err(|error| failed("cannot encrypt the manifest").because(error))
}
