//! The order in which Prisma 6 applies folders: Node's `localeCompare`, which is not byte order.
//!
//! Promise: for names of ASCII this is the order of ICU's root collation (`listMigrations.ts` of
//! prisma/prisma; seen: `2024_a_c 2024_a-b 2024_ab 2024_B 2024-z`, bytes would give `2024-z` first).

use std::cmp::Ordering;

/// The marks of ASCII before digits and letters, in the root collation's order (CLDR `allkeys_CLDR.txt`).
const MARKS: &[u8] = b" _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// Compares two names as Node sorts them; `None` where one holds more than ASCII, whose order depends on the
/// version of ICU.
pub(crate) fn as_node_sorts(a: &str, b: &str) -> Option<Ordering> {
    if !a.is_ascii() || !b.is_ascii() {
        return None;
    }
    let primary = |text: &str| text.bytes().map(weight).collect::<Vec<_>>();
    // Lower case before upper case, and only where nothing else tells.
    let case = |text: &str| text.bytes().map(|byte| byte.is_ascii_uppercase()).collect::<Vec<_>>();
    Some(primary(a).cmp(&primary(b)).then_with(|| case(a).cmp(&case(b))))
}

fn weight(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 100 + (byte - b'0'),
        b'a'..=b'z' => 120 + (byte - b'a'),
        b'A'..=b'Z' => 120 + (byte - b'A'),
        mark => MARKS.iter().position(|known| *known == mark).map_or(0, |at| at as u8 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_that_node_was_seen_to_give() {
        // `node -p '[…].sort((a, b) => a.localeCompare(b))'`, Node 20.19.2.
        let node = [
            "2024_a_c",
            "2024_a-b",
            "2024_ab",
            "2024_B",
            "2024-z",
            "20241201_143022_add_user",
            "20241201_150000_b",
            "20241201143022_add",
            "20241201150000_c",
            "a",
            "A",
            "ab",
            "Ab",
            "b",
        ];
        let mut sorted = node.to_vec();
        sorted.reverse();
        sorted.sort_by(|a, b| as_node_sorts(a, b).unwrap());
        assert_eq!(sorted, node);
        assert_eq!(as_node_sorts("é", "e"), None);
    }
}
