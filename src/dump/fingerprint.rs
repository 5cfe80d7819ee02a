//! Fingerprint of contents: 128 bits over a set of rows, whatever their order.
//!
//! The fingerprint is the sum, modulo 2^128, of the XXH3-128 of each row as COPY writes it, without its line end. A sum
//! counts a row as often as it occurs, where XOR would lose a pair of equal ones. The order is left out because a
//! server keeps none.
//!
//! Limit: XXH3 finds accidents, not forgeries. Against those the manifest that holds the fingerprint has its MAC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twox_hash::xxhash3_128::Hasher;

use crate::error::{self, Error};

/// Fingerprint of a set of rows or of a list of statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint(u128);

/// Hash of one row or statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemHash(u128);

impl ItemHash {
    /// Hashes an item that lies in memory as a whole.
    pub(crate) fn of(item: &[u8]) -> Self {
        Self(Hasher::oneshot(item))
    }
}

impl Fingerprint {
    /// Adds an item; the order of items does not matter.
    pub(crate) fn add(&mut self, item: ItemHash) {
        self.0 = self.0.wrapping_add(item.0);
    }

    /// Adds an item behind those before: the order matters.
    pub(crate) fn append(&mut self, item: ItemHash) {
        // An odd factor keeps all 128 bits of what was there.
        const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(item.0);
    }
}

/// Hash of an item that arrives in pieces.
#[derive(Clone, Default)]
pub(crate) struct ItemHasher {
    state: Option<Box<Hasher>>,
}

impl ItemHasher {
    /// Reports that nothing has been fed.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.is_none()
    }

    pub(crate) fn feed(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.state.get_or_insert_with(|| Box::new(Hasher::new())).write(piece);
        }
    }

    /// Ends the item and begins the next one.
    pub(crate) fn finish(&mut self) -> ItemHash {
        match self.state.take() {
            Some(state) => ItemHash(state.finish_128()),
            None => ItemHash::of(b""),
        }
    }

    /// Forgets the item.
    pub(crate) fn clear(&mut self) {
        self.state = None;
    }
}

impl fmt::Debug for ItemHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemHasher").finish_non_exhaustive()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.len() == 32 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let parsed = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        parsed.map(Self).ok_or_else(|| error::integrity(format!("{text:?} is not a fingerprint")))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(items: &[&str]) -> Fingerprint {
        let mut sum = Fingerprint::default();
        for item in items {
            sum.add(ItemHash::of(item.as_bytes()));
        }
        sum
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_number_does() {
        assert_eq!(of(&["1\ta", "2\tb"]), of(&["2\tb", "1\ta"]));
        assert_ne!(of(&["1\ta", "2\tb"]), of(&["1\ta", "2\tc"]));
        assert_ne!(of(&["x", "x"]), of(&[]), "a pair of equal rows is not nothing");
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }

    #[test]
    fn the_order_of_statements_matters() {
        let appended = |items: &[&str]| {
            let mut sum = Fingerprint::default();
            for item in items {
                sum.append(ItemHash::of(item.as_bytes()));
            }
            sum
        };
        assert_ne!(appended(&["a", "b"]), appended(&["b", "a"]));
        assert_eq!(appended(&["a"]), of(&["a"]));
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let item = vec![7u8; 3000];
        for cut in [0, 1, 15, 16, 17, 128, 129, 240, 241, 1024, 2999, 3000] {
            let mut hasher = ItemHasher::default();
            hasher.feed(&item[..cut]);
            hasher.feed(&item[cut..]);
            assert_eq!(hasher.finish(), ItemHash::of(&item), "cut at {cut}");
            assert!(hasher.is_empty());
        }
    }

    /// The value is in every manifest: it never changes. XXH3-128 of the empty input is of the specification's own
    /// test vectors.
    #[test]
    fn the_text_is_stable() {
        assert_eq!(of(&[""]).to_string(), "99aa06d3014798d86001c324468d497f");
        assert_eq!("99aa06d3014798d86001c324468d497f".parse::<Fingerprint>().unwrap(), of(&[""]));
        for wrong in ["", "99AA06D3014798D86001C324468D497F", "+9aa06d3014798d86001c324468d497f", "99"] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
