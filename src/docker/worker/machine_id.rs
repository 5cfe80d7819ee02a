//! Identity of this machine, in the labels of workers: two machines of one name are two.

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

pub(crate) const SEPARATOR: char = '@';

/// This machine: its name, and a word of its own, since many are called `localhost`. The identity is hashed as
/// machine-id(5) asks of whoever shows it to others.
pub fn this_machine() -> &'static str {
    static MACHINE: OnceLock<String> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let identity = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        named(&rustix::system::uname().nodename().to_string_lossy(), &identity)
    })
}

pub(crate) fn named(host: &str, identity: &str) -> String {
    let identity = identity.trim();
    if identity.is_empty() {
        return host.to_owned();
    }
    let hash = Sha256::new().chain_update("envctl.worker").chain_update(identity).finalize();
    let mut name = format!("{host}{SEPARATOR}");
    for byte in hash.iter().take(8) {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}
