//! Image of the throwaway server: the one that the backup was made from, or one of the same major version.

use std::sync::Arc;

use crate::docker::engine::Engine;
use crate::error::{self, Result};
use crate::postgres::version::ServerVersion;
use crate::repository::manifest::Manifest;

/// Image that a backup is restored with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestoreImage {
    /// Name or id, as the engine is asked for it.
    pub(crate) name: String,
    /// Note about an image other than that of the backup.
    pub(crate) note: Option<String>,
}

/// Finds an image on the engine that can restore the backup. `others` are images to fall back to: those of database
/// containers that are there.
///
/// # Errors
/// Kind `Unverified`: the engine has none of the major version.
pub(crate) async fn find(
    engine: &Arc<dyn Engine>,
    manifest: &Manifest,
    others: &[String],
) -> Result<RestoreImage> {
    let source = &manifest.source;
    if !source.image_id.is_empty() && engine.image(&source.image_id).await?.is_some() {
        return Ok(RestoreImage { name: source.image_id.clone(), note: None });
    }
    let wanted = ServerVersion::parse(&manifest.server_version).map(|version| version.major());
    for name in std::iter::once(&source.image).chain(others).filter(|name| !name.is_empty()) {
        let Some(config) = engine.image(name).await? else { continue };
        let major = config.env.iter().find_map(|pair| pair.strip_prefix("PG_MAJOR="));
        if major.and_then(|major| major.parse().ok()) == wanted {
            let note = format!("restored with the image {name}: the one the backup was made from is gone");
            return Ok(RestoreImage { name: name.clone(), note: Some(note) });
        }
    }
    let major = wanted.map_or_else(|| "its version".to_owned(), |major| format!("PostgreSQL {major}"));
    Err(error::unverified(format!("there is no image of {major} on {}", engine.address()))
        .hint(format!("get it: `docker pull {}`", source.image)))
}
