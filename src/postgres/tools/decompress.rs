//! Decompresses streams that pg_dump compressed for the way through the daemon.
//!
//! Promise: a packed stream that is cut or damaged is an error, however the tool ended; the blocks that come out are those
//! of a dump that was never packed.

use std::io::{self, Read};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::codec::DecompressReader;
use crate::error::{self, Result};

/// Starts a thread that decompresses the blocks from the returned sender and sends the content to `blocks`.
pub(crate) fn unpack(blocks: mpsc::Sender<Vec<u8>>) -> (mpsc::Sender<Vec<u8>>, JoinHandle<Result<()>>) {
    let (sender, receiver) = mpsc::channel(4);
    let arriving = Arriving { receiver, block: Vec::new(), at: 0 };
    let thread = std::thread::spawn(move || {
        let (_, mut decompressor) = DecompressReader::open(arriving, 1)?;
        while let Some(block) = decompressor.next_block()? {
            // The receiver knows best why it stopped; its own error is the one that is told.
            blocks.blocking_send(block).map_err(|_| error::failed("the backup cannot be written"))?;
        }
        Ok(())
    });
    (sender, thread)
}

/// Blocks as they arrive, as a reader.
struct Arriving {
    receiver: mpsc::Receiver<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            let Some(block) = self.receiver.blocking_recv() else { return Ok(0) };
            (self.block, self.at) = (block, 0);
        }
        let len = buffer.len().min(self.block.len() - self.at);
        buffer[..len].copy_from_slice(&self.block[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn passed(packed: &[u8], piece: usize) -> (Vec<u8>, Result<()>) {
        let (blocks, mut receiver) = mpsc::channel(1);
        let (sender, thread) = unpack(blocks);
        let pieces: Vec<Vec<u8>> = packed.chunks(piece).map(<[u8]>::to_vec).collect();
        std::thread::spawn(move || pieces.into_iter().all(|piece| sender.blocking_send(piece).is_ok()));
        let mut plain = Vec::new();
        while let Some(block) = receiver.blocking_recv() {
            plain.extend(block);
        }
        (plain, thread.join().unwrap())
    }

    #[test]
    fn what_arrives_in_pieces_is_unpacked_and_a_missing_end_is_an_error() {
        let plain: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let packed = gzip.finish().unwrap();
        for piece in [100, 70_000, packed.len()] {
            let (out, ended) = passed(&packed, piece);
            assert!(out == plain && ended.is_ok());
        }
        let (_, ended) = passed(&packed[..packed.len() - 5], 1000);
        assert_eq!(ended.unwrap_err().kind(), error::ErrorKind::Integrity);
    }
}
