//! A migration run, decided: what would be applied, in which order, and what each statement risks.
//!
//! Promise: the plan's `Display` is what a person agrees to and what `--dry-run` prints.

use std::fmt;

use serde::Serialize;

use super::risk::Risk;
use crate::consent::{Guard, Plan};

/// One migration of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PlannedMigration {
    pub(crate) name: String,
    /// Number of statements in the file; `None` where the file could not be parsed.
    pub(crate) statements: Option<usize>,
    /// Risks of the statements.
    pub(crate) risks: Vec<Risk>,
}

/// Plan of applying the pending migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MigrationPlan {
    /// Name of the driver: `prisma`, `sql (prisma folders)`.
    pub(crate) driver: String,
    pub(crate) database: String,
    /// Folder of the files.
    pub(crate) folder: String,
    /// Pending migrations, in the order of application.
    pub(crate) pending: Vec<PlannedMigration>,
    pub(crate) remarks: Vec<String>,
    /// A pending migration that comes before an applied one, in words.
    #[serde(skip)]
    pub(crate) out_of_order: Option<String>,
}

impl Plan for MigrationPlan {
    fn guard(&self) -> Guard {
        Guard::Change
    }
}

impl fmt::Display for MigrationPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.pending.len();
        let noun = if count == 1 { "migration" } else { "migrations" };
        writeln!(f, "apply {count} {noun} to database {:?}", self.database)?;
        writeln!(f, "  by {}, from {}", self.driver, self.folder)?;
        for planned in &self.pending {
            match planned.statements {
                Some(1) => writeln!(f, "  + {} (1 statement)", planned.name)?,
                Some(many) => writeln!(f, "  + {} ({many} statements)", planned.name)?,
                None => writeln!(f, "  + {}", planned.name)?,
            }
            for risk in &planned.risks {
                writeln!(f, "      {risk}")?;
            }
        }
        for remark in &self.remarks {
            writeln!(f, "  note: {remark}")?;
        }
        Ok(())
    }
}

/// Result of an apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names of the JSON answer")]
pub(crate) struct Applied {
    pub(crate) driver: String,
    pub(crate) database: String,
    /// The names, in order.
    pub(crate) applied: Vec<String>,
    /// Remarks on the result.
    pub(crate) remarks: Vec<String>,
}
