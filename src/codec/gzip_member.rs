//! One gzip member as envctl writes it: whole, independent, and naming its own size.
//!
//! The header carries an extra field (RFC 1952 §2.3.1.1) `EV` with four bytes: the size of the whole
//! member, little-endian, header and trailer included. A reader hops from member to member by it and
//! unpacks them side by side, as with BGZF; every other gzip skips it. A stream ends in an empty
//! member, so a stream cut between two members is known to be cut.

use libdeflater::{Compressor, DecompressionError, Decompressor, crc32};

/// Bytes before the deflate stream.
pub(crate) const HEADER: usize = 20;
/// Bytes after it: CRC-32 and size.
const TRAILER: usize = 8;
/// The most a member may take, packed or plain. envctl writes members of 1 MiB.
const LARGEST: usize = 8 << 20;

/// The header up to the size: magic, deflate, FEXTRA, no time, unknown system, one field of 4 bytes.
const PREFIX: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'E', b'V', 4, 0];

/// Packs `plain` into `packed`, replacing what it held.
pub(crate) fn pack(compressor: &mut Compressor, plain: &[u8], packed: &mut Vec<u8>) {
    let bound = compressor.deflate_compress_bound(plain.len());
    packed.clear();
    packed.resize(HEADER + bound + TRAILER, 0);
    // The bound is libdeflate's own, so the space always suffices.
    let body = compressor.deflate_compress(plain, &mut packed[HEADER..HEADER + bound]).unwrap_or(0);
    let size = HEADER + body + TRAILER;
    packed[..16].copy_from_slice(&PREFIX);
    packed[16..HEADER].copy_from_slice(&(size as u32).to_le_bytes());
    packed.truncate(HEADER + body);
    packed.extend_from_slice(&crc32(plain).to_le_bytes());
    packed.extend_from_slice(&(plain.len() as u32).to_le_bytes());
}

/// The size of the whole member if this is the header of one of ours; none for any other.
pub(crate) fn size(header: &[u8; HEADER]) -> Option<usize> {
    if header[..16] != PREFIX {
        return None;
    }
    let size = u32::from_le_bytes([header[16], header[17], header[18], header[19]]) as usize;
    (HEADER + TRAILER..=LARGEST).contains(&size).then_some(size)
}

/// Reports whether the member is the empty one that marks the end of a stream.
pub(crate) fn is_end(member: &[u8]) -> bool {
    member[member.len() - TRAILER..] == [0; TRAILER]
}

/// Unpacks a whole member into `plain`, replacing what it held; false where it is damaged.
pub(crate) fn unpack(decompressor: &mut Decompressor, member: &[u8], plain: &mut Vec<u8>) -> bool {
    let (body, trailer) = member.split_at(member.len() - TRAILER);
    let crc = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
    let size = u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]]) as usize;
    if size > LARGEST {
        return false;
    }
    plain.resize(size, 0);
    let unpacked: Result<usize, DecompressionError> = decompressor.deflate_decompress(&body[HEADER..], plain);
    unpacked == Ok(size) && crc32(plain) == crc
}
