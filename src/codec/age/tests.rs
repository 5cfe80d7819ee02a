//! Encryption: round trips, other identities, cuts, parts in another order, changed bytes.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use super::*;
use crate::codec::{BLOCK, Compression, DecompressReader, StreamCompressor};
use crate::error::{ErrorKind, Result};
use crate::secret::Secret;

/// A pair of keys made for these tests.
pub(crate) const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
/// Plain and stored bytes of a part.
const PART: usize = 64 << 10;
const STORED_PART: usize = PART + 16;

pub(crate) fn recipients(keys: &[&str]) -> AgeRecipients {
    AgeRecipients::parse(keys.iter().map(|key| ("a test".to_owned(), *key))).unwrap()
}

pub(crate) fn keyring(text: &str) -> Keyring {
    let text = text.to_owned();
    Keyring::new(move || AgeIdentities::parse(&Secret::new(text.as_str()), "a test"))
}

/// Encrypts as a backup does.
pub(crate) fn encrypted(plain: &[u8], keys: &[&str]) -> Vec<u8> {
    let (mut writer, thread) = EncryptingThread::start(&recipients(keys), Vec::new()).unwrap();
    writer.write_all(plain).unwrap();
    let (stream, bytes) = thread.end(Some(writer)).unwrap().unwrap();
    assert_eq!(stream.bytes, bytes.len() as u64);
    assert!(bytes.starts_with(&stream.head));
    bytes
}

fn what() -> EncryptedFor {
    EncryptedFor { name: "b.age".to_owned(), recipients: vec!["age1x".to_owned()] }
}

fn decrypted(bytes: &[u8], keyring: &Keyring) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let mut reader = open(io::Cursor::new(bytes.to_vec()), keyring, &what())?;
    reader.read_to_end(&mut plain).map_err(DecompressReader::failure)?;
    Ok(plain)
}

/// Bytes that no cipher and no compressor makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Offset of the first part.
fn payload(bytes: &[u8]) -> usize {
    let mac = bytes.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
    mac + bytes[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + 16
}

#[test]
fn what_is_encrypted_is_decrypted_whatever_its_length() {
    let keys = keyring(IDENTITY);
    for length in [0, 1, PART - 1, PART, PART + 1, 3 * PART, BLOCK + 7] {
        let plain = noise(length);
        let bytes = encrypted(&plain, &[RECIPIENT]);
        assert!(decrypted(&bytes, &keys).unwrap() == plain, "{length}");
        assert_eq!(opens(&bytes, &keys.identities().unwrap().unwrap()), length > 0);
    }
}

/// An output that is looked at afterwards.
struct Shared(Arc<std::sync::Mutex<Vec<u8>>>);
impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::sync::lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_that_was_given_up_has_no_end() {
    let shared = Arc::new(std::sync::Mutex::new(Vec::new()));
    let out = Shared(shared.clone());
    let (mut writer, thread) = EncryptingThread::start(&recipients(&[RECIPIENT]), out).unwrap();
    writer.write_all(&noise(2 * PART)).unwrap();
    drop(writer);
    assert!(thread.end(None::<()>).unwrap().is_none());
    let bytes = crate::sync::lock(&shared).clone();
    assert_eq!(decrypted(&bytes, &keyring(IDENTITY)).unwrap_err().kind(), ErrorKind::Integrity);
}

#[test]
fn every_cut_at_a_part_is_found() {
    let keys = keyring(IDENTITY);
    for length in [4 * PART, 4 * PART + 5] {
        let bytes = encrypted(&noise(length), &[RECIPIENT]);
        let first = payload(&bytes);
        let parts = (bytes.len() - first).div_ceil(STORED_PART);
        for cut in (0..parts).map(|part| first + part * STORED_PART).chain([first - 16, first - 40, 30]) {
            for end in [cut, cut + 1, cut.saturating_sub(1)].into_iter().filter(|end| *end < bytes.len()) {
                let error = decrypted(&bytes[..end], &keys).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Integrity, "{end} of {}: {error}", bytes.len());
            }
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decrypted(&longer, &keys).unwrap_err().kind(), ErrorKind::Integrity, "a byte behind it");
    }
}

#[test]
fn parts_in_another_order_are_found() {
    let keys = keyring(IDENTITY);
    let bytes = encrypted(&noise(5 * PART), &[RECIPIENT]);
    let first = payload(&bytes);
    let part = |number: usize| first + number * STORED_PART..first + (number + 1) * STORED_PART;
    for a in 0..5 {
        for b in a + 1..5 {
            let mut swapped = bytes.clone();
            swapped[part(a)].copy_from_slice(&bytes[part(b)]);
            swapped[part(b)].copy_from_slice(&bytes[part(a)]);
            assert_eq!(decrypted(&swapped, &keys).unwrap_err().kind(), ErrorKind::Integrity, "{a} and {b}");
        }
        let mut without = bytes.clone();
        without.drain(part(a));
        assert_eq!(decrypted(&without, &keys).unwrap_err().kind(), ErrorKind::Integrity, "without {a}");
        let mut twice = bytes.clone();
        twice.splice(part(a).start..part(a).start, bytes[part(a)].iter().copied());
        assert_eq!(decrypted(&twice, &keys).unwrap_err().kind(), ErrorKind::Integrity, "{a} twice");
    }
    // The parts of another file with the same recipient.
    let other = encrypted(&noise(5 * PART), &[RECIPIENT]);
    let mut mixed = bytes.clone();
    mixed[part(2)].copy_from_slice(&other[payload(&other) + 2 * STORED_PART..][..STORED_PART]);
    assert_eq!(decrypted(&mixed, &keys).unwrap_err().kind(), ErrorKind::Integrity);
}

