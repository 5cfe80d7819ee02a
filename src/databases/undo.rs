//! Undoing a restore: the same swap, with the names the other way round.
//!
//! The plan is a value that a person agreed to; what carries it out decides nothing.

use std::fmt;
use std::time::Duration;

use super::swap::{self, SwapPlan, kept_name};
use crate::consent::{Confirmed, Guard, Plan};
use crate::databases::previous::PreviousDatabase;
use crate::docker::Container;
use crate::error::Result;
use crate::operation::{Operation, SessionRole};
use crate::postgres::Access;
use crate::postgres::connections;
use crate::postgres::connections::ConnectionGroup;
use crate::postgres::lock::{self, LockMode};
use crate::postgres::version::ServerVersion;
use crate::text::units::{bytes, moment_of};

/// Taking the last restore back, decided.
#[derive(Clone, Debug)]
pub(crate) struct UndoPlan {
    pub(crate) operation: Operation,
    pub(crate) database: String,
    /// Previous database that is put back.
    pub(crate) back: PreviousDatabase,
    /// Connected sessions that will be disconnected from the current database.
    pub(crate) sessions: Vec<ConnectionGroup>,
    /// Warnings about parts of the swap that the role may not run.
    pub(crate) warnings: Vec<String>,
    /// Access to the server.
    pub(crate) access: Access,
    pub(crate) version: ServerVersion,
    /// Longest wait for envctl's own lock.
    pub(crate) lock_limit: Duration,
}

impl Plan for UndoPlan {
    fn guard(&self) -> Guard {
        Guard::Destroy
    }
}

impl fmt::Display for UndoPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "undo the restore of {}", moment_of(&self.back.note.at))?;
        writeln!(
            f,
            "  back     {:?} becomes {:?} again ({})",
            self.back.name,
            self.database,
            bytes(self.back.size)
        )?;
        for (at, line) in connections::disconnected_sessions(&self.sessions).iter().enumerate() {
            writeln!(f, "  {:<8} {line}", if at == 0 { "ends" } else { "" })?;
        }
        writeln!(
            f,
            "  previous what is there now becomes {:?}",
            kept_name(&self.operation.id, &self.database)
        )?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  note     {warning}"))
    }
}

/// Carries an undo out; gives the name the present database is kept under, and what [`crate::databases::swap::swap`] gives.
pub(crate) async fn undo(container: &Container, plan: Confirmed<UndoPlan>) -> Result<(String, Vec<String>)> {
    let plan = plan.into_plan();
    let name = plan.operation.application_name(SessionRole::Undo);
    let access = plan.access.to(&plan.database);
    let holding = lock::hold(container, &access, &name, LockMode::Exclusive, plan.lock_limit);
    let lock = plan.operation.cancel.run_until_cancelled(holding).await??;
    let swap_plan = SwapPlan {
        given: None,
        live: plan.database.clone(),
        exists: true,
        incoming: plan.back.name.clone(),
        kept: kept_name(&plan.operation.id, &plan.database),
        operation: plan.operation.clone(),
    };
    let left_out = swap::swap(container, &plan.access, &plan.version, &swap_plan).await?;
    drop(lock);
    Ok((swap_plan.kept, left_out))
}
