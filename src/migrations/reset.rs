//! A reset of a database by its migrations, decided: what is dropped, applied and seeded.
//!
//! Promise: a driver resets with a plan that a person agreed to, and with nothing else.

use std::fmt;

use serde::Serialize;

use crate::consent::{Guard, Plan};
use crate::text::units::bytes;

/// A reset, decided. Its `Display` is what a person agrees to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResetPlan {
    pub(crate) driver: String,
    /// Database that is emptied.
    pub(crate) database: String,
    /// Size of the database now, in bytes.
    pub(crate) size: u64,
    /// Count of the migrations; none where only the tool knows.
    pub(crate) migrations: Option<usize>,
    /// Remark that the stack was started from another directory than the files lie in.
    #[serde(skip)]
    pub(crate) place: Option<String>,
    /// Reports whether what is there is backed up first.
    pub(crate) backup_first: bool,
    /// Reports whether the project's seed runs afterwards.
    pub(crate) seed: bool,
}

impl Plan for ResetPlan {
    fn guard(&self) -> Guard {
        Guard::Destroy
    }
}

impl fmt::Display for ResetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "reset database {:?} ({} now)", self.database, bytes(self.size))?;
        writeln!(f, "  drops    every table, with all rows")?;
        match self.migrations {
            Some(1) => writeln!(f, "  applies  1 migration, by {}", self.driver)?,
            Some(count) => writeln!(f, "  applies  all {count} migrations, by {}", self.driver)?,
            None => writeln!(f, "  applies  all migrations, by {}", self.driver)?,
        }
        if self.seed {
            writeln!(f, "  seeds    as the project says")?;
        }
        let first = if self.backup_first { "backed up first" } else { "NOT backed up first (--no-backup)" };
        writeln!(f, "  previous {first}")?;
        self.place.iter().try_for_each(|place| writeln!(f, "  note: {place}"))
    }
}
