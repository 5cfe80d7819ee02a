//! Opens a dump by its content: unpacks it, also twice, reads a packed tar, converts UTF-16, knows text in front of it.
//!
//! Promises: what is no dump is named for what it is, with the command that leads on; nothing is left out of the
//! stream unless it was asked for, and then it is said; memory is bounded by the blocks of the decompressor.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::codec::age::{EncryptedFor, Keyring, stanzas};
use crate::codec::{ContentType, DecompressReader, DetectedType, FileEncoding, ForeignFormat};
use crate::dump::archive::CustomStream;
use crate::dump::format::Format;
use crate::error::{self, Error, Result};

/// A dump whose first bytes are known.
pub(crate) struct OpenDump {
    /// Plain SQL or an archive.
    pub(crate) format: Format,
    /// Reader of the decompressed bytes.
    pub(crate) decompressor: DecompressReader,
    /// Changes made to the bytes of the file, for the plan.
    pub(crate) notes: Vec<String>,
    /// The stored file is what `pg_restore` or psql would read: nothing packed, converted or left out.
    pub(crate) as_stored: bool,
    /// The text was UTF-16.
    pub(crate) was_utf16: bool,
    trailing: Arc<AtomicU64>,
}

impl OpenDump {
    /// Note about bytes behind the end of a gzip file; known once the dump was read to its end.
    pub(crate) fn trailing_note(trailing: &AtomicU64) -> Option<String> {
        match trailing.load(Ordering::Acquire) {
            0 => None,
            1 => Some("1 byte behind the end of the gzip file is left out".to_owned()),
            count => Some(format!("{count} bytes behind the end of the gzip file are left out")),
        }
    }

    /// Count of bytes behind the end of a gzip file.
    pub(crate) fn trailing(&self) -> Arc<AtomicU64> {
        self.trailing.clone()
    }
}

/// Compressions inside of compressions that are undone: a `.sql.gz` that a tool has packed again.
const MOST_LAYERS: usize = 4;

/// Opens a dump. `threads` unpack it; `skip_leading_text` leaves out text in front of it; `keyring` opens one that is
/// encrypted.
///
/// # Errors
/// Kind `Integrity`, `Refused`: not a dump that can be restored. `Usage`: it is encrypted, and no identity opens it.
/// `Failed`: no place for a packed tar.
pub(crate) fn open(
    reader: impl Read + Send + 'static,
    what: &EncryptedFor,
    threads: usize,
    skip_leading_text: bool,
    keyring: &Keyring,
) -> Result<OpenDump> {
    let (kind, decompressor) = open_stored(reader, what, threads, keyring)?;
    of_first_block(kind, decompressor, &what.name, threads, skip_leading_text)
}

/// Opens a stored stream, and decrypts it where it is encrypted: the first block of what is inside is known then.
///
/// # Errors
/// Kind `Usage`: it is encrypted, and no identity opens it. `Integrity`: it is damaged.
pub(crate) fn open_stored(
    reader: impl Read + Send + 'static,
    what: &EncryptedFor,
    threads: usize,
    keyring: &Keyring,
) -> Result<(DetectedType, DecompressReader)> {
    let name = &what.name;
    let (kind, decompressor) = DecompressReader::open(reader, threads).map_err(|e| e.context(name))?;
    if kind.content != ContentType::Age {
        return Ok((kind, decompressor));
    }
    let mut what = what.clone();
    if what.recipients.is_empty() {
        what.recipients = stanzas(decompressor.peek());
    }
    let plain = crate::codec::age::open(decompressor, keyring, &what)?;
    let (mut kind, decompressor) = DecompressReader::open(plain, threads).map_err(|e| e.context(name))?;
    kind.encrypted = true;
    Ok((kind, decompressor))
}

/// Opens a dump like [`open`] whose first block is read.
///
/// # Errors
/// Errors of [`open`].
pub(crate) fn of_first_block(
    kind: DetectedType,
    mut decompressor: DecompressReader,
    name: &str,
    threads: usize,
    skip_leading_text: bool,
) -> Result<OpenDump> {
    let trailing = decompressor.trailing();
    let (mut content, mut notes, mut was_utf16) = (kind.content, Vec::new(), false);
    let mut as_stored = kind.encoding == FileEncoding::None && !kind.encrypted;
    let mut skipped = false;
    for _ in 0..MOST_LAYERS {
        if let Some(text) = leading_text(content, decompressor.peek()) {
            if !skip_leading_text {
                return Err(stands_in_front(name, &text));
            }
            notes.push(format!("{} in front of the dump {} left out", text.lines(), text.verb()));
            decompressor.skip(text.bytes);
            content = decompressor.content();
            (as_stored, skipped) = (false, true);
        }
        let inner: Box<dyn Read + Send> = match content {
            ContentType::Packed => Box::new(decompressor),
            ContentType::Tar => {
                notes.push("the tar is read from a temporary copy".to_owned());
                Box::new(CustomStream::of_tar(spool(decompressor)?).map_err(|e| e.context(name))?)
            }
            ContentType::Utf16 => {
                was_utf16 = true;
                notes.push("converted from UTF-16".to_owned());
                Box::new(Utf16Text::new(decompressor))
            }
            _ => break,
        };
        as_stored = false;
        let (kind, next) = DecompressReader::open(inner, threads).map_err(|e| e.context(name))?;
        (content, decompressor) = (kind.content, next);
    }
    if skip_leading_text && !skipped {
        return Err(error::usage(format!("no text stands in front of the dump in {name}"))
            .hint("leave `--skip-leading-text` out"));
    }
    let format = format(content, name)?;
    Ok(OpenDump { format, decompressor, notes, as_stored, was_utf16, trailing })
}

