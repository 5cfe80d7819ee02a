//! The data of one entry as they pass by: unpacked, counted, and known to be whole.
//!
//! Promise: rows are counted as COPY writes them, one line each; the end marker of COPY has to be the last
//! thing, which also proves that the packed stream came to its end.

use flate2::{Decompress, FlushDecompress, Status};

use super::toc::TocCompression;
use crate::dump::fingerprint::{ItemHash, ItemHasher};
use crate::dump::sql::copy_data::{CopyData, CopyTotals};
use crate::text::encoding::{Text, TextCheck};

/// Bytes that pg_dump writes behind the closing line of a table's rows (`dumpTableData_copy`).
const COPY_END: &[u8] = b"\n\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryDataForm {
    /// Rows as COPY writes them.
    Rows,
    /// SQL: INSERT statements, which the server will run.
    Statements,
    /// The bytes of large objects.
    Object,
}

/// Contents of an entry's data, as far as they could be unpacked.
pub(crate) enum EntryContents {
    Rows(CopyTotals),
    /// A large object, or statements.
    Other(ItemHash),
    Unknown,
}

/// Unpacks and counts.
pub(crate) struct EntryDataReader {
    unpack: EntryDecoder,
    form: EntryDataForm,
    rows: CopyData,
    /// Hash of data that are no rows.
    other: ItemHasher,
    #[cfg(test)]
    bytes: u64,
    text: TextCheck,
    /// Bytes behind the closing line of the rows, as many as matter.
    tail: Vec<u8>,
    /// SQL that has not been taken yet.
    pub(crate) statements: Vec<u8>,
}

enum EntryDecoder {
    None,
    Zlib {
        stream: Box<Decompress>,
        ended: bool,
        buffer: Vec<u8>,
    },
    #[cfg(feature = "zstd")]
    Zstd {
        decoder: Box<zstd::stream::raw::Decoder<'static>>,
        buffer: Vec<u8>,
    },
    Opaque,
}

impl EntryDataReader {
    pub(crate) fn new(inner: TocCompression, form: EntryDataForm) -> Self {
        let unpack = match inner {
            TocCompression::None => EntryDecoder::None,
            TocCompression::Gzip => EntryDecoder::Zlib {
                stream: Box::new(Decompress::new(true)),
                ended: false,
                buffer: Vec::with_capacity(64 << 10),
            },
            TocCompression::Lz4 => EntryDecoder::Opaque,
            #[cfg(feature = "zstd")]
            TocCompression::Zstd => {
                zstd::stream::raw::Decoder::new().map_or(EntryDecoder::Opaque, |decoder| EntryDecoder::Zstd {
                    decoder: Box::new(decoder),
                    buffer: vec![0; 64 << 10],
                })
            }
            #[cfg(not(feature = "zstd"))]
            TocCompression::Zstd => EntryDecoder::Opaque,
        };
        Self {
            unpack,
            form,
            rows: CopyData::with_fingerprint(),
            other: ItemHasher::default(),
            #[cfg(test)]
            bytes: 0,
            text: TextCheck::default(),
            tail: Vec::new(),
            statements: Vec::new(),
        }
    }

    /// The data of one large object, whose number counts as contents.
    pub(crate) fn of_object(mut self, oid: Option<i32>) -> Self {
        if let Some(oid) = oid {
            self.other.feed(&oid.to_le_bytes());
        }
        self
    }

    /// Reports whether the data cannot be decompressed and examined.
    pub(crate) fn is_opaque(&self) -> bool {
        matches!(self.unpack, EntryDecoder::Opaque)
    }

    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the kind of text that the bytes are, or [`Text::Bytes`] for rows and statements that cannot be examined.
    pub(crate) fn text(&self) -> Text {
        if self.is_opaque() && self.form != EntryDataForm::Object { Text::Bytes } else { self.text.finish() }
    }

