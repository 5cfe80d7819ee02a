//! Recipients and identities of encrypted backups, from the settings.
//!
//! Promise: an identity is fetched when something encrypted is met, and not before: a command may ask its user.

use std::path::Path;

use crate::app::process_env;
use crate::codec::age::{AgeIdentities, AgeRecipients, Keyring};
use crate::config::Settings;
use crate::config::secret::SecretSource;
use crate::error::{self, Result};

/// Returns the identities of the settings, or those in the file that an option names.
pub(crate) fn keyring(settings: &Settings, named: Option<&Path>) -> Keyring {
    let named = named.map(|path| SecretSource::File(path.to_owned()));
    let Some(source) = named.or_else(|| settings.backup.encryption.identity.clone()) else {
        return Keyring::default();
    };
    Keyring::new(move || {
        let text = source.read_lines("identity", process_env::run_for_secret)?;
        AgeIdentities::parse(&text, &source.to_string())
    })
}

/// Returns the recipients of the settings; `None` where none are set.
///
/// # Errors
/// Kind `Usage`: their file cannot be read, holds none, or holds something that is no public key.
pub(crate) fn recipients(settings: &Settings) -> Result<Option<AgeRecipients>> {
    let encryption = &settings.backup.encryption;
    let mut keys: Vec<(String, String)> = Vec::new();
    let origin = settings.origin("backup.encryption.recipients");
    for (number, key) in encryption.recipients.iter().enumerate() {
        keys.push((format!("{origin}: recipient {}", number + 1), key.clone()));
    }
    if let Some(path) = &encryption.recipients_file {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| error::usage(format!("cannot read the recipients in {shown}")).because(e))?;
        let before = keys.len();
        for (number, line) in text.lines().enumerate() {
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                keys.push((format!("{shown}, line {}", number + 1), line.to_owned()));
            }
        }
        if keys.len() == before {
            return Err(error::usage(format!("{shown} holds no recipient")));
        }
    }
    if keys.is_empty() {
        return Ok(None);
    }
    AgeRecipients::parse(keys.iter().map(|(place, key)| (place.clone(), key.as_str()))).map(Some)
}
