//! Compression and decompression: round trips, other tools, damage, cuts, failing outputs.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::detect::DetectedType;
use super::*;
use crate::error::{ErrorKind, Result};

/// Text like a dump's data, so much of it.
fn text(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 100);
    let mut state = 7u64;
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let _ = writeln!(text, "{}\tcustomer {:x}\t{{\"qty\": {}}}", text.len(), state >> 40, state % 17);
    }
    text.truncate(bytes);
    text
}

fn packed(compression: Compression, plain: &[u8]) -> Vec<u8> {
    let mut compressor = StreamCompressor::new(compression, 2, Vec::new()).unwrap();
    compressor.write_all(plain).unwrap();
    let (stored, bytes) = compressor.finish().unwrap();
    let digest = |bytes: &[u8]| {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    };
    assert_eq!((stored.bytes, stored.plain_bytes), (bytes.len() as u64, plain.len() as u64));
    assert_eq!((stored.sha256, stored.plain_sha256), (digest(&bytes), digest(plain)));
    bytes
}

fn unpacked(bytes: &[u8]) -> Result<(DetectedType, Vec<u8>)> {
    let (kind, mut decompressor) = DecompressReader::open(io::Cursor::new(bytes.to_vec()), 2)?;
    let mut plain = Vec::new();
    decompressor.read_to_end(&mut plain).map_err(DecompressReader::failure)?;
    Ok((kind, plain))
}

/// Returns the output of a filter command for `input`, or `None` where the tool is not installed.
fn through(command: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let output =
        Command::new(command[0]).args(&command[1..]).stdin(file).stderr(Stdio::inherit()).output().ok()?;
    assert!(output.status.success(), "{command:?}");
    Some(output.stdout)
}

fn methods() -> Vec<Compression> {
    let zstd = cfg!(feature = "zstd").then_some(Compression::DEFAULT_ZSTD);
    [Compression::DEFAULT_GZIP, Compression::Gzip(1), Compression::Gzip(12), Compression::None]
        .into_iter()
        .chain(zstd)
        .collect()
}

#[test]
fn words_for_it() {
    for (text, expected) in
        [("gzip", Compression::DEFAULT_GZIP), ("gzip:9", Compression::Gzip(9)), ("none", Compression::None)]
    {
        assert_eq!(text.parse::<Compression>().unwrap(), expected);
        assert_eq!(expected.to_string().parse::<Compression>().unwrap(), expected);
    }
    for text in ["", "gz", "gzip:", "gzip:0", "gzip:13", "gzip:x", "none:1", "zstd:20", "GZIP"] {
        assert_eq!(text.parse::<Compression>().unwrap_err().kind(), ErrorKind::Usage, "{text}");
    }
    assert_eq!("zstd:3".parse::<Compression>().ok(), cfg!(feature = "zstd").then_some(Compression::Zstd(3)));
}

#[test]
fn what_is_packed_is_unpacked() {
    for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 77] {
        let plain = text(size);
        for method in methods() {
            let (kind, back) = unpacked(&packed(method, &plain)).unwrap();
            assert!(back == plain, "{method} {size}");
            let content = if size == 0 { ContentType::Empty } else { ContentType::Sql { bom: false } };
            assert_eq!(kind.content, content);
        }
    }
}

#[test]
fn blocks_and_bytes_may_be_mixed() {
    let plain = text(5 * BLOCK);
    let mut compressor = StreamCompressor::new(Compression::DEFAULT_GZIP, 3, Vec::new()).unwrap();
    compressor.write_all(&plain[..1000]).unwrap();
    compressor.write_block(plain[1000..2000].to_vec()).unwrap();
    compressor.write_block(Vec::new()).unwrap();
    compressor.write_block(plain[2000..].to_vec()).unwrap();
    let (_, bytes) = compressor.finish().unwrap();
    let (_, mut decompressor) = DecompressReader::open(io::Cursor::new(bytes), 1).unwrap();
    let mut back = vec![0; 10];
    decompressor.read_exact(&mut back).unwrap();
    while let Some(block) = decompressor.next_block().unwrap() {
        back.extend_from_slice(&block);
        decompressor.recycle(block);
    }
    assert!(back == plain);
}

