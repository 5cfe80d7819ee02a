//! A [`Ui`] whose streams are kept in memory, for tests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::streams::Streams;
use super::{Ui, UiOptions};

/// Bytes written to one stream so far.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// The text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A ui that answers questions from `input`, and what it wrote to stdout and stderr.
pub(crate) fn captured(options: UiOptions, input: &str) -> (Ui, Captured, Captured) {
    let (out, err) = (Captured::default(), Captured::default());
    let input = Box::new(io::Cursor::new(input.to_owned().into_bytes()));
    let streams = Streams { out: Box::new(out.clone()), err: Box::new(err.clone()), input };
    (Ui::with_streams(options, streams), out, err)
}

/// Options of a terminal on all three streams, without colour and progress.
pub(crate) fn terminal(width: u16) -> UiOptions {
    UiOptions {
        stdin_is_terminal: true,
        stdout_is_terminal: true,
        stderr_is_terminal: true,
        width: Some(width),
        color: super::ColorChoice::Never,
        ..UiOptions::default()
    }
}
