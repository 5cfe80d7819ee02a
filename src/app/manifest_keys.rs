//! Keys that authenticate manifests: those of the configuration, and this user's own.
//!
//! Promise: a key is made only where something is signed; to verify, nothing is made.

use super::App;
use crate::app::process_env;
use crate::config::Settings;
use crate::error::Result;
use crate::repository::authenticity::{ManifestKey, ManifestKeys, make_own, read_own};

impl App {
    /// Returns the keys that verify manifests. Without any, no manifest vouches for its file.
    ///
    /// # Errors
    /// Kind `Usage`: the configured source cannot be read.
    pub(crate) fn manifest_keys(&self, settings: &Settings) -> Result<ManifestKeys> {
        let configured = configured(settings)?.unwrap_or_default();
        let own = self.state().map(|state| read_own(&state.join(OWN)));
        match own {
            Some(Ok(own)) => Ok(configured.and(own.unwrap_or_default())),
            Some(Err(error)) => {
                self.ui.warn(&error.full_message());
                Ok(configured)
            }
            None => Ok(configured),
        }
    }

    /// Returns the key that signs a manifest; this user's own is made on first use. A backup without it is
    /// better than none, so where none can be made that is told.
    ///
    /// # Errors
    /// Kind `Usage`: the configured source cannot be read.
    pub(crate) fn signing_key(&self, settings: &Settings) -> Result<Option<ManifestKey>> {
        if let Some(configured) = configured(settings)? {
            return Ok(configured.signing().cloned());
        }
        let Some(state) = self.state() else {
            self.ui.warn("the manifest is not authenticated: neither XDG_STATE_HOME nor HOME names a place for its key");
            return Ok(None);
        };
        match make_own(&state.join(OWN)) {
            Ok(keys) => Ok(keys.signing().cloned()),
            Err(error) => {
                self.ui.warn(&format!("the manifest is not authenticated: {}", error.full_message()));
                Ok(None)
            }
        }
    }
}

fn configured(settings: &Settings) -> Result<Option<ManifestKeys>> {
    let Some(source) = &settings.backup.manifest_key else { return Ok(None) };
    let text = source.read_lines("manifest key", process_env::run_for_secret)?;
    ManifestKeys::parse(&text, &source.to_string()).map(Some)
}

/// Name of this user's own key.
const OWN: &str = "manifest.key";