#[test]
fn other_tools_read_ours_and_we_read_theirs() {
    let plain = text(3 * BLOCK + 5);
    let gzip = packed(Compression::DEFAULT_GZIP, &plain);
    let python = "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    for reader in [&["gzip", "-dc"][..], &["pigz", "-dc"], &["python3", "-c", python]] {
        assert!(through(reader, &gzip).is_none_or(|back| back == plain), "{reader:?}");
    }
    for writer in [&["gzip", "-6"][..], &["pigz", "-1"]] {
        if let Some(bytes) = through(writer, &plain) {
            assert!(unpacked(&bytes).unwrap().1 == plain);
            // Two files one behind the other are one stream; ours and theirs in either order.
            let twice = [&plain[..], &plain[..]].concat();
            assert!(unpacked(&[&gzip[..], &bytes[..]].concat()).unwrap().1 == twice);
            assert!(unpacked(&[&bytes[..], &gzip[..]].concat()).unwrap().1 == twice);
        }
    }
    if cfg!(feature = "zstd") {
        let zstd = packed(Compression::DEFAULT_ZSTD, &plain);
        assert!(through(&["zstd", "-dc"], &zstd).is_none_or(|back| back == plain));
        assert!(unpacked(&[&zstd[..], &zstd[..]].concat()).unwrap().1.len() == 2 * plain.len());
    }
}

#[test]
fn a_cut_or_appended_file_is_an_integrity_error() {
    let plain = text(2 * BLOCK + 100);
    let ours = packed(Compression::DEFAULT_GZIP, &plain);
    let mut foreign = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    foreign.write_all(&plain).unwrap();
    let mut files = vec![ours, foreign.finish().unwrap()];
    if cfg!(feature = "zstd") {
        files.push(packed(Compression::DEFAULT_ZSTD, &plain));
    }
    for file in files {
        let last = file.len();
        let mut cuts: Vec<usize> =
            (2..60).chain((60..last).step_by(last / 50)).chain(last - 60..last).collect();
        cuts.retain(|&cut| cut >= 4);
        for cut in cuts {
            let error = unpacked(&file[..cut]).err().unwrap_or_else(|| panic!("cut at {cut} of {last}"));
            assert_eq!(error.kind(), ErrorKind::Integrity, "{cut}: {error}");
            assert!(error.message().contains("truncated"), "{cut}: {}", error.full_message());
        }
        for rubbish in [&b"x"[..], b"\0\0\0\0\0\0\0\0", &[b'r'; 100]] {
            let read = unpacked(&[&file[..], rubbish].concat());
            if file.starts_with(&[0x1f, 0x8b]) {
                // As gzip has it: what follows a whole file is no part of it.
                assert!(read.unwrap().1 == plain);
            } else {
                assert_eq!(read.err().unwrap().kind(), ErrorKind::Integrity);
            }
        }
    }
}

#[test]
fn a_cut_file_of_ours_with_something_behind_it_is_truncated() {
    let ours = packed(Compression::DEFAULT_GZIP, &text(3 * BLOCK));
    let size = gzip_member::size(ours[..gzip_member::HEADER].try_into().unwrap()).unwrap();
    for behind in [&b"\n"[..], b"garbage", &[0; 64]] {
        let error = unpacked(&[&ours[..size], behind].concat()).err().unwrap();
        assert!(error.message().contains("truncated"), "{}", error.full_message());
    }
}

#[cfg(feature = "xz")]
#[test]
fn xz_is_read_and_a_cut_is_noticed() {
    let plain = text(2 * BLOCK + 7);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(&plain).unwrap();
    let packed = writer.finish().unwrap();
    foreign_encoding(&packed, &plain, FileEncoding::Xz);
    if let Some(by_tool) = through(&["xz", "-9", "-c"], &plain) {
        foreign_encoding(&by_tool, &plain, FileEncoding::Xz);
    }
}

#[cfg(feature = "bzip2")]
#[test]
fn bzip2_is_read_and_a_cut_is_noticed() {
    let plain = text(2 * BLOCK + 7);
    let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    writer.write_all(&plain).unwrap();
    foreign_encoding(&writer.finish().unwrap(), &plain, FileEncoding::Bzip2);
}

/// Unpacks to `plain`, also twice in a row, and no part of it does.
fn foreign_encoding(packed: &[u8], plain: &[u8], encoding: FileEncoding) {
    let (kind, back) = unpacked(packed).unwrap();
    assert!(kind.encoding == encoding && back == plain);
    assert!(unpacked(&[packed, packed].concat()).unwrap().1 == [plain, plain].concat());
    for cut in (14..packed.len()).step_by(packed.len() / 40).chain(packed.len() - 30..packed.len()) {
        let error = unpacked(&packed[..cut]).err().unwrap_or_else(|| panic!("cut at {cut}"));
        assert_eq!(error.kind(), ErrorKind::Integrity, "{cut}: {}", error.full_message());
    }
    let mut damaged = packed.to_vec();
    damaged[packed.len() / 2] ^= 0x55;
    assert_eq!(unpacked(&damaged).err().unwrap().kind(), ErrorKind::Integrity);
}

#[test]
fn our_own_cut_between_two_members_is_noticed() {
    let ours = packed(Compression::DEFAULT_GZIP, &text(3 * BLOCK));
    let mut ends = Vec::new();
    let mut at = 0;
    while at < ours.len() {
        at += gzip_member::size(ours[at..at + gzip_member::HEADER].try_into().unwrap()).unwrap();
        ends.push(at);
    }
    assert_eq!(ends.len(), 4);
    for end in &ends[..3] {
        assert!(unpacked(&ours[..*end]).err().unwrap().message().contains("truncated"));
    }
}

