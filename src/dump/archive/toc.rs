//! The head of an archive: who made it, and the list of what is in it.
//!
//! Promises: only what PostgreSQL 9.3 and later write (archive versions 1.12 to 1.16) is read, a newer one is named
//! as such; every length is checked against what is there before anything is taken, so that a hostile
//! file costs no memory. Layout: `ReadHead` and `ReadToc` of `src/bin/pg_dump/pg_backup_archiver.c`.

use crate::error::{self, Result};
use crate::text::encoding::of_bytes;

/// Magic bytes of all three formats: of the file of `custom`, and of the `toc.dat` of `directory` and `tar`.
pub(crate) const MAGIC: &[u8] = b"PGDMP";

/// Format of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveLayout {
    /// `--format=custom`: one file, the data behind the list.
    Custom,
    /// `--format=tar`.
    Tar,
    /// `--format=directory`: `toc.dat`, and a file for each table's data.
    Directory,
}

/// Compression of the data in a custom archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TocCompression {
    /// No compression.
    None,
    /// A zlib stream for each entry.
    Gzip,
    /// LZ4, which this program does not read: the structure alone is checked.
    Lz4,
    /// A zstd frame for each entry.
    Zstd,
}

/// One entry of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TocEntry {
    /// Number of the entry, by which the entry's data are found.
    pub(crate) id: i32,
    /// True if the entry has data.
    pub(crate) has_data: bool,
    /// Name of the object.
    pub(crate) tag: String,
    /// Kind of the entry as pg_dump names it: `TABLE`, `TABLE DATA`, `INDEX`.
    pub(crate) kind: String,
    /// The statement that makes it.
    pub(crate) definition: String,
    /// The statement that drops it; `pg_restore` takes the name of a function for its owner's ALTER from it.
    pub(crate) drop: String,
    /// The COPY statement its data are for; empty for INSERTs and large objects.
    pub(crate) copy: String,
    /// Schema of the object.
    pub(crate) namespace: String,
    /// Tablespace of the object.
    pub(crate) tablespace: String,
    /// Owner of the object.
    pub(crate) owner: String,
    /// Numbers of the entries it depends on; kept for the rights of large objects alone.
    pub(crate) depends: Vec<i32>,
    /// The file of its data, in a directory or tar.
    pub(crate) file: String,
    /// Byte range of the entry in the list, without the part that differs between the formats.
    pub(crate) body: std::ops::Range<usize>,
}

/// The head and the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toc {
    /// 15 of 1.15.
    pub(crate) minor: u8,
    /// Format of the archive.
    pub(crate) layout: ArchiveLayout,
    /// Compression of the data.
    pub(crate) inner: TocCompression,
    /// The server's version, in its own words.
    pub(crate) server_version: String,
    pub(crate) pg_dump_version: String,
    /// The entries, in the order they are restored.
    pub(crate) entries: Vec<TocEntry>,
    /// Offset of the byte that names the format; the compression follows that byte.
    pub(crate) layout_at: usize,
    /// Offset behind the compression.
    pub(crate) encoding_end: usize,
    /// Offset of the first entry.
    pub(crate) first_entry: usize,
}

/// Reason why a head could not be read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The head continues behind the bytes given.
    More,
    /// The bytes are no head that can be read.
    Bad(String),
}

type Read<T> = std::result::Result<T, Stop>;

/// More entries than any database has; a count beyond it is damage.
const MOST_ENTRIES: i32 = 5_000_000;
/// Bytes of an offset in the file: what every 64 bit pg_dump writes.
pub(crate) const OFFSET_BYTES: usize = 8;

