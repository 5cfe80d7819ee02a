//! Completes the manifest of a backup: encrypts its private part, opens the backup where an identity is at hand, signs it.
//!
//! Promise: a backup that no identity opens is made all the same, with a warning; the command that gives an identity has
//! a time limit.

use std::time::Duration;

use crate::backup::request::BackupRequest;
use crate::codec::age::{AgeIdentities, Keyring, opens};
use crate::error::{self, Error, ErrorKind, Result};
use crate::operation::Operation;
use crate::progress::Event;
use crate::repository::manifest::Manifest;

/// Time limit for the identity. A command may ask somebody who is not there at night.
const IDENTITY_LIMIT: Duration = Duration::from_secs(30);

/// Completes a manifest; `head` is the beginning of the encrypted backup, where it is encrypted.
///
/// # Errors
/// Kind `Failed`: the manifest cannot be encrypted. `Cancelled`.
pub(super) async fn seal(
    request: &BackupRequest,
    manifest: &mut Manifest,
    head: Option<Vec<u8>>,
) -> Result<()> {
    if let (Some(recipients), Some(head)) = (&request.recipients, head) {
        manifest.encrypt(recipients)?;
        let Operation { cancel, progress, .. } = &request.operation;
        let keyring = request.keyring.clone();
        if !keyring.is_empty() {
            progress.step("opening it with the identity that is configured");
        }
        let fetching = cancel.blocking(move || keyring.identities());
        let fetched = tokio::time::timeout(IDENTITY_LIMIT, fetching).await;
        match fetched.unwrap_or_else(|_| Err(no_identity_in_time())) {
            Ok(None) => {}
            Ok(Some(identities)) if is_opened(manifest, &head, &identities) => {
                manifest.verified.opened_at = Some(manifest.verified.at);
            }
            Ok(Some(identities)) => progress.on(Event::Warning(format!(
                "no identity here opens this backup: it is encrypted to {}, the identities here belong to {}",
                recipients.fingerprints().join(", "),
                identities.fingerprints().join(", ")
            ))),
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled(_)) => return Err(error),
            Err(error) => {
                progress.on(Event::Warning(format!("this backup was not opened: {}", error.full_message())));
            }
        }
    }
    manifest.sign(request.key.as_ref());
    Ok(())
}

fn no_identity_in_time() -> Error {
    error::tool(format!("`identity_command` gave no identity within {} s", IDENTITY_LIMIT.as_secs()))
}

/// Opens what was written: the beginning of the backup, and the private part of its manifest.
fn is_opened(manifest: &Manifest, head: &[u8], identities: &AgeIdentities) -> bool {
    let fetched = identities.clone();
    let keyring = Keyring::new(move || Ok(fetched.clone()));
    let read = Manifest::parse(&manifest.to_json()).and_then(|sealed| sealed.open("the backup", &keyring));
    opens(head, identities) && read.is_ok_and(|read| read.document() == manifest.document())
}
