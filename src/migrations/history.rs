//! What a database has seen of a project's migrations.

use std::fmt;

use serde::Serialize;

/// Where one migration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Finished.
    Applied,
    /// Waits to be applied; also one that was rolled back.
    Pending,
    /// Begun and never finished: it failed, its process died, or it runs now.
    Failed {
        /// What the tool noted.
        logs: String,
    },
    /// Finished, and its file is another one since.
    Edited,
    /// Finished, and its file is not there any more.
    FileMissing,
}

impl State {
    /// The word in tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Failed { .. } => "failed",
            Self::Edited => "edited",
            Self::FileMissing => "file missing",
        }
    }
}

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// Its name, as its tool calls it.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// When it was applied, as the database wrote it.
    pub applied_at: Option<String>,
}

/// Everything known of a database's migrations, files first in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// Who tells: `prisma`, `sql (prisma folders)`.
    pub driver: String,
    /// The database.
    pub database: String,
    /// Where the files lie.
    pub folder: String,
    /// Each migration once.
    pub migrations: Vec<Migration>,
    /// What is worth knowing beside it.
    pub remarks: Vec<String>,
}

impl History {
    /// Those in a state that this function holds for.
    fn those(&self, like: impl Fn(&State) -> bool) -> Vec<&Migration> {
        self.migrations.iter().filter(|migration| like(&migration.state)).collect()
    }

    /// Those that wait.
    pub fn pending(&self) -> Vec<&Migration> {
        self.those(|state| *state == State::Pending)
    }

    /// Those that were begun and not finished.
    pub fn failed(&self) -> Vec<&Migration> {
        self.those(|state| matches!(state, State::Failed { .. }))
    }

    /// Those whose file changed after it was applied.
    pub fn edited(&self) -> Vec<&Migration> {
        self.those(|state| *state == State::Edited)
    }

    /// Those that are in the database, edited or gone since or not.
    pub fn applied(&self) -> Vec<&Migration> {
        self.those(|state| matches!(state, State::Applied | State::Edited | State::FileMissing))
    }

    /// Whether there is nothing to do and nothing to worry about.
    pub fn is_settled(&self) -> bool {
        self.migrations.iter().all(|migration| migration.state == State::Applied)
    }
}

impl fmt::Display for History {
    /// One line: what waits and what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![format!("{} applied", self.applied().len())];
        for (count, word) in [
            (self.pending().len(), "pending"),
            (self.failed().len(), "failed"),
            (self.edited().len(), "edited since"),
            (self.those(|state| *state == State::FileMissing).len(), "without a file"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        f.write_str(&parts.join(", "))
    }
}