#[test]
fn a_thousand_changed_bits_and_cuts_never_decrypt() {
    let keys = keyring(IDENTITY);
    let mut compressor = StreamCompressor::new(Compression::DEFAULT_GZIP, 2, Vec::new()).unwrap();
    compressor.write_block(noise(150_000)).unwrap();
    let bytes = encrypted(&compressor.finish().unwrap().1, &[RECIPIENT]);
    let places = noise(8 * 1000);
    for (number, place) in places.chunks(8).enumerate() {
        let place = u64::from_le_bytes(place.try_into().unwrap());
        let mut damaged = bytes.clone();
        if number % 4 == 0 {
            damaged.truncate((place % bytes.len() as u64) as usize);
        } else {
            // Every other one in the header, which is short.
            let within = if number % 2 == 0 { payload(&bytes) } else { bytes.len() };
            let bit = place % (within as u64 * 8);
            damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        assert!(decrypted(&damaged, &keys).is_err(), "{number}: {place}");
    }
    assert!(decrypted(&bytes, &keys).is_ok());
}

#[test]
fn an_encrypted_file_is_read_from_anywhere() {
    let keys = keyring(IDENTITY);
    let plain = noise(5 * PART + 77);
    let bytes = encrypted(&plain, &[RECIPIENT]);
    let stored = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    };
    let file = EncryptedFile::open(&stored(&bytes), &keys, &what()).unwrap();
    assert_eq!(file.length(), plain.len() as u64);
    for (at, length) in [(0, 5), (PART - 3, 6), (PART, PART), (3 * PART + 1, 2 * PART), (plain.len() - 1, 1)]
    {
        let mut buffer = vec![0; length];
        file.read_exact_at(&mut buffer, at as u64).unwrap();
        assert!(buffer == plain[at..at + length], "{at}");
    }
    assert!(file.read_exact_at(&mut [0; 2], plain.len() as u64 - 1).is_err());
    let first = payload(&bytes);
    for cut in [first + STORED_PART, first + 5 * STORED_PART, bytes.len() - 1] {
        let error = EncryptedFile::open(&stored(&bytes[..cut]), &keys, &what()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{cut}: {error}");
    }
    let mut damaged = bytes.clone();
    damaged[first + 2 * STORED_PART + 9] ^= 1;
    let file = EncryptedFile::open(&stored(&damaged), &keys, &what()).unwrap();
    assert!(file.read_exact_at(&mut [0; 1], 2 * PART as u64).is_err());
    file.read_exact_at(&mut [0; 1], 0).unwrap();
}

#[test]
fn a_wrong_identity_and_none_have_messages_of_their_own() {
    let bytes = encrypted(b"x", &[RECIPIENT]);
    let error = decrypted(&bytes, &Keyring::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("no identity is here") && error.hints()[0].contains("--identity"));
    let other = age::x25519::Identity::generate();
    let text = Secret::new(age::secrecy::ExposeSecret::expose_secret(&other.to_string()));
    let error = decrypted(&bytes, &keyring(text.expose())).unwrap_err();
    let told = format!("{error:?}");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("none of the identities here opens b.age"), "{error}");
    assert!(told.contains("age1x") && told.contains(&other.to_public().to_string()), "{told}");
    assert!(!told.contains("SECRET"), "{told}");
}

#[test]
fn keys_of_each_kind_are_read_and_faults_quote_none() {
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me@here";
    let keys = recipients(&[RECIPIENT, ssh, RECIPIENT]);
    let fingerprints = keys.fingerprints();
    assert_eq!((fingerprints.len(), fingerprints[0].as_str()), (2, RECIPIENT));
    assert!(fingerprints[1].starts_with("ssh-ed25519 SHA256:"), "{fingerprints:?}");
    for text in [IDENTITY, "age1x", "", "ssh-dss AAAA", "hunter2", "-----BEGIN OPENSSH PRIVATE KEY-----"] {
        let fault = AgeRecipients::check(text).unwrap_err();
        assert!(text.is_empty() || !fault.contains(text), "{fault}");
    }
    for text in ["", "# nothing", "hunter2", RECIPIENT, "AGE-PLUGIN-YUBIKEY-1XX", "-----BEGIN hunter2"] {
        let error = AgeIdentities::parse(&Secret::new(text), "the test").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(text.is_empty() || !format!("{error:?}").contains(text), "{error:?}");
    }
    let identities = AgeIdentities::parse(&Secret::new(format!("# made today\n{IDENTITY}\n")), "x").unwrap();
    assert_eq!(identities.fingerprints(), [RECIPIENT]);
    assert!(!format!("{identities:?} {:?}", keyring(IDENTITY)).contains("SECRET"));
}

#[test]
fn the_recipients_of_a_header_are_told_as_far_as_they_are_in_it() {
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
    let told = stanzas(&encrypted(b"x", &[RECIPIENT, ssh]));
    assert_eq!(told[0], "an age1 recipient");
    assert!(told[1].starts_with("ssh-ed25519 (tag "), "{told:?}");
}

#[test]
fn a_text_reads_back_and_other_tools_could_read_it() {
    let text = encrypt_text(&recipients(&[RECIPIENT]), "{\"tables\": []}").unwrap();
    assert!(is_encrypted(text.as_bytes()) && text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
    assert_eq!(decrypt_text(&text, &keyring(IDENTITY), &what()).unwrap(), "{\"tables\": []}");
    let damaged = text.replacen('A', "B", 3);
    assert!(decrypt_text(&damaged, &keyring(IDENTITY), &what()).is_err());
}
