//! How tools lay out migrations in a folder, and which tool a folder belongs to.
//!
//! Promises: a folder is read whole or not at all; the order is the tool's own; what cannot be ordered or
//! read beyond doubt is refused before anything runs (reliability F67, F68).

mod dated;
mod dbmate;
mod order;
mod prisma;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::folder;
use crate::error::{self, Error, Result};

pub use order::as_node_sorts;

/// A tool's way to lay out migrations; each has a table of its own in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `NAME/migration.sql`, table `_prisma_migrations`.
    Prisma,
    /// `NAME.sql`, table `envctl_migrations`.
    Flat,
    /// `VERSION_name.sql` with `-- migrate:up` and `-- migrate:down`, table `schema_migrations`.
    Dbmate,
    /// `VERSION_name.sql` or `.up.sql` and `.down.sql`, table `_sqlx_migrations`.
    Sqlx,
    /// `VERSION_name.up.sql` and `.down.sql`, table `schema_migrations` with `dirty`.
    GolangMigrate,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Prisma, Self::Flat, Self::Dbmate, Self::Sqlx, Self::GolangMigrate];

    /// The word in settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prisma => "prisma",
            Self::Flat => "flat",
            Self::Dbmate => "dbmate",
            Self::Sqlx => "sqlx",
            Self::GolangMigrate => "golang-migrate",
        }
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// Kind `Refused`: a file that would be taken differently by the server, a name that cannot be ordered,
    /// two migrations of one version, a folder without its file.
    pub fn read(self, folder: &Path) -> Result<Vec<Script>> {
        match self {
            Self::Prisma => prisma::read(folder),
            other => dated::read(other, folder),
        }
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|layout| layout.word() == word).ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|layout| layout.word()).collect();
            error::usage(format!("`{}` is no layout of migrations", word.escape_debug()))
                .hint(format!("one of {}", words.join(", ")))
        })
    }
}

/// One migration's file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its name, as its tool calls it.
    pub name: String,
    /// What its tool's table knows it by: the name, or a version.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// The whole file; checksums are of this.
    pub text: String,
    /// What runs.
    pub sql: String,
    /// Whether the tool runs it in a transaction.
    pub transaction: bool,
}

/// What lies in a folder and around it, as far as it tells whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a sign of its own")]
pub struct Signs {
    /// Folders with a `migration.sql`, or `migration_lock.toml`.
    pub prisma: bool,
    /// Files with `-- migrate:up`.
    pub dbmate: bool,
    /// `….up.sql`.
    pub up_files: bool,
    /// `NUMBER_….sql` that is not one half of a pair.
    pub numbered: bool,
    /// Any other `.sql`.
    pub other: bool,
}

impl Signs {
    /// Looks.
    pub fn of(folder: &Path) -> Self {
        let mut signs = Self::default();
        for item in folder::list(folder).unwrap_or_default() {
            let path = folder.join(&item.name);
            if item.folder {
                signs.prisma |= path.join("migration.sql").is_file();
            } else if item.name == "migration_lock.toml" {
                signs.prisma = true;
            } else if item.name.ends_with(".up.sql") {
                signs.up_files = true;
            } else if dated::is_sql(&item.name) && !item.name.ends_with(".down.sql") {
                // Reading the beginning is enough: dbmate wants its mark before any statement.
                let text = folder::read(&path).unwrap_or_default();
                if dbmate::has_mark(&text) {
                    signs.dbmate = true;
                } else if text.contains("-- +goose ") {
                    // Goose's: taken for a flat file, its way back would run behind its way forth.
                } else if item.name.split_once('_').is_some_and(|(version, _)| is_number(version)) {
                    signs.numbered = true;
                } else {
                    signs.other = true;
                }
            }
        }
        signs
    }

    /// Whether anything here looks like a migration.
    pub fn any(&self) -> bool {
        self.prisma || self.dbmate || self.up_files || self.numbered
    }

    /// The layouts this can be. `sqlx` and `go` say that the project around it uses these tools.
    pub fn layouts(&self, sqlx: bool, go: bool) -> Vec<Layout> {
        match self {
            Self { prisma: true, .. } => vec![Layout::Prisma],
            Self { dbmate: true, .. } => vec![Layout::Dbmate],
            Self { up_files: true, .. } => match (sqlx, go) {
                (true, false) => vec![Layout::Sqlx],
                (false, true) => vec![Layout::GolangMigrate],
                _ => vec![Layout::Sqlx, Layout::GolangMigrate],
            },
            Self { numbered: true, other: false, .. } if sqlx => vec![Layout::Sqlx],
            Self { numbered: true, .. } | Self { other: true, .. } => vec![Layout::Flat],
            _ => Vec::new(),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
