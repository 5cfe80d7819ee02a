//! Reads a stored stream back: finds out what it is, unpacks it on threads, hands out plain blocks.
//!
//! Promises: memory is bounded whatever the ratio; a stream that is cut or damaged ends in an integrity
//! error, never in a quiet end; an error of the source itself stays what it was.

use std::io::{self, BufRead as _, BufReader, Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use libdeflater::Decompressor;

use super::BLOCK;
use crate::codec::buffer_pool::Pool;
use crate::codec::detect;
use crate::codec::detect::{DetectedType, FileEncoding};
use crate::codec::gzip_member;
use crate::error::{Error, Result, failed, integrity};
use crate::sync::lock;

/// The largest zstd window that is unpacked, as a power of two: what `zstd -d` takes by default.
#[cfg(feature = "zstd")]
const WINDOW_LOG: u32 = 27;

/// The next piece of the plain stream, in order.
enum Slot {
    Ready(Vec<u8>),
    Coming(Receiver<Result<Vec<u8>>>),
    Failed(Error),
    /// The end, said aloud: a thread that dies must not look like one.
    End,
}

/// A member on its way through a decompressor.
struct DecompressJob {
    member: Vec<u8>,
    done: SyncSender<Result<Vec<u8>>>,
}

/// The plain end of a stored stream.
pub(crate) struct DecompressReader {
    slots: Receiver<Slot>,
    pool: Pool,
    block: Vec<u8>,
    at: usize,
    ended: bool,
    trailing: Arc<AtomicU64>,
}

impl DecompressReader {
    /// Opens a stream on so many unpacking threads (at least one), and says what it is. Only gzip that
    /// envctl wrote is unpacked on several; everything is read ahead of the caller.
    pub(crate) fn open(source: impl Read + Send + 'static, threads: usize) -> Result<(DetectedType, Self)> {
        let mut source = MarkedSource(source);
        let head = read_up_to(&mut source, detect::ENOUGH).map_err(unreadable)?;
        let encoding = detect::encoding(&head);
        let source = Cursor::new(head).chain(source);
        let threads = threads.max(1);
        let pool = Pool::new(threads + 3);
        let (sender, slots) = sync_channel(threads + 1);
        let blocks = pool.clone();
        let trailing = Arc::new(AtomicU64::new(0));
        let behind = trailing.clone();
        start(move || match encoding {
            FileEncoding::None => hand_out(source, "file", &sender, &blocks),
            FileEncoding::Gzip => {
                let gzip = BufReader::with_capacity(BLOCK / 4, source);
                split(gzip, threads, &sender, &blocks, &behind);
            }
            FileEncoding::Zstd => unpack_zstd(source, &sender, &blocks),
            FileEncoding::Xz => unpack_xz(source, &sender, &blocks),
            FileEncoding::Bzip2 => unpack_bzip2(source, &sender, &blocks),
        })?;
        let mut decompressor = Self { slots, pool, block: Vec::new(), at: 0, ended: false, trailing };
        decompressor.block = decompressor.next_slot()?.unwrap_or_default();
        let content = detect::content(&decompressor.block);
        Ok((DetectedType { encoding, content, encrypted: false }, decompressor))
    }

    /// Bytes that are known before anything is taken: the beginning of the stream.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.block[self.at..]
    }

    /// Leaves out so many bytes of the beginning, at most those that [`DecompressReader::peek`] shows.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.block.len());
    }

    /// Content of what follows, by its first bytes.
    pub(crate) fn content(&self) -> detect::ContentType {
        detect::content(self.peek())
    }

    /// Count of bytes behind the end of a gzip file that are no part of it; known once the end was reached.
    pub(crate) fn trailing(&self) -> Arc<AtomicU64> {
        self.trailing.clone()
    }

    /// The next plain block, never empty; none at the end, which is verified.
    pub(crate) fn next_block(&mut self) -> Result<Option<Vec<u8>>> {
        if self.at < self.block.len() {
            let mut block = std::mem::take(&mut self.block);
            block.drain(..self.at);
            self.at = 0;
            return Ok(Some(block));
        }
        self.next_slot()
    }

    /// Gives a block back for reuse.
    pub(crate) fn recycle(&self, block: Vec<u8>) {
        self.pool.put(block);
    }

    /// Returns the envctl error inside a failed read's I/O error, or wraps the I/O error in one.
    pub(crate) fn failure(error: io::Error) -> Error {
        unreadable(error)
    }

    fn next_slot(&mut self) -> Result<Option<Vec<u8>>> {
        while !self.ended {
            let block = match self.slots.recv() {
                Ok(Slot::Ready(block)) => Ok(block),
                Ok(Slot::Coming(promise)) => promise.recv().unwrap_or_else(|_| Err(died())),
                Ok(Slot::Failed(error)) => Err(error),
                Ok(Slot::End) => {
                    self.ended = true;
                    return Ok(None);
                }
                Err(_) => Err(died()),
            };
            match block {
                Ok(block) if block.is_empty() => self.pool.put(block),
                other => return other.map(Some),
            }
        }
        Ok(None)
    }
}

