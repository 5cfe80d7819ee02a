//! Packs a stream block by block and writes it, in order, from a thread of its own.
//!
//! Promises: memory stays at a few blocks per thread; an error of the output reaches the producer with
//! the next block, as it was; without [`StreamCompressor::finish`] the stream never gets a valid end.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use libdeflater::{CompressionLvl, Compressor};

use super::digest::{Digest, Hasher, Hashing};
use super::{BLOCK, Compression};
use crate::codec::buffer_pool::Pool;
use crate::codec::gzip_member;
use crate::error::{Error, Result, failed};
use crate::sync::lock;

/// Sizes and hashes of a stored stream, before and after compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Their hash.
    pub sha256: Digest,
    /// Bytes before compression.
    pub(crate) plain_bytes: u64,
    /// Their hash.
    pub plain_sha256: Digest,
}

/// A block on its way through a compressor.
struct CompressJob {
    plain: Vec<u8>,
    done: SyncSender<CompressedBlock>,
}

struct CompressedBlock {
    plain: Vec<u8>,
    bytes: Vec<u8>,
}

/// Destination of the blocks.
enum OutputPipeline {
    /// To several compressors, and the promise of each result to the writer, in order.
    Members { jobs: SyncSender<CompressJob>, order: SyncSender<Receiver<CompressedBlock>> },
    /// Straight to the writer.
    Blocks(SyncSender<Vec<u8>>),
}

/// Three pack 900 MB/s at the usual level, faster than any server dumps, in 26 MiB; each more takes 5. (High levels
/// take more: 13 MiB a thread at 9.)
const MOST_ZSTD_THREADS: usize = 3;

/// The compressing end of a stream.
pub(crate) struct StreamCompressor<W> {
    block: Vec<u8>,
    pipeline: Option<OutputPipeline>,
    writer: Option<JoinHandle<io::Result<(Stored, W)>>>,
    finished: Arc<AtomicBool>,
    plain: Pool,
}

impl<W: Write + Send + 'static> StreamCompressor<W> {
    /// Starts compressing into `out` with so many compressing threads (at least one; of zstd's no more than it needs).
    pub(crate) fn new(compression: Compression, threads: usize, out: W) -> Result<Self> {
        let threads = threads.max(1);
        let plain = Pool::new(threads + 3);
        let finished = Arc::new(AtomicBool::new(false));
        let output = Hashing::new(out);
        let done = finished.clone();
        let pool = plain.clone();
        let (pipeline, writer) = match compression {
            Compression::Gzip(level) => {
                let (jobs, order, packed) = members(level, threads)?;
                let writer =
                    start("compression", move || write_members(&order, output, &done, &pool, &packed))?;
                (jobs, writer)
            }
            Compression::Zstd(level) => {
                let threads = threads.min(MOST_ZSTD_THREADS);
                let (blocks, queue) = sync_channel(2);
                let writer =
                    start("compression", move || write_zstd(&queue, output, &done, &pool, level, threads))?;
                (OutputPipeline::Blocks(blocks), writer)
            }
            Compression::None => {
                let (blocks, queue) = sync_channel(2);
                let writer = start("writing", move || write_plain(&queue, output, &done, &pool))?;
                (OutputPipeline::Blocks(blocks), writer)
            }
        };
        Ok(Self { block: Vec::new(), pipeline: Some(pipeline), writer: Some(writer), finished, plain })
    }

    /// An empty buffer with space for a block, to be filled and given to [`StreamCompressor::write_block`].
    pub(crate) fn empty_block(&self) -> Vec<u8> {
        let mut block = self.plain.take();
        block.reserve_exact(BLOCK);
        block
    }

    /// Packs a block of at most [`BLOCK`] bytes as it is; small blocks pack badly. A larger one is cut.
    pub(crate) fn write_block(&mut self, block: Vec<u8>) -> Result<()> {
        if block.len() > BLOCK || !self.block.is_empty() {
            let written = self.append(&block);
            self.plain.put(block);
            return written;
        }
        if block.is_empty() {
            return Ok(());
        }
        self.send(block)
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.block.capacity() == 0 {
                self.block = self.empty_block();
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                let full = std::mem::take(&mut self.block);
                self.send(full)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, block: Vec<u8>) -> Result<()> {
        let sent = match &self.pipeline {
            Some(OutputPipeline::Members { jobs, order }) => {
                let (done, promise) = sync_channel(1);
                order.send(promise).is_ok() && jobs.send(CompressJob { plain: block, done }).is_ok()
            }
            Some(OutputPipeline::Blocks(blocks)) => blocks.send(block).is_ok(),
            None => false,
        };
        // The writer only ever hangs up because it failed.
        if sent { Ok(()) } else { self.join().map(|_| ()).and(Err(stopped())) }
    }

    /// Packs what is left, ends the stream, and waits until all of it has been written and flushed.
    /// The output is handed back, to be synced and named.
    pub(crate) fn finish(mut self) -> Result<(Stored, W)> {
        if !self.block.is_empty() {
            let last = std::mem::take(&mut self.block);
            self.send(last)?;
        }
        self.finished.store(true, Ordering::Release);
        self.join()
    }
}

