//! State of a project's migrations in a database.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(crate) enum MigrationState {
    /// Finished.
    Applied,
    /// Waits to be applied; also one that was rolled back.
    Pending,
    /// Begun and never finished: it failed, its process died, or it runs now.
    Failed {
        /// Message that the tool noted.
        logs: String,
    },
    /// Finished, and its file is another one since.
    Edited,
    /// Finished, and its file is not there any more.
    FileMissing,
}

impl MigrationState {
    /// The word in tables.
    pub(crate) fn keyword(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Failed { .. } => "failed",
            Self::Edited => "edited",
            Self::FileMissing => "file missing",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Migration {
    /// Name of the migration, as its tool writes it.
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) state: MigrationState,
    /// Time of application, as the database wrote it.
    pub(crate) applied_at: Option<String>,
}

/// Everything known of a database's migrations, files first in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct History {
    /// Name of the driver: `prisma`, `sql (prisma folders)`.
    pub(crate) driver: String,
    pub(crate) database: String,
    /// Folder of the files.
    pub(crate) folder: String,
    /// Each migration once.
    pub(crate) migrations: Vec<Migration>,
    pub(crate) remarks: Vec<String>,
}

impl History {
    /// Returns the migrations whose state satisfies `like`.
    fn those(&self, like: impl Fn(&MigrationState) -> bool) -> Vec<&Migration> {
        self.migrations.iter().filter(|migration| like(&migration.state)).collect()
    }

    pub(crate) fn pending(&self) -> Vec<&Migration> {
        self.those(|state| *state == MigrationState::Pending)
    }

    /// Returns the failed migrations: begun and not finished.
    pub(crate) fn failed(&self) -> Vec<&Migration> {
        self.those(|state| matches!(state, MigrationState::Failed { .. }))
    }

    /// Returns the migrations whose file changed after it was applied.
    pub(crate) fn edited(&self) -> Vec<&Migration> {
        self.those(|state| *state == MigrationState::Edited)
    }

    /// Returns the migrations in the database, also those whose file was edited or is missing.
    pub(crate) fn applied(&self) -> Vec<&Migration> {
        self.those(|state| {
            matches!(state, MigrationState::Applied | MigrationState::Edited | MigrationState::FileMissing)
        })
    }

    /// Returns true where every migration is applied and its file unchanged.
    pub(crate) fn is_settled(&self) -> bool {
        self.migrations.iter().all(|migration| migration.state == MigrationState::Applied)
    }
}

impl fmt::Display for History {
    /// One line: what waits and what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![format!("{} applied", self.applied().len())];
        for (count, name) in [
            (self.pending().len(), "pending"),
            (self.failed().len(), "failed"),
            (self.edited().len(), "edited since"),
            (self.those(|state| *state == MigrationState::FileMissing).len(), "without a file"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {name}"));
            }
        }
        f.write_str(&parts.join(", "))
    }
}
