//! Detects a file's compression and content by the file's first bytes, never by the name.

/// Compression of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileEncoding {
    /// No compression.
    None,
    Gzip,
    /// Zstandard.
    Zstd,
    Xz,
    /// bzip2.
    Bzip2,
}

/// Content of a file after decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// No bytes.
    Empty,
    /// A plain dump, or any other text.
    Sql {
        /// True if the text begins with a UTF-8 byte order mark, which psql may not skip.
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
    /// Packed once more by something that can be unpacked.
    Packed,
    /// Packed by a tool whose format is not read.
    Foreign(ForeignFormat),
    /// Something else than a dump of PostgreSQL.
    Other(ForeignFile),
}

/// A tool whose format is not read, and the command line in front of the file's name that unpacks it to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignFormat {
    /// Name of the tool or format.
    pub(crate) name: &'static str,
    /// Command that writes what is inside to stdout.
    pub(crate) command: &'static str,
}

/// Something that is taken for a dump by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignFile {
    /// The thing, with its article.
    pub(crate) what: &'static str,
    /// Next step.
    pub(crate) hint: &'static str,
}

/// A file's compression and content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DetectedType {
    /// Compression of the file.
    pub(crate) encoding: FileEncoding,
    /// Content of the file after decompression.
    pub(crate) content: ContentType,
    /// True where the file was decrypted first.
    pub(crate) encrypted: bool,
}

/// Number of bytes that [`encoding`] and [`content`] need.
pub(crate) const ENOUGH: usize = 512;

/// The compression, by the first bytes of the file.
pub(crate) fn encoding(head: &[u8]) -> FileEncoding {
    let skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    if head.starts_with(&[0x1f, 0x8b]) {
        FileEncoding::Gzip
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || skippable {
        FileEncoding::Zstd
    } else if cfg!(feature = "xz") && head.starts_with(b"\xfd7zXZ\0") {
        FileEncoding::Xz
    } else if cfg!(feature = "bzip2") && is_bzip2(head) {
        FileEncoding::Bzip2
    } else {
        FileEncoding::None
    }
}

/// `BZh`, the level, and the number that begins a block or ends an empty stream.
fn is_bzip2(head: &[u8]) -> bool {
    head.starts_with(b"BZh")
        && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level))
        && (head[4..].starts_with(b"1AY&SY") || head[4..].starts_with(b"\x17\x72\x45\x38\x50\x90"))
}

/// Formats that are packed or encrypted, by their first bytes, with the command that undoes it.
const FOREIGN_FORMATS: &[(&[u8], ForeignFormat)] = &[
    (b"\xfd7zXZ\0", ForeignFormat { name: "xz", command: "xz -dc" }),
    (b"BZh", ForeignFormat { name: "bzip2", command: "bzip2 -dc" }),
    (b"\x04\x22\x4d\x18", ForeignFormat { name: "lz4", command: "lz4 -dc" }),
    (b"PK\x03\x04", ForeignFormat { name: "zip", command: "unzip -p" }),
    (b"7z\xbc\xaf\x27\x1c", ForeignFormat { name: "7-Zip", command: "7z e -so" }),
    (b"Rar!\x1a\x07", ForeignFormat { name: "RAR", command: "unrar p -inul" }),
    (b"Salted__", ForeignFormat { name: "openssl enc", command: "openssl enc -d -aes-256-cbc -pbkdf2 -in" }),
    (b"-----BEGIN PGP MESSAGE-----", ForeignFormat { name: "gpg", command: "gpg -d" }),
];

/// Formats that are no PostgreSQL dump, by their first bytes.
const ALIENS: &[(&[u8], ForeignFile)] = &[
    (
        b"SQLite format 3\0",
        ForeignFile {
            what: "an SQLite database",
            hint: "move its rows with a tool for that, such as `pgloader`",
        },
    ),
    (b"-- MySQL dump", MYSQL),
    (b"-- MariaDB dump", MYSQL),
    (b"/*M!", MYSQL),
    (b"/*!4", MYSQL),
    (
        b"version https://git-lfs",
        ForeignFile { what: "a pointer of Git LFS and not the file", hint: "fetch the file: `git lfs pull`" },
    ),
    (
        b"<",
        ForeignFile {
            what: "an HTML or XML page",
            hint: "look at it: a download that failed is often a page with the reason",
        },
    ),
    (
        b"{",
        ForeignFile {
            what: "JSON",
            hint: "look at it: a download that failed is often a message with the reason",
        },
    ),
];

const MYSQL: ForeignFile = ForeignFile {
    what: "a dump of MySQL or MariaDB",
    hint: "move its rows with a tool for that, such as `pgloader`",
};

/// The content, by the first bytes inside the compression.
pub(crate) fn content(head: &[u8]) -> ContentType {
    if head.is_empty() {
        return ContentType::Empty;
    }
    if encoding(head) != FileEncoding::None {
        return ContentType::Packed;
    }
    if head.starts_with(b"PGDMP") {
        return ContentType::Custom;
    }
    if head.get(257..262) == Some(b"ustar") || head.starts_with(b"toc.dat\0") {
        return ContentType::Tar;
    }
    if super::age::is_encrypted(head) {
        return ContentType::Age;
    }
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return ContentType::Utf16;
    }
    if let Some((_, compressor)) = FOREIGN_FORMATS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return ContentType::Foreign(*compressor);
    }
    if is_pgp(head) {
        return ContentType::Foreign(ForeignFormat { name: "gpg", command: "gpg -d" });
    }
    if let Some((_, alien)) = ALIENS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return ContentType::Other(*alien);
    }
    ContentType::Sql { bom: head.starts_with(b"\xef\xbb\xbf") }
}

/// An encrypted message of OpenPGP in binary: its first packet is a session key (RFC 9580, tags 1 and 3).
fn is_pgp(head: &[u8]) -> bool {
    let tag = match head[0] {
        first if first & 0xc0 == 0xc0 => first & 0x3f,
        first if first & 0x80 != 0 => first >> 2 & 0x0f,
        _ => return false,
    };
    // Text in UTF-8 may begin with such a byte, too.
    let text = std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0'));
    matches!(tag, 1 | 3) && !text
}
