//! The databases that restores have replaced: each is kept whole under a name of its own until somebody drops it.
//!
//! Promise: one is known by the note that the swap left on it, so that no database of somebody else's is taken for one.

use super::swap::KeptNote;
use crate::error::{Error, Result};
use crate::postgres::Session;

/// A database that an earlier restore replaced and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name now.
    pub name: String,
    /// What it says of itself.
    pub note: KeptNote,
    /// Its size, in bytes.
    pub size: u64,
}

/// The databases that restores have replaced, newest first.
///
/// # Errors
/// The server cannot be asked.
pub async fn kept(session: &mut Session, database: &str) -> Result<Vec<Kept>> {
    let rows = session
        .query(
            "select datname, shobj_description(oid, 'pg_database'), pg_catalog.pg_database_size(oid) \
             from pg_catalog.pg_database where datname like 'envctl\\_old\\_%'",
        )
        .await
        .map_err(Error::from)?;
    let mut kept: Vec<Kept> = rows
        .into_iter()
        .filter_map(|row| {
            let [name, note, size] = <[String; 3]>::try_from(row).ok()?;
            let note: KeptNote = serde_json::from_str(&note).ok()?;
            Some(Kept { name, note, size: size.parse().unwrap_or(0) })
        })
        .filter(|kept| kept.note.replaced == database && kept.note.envctl == "kept")
        .collect();
    kept.sort_by(|a, b| b.note.at.cmp(&a.note.at).then_with(|| b.name.cmp(&a.name)));
    Ok(kept)
}
