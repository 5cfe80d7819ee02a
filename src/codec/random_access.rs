//! A stored dump that can be read from anywhere: plain SQL as it lies, or gzip members that name their size.
//!
//! Promises: a piece is exactly the asked-for bytes of the SQL or an integrity error; every member it
//! touches is checked against its own CRC-32 and against the one that was there when the file was opened.
//! Readers share the open file, so a file renamed over it meanwhile is not seen.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use libdeflater::Decompressor;

use super::BLOCK;
use super::age::{EncryptedFile, EncryptedFor, Keyring};
use super::digest::{Digest, Hasher};
use crate::codec::gzip_member;
use crate::error::{Error, Result, failed, integrity};

/// Position of a gzip member in the file and in the SQL, the member's stored size and trailer.
#[derive(Clone, Copy, Debug)]
struct GzipMember {
    stored: u64,
    size: usize,
    plain: u64,
    trailer: [u8; 8],
}

impl GzipMember {
    fn length(&self) -> u64 {
        let [.., a, b, c, d] = self.trailer;
        u64::from(u32::from_le_bytes([a, b, c, d]))
    }
}

/// Bytes that are read from anywhere: those of the file, or what is encrypted in it.
#[derive(Debug)]
enum StoredBytes {
    File(Arc<File>),
    Encrypted(EncryptedFile),
}

impl StoredBytes {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, at),
            Self::Encrypted(file) => file.read_exact_at(buffer, at),
        }
    }
}

/// An open dump.
#[derive(Debug)]
pub(crate) struct RandomAccessReader {
    file: Arc<File>,
    bytes: StoredBytes,
    /// Number of them.
    stored: u64,
    /// None: the file is the SQL itself.
    members: Option<Vec<GzipMember>>,
}

impl RandomAccessReader {
    /// Finds the members of a file; `None` where it is packed in a way that has to be read from its start. `keyring`
    /// opens one that is encrypted.
    ///
    /// # Errors
    /// The file cannot be read. Kind `Usage`: no identity opens it. `Integrity`: it is damaged.
    pub(crate) fn open(file: File, keyring: &Keyring, what: &EncryptedFor) -> Result<Option<Self>> {
        let file = Arc::new(file);
        let mut head = [0; 4];
        file.read_exact_at(&mut head, 0).map_err(unreadable)?;
        let (bytes, stored) = if head == *b"age-" {
            let encrypted = EncryptedFile::open(&file, keyring, what)?;
            let length = encrypted.length();
            (StoredBytes::Encrypted(encrypted), length)
        } else {
            (StoredBytes::File(file.clone()), file.metadata().map_err(unreadable)?.len())
        };
        let mut magic = [0; 4];
        bytes.read_exact_at(&mut magic, 0).map_err(unreadable)?;
        let members = if magic[..2] == [0x1f, 0x8b] {
            match find_members(&bytes, stored).map_err(unreadable)? {
                None => return Ok(None),
                members => members,
            }
        } else if magic.starts_with(b"--") {
            // Every plain dump of pg_dump begins with a comment.
            None
        } else {
            return Ok(None);
        };
        Ok(Some(Self { file, bytes, stored, members }))
    }

    /// Bytes of SQL.
    pub(crate) fn plain_bytes(&self) -> u64 {
        match &self.members {
            None => self.stored,
            Some(members) => members.last().map_or(0, |last| last.plain + last.length()),
        }
    }

