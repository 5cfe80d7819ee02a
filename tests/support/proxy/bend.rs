//! What can happen to a stream on its way.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Gate;

/// From the daemon to envctl. Bytes and frames are counted from 0, behind the answer's head.
#[derive(Clone)]
pub enum Down {
    /// Ends after so many bytes.
    CutAt(u64),
    /// Ends inside the header of this frame.
    CutInHeader { frame: u64, offset: usize },
    /// Ends inside the payload of this frame.
    CutInPayload { frame: u64, offset: usize },
    /// Ends so many bytes behind these words.
    CutBehind { words: &'static [u8], extra: usize },
    /// Stands still at this byte for so long.
    Stall { at: u64, pause: Duration },
    /// Waits at this byte.
    Hold { at: u64, gate: Gate },
    /// Waits at this byte, then ends.
    HoldAndCut { at: u64, gate: Gate },
    /// Puts these bytes before this frame.
    Inject { frame: u64, bytes: Vec<u8> },
    /// Hands on so many bytes at a time.
    Chop(usize),
    /// Splits every frame into frames of at most so many bytes.
    Reframe(usize),
    /// Gathers what comes within a moment and hands it on at once.
    Coalesce,
}

/// From envctl to the daemon; bytes of the process's stdin.
#[derive(Clone)]
pub enum Up {
    /// Ends both directions after so many bytes.
    CutAt(u64),
    /// Waits at this byte.
    Hold { at: u64, gate: Gate },
    /// Ends both directions once these bytes have been handed on.
    CutAfter(&'static [u8]),
    /// Ends both directions before these bytes would be handed on.
    CutBefore(&'static [u8]),
    /// Waits before these bytes are handed on.
    HoldBefore { words: &'static [u8], gate: Gate },
    /// Waits before these bytes would be handed on, then ends both directions: they never arrive.
    HoldBeforeAndCut { words: &'static [u8], gate: Gate },
    /// Waits before these bytes are handed on, hands no answer back, waits again, then ends both directions.
    HoldAround { words: &'static [u8], before: Gate, behind: Gate },
    /// Closes with bytes unread, which the other side sees as a reset.
    ResetAt(u64),
}

/// A frame of the attach stream.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(u32::try_from(payload.len()).expect("small").to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Whether a stream goes on.
#[derive(PartialEq)]
enum Flow {
    Go,
    Cut,
}

/// Passes both directions on until they end.
pub(super) fn pump(
    client: UnixStream,
    daemon: UnixStream,
    down: Option<Down>,
    up: Option<Up>,
    count: &AtomicU64,
) -> io::Result<()> {
    let (client_reader, daemon_writer) = (client.try_clone()?, daemon.try_clone()?);
    let reset = matches!(up, Some(Up::ResetAt(_)));
    let mute = Arc::new(AtomicBool::new(false));
    let muting = mute.clone();
    let upward = std::thread::spawn(move || pump_up(client_reader, daemon_writer, up, &muting));
    let result = pump_down(&client, &daemon, down, count, &mute);
    match result {
        Ok(Flow::Go) if !reset => {
            // The daemon is done. As it does, end our half and take what the client still sends.
            let _ = client.shutdown(Shutdown::Write);
        }
        _ if !reset => {
            let _ = client.shutdown(Shutdown::Both);
        }
        _ => {}
    }
    let _ = daemon.shutdown(Shutdown::Both);
    let _ = upward.join();
    result.map(|_| ())
}

fn pump_down(
    client: &UnixStream,
    daemon: &UnixStream,
    down: Option<Down>,
    count: &AtomicU64,
    mute: &AtomicBool,
) -> io::Result<Flow> {
    let mut bender = Bender { down, client, position: 0, frames: Frames::default(), tail: Vec::new() };
    let mut buffer = vec![0; 64 << 10];
    let mut daemon_reader = daemon;
    loop {
        let mut len = daemon_reader.read(&mut buffer)?;
        if len == 0 {
            return Ok(Flow::Go);
        }
        if matches!(bender.down, Some(Down::Coalesce)) {
            daemon.set_read_timeout(Some(Duration::from_millis(20)))?;
            while len < buffer.len() {
                match daemon_reader.read(&mut buffer[len..]) {
                    Ok(more) if more > 0 => len += more,
                    _ => break,
                }
            }
            daemon.set_read_timeout(None)?;
        }
        if mute.load(Ordering::SeqCst) {
            continue;
        }
        count.fetch_add(len as u64, Ordering::SeqCst);
        if bender.pass(&buffer[..len])? == Flow::Cut {
            return Ok(Flow::Cut);
        }
    }
}

/// Where a stream is in the framing.
#[derive(Default)]
struct Frames {
    index: u64,
    header: Vec<u8>,
    left: usize,
    done: usize,
}

struct Bender<'a> {
    down: Option<Down>,
    client: &'a UnixStream,
    position: u64,
    frames: Frames,
    tail: Vec<u8>,
}

impl Bender<'_> {
    fn pass(&mut self, bytes: &[u8]) -> io::Result<Flow> {
        let start = self.position;
        self.position += bytes.len() as u64;
        let within =
            |at: u64| (at >= start && at < start + bytes.len() as u64).then(|| (at - start) as usize);
        match self.down.clone() {
            Some(Down::CutAt(at)) => {
                let Some(at) = within(at) else { return self.write(bytes) };
                self.write(&bytes[..at])?;
                Ok(Flow::Cut)
            }
            Some(Down::CutBehind { words, extra }) => {
                // Everything since the words is kept: what is to be cut may come in pieces.
                self.tail.extend_from_slice(bytes);
                let Some(at) = memchr::memmem::find(&self.tail, words) else {
                    let from = self.tail.len().saturating_sub(words.len() - 1);
                    self.tail.drain(..from);
                    return self.write(bytes);
                };
                let end = at + words.len() + extra;
                if self.tail.len() < end {
                    return self.write(bytes);
                }
                let beyond = self.tail.len() - end;
                self.write(&bytes[..bytes.len() - beyond])?;
                Ok(Flow::Cut)
            }
            Some(Down::Stall { at, pause }) => {
                let Some(at) = within(at) else { return self.write(bytes) };
                self.write(&bytes[..at])?;
                std::thread::sleep(pause);
                self.write(&bytes[at..])
            }
            Some(Down::Hold { at, gate }) => {
                let Some(at) = within(at) else { return self.write(bytes) };
                self.write(&bytes[..at])?;
                gate.pass();
                self.write(&bytes[at..])
            }
            Some(Down::HoldAndCut { at, gate }) => {
                let Some(at) = within(at) else { return self.write(bytes) };
                self.write(&bytes[..at])?;
                gate.pass();
                Ok(Flow::Cut)
            }
            Some(Down::Chop(size)) => {
                for piece in bytes.chunks(size.max(1)) {
                    self.write(piece)?;
                }
                Ok(Flow::Go)
            }
            Some(
                down @ (Down::CutInHeader { .. }
                | Down::CutInPayload { .. }
                | Down::Inject { .. }
                | Down::Reframe(_)),
            ) => self.by_frames(bytes, &down),
            Some(Down::Coalesce) | None => self.write(bytes),
        }
    }

    fn by_frames(&mut self, mut bytes: &[u8], down: &Down) -> io::Result<Flow> {
        while !bytes.is_empty() {
            if self.frames.left == 0 {
                let (now, rest) = bytes.split_at(bytes.len().min(8 - self.frames.header.len()));
                self.frames.header.extend_from_slice(now);
                bytes = rest;
                if self.frames.header.len() == 8 && self.header_done(down)? == Flow::Cut {
                    return Ok(Flow::Cut);
                }
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(self.frames.left));
            bytes = rest;
            if self.payload(now, down)? == Flow::Cut {
                return Ok(Flow::Cut);
            }
        }
        Ok(Flow::Go)
    }

    fn header_done(&mut self, down: &Down) -> io::Result<Flow> {
        let header = std::mem::take(&mut self.frames.header);
        let size = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        self.frames.left = size as usize;
        self.frames.done = 0;
        let index = self.frames.index;
        match down {
            Down::CutInHeader { frame, offset } if *frame == index => {
                self.write(&header[..*offset])?;
                return Ok(Flow::Cut);
            }
            Down::Inject { frame, bytes } if *frame == index => {
                self.write(bytes)?;
            }
            // Its pieces get headers of their own, of the same kind.
            Down::Reframe(_) => {
                self.frames.header.clear();
                self.frames.index = u64::from(header[0]);
                return Ok(Flow::Go);
            }
            _ => {}
        }
        self.write(&header)?;
        if size == 0 {
            self.frames.index += 1;
        }
        Ok(Flow::Go)
    }

    fn payload(&mut self, bytes: &[u8], down: &Down) -> io::Result<Flow> {
        self.frames.left -= bytes.len();
        let done = self.frames.done;
        self.frames.done += bytes.len();
        match down {
            Down::CutInPayload { frame: index, offset }
                if *index == self.frames.index && (done..=done + bytes.len()).contains(offset) =>
            {
                self.write(&bytes[..offset - done])?;
                return Ok(Flow::Cut);
            }
            Down::Reframe(size) => {
                let kind = self.frames.index as u8;
                for piece in bytes.chunks((*size).max(1)) {
                    self.write(&frame(kind, piece))?;
                }
                return Ok(Flow::Go);
            }
            _ => {}
        }
        self.write(bytes)?;
        if self.frames.left == 0 {
            self.frames.index += 1;
        }
        Ok(Flow::Go)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Flow> {
        let mut client = self.client;
        client.write_all(bytes).map(|()| Flow::Go)
    }
}

fn pump_up(
    mut client: UnixStream,
    mut daemon: UnixStream,
    up: Option<Up>,
    mute: &AtomicBool,
) -> io::Result<()> {
    let sever = |client: &UnixStream, daemon: &UnixStream| {
        let _ = daemon.shutdown(Shutdown::Both);
        client.shutdown(Shutdown::Both)
    };
    let mut buffer = vec![0; 64 << 10];
    let mut position = 0u64;
    let mut tail: Vec<u8> = Vec::new();
    loop {
        let len = client.read(&mut buffer)?;
        if len == 0 {
            return daemon.shutdown(Shutdown::Write);
        }
        let bytes = &buffer[..len];
        let start = position;
        position += len as u64;
        let within = |at: u64| (at >= start && at < position).then(|| (at - start) as usize);
        match &up {
            Some(Up::CutAt(at)) => {
                if let Some(at) = within(*at) {
                    daemon.write_all(&bytes[..at])?;
                    return sever(&client, &daemon);
                }
            }
            Some(Up::ResetAt(at)) => {
                if within(*at).is_some() {
                    // What is unread when a Unix socket closes becomes ECONNRESET on the other side.
                    let _ = daemon.shutdown(Shutdown::Both);
                    return Ok(());
                }
            }
            Some(Up::Hold { at, gate }) => {
                if let Some(at) = within(*at) {
                    daemon.write_all(&bytes[..at])?;
                    gate.pass();
                    let _ = daemon.write_all(&bytes[at..]);
                    continue;
                }
            }
            Some(Up::CutAfter(words)) => {
                let seen = seen(&mut tail, bytes, words);
                daemon.write_all(bytes)?;
                if seen {
                    return sever(&client, &daemon);
                }
                continue;
            }
            Some(Up::CutBefore(words)) => {
                if seen(&mut tail, bytes, words) {
                    return sever(&client, &daemon);
                }
            }
            Some(Up::HoldBefore { words, gate }) => {
                if seen(&mut tail, bytes, words) {
                    gate.pass();
                }
            }
            Some(Up::HoldBeforeAndCut { words, gate }) => {
                if seen(&mut tail, bytes, words) {
                    gate.pass();
                    return sever(&client, &daemon);
                }
            }
            Some(Up::HoldAround { words, before, behind }) => {
                if seen(&mut tail, bytes, words) {
                    before.pass();
                    mute.store(true, Ordering::SeqCst);
                    let _ = daemon.write_all(bytes);
                    behind.pass();
                    return sever(&client, &daemon);
                }
            }
            None => {}
        }
        // A daemon that has ended takes nothing any more; the client will notice by itself.
        let _ = daemon.write_all(bytes);
    }
}

/// Whether the words end in these bytes, a part of them perhaps in those before.
fn seen(tail: &mut Vec<u8>, bytes: &[u8], words: &[u8]) -> bool {
    tail.extend_from_slice(bytes);
    let found = memchr::memmem::find(tail, words).is_some();
    let from = tail.len().saturating_sub(words.len());
    tail.drain(..from);
    found
}
