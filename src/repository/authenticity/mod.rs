//! Authenticity of manifests: a keyed MAC (HMAC-SHA256) over the manifest's own text.
//!
//! Promises: a manifest vouches for its file only where its MAC verifies with a key of this user or team; every byte of
//! the text before the MAC is covered, fields of later versions too; the key is in no message.
//!
//! The MAC is the last member of the manifest. Its value covers the text up to the comma before it, so that no
//! canonical form of JSON is needed; a manifest that another program has rewritten describes its file and vouches for
//! nothing.

mod key;

use crate::dump::sql::FindingKind;
use hmac::Mac as _;
use serde::{Deserialize, Serialize};

use crate::codec::Digest;
pub(crate) use key::{ManifestKey, ManifestKeys, make_own, read_own};

/// The MAC of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mac {
    /// Id of the key, which tells nothing of the key itself.
    pub(crate) key: String,
    /// HMAC-SHA256 of the manifest's text up to the comma before `mac`.
    pub hmac_sha256: Digest,
}

/// Separates these MACs from any other use of the same key.
const PURPOSE: &[u8] = b"envctl manifest, schema 1\n";

/// Result of looking for a manifest that vouches for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authenticity {
    /// The MAC verifies: someone with the key wrote the manifest.
    Authenticated,
    /// The manifest describes the file and vouches for nothing.
    Unauthenticated(Doubt),
    NoManifest,
}

/// Reason why a manifest vouches for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The manifest has no MAC: an older envctl wrote it, or there was no key.
    NoMac,
    /// The manifest was written with a key that is not here.
    OtherKey {
        /// Id of that key, of foreign origin.
        key: String,
    },
    /// The key is here and the MAC does not verify.
    Altered,
}

impl Authenticity {
    /// Returns true where the manifest vouches for the file.
    pub(crate) fn is_authenticated(&self) -> bool {
        matches!(self, Self::Authenticated)
    }

    /// Describes a manifest that vouches for nothing; `None` where there is no manifest or it does vouch.
    pub(crate) fn doubt(&self) -> Option<String> {
        let Self::Unauthenticated(doubt) = self else { return None };
        Some(match doubt {
            Doubt::NoMac => "its manifest is not authenticated (it has no MAC)".to_owned(),
            Doubt::OtherKey { key } => {
                format!("its manifest is not authenticated (made with another key, {})", key.escape_debug())
            }
            Doubt::Altered => {
                "its manifest is not authenticated (it was changed after it was written)".to_owned()
            }
        })
    }

    /// Returns the state in one word, for documents.
    pub(crate) fn keyword(&self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::NoManifest => "none",
        }
    }
}

impl Mac {
    /// Computes the MAC of a manifest's text that ends before the MAC.
    pub(crate) fn of(covered: &str, key: &ManifestKey) -> Self {
        let sum: [u8; 32] =
            key.state().chain_update(PURPOSE).chain_update(covered).finalize().into_bytes().into();
        Self { key: key.id(), hmac_sha256: Digest::from(sum) }
    }

    /// Verifies `text`, the whole text of the manifest that holds this MAC.
    pub(crate) fn verify(&self, text: &str, keys: &ManifestKeys) -> Authenticity {
        let unauthenticated = Authenticity::Unauthenticated;
        let Some(key) = keys.accepted().find(|key| key.id() == self.key) else {
            return unauthenticated(Doubt::OtherKey { key: self.key.chars().take(32).collect() });
        };
        let Some(covered) = text.strip_suffix(&self.tail()) else { return unauthenticated(Doubt::Altered) };
        let state = key.state().chain_update(PURPOSE).chain_update(covered);
        match state.verify_slice(self.hmac_sha256.as_bytes()) {
            Ok(()) => Authenticity::Authenticated,
            Err(_) => unauthenticated(Doubt::Altered),
        }
    }

    /// Returns the end of the manifest's text from the comma before the MAC on.
    fn tail(&self) -> String {
        format!(
            ",\n  \"mac\": {{\n    \"key\": {},\n    \"hmac_sha256\": \"{}\"\n  }}\n}}\n",
            serde_json::Value::from(self.key.as_str()),
            self.hmac_sha256
        )
    }
}

/// End of a manifest's text without a MAC.
pub(crate) const PLAIN_END: &str = "\n}\n";

#[cfg(test)]
mod tests;

/// Reports whether a finding is allowed.
pub(crate) fn allowed(kind: FindingKind, authenticity: &Authenticity, trust: bool) -> bool {
    !kind.stops()
        || (!kind.leaves_database() && (trust || (authenticity.is_authenticated() && !kind.is_metacommand())))
}