    /// Takes a piece.
    pub(crate) fn feed(&mut self, mut packed: &[u8]) -> Result<(), String> {
        // Out and back in, so that the decompressor and the counter are borrowed one at a time.
        let mut unpack = std::mem::replace(&mut self.unpack, EntryDecoder::Opaque);
        if let EntryDecoder::Zlib { buffer, .. } = &mut unpack {
            buffer.clear();
        }
        let result = match &mut unpack {
            EntryDecoder::None => {
                self.count(packed);
                Ok(())
            }
            EntryDecoder::Opaque => Ok(()),
            EntryDecoder::Zlib { stream, ended, buffer } => loop {
                // A full buffer says that more may be coming out of what has gone in.
                if packed.is_empty() && buffer.len() < buffer.capacity() {
                    break Ok(());
                }
                if *ended && packed.is_empty() {
                    break Ok(());
                }
                if *ended {
                    break Err("something follows the end of its compressed data".to_owned());
                }
                buffer.clear();
                let before = stream.total_in();
                let status = stream.decompress_vec(packed, buffer, FlushDecompress::None);
                packed = &packed[(stream.total_in() - before) as usize..];
                self.count(buffer);
                match status {
                    Ok(Status::StreamEnd) => *ended = true,
                    Ok(Status::BufError) if buffer.is_empty() => break Ok(()),
                    Ok(_) => {}
                    Err(cause) => break Err(format!("its data cannot be decompressed ({cause})")),
                }
            },
            #[cfg(feature = "zstd")]
            EntryDecoder::Zstd { decoder, buffer } => loop {
                use zstd::stream::raw::{InBuffer, Operation as _, OutBuffer};
                // A few bytes may unpack to gigabytes: they are counted piece by piece.
                let (mut input, mut output) = (InBuffer::around(packed), OutBuffer::around(&mut buffer[..]));
                if let Err(cause) = decoder.run(&mut input, &mut output) {
                    break Err(format!("its data cannot be decompressed ({cause})"));
                }
                let (taken, given) = (input.pos(), output.pos());
                packed = &packed[taken..];
                self.count(&buffer[..given]);
                // A full buffer says that more may be coming out of what has gone in.
                if packed.is_empty() && given < buffer.len() {
                    break Ok(());
                }
            },
        };
        self.unpack = unpack;
        result
    }

    fn count(&mut self, plain: &[u8]) {
        #[cfg(test)]
        {
            self.bytes += plain.len() as u64;
        }
        if self.form != EntryDataForm::Object {
            self.text.feed(plain);
        }
        match self.form {
            EntryDataForm::Rows => {
                let tail = &plain[self.rows.feed(plain)..];
                let missing = (COPY_END.len() + 1).saturating_sub(self.tail.len());
                self.tail.extend_from_slice(&tail[..tail.len().min(missing)]);
            }
            EntryDataForm::Statements => {
                self.statements.extend_from_slice(plain);
                self.other.feed(plain);
            }
            EntryDataForm::Object => self.other.feed(plain),
        }
    }

    /// The entry's data are said to end here: gives what was unpacked of them.
    pub(crate) fn finish(mut self) -> Result<EntryContents, String> {
        // What a decoder still holds comes out with a last, empty piece.
        if let EntryDecoder::Zlib { stream, ended: false, buffer } = &mut self.unpack {
            let mut buffer = std::mem::take(buffer);
            buffer.clear();
            let status = stream.decompress_vec(&[], &mut buffer, FlushDecompress::Finish);
            if stream.total_in() > 0 && !matches!(status, Ok(Status::StreamEnd)) {
                return Err("its compressed data end before their end marker".to_owned());
            }
            self.count(&buffer);
        }
        if self.is_opaque() {
            return Ok(EntryContents::Unknown);
        }
        match self.form {
            EntryDataForm::Object | EntryDataForm::Statements => {
                Ok(EntryContents::Other(self.other.finish()))
            }
            EntryDataForm::Rows if self.rows.ended() && self.tail == COPY_END => {
                Ok(EntryContents::Rows(self.rows.totals()))
            }
            EntryDataForm::Rows => Err("its rows end before COPY's end marker".to_owned()),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "zstd")]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Most memory of this process so far, in bytes.
    fn peak() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    #[test]
    fn a_zstd_bomb_is_counted_piece_by_piece() {
        const SIZE: u64 = 3 << 30;
        let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..SIZE >> 20 {
            bomb.write_all(&zeros).unwrap();
        }
        let bomb = bomb.finish().unwrap();
        let before = peak();
        let mut data = EntryDataReader::new(TocCompression::Zstd, EntryDataForm::Object);
        data.feed(&bomb).unwrap();
        assert_eq!(data.bytes(), SIZE);
        // Others tests share the process; the bomb alone would be three gigabytes.
        assert!(peak() - before < SIZE / 2, "{} for {} compressed bytes", peak() - before, bomb.len());
    }
}