#[test]
fn a_bomb_takes_no_more_memory_than_a_block() {
    // 64 MiB of zeros from some 64 kB; each block is looked at and thrown away.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; BLOCK];
    for _ in 0..64 {
        bomb.write_all(&zeros).unwrap();
    }
    let (_, mut decompressor) = DecompressReader::open(io::Cursor::new(bomb.finish().unwrap()), 2).unwrap();
    let mut blocks = 0;
    while let Some(block) = decompressor.next_block().unwrap() {
        assert!(block.capacity() <= 2 * BLOCK);
        blocks += 1;
        decompressor.recycle(block);
    }
    assert_eq!(blocks, 64);
    // A member of ours that claims more than any of ours holds.
    let mut liar = packed(Compression::DEFAULT_GZIP, b"x");
    let first = gzip_member::size(liar[..gzip_member::HEADER].try_into().unwrap()).unwrap();
    liar[first - 4..first].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(unpacked(&liar).err().unwrap().kind(), ErrorKind::Integrity);
}

#[test]
fn files_are_known_by_their_content() {
    let mut tar = vec![0; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let table: &[(&[u8], ContentType)] = &[
        (b"", ContentType::Empty),
        (b"-- a dump", ContentType::Sql { bom: false }),
        (b"\xef\xbb\xbf-- a dump", ContentType::Sql { bom: true }),
        (b"PGDMP\x01\x0e", ContentType::Custom),
        (&tar, ContentType::Tar),
        (b"age-encryption.org/v1\n", ContentType::Age),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", ContentType::Age),
        (b"\xff\xfe-\0-\0", ContentType::Utf16),
        (b"PK\x03\x04", ContentType::Foreign(ForeignFormat { name: "zip", command: "unzip -p" })),
    ];
    for (bytes, content) in table {
        for method in methods() {
            let (kind, back) = unpacked(&packed(method, bytes)).unwrap();
            assert_eq!((kind.content, &back[..]), (*content, *bytes), "{method}");
        }
    }
    assert_eq!(unpacked(&packed(Compression::None, b"x")).unwrap().0.encoding, FileEncoding::None);
    assert_eq!(unpacked(&packed(Compression::DEFAULT_GZIP, b"x")).unwrap().0.encoding, FileEncoding::Gzip);
}

/// An output that takes so many bytes and then is full; it notes that it was dropped.
struct Full(usize, Arc<Mutex<bool>>);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        *self.1.lock().unwrap() = true;
    }
}

#[test]
fn a_full_disk_is_told_at_once_and_as_it_was() {
    for method in methods() {
        let dropped = Arc::default();
        let mut compressor = StreamCompressor::new(method, 2, Full(10_000, Arc::clone(&dropped))).unwrap();
        let block = text(BLOCK);
        let error = (0..200).find_map(|_| compressor.write_block(block.clone()).err());
        let error = error.unwrap_or_else(|| panic!("{method}: 200 blocks fit into 10 kB"));
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull), "{method}");
        assert!(*dropped.lock().unwrap());
        assert!(compressor.write_block(block.clone()).is_err() && compressor.finish().is_err());
    }
}

#[test]
fn a_failure_at_the_very_end_is_a_failure() {
    let mut compressor =
        StreamCompressor::new(Compression::DEFAULT_GZIP, 1, Full(10, Arc::default())).unwrap();
    compressor.write_all(b"x").unwrap();
    assert!(compressor.finish().is_err());
}

#[test]
fn giving_up_leaves_no_valid_end() {
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let out = Shared::default();
    let mut compressor = StreamCompressor::new(Compression::DEFAULT_GZIP, 2, out.clone()).unwrap();
    compressor.write_all(&text(3 * BLOCK)).unwrap();
    drop(compressor);
    let bytes = out.0.lock().unwrap().clone();
    assert!(!bytes.is_empty() && unpacked(&bytes).is_err());
}

#[test]
fn an_error_of_the_source_is_no_damage() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let length = buffer.len().min(self.0);
            buffer[..length].fill(b'-');
            self.0 -= length;
            Ok(length)
        }
    }
    let error = DecompressReader::open(Broken(1000), 1).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.full_message().contains("permission denied"), "{}", error.full_message());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn no_flipped_bit_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let plain = text(20_000);
        for method in methods().into_iter().filter(|method| *method != Compression::None) {
            let mut bytes = packed(method, &plain);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            // A header byte that no reader looks at may differ; the data never do.
            if let Ok((kind, back)) = unpacked(&bytes) {
                prop_assert!(back == plain || kind.encoding == FileEncoding::None, "{} at {}", method, at);
            }
        }
    }
}
