//! Decides whether a backup is encrypted, and to whom.
//!
//! Promises: where encryption is required nothing is made without recipients; a backup goes into a remote store
//! unencrypted only with `--plain`, each time.

use std::path::Path;

use crate::app::encryption;
use crate::codec::age::AgeRecipients;
use crate::config::Settings;
use crate::config::store_url::{StoreKind, StoreUrl};
use crate::error::{self, Result};
use crate::repository::manifest::{Manifest, Purpose};
use crate::repository::name::ENCRYPTED;

/// Options of a backup that decide about its encryption.
pub(super) struct EncryptionRequest<'a> {
    /// `--plain`.
    pub(super) plain: bool,
    /// `-o`.
    pub(super) output: Option<&'a Path>,
    /// `--store`.
    pub(super) store: Option<&'a StoreUrl>,
    pub(super) purpose: Purpose,
}

/// Returns the recipients of a backup; `None` for one that is not encrypted.
///
/// # Errors
/// Kind `Usage`: encryption is required and there are no recipients, or the backup would go into a remote store without.
pub(super) fn recipients(
    asked: &EncryptionRequest<'_>,
    settings: &Settings,
) -> Result<Option<AgeRecipients>> {
    let recipients = if asked.plain { None } else { encryption::recipients(settings)? };
    if settings.backup.encryption.required && recipients.is_none() {
        let origin = settings.origin("backup.encryption.encrypt");
        let error = error::usage(format!("{origin}: backups have to be encrypted"));
        return Err(if asked.plain {
            error.hint("leave `--plain` out")
        } else {
            error.note("there are no recipients").hint(NAME_THEM)
        });
    }
    let remote = remote_store(asked, settings);
    if let (None, Some(url), false) = (&recipients, remote, asked.plain) {
        return Err(error::usage(format!("the backup would go to {url} unencrypted"))
            .hint(NAME_THEM)
            .hint("send it as it is: `--plain`"));
    }
    if let (None, Some(path)) = (&recipients, asked.output)
        && path.to_string_lossy().ends_with(ENCRYPTED)
    {
        return Err(error::usage(format!("{} is the name of an encrypted backup", path.display()))
            .note(if asked.plain { "`--plain` does not encrypt it" } else { "there are no recipients" })
            .hint(if asked.plain { "leave one of the two out" } else { NAME_THEM }));
    }
    if let (Some(_), Some(path)) = (&recipients, asked.output)
        && is_plain_name(path)
    {
        return Err(error::usage(format!("{} is not the name of an encrypted backup", path.display()))
            .note("the backup is encrypted, and what reads the file by its name would not know")
            .hint(format!("name it `-o {}{ENCRYPTED}`", path.display()))
            .hint("write it unencrypted: `--plain`"));
    }
    Ok(recipients)
}

/// Reports a name that promises something other than an encrypted file.
fn is_plain_name(path: &Path) -> bool {
    let name = path.to_string_lossy();
    [".sql", ".gz", ".zst", ".dump", ".tar"].iter().any(|extension| name.ends_with(extension))
}

const NAME_THEM: &str =
    "name who can open it in envctl.toml: `[backup.encryption]` with `recipients = [\"age1…\"]`";

/// The remote store that the backup goes to, or a copy of it.
fn remote_store<'a>(asked: &EncryptionRequest<'a>, settings: &'a Settings) -> Option<&'a StoreUrl> {
    let copies: &[StoreUrl] = match (asked.store, asked.output, asked.purpose) {
        (None, None, Purpose::Backup) => &settings.backup.stores,
        // A file that was named and a safety backup have no copies.
        _ => &[],
    };
    asked.store.into_iter().chain(copies).find(|url| url.kind != StoreKind::File)
}

/// Words about the encryption of a backup that was made.
pub(super) fn told(manifest: &Manifest) -> &'static str {
    match (manifest.is_encrypted(), manifest.verified.opened_at) {
        (false, _) => "",
        (true, Some(_)) => "; encrypted, and an identity here opens it",
        (true, None) => "; encrypted (not opened: no identity on this machine)",
    }
}
