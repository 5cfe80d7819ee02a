//! What a file is, by its first bytes. Names lie, bytes seldom do.

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What is inside the packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing at all.
    Empty,
    /// A plain dump, or any other text.
    Sql {
        /// It begins with a UTF-8 byte order mark, which psql may not know to skip.
        bom: bool,
    },
    /// `pg_dump --format=custom`, for `pg_restore`.
    Custom,
    /// A tar archive: `pg_dump --format=tar`, or several dumps in one.
    Tar,
    /// Encrypted with age, binary or armoured.
    Age,
    /// Text in UTF-16, as redirection in some shells writes it.
    Utf16,
    /// Packed by something else: the name of the tool.
    Foreign(&'static str),
}

/// A file's packing and content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// How it is packed.
    pub packing: Packing,
    /// What is inside.
    pub content: Content,
}

/// How many bytes are enough for [`packing`] and [`content`].
pub(super) const ENOUGH: usize = 512;

/// The packing, by the first bytes of the file.
pub(super) fn packing(head: &[u8]) -> Packing {
    let skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    if head.starts_with(&[0x1f, 0x8b]) {
        Packing::Gzip
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || skippable {
        Packing::Zstd
    } else {
        Packing::None
    }
}

/// The content, by the first bytes inside the packing.
pub(super) fn content(head: &[u8]) -> Content {
    let foreign: &[(&[u8], &'static str)] = &[
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"PK\x03\x04", "zip"),
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ];
    if head.is_empty() {
        return Content::Empty;
    }
    if head.starts_with(b"PGDMP") {
        return Content::Custom;
    }
    if head.get(257..262) == Some(b"ustar") || head.starts_with(b"toc.dat\0") {
        return Content::Tar;
    }
    if head.starts_with(b"age-encryption.org/") || head.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
        return Content::Age;
    }
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Content::Utf16;
    }
    match foreign.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, tool)) => Content::Foreign(tool),
        None => Content::Sql { bom: head.starts_with(b"\xef\xbb\xbf") },
    }
}