/// A tar as a file that can be read out of order.
fn spool(mut decompressor: DecompressReader) -> Result<File> {
    let cannot = |cause: io::Error| {
        // An error of the dump itself stays what it is.
        cause.downcast::<Error>().unwrap_or_else(|cause| {
            error::failed("the tar cannot be copied into a temporary file").because(cause)
        })
    };
    let mut file = tempfile::tempfile().map_err(cannot)?;
    io::copy(&mut decompressor, &mut file).map_err(cannot)?;
    file.rewind().map_err(cannot)?;
    Ok(file)
}

fn format(content: ContentType, name: &str) -> Result<Format> {
    let quoted = crate::text::shell_word::shell_word(name);
    let refused =
        |what: &str| error::refused(format!("{name} is {what}; dumps of PostgreSQL can be restored"));
    let by_pipe = |command: &str| {
        format!("decompress or decrypt it in a pipe: `{command} {quoted} | envctl restore -`")
    };
    Err(match content {
        ContentType::Sql { .. } => return Ok(Format::Plain),
        ContentType::Custom => return Ok(Format::Custom),
        ContentType::Empty => {
            error::integrity(format!("{name} is empty")).hint("see the others: `envctl backup list`")
        }
        ContentType::Age => refused("encrypted twice").hint(by_pipe("age -d -i KEY")),
        ContentType::Foreign(ForeignFormat { name: tool, command }) => {
            refused(&format!("compressed or encrypted by {tool}")).hint(by_pipe(command))
        }
        ContentType::Other(alien) => refused(alien.what).hint(alien.hint),
        ContentType::Packed | ContentType::Tar | ContentType::Utf16 => {
            refused("compressed too many times").hint("decompress it by hand first")
        }
    })
}

/// Text that a terminal or a tool has put in front of a dump.
struct LeadingText {
    bytes: usize,
    lines: usize,
    first: String,
}

impl LeadingText {
    fn lines(&self) -> String {
        if self.lines == 1 { "1 line of text".to_owned() } else { format!("{} lines of text", self.lines) }
    }

    fn verb(&self) -> &'static str {
        if self.lines == 1 { "is" } else { "are" }
    }
}

/// Bytes in which the beginning of a dump is looked for.
const LEADING_LIMIT: usize = 64 << 10;

/// Text in front of a dump: messages of pg_dump or of a shell. SQL and comments that stand there belong to the dump.
fn leading_text(content: ContentType, head: &[u8]) -> Option<LeadingText> {
    if !matches!(content, ContentType::Sql { .. } | ContentType::Other(_)) {
        return None;
    }
    let head = &head[..head.len().min(LEADING_LIMIT)];
    let begin = [&b"\nPGDMP"[..], b"\n--\n-- PostgreSQL database", b"\n--\r\n-- PostgreSQL database"]
        .iter()
        .filter_map(|mark| memchr::memmem::find(head, mark))
        .min()?
        + 1;
    let text = String::from_utf8_lossy(&head[..begin]);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"))?;
    (!is_sql(first)).then(|| LeadingText {
        bytes: begin,
        lines: text.lines().count(),
        first: first.chars().take(80).collect(),
    })
}

/// Reports whether a line can begin a statement or is a command of psql.
fn is_sql(line: &str) -> bool {
    const VERBS: &[&str] = &[
        "alter", "analyze", "begin", "call", "comment", "commit", "copy", "create", "delete", "do", "drop",
        "end", "grant", "insert", "lock", "reindex", "reset", "revoke", "rollback", "security", "select",
        "set", "start", "truncate", "update", "vacuum", "with",
    ];
    let line = line.trim_start_matches('\u{feff}');
    if line.starts_with('\\') || line.starts_with("/*") || line.starts_with(';') {
        return true;
    }
    let value: String = line.chars().take_while(char::is_ascii_alphabetic).collect();
    let next = line[value.len()..].chars().next();
    VERBS.contains(&value.to_ascii_lowercase().as_str()) && next.is_none_or(|c| c.is_whitespace() || c == ';')
}

