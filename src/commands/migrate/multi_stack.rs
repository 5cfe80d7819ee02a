//! `envctl migrate` and `envctl migrate status` over several stacks.

use std::fmt;

use serde::Serialize;

use super::apply::{ApplyArgs, PreparedRun, prepare};
use crate::commands::migrate::context::MigrationContext;
use crate::commands::multi_stack::{self, MultiStackVerb};
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::consent::{Confirmed, Guard, Parts, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::migrations::{Applied, History, MigrationPlan};
use crate::multi_stack::End;
use crate::multi_stack::schedule::OnFailure;

/// One stack's migrations, decided.
#[derive(Serialize)]
struct Pending {
    #[serde(flatten)]
    plan: MigrationPlan,
    #[serde(skip)]
    migrations: MigrationContext,
}

impl Plan for Pending {
    fn guard(&self) -> Guard {
        Guard::Change
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.pending.is_empty() { f.write_str("nothing to apply") } else { self.plan.fmt(f) }
    }
}

impl Parts for Pending {
    type Key = MigrationContext;
    type Part = MigrationPlan;

    fn parts(self) -> Vec<(MigrationContext, MigrationPlan)> {
        vec![(self.migrations, self.plan)]
    }
}

/// Applies what is pending on each; stops at the first failure unless told otherwise.
///
/// # Errors
/// Errors of [`multi_stack::for_each_stack`].
pub(crate) async fn apply(args: &ApplyArgs, ctx: &CommandContext) -> Result<()> {
    let plan = async |stack: StackContext| {
        let PreparedRun { migrations, plan, .. } = prepare(args, &stack).await?;
        Ok(Pending { plan, migrations })
    };
    let run = async |stack: StackContext, plan: Confirmed<Pending>| {
        let mut applied = Applied::default();
        for (mut migrations, plan) in plan.each() {
            if plan.plan().pending.is_empty() {
                let MigrationPlan { driver, database, .. } = plan.into_plan();
                return Ok(Applied { driver, database, ..applied });
            }
            // The cancel token of the plan may have expired by now.
            migrations.driver.set_cancel_token(&stack.cancel);
            if args.backup {
                crate::commands::backup::safety(&stack, &migrations.found).await?;
            }
            applied = migrations.driver.apply(&plan).await?;
            for remark in &applied.remarks {
                stack.ui.warn(remark);
            }
        }
        Ok(applied)
    };
    let changes = |plan: &Pending| !plan.plan.pending.is_empty();
    let (many, on_failure) = (&args.many, OnFailure::Stop);
    let verb = MultiStackVerb { name: "migrate", args: many, on_failure, changes };
    multi_stack::for_each_stack(ctx, verb, plan, run).await
}

/// Shows the applied and pending migrations of each stack.
///
/// # Errors
/// Errors of [`crate::commands::multi_stack::look`]; kind `Pending` with `exit_code`.
pub(crate) async fn status(exit_code: bool, ctx: &CommandContext) -> Result<()> {
    let ask = async |stack: StackContext| -> Result<History> {
        let (target, mut session) = stack.connect().await?;
        let chosen = stack.driver(&target, &session).await?;
        // Not waited for at the end: its end of input ends it.
        let mut history = chosen.driver.history_in(&mut session).await?;
        history.remarks.extend(chosen.place);
        Ok(history)
    };
    let report = multi_stack::look("migrate status", ctx, ask).await?;
    let unsettled: Vec<&str> = report
        .stacks
        .iter()
        .filter(|ended| matches!(&ended.end, End::Done(history) if !history.is_settled()))
        .map(|ended| ended.stack.as_str())
        .collect();
    if exit_code && !unsettled.is_empty() {
        return Err(Error::new(ErrorKind::Pending, format!("not settled: {}", unsettled.join(", "))));
    }
    Ok(())
}
