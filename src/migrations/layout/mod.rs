//! Layouts of migrations in a folder, and detection of the tool that a folder belongs to.
//!
//! Promises: a folder is read whole or not at all; the order is the tool's own; what cannot be ordered or
//! read beyond doubt is refused before anything runs (reliability F67, F68).

mod dbmate;
mod flat;
pub(crate) mod folder_markers;
mod foreign_tools;
pub(crate) mod node_collation;
mod prisma;
mod read_folder;
#[cfg(test)]
mod tests;
pub(crate) mod versioned_files;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{self, Error, Result};
use crate::migrations::directory;

pub(crate) use flat::next as next_flat;
pub(crate) use folder_markers::FolderMarkers;
pub(crate) use foreign_tools::{ForeignTool, configured, other_database};
pub(crate) use node_collation::as_node_sorts;

/// A tool's way to lay out migrations; each has a table of its own in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Layout {
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
    pub(crate) const ALL: [Self; 5] =
        [Self::Prisma, Self::Flat, Self::Dbmate, Self::Sqlx, Self::GolangMigrate];

    /// The word in settings.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Prisma => "prisma",
            Self::Flat => "flat",
            Self::Dbmate => "dbmate",
            Self::Sqlx => "sqlx",
            Self::GolangMigrate => "golang-migrate",
        }
    }
}

impl Layout {
    /// Returns what a reader of the plan has to know of the folder: its order, and numbered files that are not run.
    ///
    /// # Errors
    /// A folder below it cannot be read.
    pub(crate) fn remarks(self, folder: &Path, scripts: &[Script]) -> Result<Vec<String>> {
        let mut remarks: Vec<String> = self.order_remark(scripts).into_iter().collect();
        if self == Self::Prisma {
            return Ok(remarks);
        }
        let mut passed_over = Vec::new();
        for item in directory::list(folder)?.into_iter().filter(|item| item.folder) {
            passed_over.extend(numbered_below(folder, &item.name)?);
        }
        if !passed_over.is_empty() {
            let part = if passed_over.len() == 1 { "is" } else { "are" };
            let more = passed_over.len().saturating_sub(MOST_NAMED);
            let named = passed_over.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>();
            let named =
                if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) };
            remarks.push(format!("{named} {part} not run: only files of the folder itself are migrations"));
        }
        Ok(remarks)
    }

    /// Returns a remark where dbmate's order, which is by name, differs from the order of the numbers.
    fn order_remark(self, scripts: &[Script]) -> Option<String> {
        let number = |script: &Script| script.key.parse::<u128>().ok();
        let pair = scripts.windows(2).find(|pair| number(&pair[0]) > number(&pair[1]));
        let [before, after] = pair.filter(|_| self == Self::Dbmate)? else { return None };
        Some(format!("dbmate sorts by name, {} before {}; the order is dbmate's", before.name, after.name))
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(part: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|layout| layout.keyword() == part).ok_or_else(|| {
            let parts: Vec<&str> = Self::ALL.iter().map(|layout| layout.keyword()).collect();
            error::usage(format!("`{}` is no layout of migrations", part.escape_debug()))
                .hint(format!("write one of {}", parts.join(", ")))
        })
    }
}

/// One migration's file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Name of the migration, as its tool writes it.
    pub(crate) name: String,
    /// Key in the tool's history table: the name, or a version.
    pub(crate) key: String,
    /// The file.
    pub(crate) path: PathBuf,
    /// The whole file; checksums are of this.
    pub(crate) text: String,
    /// SQL that runs.
    pub(crate) sql: String,
    /// True where the tool runs the SQL in a transaction.
    pub(crate) transaction: bool,
}

/// Most files that a remark names.
const MOST_NAMED: usize = 8;
/// Levels below a folder of migrations that are looked at.
const LEVELS: usize = 3;

/// Returns the numbered SQL files of a folder below the one of migrations, each with its path from there.
fn numbered_below(at: &Path, name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut level = vec![name.to_owned()];
    for _ in 0..LEVELS {
        let mut next = Vec::new();
        for name in level {
            for item in directory::list(&at.join(&name))? {
                let path = format!("{name}/{}", item.name);
                if item.folder {
                    next.push(path);
                } else if crate::migrations::layout::is_sql(&item.name)
                    && item.name.starts_with(|c: char| c.is_ascii_digit())
                {
                    found.push(path);
                }
            }
        }
        level = next;
    }
    Ok(found)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The tools take this ending and no other case of it.
#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "as the tools do")]
pub(crate) fn is_sql(name: &str) -> bool {
    name.ends_with(".sql")
}
