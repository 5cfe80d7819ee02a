//! End marker: shows that the output of an exec is complete. A line in the stream, and our acknowledgement.
//!
//! Reason: two seconds after an exec'd process has exited the daemon closes its pipes, and whatever a slow
//! client has not taken by then is lost, with exit code 0 and whole frames (moby `daemon/monitor.go`,
//! moby#45689, moby#49655). So the process is kept alive until we say that we have everything: a
//! constant shell script prints a line with a random word and the tool's exit code after the tool's own
//! output, then waits for one line from us. The line in hand proves that every byte before it arrived
//! (pipes and frames keep their order), and carries the exit code even when the exec record is lost.
//!
//! The tool runs in the foreground of that shell. No pipeline, no background job: in the official image
//! PID 1 is the postmaster, and an orphan that dies badly makes it end all sessions and recover.

use memchr::memmem;
use thiserror::Error;

/// The one wrapper script. `$1` is the random word; the tool and its arguments follow as they are.
const WRAPPER: &str = r#"n=$1; shift; "$@" </dev/null; rc=$?; printf '\nENVCTL-EOF %s rc=%03d\n' "$n" "$rc"; read -r _; exit "$rc""#;

/// Wrapper script for a tool that reads our stdin. The script waits for no acknowledgement, because the end
/// marker is all that matters in its output.
const STDIN_WRAPPER: &str =
    r#"n=$1; shift; "$@"; rc=$?; printf '\nENVCTL-EOF %s rc=%03d\n' "$n" "$rc"; exit "$rc""#;

/// The argv that runs `tool`, which reads our stdin, with the end marker behind its output.
pub(crate) fn wrap_with_stdin(nonce: &str, tool: &[String]) -> Vec<String> {
    let mut argv: Vec<String> = ["sh", "-c", STDIN_WRAPPER, "envctl", nonce].map(str::to_owned).into();
    argv.extend_from_slice(tool);
    argv
}

/// Line that envctl sends once the end marker has arrived.
pub(crate) const ACKNOWLEDGEMENT: &[u8] = b"ok\n";

/// The argv that runs `tool` under the wrapper.
pub(crate) fn wrap(nonce: &str, tool: &[String]) -> Vec<String> {
    let mut argv: Vec<String> = ["sh", "-c", WRAPPER, "envctl", nonce].map(str::to_owned).into();
    argv.extend_from_slice(tool);
    argv
}

/// Error for a stream whose end marker is wrong.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum EndMarkerError {
    /// Bytes came after the trailer, which ends the output.
    #[error("{0} bytes follow the end marker of the stream")]
    BytesAfterTrailer(usize),
    /// The trailer is there, its exit code is not a number.
    #[error("the end marker of the stream is damaged")]
    Damaged,
}

/// Splits the trailer off the end of a stream that is fed in chunks.
#[derive(Debug)]
pub(crate) struct EndMarkerParser {
    mark: Vec<u8>,
    finder: memmem::Finder<'static>,
    /// The last bytes, which may be the beginning of the mark; from the mark on once it was found.
    held: Vec<u8>,
    found: bool,
    exit_code: Option<u8>,
}

/// ` rc=NNN\n` behind the mark.
const CODE_LEN: usize = 8;

impl EndMarkerParser {
    /// Waits for the trailer that carries this random word.
    pub(crate) fn new(nonce: &str) -> Self {
        let mark = format!("\nENVCTL-EOF {nonce}").into_bytes();
        Self {
            finder: memmem::Finder::new(&mark).into_owned(),
            mark,
            held: Vec::new(),
            found: false,
            exit_code: None,
        }
    }