impl<W> StreamCompressor<W> {
    fn join(&mut self) -> Result<(Stored, W)> {
        self.pipeline = None;
        let writer = self.writer.take().ok_or_else(stopped)?;
        writer.join().map_err(|_| stopped())?.map_err(failure)
    }
}

impl<W> Drop for StreamCompressor<W> {
    /// Gives up: the output is dropped, without a valid end, before this returns.
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.join();
        }
    }
}

impl<W: Write + Send + 'static> Write for StreamCompressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    /// Does nothing: a block is packed when it is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stopped() -> Error {
    failed("the backup is not being written any more")
}

/// The output's own error where it has one, else one around it.
fn failure(error: io::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| failed("cannot write the backup").because(error))
}

fn start<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| failed("cannot start a thread").because(error))
}

fn close<W: Write>(mut output: Hashing<W>, plain: Hasher) -> io::Result<(Stored, W)> {
    output.flush()?;
    let (out, stored) = output.into_parts();
    let stored = Stored {
        bytes: stored.bytes(),
        sha256: stored.finish(),
        plain_bytes: plain.bytes(),
        plain_sha256: plain.finish(),
    };
    Ok((stored, out))
}

fn abandoned(finished: &AtomicBool) -> io::Result<()> {
    if finished.load(Ordering::Acquire) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
}

/// Starts the compressors: the channel to them, the writer's end of it, and the pool for their output.
fn members(level: u8, threads: usize) -> Result<(OutputPipeline, Receiver<Receiver<CompressedBlock>>, Pool)> {
    let level = CompressionLvl::new(i32::from(level))
        .map_err(|_| crate::error::usage(format!("gzip knows the levels 1 to 12, not {level}")))?;
    let (jobs, queue) = sync_channel::<CompressJob>(threads);
    let (order, promises) = sync_channel(threads + 1);
    let queue = Arc::new(Mutex::new(queue));
    let pool = Pool::new(threads + 3);
    for _ in 0..threads {
        let (queue, pool) = (queue.clone(), pool.clone());
        start("compression", move || compress(&queue, &pool, level))?;
    }
    Ok((OutputPipeline::Members { jobs, order }, promises, pool))
}

fn compress(queue: &Mutex<Receiver<CompressJob>>, pool: &Pool, level: CompressionLvl) {
    let mut compressor = Compressor::new(level);
    loop {
        let job = lock(queue).recv();
        let Ok(CompressJob { plain, done }) = job else { return };
        let mut bytes = pool.take();
        gzip_member::pack(&mut compressor, &plain, &mut bytes);
        // Where nobody waits, the writer has failed and says so itself.
        let _ = done.send(CompressedBlock { plain, bytes });
    }
}

fn write_members<W: Write>(
    order: &Receiver<Receiver<CompressedBlock>>,
    mut output: Hashing<W>,
    finished: &AtomicBool,
    plain_pool: &Pool,
    packed_pool: &Pool,
) -> io::Result<(Stored, W)> {
    let mut plain = Hasher::default();
    for promise in order {
        let Ok(packed) = promise.recv() else { break };
        output.write_all(&packed.bytes)?;
        plain.update(&packed.plain);
        plain_pool.put(packed.plain);
        packed_pool.put(packed.bytes);
    }
    abandoned(finished)?;
    let mut end = Vec::new();
    gzip_member::pack(&mut Compressor::new(CompressionLvl::fastest()), b"", &mut end);
    output.write_all(&end)?;
    close(output, plain)
}

fn write_plain<W: Write>(
    blocks: &Receiver<Vec<u8>>,
    mut output: Hashing<W>,
    finished: &AtomicBool,
    pool: &Pool,
) -> io::Result<(Stored, W)> {
    let mut plain = Hasher::default();
    for block in blocks {
        output.write_all(&block)?;
        plain.update(&block);
        pool.put(block);
    }
    abandoned(finished)?;
    close(output, plain)
}

#[cfg(feature = "zstd")]
fn write_zstd<W: Write>(
    blocks: &Receiver<Vec<u8>>,
    output: Hashing<W>,
    finished: &AtomicBool,
    pool: &Pool,
    level: u8,
    threads: usize,
) -> io::Result<(Stored, W)> {
    use zstd::zstd_safe::CParameter;

    let mut encoder = zstd::stream::write::Encoder::new(output, i32::from(level))?;
    encoder.include_checksum(true)?;
    if threads > 1 {
        encoder.multithread(threads as u32)?;
        // Left alone, a job is four windows: with several in flight that is most of the memory we may use.
        encoder.set_parameter(CParameter::JobSize(2 * BLOCK as u32))?;
    }
    let mut plain = Hasher::default();
    for block in blocks {
        encoder.write_all(&block)?;
        plain.update(&block);
        pool.put(block);
    }
    abandoned(finished)?;
    close(encoder.finish()?, plain)
}

#[cfg(not(feature = "zstd"))]
fn write_zstd<W: Write>(
    _blocks: &Receiver<Vec<u8>>,
    _output: Hashing<W>,
    _finished: &AtomicBool,
    _pool: &Pool,
    _level: u8,
    _threads: usize,
) -> io::Result<(Stored, W)> {
    Err(io::Error::other(super::no_zstd()))
}
