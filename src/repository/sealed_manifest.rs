//! Manifests of encrypted backups: their private part encrypted, and read again.

use serde_json::{Map, Value};

use super::manifest::{Manifest, path_for};
use super::private_part::{Encryption, put_private, take_private};
use crate::codec::age::{AgeRecipients, EncryptedFor, Keyring, decrypt_text, encrypt_text};
use crate::error::{self, ErrorKind, Result};

/// Member of the private part that names the backup.
const OPERATION: &str = "operation";

impl Manifest {
    /// Encrypts the private part to recipients.
    ///
    /// # Errors
    /// Kind `Failed`: a recipient cannot be used.
    pub(crate) fn encrypt(&mut self, recipients: &AgeRecipients) -> Result<()> {
        let mut whole = serde_json::to_value(&*self).unwrap_or_default();
        let mut private = take_private(&mut whole);
        private.insert(OPERATION.to_owned(), self.operation.to_string().into());
        let text = Value::Object(private).to_string();
        let private = encrypt_text(recipients, &text)?;
        self.encryption = Some(Encryption { recipients: recipients.fingerprints(), private, opened: true });
        Ok(())
    }

    /// Reads the private part of an encrypted backup's manifest; any other manifest stays as it is. `name` is that of
    /// the backup.
    ///
    /// # Errors
    /// Kind `Usage`: there is no identity, or none that opens it. `Integrity`: the private part is damaged, or of another
    /// backup.
    pub(crate) fn open(self, name: &str, keyring: &Keyring) -> Result<Self> {
        let Some(encryption) = self.encryption.clone().filter(|encryption| !encryption.opened) else {
            return Ok(self);
        };
        let manifest_name = path_for(name.as_ref()).display().to_string();
        let decrypt = |name: String| {
            let what = EncryptedFor { name, recipients: encryption.recipients.clone() };
            decrypt_text(&encryption.private, keyring, &what)
        };
        let text = match decrypt(name.to_owned()) {
            // The backup itself may be whole.
            Err(error) if error.kind() == ErrorKind::Integrity => {
                decrypt(format!("the encrypted part of {manifest_name}")).map_err(|error| {
                    error.hint(format!(
                        "move {manifest_name} away, then check the backup without it: `envctl backup verify {name}`"
                    ))
                })
            }
            other => other,
        }?;
        let damaged = || error::integrity(format!("the encrypted part of {manifest_name} is damaged"));
        let private: Map<String, Value> = serde_json::from_str(&text).map_err(|_| damaged())?;
        if private.get(OPERATION).and_then(Value::as_str) != Some(&self.operation.to_string()) {
            return Err(error::integrity(format!(
                "the encrypted part of {manifest_name} belongs to another backup"
            )));
        }
        let mut whole = serde_json::to_value(&self).map_err(|_| damaged())?;
        put_private(&mut whole, private);
        let mut whole: Self = serde_json::from_value(whole).map_err(|_| damaged())?;
        whole.encryption = Some(Encryption { opened: true, ..encryption });
        Ok(whole)
    }
}

#[cfg(test)]
#[cfg(feature = "encryption")]
mod tests {
    use super::*;
    use crate::codec::age::tests::{IDENTITY, RECIPIENT, keyring, recipients};
    use crate::error::ErrorKind;
    use crate::repository::authenticity::{Authenticity, ManifestKeys};
    use crate::repository::manifest::tests::sample;
    use crate::secret::Secret;

    fn encrypted() -> Manifest {
        let mut manifest = sample();
        manifest.source.image = "postgres:15.18".into();
        manifest.encrypt(&recipients(&[RECIPIENT])).unwrap();
        manifest
    }

    #[test]
    fn no_name_of_a_table_and_no_number_of_rows_is_in_clear() {
        let manifest = encrypted();
        let text = manifest.to_json();
        for private in
            ["users", "15.18", "\"rows\"", "exec", "the database is small", "plain_sha256", "roles"]
        {
            assert!(sample().to_json().contains(private), "{private}");
            assert!(!text.contains(private), "{private}: {text}");
        }
        for clear in ["acme", "\"plain_bytes\": 100", "\"stored_bytes\": 10", "stored_sha256", RECIPIENT] {
            assert!(text.contains(clear), "{clear}");
        }
    }

    #[test]
    fn an_identity_reads_all_of_it_and_without_one_it_stays_as_it_is() {
        let manifest = encrypted();
        let read = Manifest::parse(&manifest.to_json()).unwrap();
        assert!(read.is_sealed() && !read.is_empty() && read.known_rows().is_none());
        assert_eq!(read.to_json(), manifest.to_json(), "it is written as it was read");
        let error = read.clone().open("b.age", &Keyring::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let opened = read.open("b.age", &keyring(IDENTITY)).unwrap();
        assert_eq!(opened, manifest);
        assert_eq!(opened.known_rows(), Some(3));
        assert_eq!(opened.to_json(), manifest.to_json(), "opening writes nothing in clear");
        assert_eq!(sample().open("b", &Keyring::default()).unwrap(), sample());
    }

    #[test]
    fn the_mac_covers_both_parts_and_is_the_last_member() {
        let keys = ManifestKeys::parse(&Secret::new("00112233445566778899aabbccddeeff"), "x").unwrap();
        let mut manifest = encrypted();
        manifest.sign(keys.signing());
        let text = manifest.to_json();
        let (read, authenticity) = Manifest::authenticate(&text, &keys).unwrap();
        assert_eq!(authenticity, Authenticity::Authenticated);
        let mut again = read.open("b.age", &keyring(IDENTITY)).unwrap();
        assert_eq!(again, manifest);
        again.sign(keys.signing());
        assert_eq!(again.to_json(), text);
        let other = encrypted().encryption.unwrap().private.replace('\n', "\\n");
        let ours = manifest.encryption.unwrap().private.replace('\n', "\\n");
        let swapped = text.replace(&ours, &other);
        assert_ne!(swapped, text);
        assert!(!Manifest::authenticate(&swapped, &keys).unwrap().1.is_authenticated());
    }

    #[test]
    fn the_private_part_of_another_backup_is_refused() {
        let mut manifest = encrypted();
        manifest.operation = "ffffffffffffffff".into();
        let read = Manifest::parse(&manifest.to_json()).unwrap();
        let error = read.open("b.age", &keyring(IDENTITY)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(error.message().contains("another backup"), "{error}");
    }
}
