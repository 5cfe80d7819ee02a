//! Random tokens: end markers, names of temporary things, ids of operations.

/// A random word of 128 bits, in hex: for trailers, tokens and operation ids.
///
/// # Panics
/// The operating system has no random numbers; nothing safe can be done then.
pub(crate) fn nonce() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}
