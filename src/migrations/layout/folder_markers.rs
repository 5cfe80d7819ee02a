//! Whose a folder is, by what lies in it.

use std::path::Path;

use super::foreign_tools::{self, ForeignTool};
use super::{Layout, dbmate, is_number};
use crate::migrations::directory;

/// Signs in a folder of the tool that the folder belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a sign of its own")]
pub(crate) struct FolderMarkers {
    /// Folders with a `migration.sql`, or `migration_lock.toml`.
    pub(crate) prisma: bool,
    /// Prisma's marks are beyond doubt: the lock, or folders that are named as Prisma names them, with a number in
    /// front.
    pub(crate) prisma_named: bool,
    /// Prisma's lock names another database.
    pub(crate) other_database: bool,
    /// Files with `-- migrate:up`.
    pub(crate) dbmate: bool,
    /// `….up.sql`.
    pub(crate) up_files: bool,
    /// `NUMBER_….sql` that is not one half of a pair.
    pub(crate) numbered: bool,
    /// Any other `.sql`.
    pub(crate) other: bool,
    /// Another tool's entries, with the first of them.
    pub(crate) theirs: Option<(&'static ForeignTool, String)>,
}

impl FolderMarkers {
    /// Looks.
    pub(crate) fn of(folder: &Path) -> Self {
        let entries = directory::list(folder).unwrap_or_default();
        let mut signs = Self { theirs: foreign_tools::tool_of_folder(folder, &entries), ..Self::default() };
        for item in &entries {
            let path = folder.join(&item.name);
            if item.folder {
                let is_migration = path.join("migration.sql").is_file();
                signs.prisma |= is_migration;
                signs.prisma_named |= is_migration && item.name.starts_with(|c: char| c.is_ascii_digit());
            } else if item.name == "migration_lock.toml" {
                (signs.prisma, signs.prisma_named) = (true, true);
                signs.other_database = is_of_another_database(&directory::beginning(&path));
            } else if item.name.ends_with(".up.sql") {
                signs.up_files = true;
            } else if crate::migrations::layout::is_sql(&item.name) && !item.name.ends_with(".down.sql") {
                signs.file(&item.name, &directory::beginning(&path));
            } else if let Some(tool) = foreign_tools::tool_of_program(&item.name) {
                signs.theirs.get_or_insert((tool, item.name.clone()));
            }
        }
        signs
    }

    fn file(&mut self, name: &str, text: &str) {
        if dbmate::has_mark(text) {
            self.dbmate = true;
        } else if let Some(tool) = foreign_tools::tool_of_name(name) {
            self.theirs.get_or_insert((tool, name.to_owned()));
        } else if let Some(tool) = foreign_tools::mark(text).and_then(|mark| mark.tool) {
            self.theirs.get_or_insert((tool, name.to_owned()));
        } else if name.split_once('_').is_some_and(|(version, _)| is_number(version)) {
            self.numbered = true;
        } else {
            self.other = true;
        }
    }

    /// Reports whether the folder has marks of one of envctl's layouts, and not only files that end in `.sql`.
    pub(crate) fn is_marked(&self) -> bool {
        self.prisma || self.dbmate || self.up_files
    }

    /// The tool that the folder is of, where it is none of envctl's layouts.
    pub(crate) fn tool(&self) -> Option<&(&'static ForeignTool, String)> {
        self.theirs.as_ref().filter(|_| !self.prisma && !self.dbmate)
    }

    /// The layouts this can be. `sqlx` and `go` say that the project around it uses these tools.
    pub(crate) fn layouts(&self, sqlx: bool, go: bool) -> Vec<Layout> {
        match self {
            Self { prisma: true, .. } => vec![Layout::Prisma],
            Self { dbmate: true, .. } => vec![Layout::Dbmate],
            Self { theirs: Some(_), .. } => Vec::new(),
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

/// `provider = "mysql"` in `migration_lock.toml`.
fn is_of_another_database(lock: &str) -> bool {
    lock.lines().filter_map(|line| line.trim().strip_prefix("provider")).any(|rest| {
        let part = rest.trim_start_matches([' ', '=']).trim_matches(['"', ' ', '\r']);
        !part.is_empty() && !matches!(part, "postgresql" | "postgres" | "cockroachdb")
    })
}
