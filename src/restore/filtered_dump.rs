//! A dump as a restore reads it: unpacked, hashed as it is in the file, and filtered by the rules of the restore.

use crate::codec::{DecompressReader, Digest, Hasher};
use crate::dump::archive::ListFilter;
use crate::dump::format::Format;
use crate::dump::sql::{LeftOut, Rules, StatementFilter};
use crate::error::Result;

/// Reads a dump block by block.
pub(crate) struct FilteredDump {
    decompressor: DecompressReader,
    hasher: Hasher,
    filter: Filter,
    left_out: LeftOut,
    globals: Option<String>,
}

enum Filter {
    /// No rule: every block passes as it is.
    None,
    Plain(Box<StatementFilter>),
    Archive(Box<ListFilter>),
}

impl FilteredDump {
    /// Reads what `decompressor` gives, by these rules.
    pub(crate) fn new(decompressor: DecompressReader, format: Format, rules: &Rules) -> Self {
        let filter = match format {
            _ if rules.is_empty() => Filter::None,
            Format::Plain => Filter::Plain(Box::new(StatementFilter::new(rules.clone()))),
            Format::Custom | Format::Directory => Filter::Archive(Box::new(ListFilter::new(rules.clone()))),
        };
        Self {
            decompressor,
            hasher: Hasher::default(),
            filter,
            left_out: LeftOut::default(),
            globals: Some(String::new()),
        }
    }

    /// Returns the next block, filtered; none at the end.
    ///
    /// # Errors
    /// See [`DecompressReader::next_block`] and [`ListFilter::check_owners`].
    pub(crate) fn next_block(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let Some(block) = self.decompressor.next_block()? else { return Ok(self.rest()) };
            self.hasher.update(&block);
            let block = match &mut self.filter {
                Filter::None => block,
                Filter::Plain(filter) => filter.feed(block),
                Filter::Archive(filter) => {
                    let block = filter.feed(block);
                    filter.check_owners()?;
                    block
                }
            };
            if !block.is_empty() {
                return Ok(Some(block));
            }
        }
    }

    fn rest(&mut self) -> Option<Vec<u8>> {
        let (rest, left_out) = match std::mem::replace(&mut self.filter, Filter::None) {
            Filter::None => return None,
            Filter::Plain(mut filter) => {
                let finished = filter.finish();
                self.globals = filter.take_globals();
                finished
            }
            Filter::Archive(filter) => filter.finish(),
        };
        self.left_out.merge(left_out);
        Some(rest).filter(|rest| !rest.is_empty())
    }

    /// Takes the statements of `pg_dumpall` that make roles, at the end; `None` where they are too long to be kept.
    pub(crate) fn take_globals(&mut self) -> Option<String> {
        self.globals.replace(String::new())
    }

    /// Takes a block back whose memory can serve the next one.
    pub(crate) fn recycle(&mut self, block: Vec<u8>) {
        self.decompressor.recycle(block);
    }

    /// Bytes read so far, before the filter.
    pub(crate) fn bytes(&self) -> u64 {
        self.hasher.bytes()
    }

    /// Ends the reading: returns the hash of the dump before the filter, and what was left out.
    pub(crate) fn finish(self) -> (Digest, LeftOut) {
        (self.hasher.finish(), self.left_out)
    }
}
