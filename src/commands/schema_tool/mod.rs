//! Shared parts of `generate`, `push`, `pull` and `seed`: run the schema tool in the backend, pass its output through.

pub(crate) mod generate;
pub(crate) mod multi_stack;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod seed;

use std::fmt;

use serde::Serialize;

use crate::cancel::CancelToken;
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::interactive_exec::reader_gone;
use crate::consent::{Guard, Plan};
use crate::docker::exec::CommandOutput;
use crate::docker::exec::interactive::{Outcome, converse};
use crate::docker::exec::run_command;
use crate::docker::{Container, ExecSpec};
use crate::environment::Target;
use crate::environment::selector::ContainerSelector;
use crate::error::{self, Result};
use crate::migrations::command;
use crate::migrations::find_driver::{BackendSearch, SchemaToolKind};
use crate::migrations::prisma::GUARD;

/// The schema tool of a backend, ready to be called.
pub(crate) struct SchemaTool {
    pub(crate) stack: StackContext,
    pub(crate) target: Target,
    container: Container,
    caller: SchemaToolKind,
    guard: Vec<(String, String)>,
}

/// A call of the tool; its `Display` is what a person agrees to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    #[serde(skip)]
    guard: Guard,
    /// Description of the call for messages.
    pub(crate) action: String,
    /// Output of the tool, if it refused a milder call.
    pub(crate) output: Vec<String>,
    /// The command line.
    pub(crate) argv: Vec<String>,
    #[serde(skip)]
    spec: ExecSpec,
}

impl Plan for Call {
    fn guard(&self) -> Guard {
        let loses = self.argv.iter().any(|argument| argument == "--accept-data-loss");
        if loses { Guard::Destroy } else { self.guard }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.action)?;
        for line in &self.output {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "  runs     {}", self.argv.join(" "))
    }
}

impl SchemaTool {
    /// Finds the backend and the tool in it.
    ///
    /// # Errors
    /// Kind `Target`: no backend. Kind `Usage`: no schema tool in it.
    pub(crate) async fn find(verb: &str, ctx: &CommandContext) -> Result<Self> {
        ctx.one_stack(verb, "name it with `-s STACK`")?;
        Self::of(verb, ctx.stack().await?).await
    }

    /// The tool of one environment.
    ///
    /// # Errors
    /// Errors of [`SchemaTool::find`].
    pub(crate) async fn of(verb: &str, stack: StackContext) -> Result<Self> {
        let stack = stack.with_own_settings()?;
        let target = stack.environment.pick(&ContainerSelector::Backend, stack.settings.target.index)?;
        stack.ui.target(&stack.target_line(&target));
        let search = BackendSearch::new(&stack.settings, &stack.daemon.engine, &target, &stack.cancel);
        let caller = search.schema_tool().await?.ok_or_else(|| {
            error::usage(format!(
                "container {} has no Prisma CLI (node_modules/.bin/prisma), and no other tool that is known",
                target.container.name
            ))
            .hint(format!("see whether the image leaves development packages out: `envctl {verb}` calls it"))
        })?;
        let guard = GUARD.iter().filter_map(|name| stack.set_variable(name)).collect();
        Ok(Self { container: stack.daemon.container(&target.container), target, caller, guard, stack })
    }

    /// A call for `envctl VERB`: of Prisma `text` behind its name, of another tool what its row says.
    ///
    /// # Errors
    /// Kind `Usage`: the tool has no such verb.
    pub(crate) fn call(&self, verb: &str, guard: Guard, action: String, text: &[&str]) -> Result<Call> {
        let spec = match &self.caller {
            SchemaToolKind::Prisma(cli) => cli.spec(text, &self.guard),
            SchemaToolKind::Command(tool) => command::spec(tool, tool.verb(verb)?),
        };
        Ok(Call { guard, action, output: Vec::new(), argv: spec.argv.clone(), spec })
    }

    /// Asks as the guard says, then runs it with its output passed through.
    ///
    /// # Errors
    /// Kind `Refused`: a guard. `Tool`: it failed.
    pub(crate) async fn carry_out(&self, call: Call) -> Result<()> {
        let ctx = &self.stack;
        let Some(call) = ctx.confirm(call, &self.target)? else { return Ok(()) };
        let call = call.into_plan();
        ctx.ui.end_progress();
        match converse(&self.container, &call.spec, &ctx.cancel).await? {
            Outcome::Exited(0) => Ok(()),
            Outcome::ReaderGone(left) => Err(reader_gone(ctx, left.as_ref())),
            Outcome::Exited(code) => Err(error::tool(format!(
                "`{}` in {} ended with {code}; its output is above",
                call.argv.join(" "),
                self.target.container.name
            ))),
            Outcome::NotStarted { text, .. } => {
                Err(error::tool(format!("`{}` cannot be started: {text}", call.argv.join(" "))))
            }
        }
    }

    /// Runs it with its words kept.
    ///
    /// # Errors
    /// Errors of [`crate::docker::exec::run_command::run`].
    pub(crate) async fn capture(&self, call: &Call, stop: &CancelToken) -> Result<CommandOutput> {
        run_command::run(&self.container, &call.spec, stop).await
    }

    /// Returns the stack and profile of the tool's database, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{} [{}]", self.target.stack, self.target.profile.keyword())
    }
}
