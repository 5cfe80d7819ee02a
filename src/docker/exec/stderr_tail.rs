//! The end of what a tool writes to stderr: its error is the last of its messages.

/// Most bytes that are kept.
const KEPT: usize = 64 << 10;

/// The last of a tool's stderr, in bounded memory.
#[derive(Debug, Default)]
pub(crate) struct StderrTail(Vec<u8>);

impl StderrTail {
    /// Takes more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * KEPT {
            self.0.drain(..self.0.len() - KEPT);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0[self.0.len().saturating_sub(KEPT)..]
    }

    /// The text, trimmed.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_behind_many_notices_is_kept() {
        let mut tail = StderrTail::default();
        for _ in 0..10_000 {
            tail.push(b"NOTICE:  nothing to do\n");
        }
        tail.push(b"ERROR:  division by zero\n");
        assert!(tail.text().ends_with("ERROR:  division by zero"));
        assert!(tail.bytes().len() <= KEPT && tail.0.len() <= 2 * KEPT);
    }
}
