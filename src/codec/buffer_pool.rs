//! Buffers that go round instead of being allocated a thousand times a second.

use crate::sync::lock;
use std::sync::{Arc, Mutex};

/// A bounded set of empty buffers, shared by threads.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    buffers: Arc<Mutex<Vec<Vec<u8>>>>,
    most: usize,
}

impl Pool {
    /// A pool that keeps at most so many buffers.
    pub(crate) fn new(most: usize) -> Self {
        Self { buffers: Arc::default(), most }
    }

    /// A buffer, empty, with whatever capacity it had.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut buffers = lock(&self.buffers);
        buffers.pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub(crate) fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut buffers = lock(&self.buffers);
        if buffers.len() < self.most {
            buffers.push(buffer);
        }
    }
}
