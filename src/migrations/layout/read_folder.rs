//! Reads a folder of migrations as its layout says.

use std::path::Path;

use super::{Layout, Script, flat, is_sql, prisma, versioned_files};
use crate::error::{self, Result};
use crate::migrations::directory;

impl Layout {
    /// Reads a folder.
    ///
    /// # Errors
    /// Kind `Refused`: a file that would be taken differently by the server, a name that cannot be ordered,
    /// two migrations of one version, a folder without its file.
    pub(crate) fn read(self, folder: &Path) -> Result<Vec<Script>> {
        if self != Self::Prisma
            && let Some(name) = directory::links(folder).into_iter().find(|name| is_sql(name))
        {
            return Err(error::refused(format!("{name} is a link, and would be passed over"))
                .hint("put the file itself in the place of the link"));
        }
        match self {
            Self::Prisma => prisma::read(folder),
            Self::Flat => flat::read(folder),
            other => versioned_files::read(other, folder),
        }
    }
}
