//! Shared parts of `generate`, `push`, `pull` and `seed`: run the schema tool in the backend, pass its output through.

pub(crate) mod multi_stack;

use std::fmt;

use serde::Serialize;

use crate::app::global_args::GlobalArgs;
use crate::app::{App, Daemon};
use crate::commands::interactive_exec::{reader_gone, target_line};
use crate::commands::migrate::context::{SchemaToolKind, caller};
use crate::commands::multi_stack::one_stack;
use crate::config::Settings;
use crate::consent::{Decision, Guard, Plan};
use crate::docker::ExecSpec;
use crate::docker::exec::CommandOutput;
use crate::docker::exec::interactive::{Outcome, converse};
use crate::docker::exec::run_command;
use crate::environment::selector::ContainerSelector;
use crate::environment::{Environment, Target};
use crate::error::{self, Result};
use crate::migrations::command;
use crate::migrations::prisma::GUARD;

/// The schema tool of a backend, ready to be called.
pub(crate) struct SchemaTool {
    pub(crate) daemon: Daemon,
    pub(crate) target: Target,
    pub(crate) prod: bool,
    caller: SchemaToolKind,
    guard: Vec<(String, String)>,
}

/// A call of the tool; its `Display` is what a person agrees to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
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
        let loses = self.argv.iter().any(|word| word == "--accept-data-loss");
        if loses { Guard::Destroy } else { Guard::Read }
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
    pub(crate) async fn find(verb: &str, global: &GlobalArgs, app: &App) -> Result<Self> {
        let settings = app.settings(global)?;
        one_stack(&settings, verb, "name it with `-s STACK`")?;
        let daemon = app.connect(&settings, global)?;
        let environment = app.environment(&daemon, &settings).await?;
        Self::of(verb, app, &daemon, &settings, &environment).await
    }

    /// The tool of one environment.
    ///
    /// # Errors
    /// Errors of [`SchemaTool::find`].
    pub(crate) async fn of(
        verb: &str,
        app: &App,
        daemon: &Daemon,
        settings: &Settings,
        environment: &Environment,
    ) -> Result<Self> {
        let settings = &settings.for_stack(environment)?;
        let target = environment.pick(&ContainerSelector::Backend, settings.target.index)?;
        app.ui.target(&target_line(&target, daemon));
        let caller = caller(app, daemon, settings, &target).await?.ok_or_else(|| {
            error::usage(format!(
                "container {} has no Prisma CLI (node_modules/.bin/prisma), and no other tool that is known",
                target.container.name
            ))
            .hint(format!("see whether the image leaves development packages out: `envctl {verb}` calls it"))
        })?;
        let guard = GUARD.iter().filter_map(|name| app.set_variable(name)).collect();
        let prod = environment.profile.is_prod();
        Ok(Self { daemon: daemon.clone(), target, prod, caller, guard })
    }

    /// A call for `envctl VERB`: of Prisma `words` behind its name, of another tool what its row says.
    ///
    /// # Errors
    /// Kind `Usage`: the tool has no such verb.
    pub(crate) fn call(&self, verb: &str, action: String, words: &[&str]) -> Result<Call> {
        let spec = match &self.caller {
            SchemaToolKind::Prisma(cli) => cli.spec(words, &self.guard),
            SchemaToolKind::Command(tool) => command::spec(tool, tool.verb(verb)?),
        };
        Ok(Call { action, output: Vec::new(), argv: spec.argv.clone(), spec })
    }

    /// Asks as the guard says, then runs it with its output passed through.
    ///
    /// # Errors
    /// Kind `Refused`: a guard. `Tool`: it failed.
    pub(crate) async fn carry_out(
        &self,
        app: &App,
        global: &GlobalArgs,
        call: Call,
        guard: Guard,
    ) -> Result<()> {
        let call = match app.confirm(call, guard, &self.target, &global.consent())? {
            Decision::Go(call) => call.into_plan(),
            Decision::DryRun(call) => {
                app.show_dry_run(&call);
                return Ok(());
            }
        };
        app.ui.end_progress();
        match converse(&self.daemon.container(&self.target.container), &call.spec, &app.interrupt).await? {
            Outcome::Exited(0) => Ok(()),
            Outcome::ReaderGone(left) => Err(reader_gone(app, left.as_ref())),
            Outcome::Exited(code) => Err(error::tool(format!(
                "`{}` in {} ended with {code}; its output is above",
                call.argv.join(" "),
                self.target.container.name
            ))),
            Outcome::NotStarted { words, .. } => {
                Err(error::tool(format!("`{}` cannot be started: {words}", call.argv.join(" "))))
            }
        }
    }

    /// Runs it with its words kept.
    ///
    /// # Errors
    /// Errors of [`crate::docker::exec::run_command::run`].
    pub(crate) async fn capture(&self, app: &App, call: &Call) -> Result<CommandOutput> {
        run_command::run(&self.daemon.container(&self.target.container), &call.spec, &app.interrupt).await
    }

    /// Returns the stack and profile of the tool's database, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{} [{}]", self.target.stack, self.target.profile.word())
    }
}