    /// Hands out the bytes of `range` in blocks of at most 1 MiB, in order; `take` says whether to go on.
    ///
    /// # Errors
    /// Kind `Integrity`: they are not there, or not what was packed.
    pub(crate) fn read(&self, range: Range<u64>, mut take: impl FnMut(Vec<u8>) -> bool) -> Result<()> {
        if range.end > self.plain_bytes() {
            return Err(integrity("the dump is shorter than it was"));
        }
        match &self.members {
            None => self.read_plain(range, take),
            Some(members) => {
                let mut decompressor = Decompressor::new();
                let mut packed = Vec::new();
                let first = members.partition_point(|m| m.plain + m.length() <= range.start);
                for member in members[first..].iter().take_while(|m| m.plain < range.end) {
                    let mut plain = Vec::new();
                    self.unpack(member, &mut decompressor, &mut packed, &mut plain)?;
                    // A member is 1 MiB at most as we write it, so both fit.
                    let to = (range.end - member.plain).min(plain.len() as u64) as usize;
                    let from = range.start.saturating_sub(member.plain) as usize;
                    plain.truncate(to);
                    plain.drain(..from);
                    if !plain.is_empty() && !take(plain) {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// SHA-256 of the file as it is now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn stored_sha256(&self) -> Result<Digest> {
        let mut hasher = Hasher::default();
        let mut block = vec![0; BLOCK];
        let length = self.file.metadata().map_err(unreadable)?.len();
        while hasher.bytes() < length {
            let length = self.file.read_at(&mut block, hasher.bytes()).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            hasher.update(&block[..length]);
        }
        Ok(hasher.finish())
    }

    fn read_plain(&self, range: Range<u64>, mut take: impl FnMut(Vec<u8>) -> bool) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let mut block = vec![0; (range.end - at).min(BLOCK as u64) as usize];
            self.bytes.read_exact_at(&mut block, at).map_err(unreadable)?;
            at += block.len() as u64;
            if !take(block) {
                break;
            }
        }
        Ok(())
    }

    fn unpack(
        &self,
        member: &GzipMember,
        decompressor: &mut Decompressor,
        packed: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        packed.resize(member.size, 0);
        self.bytes.read_exact_at(packed, member.stored).map_err(unreadable)?;
        if packed.ends_with(&member.trailer) && gzip_member::unpack(decompressor, packed, plain) {
            Ok(())
        } else {
            Err(integrity("the gzip file is damaged: a block does not decompress to its original bytes"))
        }
    }
}

/// Hops from member to member; `None` where one is not ours.
fn find_members(file: &StoredBytes, stored: u64) -> io::Result<Option<Vec<GzipMember>>> {
    let mut members: Vec<GzipMember> = Vec::new();
    let (mut at, mut plain) = (0, 0);
    while at < stored {
        let mut header = [0; gzip_member::HEADER];
        if stored - at < header.len() as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut header, at)?;
        let Some(size) = gzip_member::size(&header).filter(|size| *size as u64 <= stored - at) else {
            return Ok(None);
        };
        let mut trailer = [0; 8];
        file.read_exact_at(&mut trailer, at + size as u64 - 8)?;
        let member = GzipMember { stored: at, size, plain, trailer };
        at += size as u64;
        plain += member.length();
        members.push(member);
    }
    Ok(Some(members))
}

fn unreadable(cause: io::Error) -> Error {
    cause.downcast::<Error>().unwrap_or_else(|cause| failed("cannot read the backup").because(cause))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::{Compression, StreamCompressor};
    use super::*;

    fn opened(stored: &[u8]) -> Option<RandomAccessReader> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(stored).unwrap();
        RandomAccessReader::open(file, &Keyring::default(), &EncryptedFor::default()).unwrap()
    }

    #[cfg(feature = "encryption")]
    #[test]
    fn any_piece_of_an_encrypted_dump_is_that_piece_of_the_sql() {
        use super::super::age::tests::{IDENTITY, RECIPIENT, encrypted, keyring};

        let plain: Vec<u8> = b"--".iter().copied().chain((0..3_000_000u32).map(|n| (n / 7) as u8)).collect();
        for compression in [Compression::Gzip(1), Compression::None] {
            let stored = encrypted(&packed(&plain, compression), &[RECIPIENT]);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&stored).unwrap();
            let what = EncryptedFor::default();
            let pieces = RandomAccessReader::open(file, &keyring(IDENTITY), &what).unwrap().unwrap();
            assert_eq!(pieces.plain_bytes(), plain.len() as u64);
            for (from, to) in [(0, 5), (65_530, 65_545), (900_000, 2_500_000), (plain.len() - 3, plain.len())]
            {
                assert!(piece(&pieces, from as u64..to as u64) == plain[from..to], "{from}..{to}");
            }
            let mut hasher = Hasher::default();
            hasher.update(&stored);
            assert_eq!(pieces.stored_sha256().unwrap(), hasher.finish());
        }
    }

    fn packed(plain: &[u8], compression: Compression) -> Vec<u8> {
        let mut compressor = StreamCompressor::new(compression, 2, Vec::new()).unwrap();
        compressor.write_block(plain.to_vec()).unwrap();
        compressor.finish().unwrap().1
    }

    fn piece(pieces: &RandomAccessReader, range: Range<u64>) -> Vec<u8> {
        let mut all = Vec::new();
        pieces
            .read(range, |block| {
                all.extend(block);
                true
            })
            .unwrap();
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn any_piece_is_that_piece_of_the_sql(from in 0usize..3_000_000, length in 0usize..3_000_000) {
            let plain: Vec<u8> = b"--".iter().copied().chain((0..3_000_000u32).map(|n| (n / 7) as u8)).collect();
            let to = (from + length).min(plain.len());
            for compression in [Compression::Gzip(1), Compression::None] {
                let pieces = opened(&packed(&plain, compression)).unwrap();
                prop_assert_eq!(pieces.plain_bytes(), plain.len() as u64);
                prop_assert!(piece(&pieces, from as u64..to as u64) == plain[from..to]);
            }
        }
    }

    #[test]
    fn what_has_to_be_read_from_its_start_is_told_apart() {
        let mut foreign = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        foreign.write_all(b"-- not ours").unwrap();
        assert!(opened(&foreign.finish().unwrap()).is_none());
        assert!(opened(b"\xef\xbb\xbf-- a mark first").is_none());
        let cut = packed(b"-- ours", Compression::Gzip(1));
        assert!(opened(&cut[..cut.len() - 5]).is_none());
    }

    #[test]
    fn a_changed_member_is_damage() {
        let mut stored = packed(&[b'-'; 4000], Compression::Gzip(1));
        stored[24] ^= 1;
        let error = opened(&stored).unwrap().read(0..10, |_| true).unwrap_err();
        assert!(error.message().contains("damaged"), "{error}");
    }
}
