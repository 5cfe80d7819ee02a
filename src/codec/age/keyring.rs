//! Identities as a command has them: fetched from their file or command when something encrypted is met, and once.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::AgeIdentities;
use crate::error::{self, Error, Result};
use crate::sync::lock;

/// Source of identities.
struct KeyringSource {
    fetch: Box<dyn Fn() -> Result<AgeIdentities> + Send + Sync>,
    fetched: Mutex<Option<AgeIdentities>>,
}

/// Identities that are fetched when the first one is needed; perhaps none.
#[derive(Clone, Default)]
pub(crate) struct Keyring(Option<Arc<KeyringSource>>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Keyring(a source)" } else { "Keyring(none)" })
    }
}

/// Encrypted thing in messages: its name, and the recipients as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EncryptedFor {
    pub(crate) name: String,
    pub(crate) recipients: Vec<String>,
}

impl Keyring {
    /// Identities that `fetch` gives.
    pub(crate) fn new(fetch: impl Fn() -> Result<AgeIdentities> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(KeyringSource { fetch: Box::new(fetch), fetched: Mutex::default() })))
    }

    /// Reports that no source of identities is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Fetches the identities; `None` where there is no source.
    ///
    /// # Errors
    /// Error of the source.
    pub(crate) fn identities(&self) -> Result<Option<AgeIdentities>> {
        let Some(source) = &self.0 else { return Ok(None) };
        let mut fetched = lock(&source.fetched);
        if fetched.is_none() {
            *fetched = Some((source.fetch)()?);
        }
        Ok(fetched.clone())
    }

    /// Fetches the identities that shall open something.
    ///
    /// # Errors
    /// Kind `Usage`: there is none. Otherwise the error of the source.
    pub(crate) fn identities_for(&self, what: &EncryptedFor) -> Result<AgeIdentities> {
        self.identities()?.ok_or_else(|| {
            let error =
                error::usage(format!("{} is encrypted, and no identity is here to open it", what.name));
            what.told(error).hint(NAME_IT)
        })
    }
}

const NAME_IT: &str = "name the file with the private key: `--identity FILE`, or \
    `backup.encryption.identity_file` in envctl.toml";

impl EncryptedFor {
    /// The error of identities that open nothing.
    pub(crate) fn not_opened(&self, identities: &AgeIdentities) -> Error {
        let own = identities.fingerprints();
        if let Some(named) = self.recipients.iter().find(|recipient| own.contains(recipient)) {
            return error::integrity(format!(
                "{} is not encrypted to {named}, as its manifest says",
                self.name
            ));
        }
        let error = error::usage(format!("none of the identities here opens {}", self.name));
        self.told(error)
            .note(format!("the identities here belong to {}", own.join(", ")))
            .hint("use the private key of one of its recipients: `--identity FILE`")
    }

    fn told(&self, error: Error) -> Error {
        if self.recipients.is_empty() {
            error
        } else {
            error.note(format!("it is encrypted to {}", self.recipients.join(", ")))
        }
    }
}