impl Read for DecompressReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            let spent = std::mem::take(&mut self.block);
            self.pool.put(spent);
            self.at = 0;
            self.block = self.next_slot().map_err(io::Error::other)?.unwrap_or_default();
        }
        let length = buffer.len().min(self.block.len() - self.at);
        buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// The source, whose own errors are marked so that no decoder's error can be taken for them.
struct MarkedSource<R>(R);

impl<R: Read> Read for MarkedSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::new(error.kind(), unreadable(error))),
                done => return done,
            }
        }
    }
}

fn unreadable(error: io::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| failed("cannot read the backup").because(error))
}

fn died() -> Error {
    failed("the backup is not being read any more")
}

fn truncated(what: &str) -> Error {
    integrity(format!("the {what} is truncated: it ends before its end markerer"))
}

fn damaged(what: &str, detail: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    integrity(format!("the {what} is damaged")).because(detail)
}

/// An error from a decoder over a [`MarkedSource`].
fn decoding(what: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => truncated(what),
        // zstd's reader says so in words alone.
        Err(error) if error.to_string().contains("incomplete frame") => truncated(what),
        Err(error) => damaged(what, error),
    }
}

fn start(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().name("unpacking".to_owned()).spawn(work);
    thread.map(drop).map_err(|error| failed("cannot start a thread").because(error))
}

