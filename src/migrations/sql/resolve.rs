//! `migrate resolve`: a person's word about a migration, written into the tool's table.

use std::fmt;

use serde::Serialize;

use super::{SqlDriver, row_id};
use crate::consent::{Confirmed, Guard, Plan};
use crate::error::{self, Result};
use crate::migrations::history::MigrationState;
use crate::postgres::search_path;

/// Outcome that a person states for a failed migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Resolution {
    /// All of it is in the database.
    Applied,
    /// No part of the migration is in the database.
    RolledBack,
}

/// A resolution, decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ResolvePlan {
    /// The migration.
    pub(crate) name: String,
    /// Outcome that the person states.
    pub(crate) resolution: Resolution,
    pub(crate) database: String,
}

impl Plan for ResolvePlan {
    fn guard(&self) -> Guard {
        Guard::Change
    }
}

impl fmt::Display for ResolvePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.resolution {
            Resolution::Applied => "mark as applied, without running it",
            Resolution::RolledBack => "mark as rolled back, to be applied again",
        };
        writeln!(f, "{name}: {}\n  in database {:?}", self.name, self.database)
    }
}

impl SqlDriver {
    /// Writes it down.
    ///
    /// # Errors
    /// `Usage`: no such migration. `Refused`: the history says otherwise (Prisma's P3008, P3012). `Busy`.
    pub(crate) async fn resolve(&self, plan: &Confirmed<ResolvePlan>) -> Result<()> {
        let plan = plan.plan();
        let scripts = self.layout.read(&self.folder)?;
        let mut session = self.hold().await?;
        let kept = self.look(&mut session).await?;
        self.take_tools_lock(&mut session, kept.history_table.lock()).await?;
        let kept = self.look(&mut session).await?;
        let history = self.compare(&scripts, &kept)?;
        let Some(at) = history.migrations.iter().position(|one| one.name == plan.name) else {
            return Err(error::usage(format!("there is no migration {:?}", plan.name))
                .hint("see those that are there: `envctl migrate status`"));
        };
        let state = &history.migrations[at].state;
        let script = scripts.iter().find(|script| script.name == plan.name);
        let finished =
            matches!(state, MigrationState::Applied | MigrationState::Edited | MigrationState::FileMissing);
        let statements = match (plan.resolution, script) {
            (Resolution::Applied, _) if finished => {
                return Err(error::refused(format!("{} is applied already", plan.name)));
            }
            (Resolution::Applied, None) => {
                return Err(error::refused(format!("{} has no file here", plan.name))
                    .note("its checksum is part of the history")
                    .hint("put the file back first"));
            }
            (Resolution::Applied, Some(script)) => kept.history_table.resolve_applied(script, &row_id()),
            (Resolution::RolledBack, _) if !matches!(state, MigrationState::Failed { .. }) => {
                return Err(error::refused(format!("{} did not fail: it is {}", plan.name, state.keyword()))
                    .note("only a migration that was begun and not finished can be marked as rolled back"));
            }
            (Resolution::RolledBack, script) => {
                let before =
                    at.checked_sub(1).and_then(|before| scripts.get(before)).map(|one| one.key.as_str());
                let key = script.map_or(plan.name.as_str(), |script| script.key.as_str());
                vec![kept.history_table.resolve_rolled_back(key, before)]
            }
        };
        session.query("BEGIN").await?;
        if !kept.exists {
            search_path::query_as_role(&mut session, &kept.history_table.create()).await?;
        }
        for statement in statements {
            for one in statement.split("\\; ") {
                session.query(one).await?;
            }
        }
        session.query("COMMIT").await?;
        session.close().await;
        Ok(())
    }

    /// Notes that nothing of a failed migration is left.
    pub(crate) async fn take_back(&self, name: &str) -> Result<()> {
        let mut session = self.hold().await?;
        let kept = self.look(&mut session).await?;
        session.query(&kept.history_table.resolve_rolled_back(name, None)).await?;
        session.close().await;
        Ok(())
    }
}
