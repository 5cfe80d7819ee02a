//! The strict demultiplexer of Docker's attach stream: 8-byte headers, then payload.
//!
//! Promises: every byte is accounted for. A stream that ends inside a header or a payload, an unknown
//! frame type, a dirty header and a daemon's own error frame are errors; nothing is ever passed on as
//! data that the daemon did not mark as data. (Docker's `StdCopy` and bollard's decoder both let a
//! cut frame pass; `ContainerAttach` of the Engine API documents the format.)

use thiserror::Error;

/// Which of the process's outputs a payload belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The process's stdout.
    Stdout,
    /// The process's stderr.
    Stderr,
}

/// Error for a stream that breaks the protocol.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// The type byte is none of stdin, stdout, stderr, system error.
    #[error("frame of unknown type {0}")]
    UnknownType(u8),
    /// The three bytes after the type have to be zero.
    #[error("damaged frame header {0:02x?}")]
    DamagedHeader([u8; 8]),
    /// Larger than any engine sends (32 KiB) by orders of magnitude: a damaged length.
    #[error("frame of {0} bytes")]
    TooLarge(u32),
    /// The daemon reports that it failed (frame type 3).
    #[error("the daemon reports: {0}")]
    Daemon(String),
    /// The stream ended inside a header.
    #[error("the stream ended inside a frame header")]
    CutHeader,
    /// The stream ended inside a payload, this many bytes short.
    #[error("the stream ended {0} bytes before the end of a frame")]
    CutPayload(u32),
}

/// No engine sends frames over 32 KiB; a length beyond this is damage and not data.
const LARGEST_FRAME: u32 = 16 << 20;
/// Bound on the text of a daemon's error frame that is kept.
const LARGEST_ERROR: usize = 64 << 10;

/// Incremental state; feed it chunks of any size.
#[derive(Debug, Default)]
pub(crate) struct Demuxer {
    header: [u8; 8],
    header_len: usize,
    payload_left: u32,
    kind: u8,
    daemon_error: Vec<u8>,
}

impl Demuxer {
    /// Takes the next bytes of the stream and hands each run of payload to `sink`, in order.
    ///
    /// # Errors
    /// The stream broke the protocol, or the daemon sent an error frame (told once it is whole).
    pub(crate) fn feed(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(Output, &[u8]),
    ) -> Result<(), ProtocolError> {
        while !input.is_empty() {
            if self.payload_left == 0 {
                input = self.take_header(input)?;
                continue;
            }
            let len = input.len().min(self.payload_left as usize);
            let (payload, rest) = input.split_at(len);
            // `len` fits: it is at most `payload_left`, a u32.
            self.payload_left -= len as u32;
            input = rest;
            match self.kind {
                // 0 is "stdin written to stdout" in the Engine API; engines use it for stdout.
                0 | 1 => sink(Output::Stdout, payload),
                2 => sink(Output::Stderr, payload),
                _ => self.take_daemon_error(payload)?,
            }
        }
        Ok(())
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// [`ProtocolError`]: the stream ended inside a frame.
    pub(crate) fn finish(&self) -> Result<(), ProtocolError> {
        if self.payload_left > 0 {
            return Err(ProtocolError::CutPayload(self.payload_left));
        }
        if self.header_len > 0 {
            return Err(ProtocolError::CutHeader);
        }
        Ok(())
    }

    fn take_header<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], ProtocolError> {
        let len = input.len().min(8 - self.header_len);
        let (part, rest) = input.split_at(len);
        self.header[self.header_len..self.header_len + len].copy_from_slice(part);
        self.header_len += len;
        if self.header_len < 8 {
            return Ok(rest);
        }
        self.header_len = 0;
        let [kind, r1, r2, r3, size @ ..] = self.header;
        if kind > 3 {
            return Err(ProtocolError::UnknownType(kind));
        }
        if [r1, r2, r3] != [0; 3] {
            return Err(ProtocolError::DamagedHeader(self.header));
        }
        let size = u32::from_be_bytes(size);
        if size > LARGEST_FRAME {
            return Err(ProtocolError::TooLarge(size));
        }
        self.kind = kind;
        self.payload_left = size;
        Ok(rest)
    }

    fn take_daemon_error(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        let remaining = LARGEST_ERROR.saturating_sub(self.daemon_error.len());
        self.daemon_error.extend_from_slice(&payload[..payload.len().min(remaining)]);
        if self.payload_left > 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.daemon_error);
        Err(ProtocolError::Daemon(text.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend((payload.len() as u32).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn run(chunks: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), ProtocolError> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut demuxer = Demuxer::default();
        for chunk in chunks {
            demuxer.feed(chunk, &mut |output, bytes| match output {
                Output::Stdout => out.extend_from_slice(bytes),
                Output::Stderr => err.extend_from_slice(bytes),
            })?;
        }
        demuxer.finish()?;
        Ok((out, err))
    }

    #[test]
    fn a_cut_at_any_byte_inside_a_frame_is_an_error() {
        let stream = [frame(1, b"hello"), frame(2, b"warn"), frame(1, b"world")].concat();
        let boundaries = [0, 13, 25, 38];
        for end in 0..=stream.len() {
            let result = run(&[&stream[..end]]);
            assert_eq!(result.is_ok(), boundaries.contains(&end), "cut at {end}: {result:?}");
        }
    }

    #[test]
    fn foreign_frames_are_errors_and_not_data() {
        assert_eq!(run(&[&frame(9, b"x")]), Err(ProtocolError::UnknownType(9)));
        assert_eq!(run(&[&frame(3, b"boom\n")]), Err(ProtocolError::Daemon("boom".into())));
        assert!(matches!(run(&[b"OCI runt"]), Err(ProtocolError::UnknownType(b'O'))));
        assert!(matches!(run(&[&[1, 0, 7, 0, 0, 0, 0, 1]]), Err(ProtocolError::DamagedHeader(_))));
        assert!(matches!(run(&[&[1, 0, 0, 0, 255, 0, 0, 0]]), Err(ProtocolError::TooLarge(_))));
    }

    #[test]
    fn an_empty_frame_is_no_end() {
        let stream = [frame(1, b""), frame(1, b"a")].concat();
        assert_eq!(run(&[&stream]).unwrap().0, b"a");
    }

    proptest! {
        #[test]
        fn chunking_never_matters(
            frames in prop::collection::vec((1u8..=2, prop::collection::vec(any::<u8>(), 0..50)), 0..20),
            cuts in prop::collection::vec(1usize..40, 1..40),
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
            let mut chunks = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            let expected: Vec<u8> = frames.iter().filter(|(kind, _)| *kind == 1).flat_map(|(_, p)| p.clone()).collect();
            prop_assert_eq!(run(&chunks).unwrap().0, expected);
        }
    }
}
