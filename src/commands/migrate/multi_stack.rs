//! `envctl migrate` and `envctl migrate status` over several stacks.

use std::fmt;

use serde::Serialize;

use super::apply::{ApplyArgs, PreparedRun, prepare};
use crate::cancel::CancelToken;
use crate::commands::context::CommandContext;
use crate::commands::migrate::context::MigrationContext;
use crate::commands::multi_stack;
use crate::consent::{Confirmed, Guard, Parts, Plan};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::migrations::{Applied, History, MigrationPlan};
use crate::multi_stack::schedule::OnFailure;
use crate::multi_stack::{End, StackOperation};

/// Applies what is pending on each; stops at the first failure unless told otherwise.
///
/// # Errors
/// Errors of [`crate::commands::multi_stack::run`].
pub(crate) async fn apply(args: &ApplyArgs, ctx: &CommandContext) -> Result<()> {
    multi_stack::run(&Applies { ctx, args }, &args.many, ctx, OnFailure::Stop).await
}

struct Applies<'a> {
    ctx: &'a CommandContext,
    args: &'a ApplyArgs,
}

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

impl StackOperation for Applies<'_> {
    type Plan = Pending;
    type Outcome = Applied;

    fn name(&self) -> &'static str {
        "migrate"
    }

    fn changes(&self, plan: &Pending) -> bool {
        !plan.plan.pending.is_empty()
    }

    async fn plan(&self, environment: &Environment, stop: CancelToken) -> Result<Pending> {
        let stack = self.ctx.at(environment, stop)?;
        let PreparedRun { migrations, plan, .. } = prepare(self.args, &stack).await?;
        Ok(Pending { plan, migrations })
    }

    async fn run(
        &self,
        environment: &Environment,
        stop: CancelToken,
        plan: Confirmed<Pending>,
    ) -> Result<Applied> {
        let stack = self.ctx.at(environment, stop.clone())?;
        let mut applied = Applied::default();
        for (mut migrations, plan) in plan.each() {
            if plan.plan().pending.is_empty() {
                let MigrationPlan { driver, database, .. } = plan.into_plan();
                return Ok(Applied { driver, database, ..applied });
            }
            // The wish that the plan was made under has had its time.
            migrations.driver.heed(&stop);
            if self.args.backup {
                crate::commands::backup::safety(&stack, &migrations.found).await?;
            }
            applied = migrations.driver.apply(&plan).await?;
            for remark in &applied.remarks {
                stack.ui.warn(remark);
            }
        }
        Ok(applied)
    }
}

/// Shows the applied and pending migrations of each stack.
///
/// # Errors
/// Errors of [`crate::commands::multi_stack::look`]; kind `Pending` with `exit_code`.
pub(crate) async fn status(exit_code: bool, ctx: &CommandContext) -> Result<()> {
    let ask = async |environment: Environment, stop: CancelToken| -> Result<History> {
        let stack = ctx.at(&environment, stop)?;
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
