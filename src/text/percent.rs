//! Percent-encoding: parts of URLs, and a database's name as a file's name and back.
//!
//! Promise: no two names share a file, and none leads elsewhere or needs quoting in a shell.

use std::fmt::Write as _;

/// Percent-encodes every character but those that `plain` tells.
pub(crate) fn encode_except(text: &str, plain: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if plain(c) {
            out.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Encodes a part of a URL: everything but ASCII letters, digits, `-`, `.`, `_` and `~`.
pub(crate) fn url_part(text: &str) -> String {
    encode_except(text, |c| c.is_ascii_alphanumeric() || "-._~".contains(c))
}

/// Encodes a database's name as a file's name: everything but ASCII letters, digits, `_` and `-`.
pub(crate) fn encode(name: &str) -> String {
    encode_except(name, |c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// The name of which [`encode`] made this; `None` where it made it of none.
pub(crate) fn decode(file: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(first);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    // Only the one spelling.
    (encode(&name) == file).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_names_become_plain_ones() {
        assert_eq!(encode("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(decode("a%20b%2F%C3%BC").as_deref(), Some("a b/ü"));
        for other in ["a%2fb", "%61", "a b", "%", "%2", "%FF", "a/b", "%+1"] {
            assert_eq!(decode(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back(name in ".{0,20}") {
            let file = encode(&name);
            prop_assert!(file.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-%".contains(&b)));
            prop_assert_eq!(decode(&file), Some(name));
        }

        #[test]
        fn what_reads_is_written_so(file in "[a-zA-Z0-9%_./-]{0,12}") {
            if let Some(name) = decode(&file) {
                prop_assert_eq!(encode(&name), file);
            }
        }
    }
}