impl Toc {
    /// Reads head and list from the beginning of `bytes`; also where they end.
    pub(crate) fn parse(bytes: &[u8]) -> Read<(Self, usize)> {
        let mut at = Cursor { bytes, at: 0 };
        if at.take(MAGIC.len())? != MAGIC {
            return Err(Stop::Bad("it does not begin with PGDMP".into()));
        }
        let (major, minor, _revision) = (at.byte()?, at.byte()?, at.byte()?);
        if major != 1 || minor > 16 {
            return Err(Stop::Bad(format!(
                "its archive version {major}.{minor} is newer than this envctl knows (1.16)"
            )));
        }
        if minor < 12 {
            return Err(Stop::Bad(format!(
                "its archive version {major}.{minor} is older than PostgreSQL 9.3"
            )));
        }
        let (int, offset) = (at.byte()?, at.byte()?);
        if int != 4 || usize::from(offset) != OFFSET_BYTES {
            return Err(Stop::Bad(format!("its numbers have {int} and {offset} bytes, not 4 and 8")));
        }
        let layout_at = at.at;
        let layout = match at.byte()? {
            1 => ArchiveLayout::Custom,
            3 => ArchiveLayout::Tar,
            5 => ArchiveLayout::Directory,
            other => return Err(Stop::Bad(format!("its layout {other} is unknown"))),
        };
        let inner = compression(&mut at, minor)?;
        let encoding_end = at.at;
        for _ in 0..7 {
            at.int()?; // The local time it was made at, without a zone.
        }
        let _database = at.text()?;
        let (server_version, pg_dump_version) = (at.text()?, at.text()?);
        let count = at.int()?;
        if !(0..=MOST_ENTRIES).contains(&count) {
            return Err(Stop::Bad(format!("it claims {count} entries")));
        }
        let first_entry = at.at;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(entry(&mut at, minor, layout)?);
        }
        let end = at.at;
        let toc = Self {
            minor,
            layout,
            inner,
            server_version,
            pg_dump_version,
            entries,
            layout_at,
            encoding_end,
            first_entry,
        };
        Ok((toc, end))
    }

    /// Reads a whole `toc.dat`.
    ///
    /// # Errors
    /// Kind `Integrity`: truncated, damaged, or of another version.
    pub(crate) fn of_file(bytes: &[u8]) -> Result<Self> {
        match Self::parse(bytes) {
            Ok((toc, end)) if end == bytes.len() => Ok(toc),
            Ok(_) => Err(error::integrity("something follows the end of toc.dat")),
            Err(Stop::More) => Err(error::integrity("toc.dat is truncated")),
            Err(Stop::Bad(why)) => Err(error::integrity(format!("toc.dat cannot be read: {why}"))),
        }
    }
}

fn compression(at: &mut Cursor<'_>, minor: u8) -> Read<TocCompression> {
    if minor < 15 {
        // A level of zlib; -1 is its default.
        return Ok(if at.int()? == 0 { TocCompression::None } else { TocCompression::Gzip });
    }
    match at.byte()? {
        0 => Ok(TocCompression::None),
        1 => Ok(TocCompression::Gzip),
        2 => Ok(TocCompression::Lz4),
        3 => Ok(TocCompression::Zstd),
        other => Err(Stop::Bad(format!("its compression {other} is unknown"))),
    }
}

fn entry(at: &mut Cursor<'_>, minor: u8, layout: ArchiveLayout) -> Read<TocEntry> {
    let begin = at.at;
    let id = at.int()?;
    let mut has_data = at.int()? != 0;
    let (_table_oid, _oid) = (at.text()?, at.text()?);
    let (tag, kind) = (at.text()?, at.text()?);
    let _section = at.int()?;
    let (definition, drop, copy) = (at.text()?, at.text()?, at.text()?);
    let (namespace, tablespace) = (at.text()?, at.text()?);
    if minor >= 14 {
        at.text()?; // Its access method.
    }
    if minor >= 16 {
        at.int()?; // Its relkind.
    }
    let owner = at.text()?;
    at.text()?; // WITH OIDS, of servers before 12.
    let mut depends = Vec::new();
    while let Some(number) = at.nullable()? {
        if kind == "ACL" && tag.starts_with("LARGE OBJECTS") {
            depends.extend(std::str::from_utf8(number).ok().and_then(|number| number.parse::<i32>().ok()));
        }
    }
    let body = begin..at.at;
    let mut file = String::new();
    if layout == ArchiveLayout::Custom {
        const NO_DATA: u8 = 3;
        has_data &= at.byte()? != NO_DATA;
        at.take(OFFSET_BYTES)?;
    } else {
        file = at.text()?;
        has_data = !file.is_empty();
    }
    Ok(TocEntry {
        id,
        has_data,
        tag,
        kind,
        definition,
        drop,
        copy,
        namespace,
        tablespace,
        owner,
        depends,
        file,
        body,
    })
}

/// A place in bytes that may not be all there yet.
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(len).ok_or(Stop::More)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    /// A sign and four bytes, the lowest first.
    pub(crate) fn int(&mut self) -> Read<i32> {
        let bytes = self.take(5)?;
        let number = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let number = i32::try_from(number).map_err(|_| Stop::Bad("a number is too large".into()))?;
        Ok(if bytes[0] == 0 { number } else { -number })
    }

    pub(crate) fn nullable(&mut self) -> Read<Option<&'a [u8]>> {
        let len = self.int()?;
        usize::try_from(len).map_or(Ok(None), |len| self.take(len).map(Some))
    }

    fn text(&mut self) -> Read<String> {
        let bytes = self.nullable()?.unwrap_or_default();
        Ok(of_bytes(bytes))
    }
}