/// Reads until the buffer is full or the source is at its end.
fn read_up_to(source: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(most);
    source.take(most as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Hands out a decoder's output in blocks; false where the caller has gone or the stream has failed.
fn blocks(mut decoder: impl Read, what: &str, slots: &SyncSender<Slot>, pool: &Pool) -> bool {
    loop {
        let mut block = pool.take();
        block.reserve_exact(BLOCK);
        if let Err(error) = (&mut decoder).take(BLOCK as u64).read_to_end(&mut block) {
            // What came before the damage is not handed out: nobody may use it.
            let _ = slots.send(Slot::Failed(decoding(what, error)));
            return false;
        }
        if block.is_empty() {
            return true;
        }
        if slots.send(Slot::Ready(block)).is_err() {
            return false;
        }
    }
}

fn hand_out(decoder: impl Read, what: &str, slots: &SyncSender<Slot>, pool: &Pool) {
    if blocks(decoder, what, slots, pool) {
        let _ = slots.send(Slot::End);
    }
}

#[cfg(feature = "zstd")]
fn unpack_zstd(source: impl Read, slots: &SyncSender<Slot>, pool: &Pool) {
    let decoder = zstd::stream::read::Decoder::new(source).and_then(|mut decoder| {
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(decoder)
    });
    match decoder {
        Ok(decoder) => hand_out(decoder, "zstd file", slots, pool),
        Err(error) => drop(slots.send(Slot::Failed(decoding("zstd file", error)))),
    }
}

#[cfg(not(feature = "zstd"))]
fn unpack_zstd(_source: impl Read, slots: &SyncSender<Slot>, _pool: &Pool) {
    drop(slots.send(Slot::Failed(super::no_zstd())));
}

/// Memory that an xz file may ask for, in KiB: `xz -9` takes 65 MiB.
#[cfg(feature = "xz")]
const XZ_MEMORY: u32 = 128 << 10;

#[cfg(feature = "xz")]
fn unpack_xz(source: impl Read, slots: &SyncSender<Slot>, pool: &Pool) {
    let source = BufReader::with_capacity(BLOCK / 4, source);
    hand_out(lzma_rust2::XzReader::new_mem_limit(source, true, XZ_MEMORY), "xz file", slots, pool);
}

#[cfg(not(feature = "xz"))]
fn unpack_xz(_source: impl Read, _slots: &SyncSender<Slot>, _pool: &Pool) {
    unreachable!("no file is taken for xz without the feature");
}

#[cfg(feature = "bzip2")]
fn unpack_bzip2(source: impl Read, slots: &SyncSender<Slot>, pool: &Pool) {
    hand_out(bzip2::read::MultiBzDecoder::new(source), "bzip2 file", slots, pool);
}

#[cfg(not(feature = "bzip2"))]
fn unpack_bzip2(_source: impl Read, _slots: &SyncSender<Slot>, _pool: &Pool) {
    unreachable!("no file is taken for bzip2 without the feature");
}

const GZIP: &str = "gzip file";

/// Cuts a gzip stream into our members for the decompressors; from the first foreign one on it is
/// unpacked here.
fn split(
    mut source: impl io::BufRead,
    threads: usize,
    slots: &SyncSender<Slot>,
    pool: &Pool,
    trailing: &AtomicU64,
) {
    if let Err(error) = split_members(&mut source, threads, slots, pool, trailing) {
        let _ = slots.send(Slot::Failed(error));
    }
}

fn split_members(
    source: &mut impl io::BufRead,
    threads: usize,
    slots: &SyncSender<Slot>,
    pool: &Pool,
    trailing: &AtomicU64,
) -> Result<()> {
    let (jobs, queue) = sync_channel::<DecompressJob>(threads);
    let queue = Arc::new(Mutex::new(queue));
    let packed = Pool::new(threads + 2);
    let mut started = 0;
    // Before the first member nothing asks for an end mark.
    let mut at_end_mark = true;
    loop {
        let head = read_up_to(source, gzip_member::HEADER).map_err(unreadable)?;
        let ours = <&[u8; gzip_member::HEADER]>::try_from(head.as_slice()).ok().and_then(gzip_member::size);
        let Some(size) = ours else {
            let tail = TrailingBytes { head, after_ours: started > 0, at_end_mark };
            return foreign(tail, source, slots, pool, trailing);
        };
        let mut bytes = packed.take();
        bytes.extend_from_slice(&head);
        source.by_ref().take((size - head.len()) as u64).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() < size {
            return Err(truncated(GZIP));
        }
        at_end_mark = gzip_member::is_end(&bytes);
        if started < threads {
            let (queue, pool, packed) = (queue.clone(), pool.clone(), packed.clone());
            start(move || decompress(&queue, &pool, &packed))?;
            started += 1;
        }
        let (done, promise) = sync_channel(1);
        if slots.send(Slot::Coming(promise)).is_err()
            || jobs.send(DecompressJob { member: bytes, done }).is_err()
        {
            return Ok(());
        }
    }
}

/// Bytes behind the last member of ours.
struct TrailingBytes {
    head: Vec<u8>,
    after_ours: bool,
    at_end_mark: bool,
}

/// Decompresses gzip members that envctl did not write, up to the end of the file.
/// Ignores zeros behind the last member, as gzip does, and counts any other bytes in `trailing`.
fn foreign(
    tail: TrailingBytes,
    source: &mut impl io::BufRead,
    slots: &SyncSender<Slot>,
    pool: &Pool,
    trailing: &AtomicU64,
) -> Result<()> {
    let TrailingBytes { head, after_ours, at_end_mark } = tail;
    if after_ours && !head.starts_with(&[0x1f, 0x8b]) {
        // Without the end marker of ours whatever follows stands in the place of rows.
        if !at_end_mark || head == [0x1f] {
            return Err(truncated(GZIP));
        }
        count_trailing(&mut Cursor::new(head).chain(source), trailing)?;
        let _ = slots.send(Slot::End);
        return Ok(());
    }
    let mut source = Cursor::new(head).chain(source);
    loop {
        if source.fill_buf().map_err(unreadable)?.is_empty() {
            break;
        }
        if !blocks(flate2::bufread::GzDecoder::new(&mut source), GZIP, slots, pool) {
            return Ok(());
        }
        if !begins_a_member(&mut source)? {
            count_trailing(&mut source, trailing)?;
            break;
        }
    }
    let _ = slots.send(Slot::End);
    Ok(())
}

/// Reports whether another member follows; half of its magic number at the very end is a truncated one.
fn begins_a_member(source: &mut impl io::BufRead) -> Result<bool> {
    let next = source.fill_buf().map_err(unreadable)?;
    match next {
        // A buffer may end between the two bytes, so a lone one is taken for the beginning.
        [0x1f, 0x8b, ..] | [0x1f] => Ok(true),
        _ => Ok(false),
    }
}

/// Reads to the end, and counts the bytes unless all of them are zeros: the padding of a tape or a disk block.
fn count_trailing(source: &mut impl io::BufRead, trailing: &AtomicU64) -> Result<()> {
    let (mut count, mut padding) = (0, true);
    loop {
        let buffer = source.fill_buf().map_err(unreadable)?;
        if buffer.is_empty() {
            break;
        }
        padding &= buffer.iter().all(|byte| *byte == 0);
        count += buffer.len() as u64;
        let len = buffer.len();
        source.consume(len);
    }
    if !padding {
        trailing.store(count, Ordering::Release);
    }
    Ok(())
}

fn decompress(queue: &Mutex<Receiver<DecompressJob>>, pool: &Pool, packed: &Pool) {
    let mut decompressor = Decompressor::new();
    loop {
        let job = lock(queue).recv();
        let Ok(DecompressJob { member, done }) = job else { return };
        let mut plain = pool.take();
        let whole = gzip_member::unpack(&mut decompressor, &member, &mut plain);
        packed.put(member);
        let _ = done.send(if whole {
            Ok(plain)
        } else {
            Err(damaged(GZIP, "a block does not decompress to its original bytes"))
        });
    }
}