fn stands_in_front(name: &str, text: &LeadingText) -> Error {
    let stand = if text.lines == 1 { "stands" } else { "stand" };
    error::refused(format!("{} {stand} in front of the dump in {name}: {:?}", text.lines(), text.first)).hint(
        format!(
            "leave that out, if it is only what a tool has said: `envctl restore {} --skip-leading-text`",
            crate::text::shell_word::shell_word(name)
        ),
    )
}

/// Text in UTF-16 as UTF-8, without its byte order mark.
struct Utf16Text<R> {
    inner: R,
    big_endian: Option<bool>,
    /// Half of a unit, where a read ended inside one.
    half: Option<u8>,
    high: Option<u16>,
    out: Vec<u8>,
    at: usize,
}

impl<R: Read> Utf16Text<R> {
    fn new(inner: R) -> Self {
        Self { inner, big_endian: None, half: None, high: None, out: Vec::new(), at: 0 }
    }

    fn take_unit(&mut self, pair: [u8; 2]) -> io::Result<()> {
        let Some(big_endian) = self.big_endian else {
            self.big_endian = Some(pair == [0xfe, 0xff]);
            return Ok(());
        };
        let unit = if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let units = match self.high.take() {
            Some(high) => vec![high, unit],
            None if (0xd800..0xdc00).contains(&unit) => {
                self.high = Some(unit);
                return Ok(());
            }
            None => vec![unit],
        };
        for decoded in char::decode_utf16(units) {
            let c = decoded.map_err(|_| not_utf16("half of a character stands alone"))?;
            self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }
}

fn not_utf16(why: &str) -> io::Error {
    io::Error::other(error::integrity(format!("the text in UTF-16 is damaged: {why}")))
}

impl<R: Read> Read for Utf16Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
            let mut chunk = [0; 16 << 10];
            let len = self.inner.read(&mut chunk)?;
            if len == 0 {
                return match (self.half, self.high) {
                    (None, None) => Ok(0),
                    _ => Err(not_utf16("it ends inside a character")),
                };
            }
            let mut bytes = &chunk[..len];
            if let Some(half) = self.half.take() {
                self.take_unit([half, bytes[0]])?;
                bytes = &bytes[1..];
            }
            let mut pairs = bytes.chunks_exact(2);
            for pair in &mut pairs {
                self.take_unit([pair[0], pair[1]])?;
            }
            self.half = pairs.remainder().first().copied();
        }
        let len = buffer.len().min(self.out.len() - self.at);
        buffer[..len].copy_from_slice(&self.out[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::error::ErrorKind;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n-- Ünï 🦀\n";

    fn what() -> EncryptedFor {
        EncryptedFor { name: "dump".to_owned(), recipients: Vec::new() }
    }

    #[cfg(feature = "encryption")]
    #[test]
    fn what_is_encrypted_is_decrypted_whatever_is_inside() {
        use crate::codec::age::tests::{IDENTITY, RECIPIENT, encrypted, keyring};

        for plain in [DUMP.as_bytes().to_vec(), gzip(DUMP.as_bytes()), gzip(&utf16(DUMP, false))] {
            let stored = encrypted(&plain, &[RECIPIENT]);
            for stored in [stored.clone(), gzip(&stored)] {
                let stored = io::Cursor::new(stored);
                let mut dump = open(stored, &what(), 2, false, &keyring(IDENTITY)).unwrap();
                assert!(!dump.as_stored, "no pg_restore reads it");
                let mut read = Vec::new();
                dump.decompressor.read_to_end(&mut read).unwrap();
                assert_eq!(read, DUMP.as_bytes());
            }
            let error = read(&stored, false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert_eq!(error.notes(), ["it is encrypted to an age1 recipient"]);
            let mut whole = open(
                io::Cursor::new(stored[..stored.len() - 1].to_vec()),
                &what(),
                2,
                false,
                &keyring(IDENTITY),
            );
            let damaged = whole.as_mut().map(|dump| dump.decompressor.read_to_end(&mut Vec::new()).is_err());
            assert!(damaged.unwrap_or(true), "a byte is missing");
        }
    }

    fn read(bytes: &[u8], skip: bool) -> Result<(Vec<u8>, Vec<String>)> {
        let mut dump = open(io::Cursor::new(bytes.to_vec()), &what(), 2, skip, &Keyring::default())?;
        let mut plain = Vec::new();
        while let Some(block) = dump.decompressor.next_block()? {
            plain.extend(block);
        }
        dump.notes.extend(OpenDump::trailing_note(&dump.trailing()));
        Ok((plain, dump.notes))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn utf16(text: &str, big_endian: bool) -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(|unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn utf16_is_converted_and_damage_in_it_is_noticed() {
        for big_endian in [false, true] {
            let bytes = utf16(DUMP, big_endian);
            let (plain, notes) = read(&bytes, false).unwrap();
            assert_eq!((String::from_utf8(plain).unwrap().as_str(), notes.len()), (DUMP, 1));
            let (plain, _) = read(&gzip(&bytes), false).unwrap();
            assert_eq!(plain, DUMP.as_bytes());
            assert_eq!(read(&bytes[..bytes.len() - 1], false).unwrap_err().kind(), ErrorKind::Integrity);
        }
        let mut lone = utf16(DUMP, false);
        lone.extend([0x00, 0xdc]);
        assert_eq!(read(&lone, false).unwrap_err().kind(), ErrorKind::Integrity);
    }

    #[test]
    fn what_was_packed_twice_is_unpacked_twice() {
        assert_eq!(read(&gzip(&gzip(DUMP.as_bytes())), false).unwrap().0, DUMP.as_bytes());
    }

    #[test]
    fn bytes_behind_a_gzip_file_are_read_as_gzip_reads_them() {
        let packed = gzip(DUMP.as_bytes());
        for (behind, note) in [
            (&b"\n"[..], Some("1 byte behind the end of the gzip file is left out")),
            (b"garbage\n", Some("8 bytes behind the end of the gzip file are left out")),
            (&[0; 512], None),
            (b"", None),
        ] {
            let (plain, notes) = read(&[&packed[..], behind].concat(), false).unwrap();
            assert_eq!(plain, DUMP.as_bytes());
            assert_eq!(notes.first().map(String::as_str), note, "{behind:?}");
        }
        // What begins like a member and is none was one that is damaged.
        for behind in [&b"\x1f\x8b"[..], b"\x1f\x8b\x08\0garbage"] {
            let error = read(&[&packed[..], behind].concat(), false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{behind:?}");
        }
    }

    #[test]
    fn text_in_front_is_counted_and_left_out_only_when_asked() {
        let text = "pg_dump: warning: there are circular foreign-key constraints\npg_dump: detail: node\n";
        let bytes = format!("{text}{DUMP}");
        let refused = read(bytes.as_bytes(), false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.message().starts_with("2 lines of text stand in front of the dump"), "{refused}");
        assert!(refused.hints()[0].contains("--skip-leading-text"));
        let (plain, notes) = read(bytes.as_bytes(), true).unwrap();
        assert_eq!(plain, DUMP.as_bytes());
        assert_eq!(notes, ["2 lines of text in front of the dump are left out"]);
        assert_eq!(read(&gzip(bytes.as_bytes()), true).unwrap().0, DUMP.as_bytes());
        let bytes = b"WARNING: x\nPGDMP\x01\x0e".to_vec();
        let archive = open(io::Cursor::new(bytes), &what(), 1, true, &Keyring::default()).unwrap();
        assert_eq!(archive.format, Format::Custom);
        // Nothing to leave out, and SQL that somebody has written in front.
        assert_eq!(read(DUMP.as_bytes(), true).unwrap_err().kind(), ErrorKind::Usage);
        for front in ["SET x = 1;\n", "-- a note\n\n", "\\set x 1\n", "begin;\n", "/* a */\n"] {
            let bytes = format!("{front}{DUMP}");
            assert_eq!(read(bytes.as_bytes(), false).unwrap().0, bytes.as_bytes());
        }
    }

    #[test]
    fn what_is_no_dump_is_named_with_the_command_that_leads_on() {
        for (bytes, text) in [
            (&b"Salted__12345678"[..], "openssl enc -d"),
            (b"-----BEGIN PGP MESSAGE-----\n", "`gpg -d dump | envctl restore -`"),
            (b"\x85\x02\x0c\x03\xff\xfe\0", "`gpg -d dump | envctl restore -`"),
            (b"\x8c\x0d\x04\x09\x03\xff", "`gpg -d dump | envctl restore -`"),
            (b"SQLite format 3\0", "an SQLite database"),
            (b"-- MySQL dump 10.13", "MySQL"),
            (b"/*!40101 SET x */", "MySQL"),
            (b"<!DOCTYPE html>", "HTML"),
            (b"{\"message\": \"expired\"}", "JSON"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"PK\x03\x04", "`unzip -p dump | envctl restore -`"),
        ] {
            let error = read(bytes, false).unwrap_err();
            let said = format!("{} {}", error.message(), error.hints().join(" "));
            assert!(error.kind() == ErrorKind::Refused && said.contains(text), "{text}: {said}");
        }
        assert!(read("über alles".as_bytes(), false).is_ok(), "text in UTF-8 is no message of OpenPGP");
    }
}