    /// Takes stdout bytes; hands on those that are certainly the tool's own.
    ///
    /// # Errors
    /// Something follows the trailer, or its exit code cannot be read.
    pub(crate) fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), EndMarkerError> {
        if self.exit_code.is_some() && !bytes.is_empty() {
            return Err(EndMarkerError::BytesAfterTrailer(bytes.len()));
        }
        if self.found {
            self.held.extend_from_slice(bytes);
            return self.read_code();
        }
        // A mark that begins in what is held shows within this many bytes of the chunk.
        let before = self.held.len();
        let seam = bytes.len().min(self.mark.len());
        self.held.extend_from_slice(&bytes[..seam]);
        if let Some(at) = self.finder.find(&self.held) {
            sink(&self.held[..at]);
            self.held.drain(..at);
            self.held.extend_from_slice(&bytes[seam..]);
            self.found = true;
            return self.read_code();
        }
        if seam == bytes.len() {
            // The whole chunk is in hand; a mark may still begin in its last bytes.
            let out = self.held.len().saturating_sub(self.mark.len() - 1);
            sink(&self.held[..out]);
            self.held.drain(..out);
            return Ok(());
        }
        sink(&self.held[..before]);
        self.held.clear();
        let found = self.finder.find(bytes);
        let body = found.unwrap_or(bytes.len() - (self.mark.len() - 1));
        sink(&bytes[..body]);
        self.held.extend_from_slice(&bytes[body..]);
        self.found = found.is_some();
        if self.found { self.read_code() } else { Ok(()) }
    }

    /// The tool's exit code, once the trailer has arrived.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        self.exit_code
    }

    /// Returns the last bytes of a stream that ended without an end marker, for a message.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.held
    }

    /// Reads the exit code once it has arrived. The held bytes begin with the mark; the code follows the mark.
    fn read_code(&mut self) -> Result<(), EndMarkerError> {
        let end = self.mark.len() + CODE_LEN;
        if self.held.len() < end {
            return Ok(());
        }
        if self.held.len() > end {
            return Err(EndMarkerError::BytesAfterTrailer(self.held.len() - end));
        }
        let code = self.held[self.mark.len()..]
            .strip_prefix(b" rc=")
            .and_then(|rest| rest.strip_suffix(b"\n"))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .ok_or(EndMarkerError::Damaged)?;
        self.held.clear();
        self.exit_code = Some(code);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(nonce: &str, chunks: &[&[u8]]) -> (Vec<u8>, Option<u8>, Result<(), EndMarkerError>) {
        let mut splitter = EndMarkerParser::new(nonce);
        let mut out = Vec::new();
        for chunk in chunks {
            let result = splitter.feed(chunk, &mut |bytes| out.extend_from_slice(bytes));
            if result.is_err() {
                return (out, None, result);
            }
        }
        (out, splitter.exit_code(), Ok(()))
    }

    #[test]
    fn the_trailer_is_cut_off_and_its_code_read() {
        let (out, code, _) = split("abc", &[b"dump\n", b"\nENVCTL-EOF abc rc=003\n"]);
        assert_eq!((out.as_slice(), code), (&b"dump\n"[..], Some(3)));
    }

    #[test]
    fn without_a_trailer_there_is_no_code() {
        assert_eq!(split("abc", &[b"dump that just ends\n"]).1, None);
        assert_eq!(split("abc", &[b"x\nENVCTL-EOF abd rc=000\n"]).1, None, "another run's word");
        assert_eq!(split("abc", &[b"x\nENVCTL-EOF abc rc=00"]).1, None, "cut inside the trailer");
    }

    #[test]
    fn bytes_after_the_trailer_are_refused() {
        assert!(split("abc", &[b"\nENVCTL-EOF abc rc=000\nx"]).2.is_err());
        assert!(split("abc", &[b"\nENVCTL-EOF abc rc=000\n", b"x"]).2.is_err());
        assert_eq!(split("abc", &[b"\nENVCTL-EOF abc rc=0x0\n"]).2, Err(EndMarkerError::Damaged));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_come_out_unchanged(
            body in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'E'), any::<u8>()], 0..400),
            sizes in prop::collection::vec(1usize..90, 1..30),
            code in 0u8..=255,
        ) {
            let mut stream = body.clone();
            stream.extend(format!("\nENVCTL-EOF 0123456789abcdef rc={code:03}\n").bytes());
            let mut chunks = Vec::new();
            let mut rest = &stream[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, tail) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            let (out, seen, result) = split("0123456789abcdef", &chunks);
            prop_assert!(result.is_ok());
            prop_assert_eq!(out, body);
            prop_assert_eq!(seen, Some(code));
        }
    }
}
