//! Context of a command: settings, Docker host, environment, each decided once and asked for by the next step.
//!
//! Promise: Docker is not touched before a command asks for it.

use std::cell::OnceCell;
use std::ops::Deref;
use std::sync::Arc;

use crate::app::global_args::GlobalArgs;
use crate::app::{App, Daemon};
use crate::cancel::CancelToken;
use crate::config::Settings;
use crate::consent::{Confirmed, IdentityMismatch, Plan};
use crate::docker::inspect_all::observe;
use crate::docker::{ContainerInfo, ContainerSummary};
use crate::environment::{self, Environment, Inventory, Target};
use crate::error::{self, Result};

/// A command: the process it runs in, its options and its settings.
#[derive(Clone)]
pub(crate) struct CommandContext {
    app: App,
    pub(crate) global: Arc<GlobalArgs>,
    pub(crate) settings: Arc<Settings>,
    daemon: OnceCell<Daemon>,
}

impl Deref for CommandContext {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl CommandContext {
    /// Arguments → settings.
    ///
    /// # Errors
    /// Kind `Usage`: a setting cannot be understood.
    pub(crate) fn new(app: &App, global: &GlobalArgs) -> Result<Self> {
        let settings = Arc::new(app.settings(global)?);
        Ok(Self { app: app.clone(), global: Arc::new(global.clone()), settings, daemon: OnceCell::new() })
    }

    /// Returns the same command for another profile.
    ///
    /// # Errors
    /// Errors of [`CommandContext::new`].
    pub(crate) fn with_profile(&self, profile: &str) -> Result<Self> {
        Self::new(&self.app, &self.global.with_profile(profile))
    }

    /// Returns the same command as one that shows its plan and changes nothing.
    pub(crate) fn as_dry_run(&self) -> Self {
        let mut global = GlobalArgs::clone(&self.global);
        global.dry_run = true;
        Self { global: Arc::new(global), ..self.clone() }
    }

    /// Returns an error for a verb that works on one stack at a time, before Docker is asked; `instead` is what to type.
    ///
    /// # Errors
    /// Kind `Usage`: several are named.
    pub(crate) fn one_stack(&self, verb: &str, instead: &str) -> Result<()> {
        let target = &self.settings.target;
        if target.all_stacks || target.stacks.len() > 1 {
            return Err(error::usage(format!("`{verb}` works on one stack at a time")).hint(instead));
        }
        Ok(())
    }

    /// Settings → Docker.
    ///
    /// # Errors
    /// Kind `Usage` or `Docker`.
    pub(crate) fn daemon(&self) -> Result<&Daemon> {
        if let Some(daemon) = self.daemon.get() {
            return Ok(daemon);
        }
        let daemon = self.app.connect(&self.settings, self.global.insecure)?;
        Ok(self.daemon.get_or_init(|| daemon))
    }

    /// Docker → everything that runs there.
    ///
    /// # Errors
    /// Kind `Docker`.
    pub(crate) async fn inventory(&self) -> Result<Inventory> {
        let listed = self.cancel.run_until_cancelled(self.daemon()?.engine.list()).await??;
        self.inventory_of(listed).await
    }

    async fn inventory_of(&self, listed: Vec<ContainerSummary>) -> Result<Inventory> {
        let looking = observe(&self.daemon()?.engine, listed, environment::is_in_doubt);
        let containers = self.cancel.run_until_cancelled(looking).await??;
        Ok(environment::observe(&containers, &self.settings.target))
    }

    /// Docker → the one stack that is meant.
    ///
    /// # Errors
    /// Kind `Docker` or `Target`.
    pub(crate) async fn stack(&self) -> Result<StackContext> {
        self.only_stack(self.environment().await?)
    }

    /// Returns the context of the one stack that is meant. The commands in hints mean it from here on.
    ///
    /// # Errors
    /// Kind `Usage`: the file of its project cannot be understood.
    pub(crate) fn only_stack(&self, environment: Environment) -> Result<StackContext> {
        let environment = self.protected_by_its_own(environment)?;
        self.means(&environment);
        self.of(environment)
    }

    /// Returns the context of a stack.
    ///
    /// # Errors
    /// Kind `Usage` or `Docker`.
    pub(crate) fn of(&self, environment: Environment) -> Result<StackContext> {
        Ok(StackContext { daemon: self.daemon()?.clone(), command: self.clone(), environment })
    }

    /// Returns the context of one stack of a multi-stack operation, with its own cancel token. Messages begin with the
    /// stack's name.
    ///
    /// # Errors
    /// Kind `Usage` or `Docker`.
    pub(crate) fn at(&self, environment: &Environment, stop: CancelToken) -> Result<StackContext> {
        Self { app: self.app.of_stack(environment, stop), ..self.clone() }.of(environment.clone())
    }

    /// Protects an environment where its own project's file says so, which is not the one that we stand in when the stack
    /// is named from elsewhere.
    ///
    /// # Errors
    /// Kind `Usage`: that file cannot be understood.
    pub(crate) fn protected_by_its_own(&self, mut environment: Environment) -> Result<Environment> {
        let rules = self.settings.for_stack(&environment)?.target.rules;
        environment.protect(&rules);
        Ok(environment)
    }

    async fn environment(&self) -> Result<Environment> {
        let target = &self.settings.target;
        let listed = self.cancel.run_until_cancelled(self.daemon()?.engine.list()).await??;
        let shown: Vec<ContainerInfo> = listed.iter().map(ContainerInfo::listed).collect();
        if let Some(few) = environment::worth_a_look(&shown, target) {
            let few = listed.iter().filter(|line| few.contains(&line.id)).cloned().collect();
            if let Ok(chosen) = self.inventory_of(few).await?.environment(target) {
                return Ok(chosen);
            }
            // What is there instead has to be told.
        }
        self.inventory_of(listed).await?.environment(target)
    }

    /// Asks for a plan what its guard asks. `None` after `--dry-run`: the plan has been shown.
    ///
    /// # Errors
    /// Kind `Refused`.
    pub(crate) fn confirm<P: Plan>(&self, plan: P, target: &Target) -> Result<Option<Confirmed<P>>> {
        self.confirm_unlike(plan, target, None, |plan| self.show_dry_run(plan))
    }

    /// Asks like [`CommandContext::confirm`]; `unlike`: what comes in is of something else, and that has to be agreed to
    /// whatever the profile. `show` writes the plan of a dry run as a document.
    ///
    /// # Errors
    /// Kind `Refused`.
    pub(crate) fn confirm_unlike<P: Plan>(
        &self,
        plan: P,
        target: &Target,
        unlike: Option<IdentityMismatch>,
        show: impl FnOnce(&P),
    ) -> Result<Option<Confirmed<P>>> {
        self.app.confirm(plan, target, unlike, &self.global.consent()).map(|decision| decision.go_or(show))
    }

    /// Offers what need not be; without a terminal, or with `--yes`, the answer is no.
    pub(crate) fn offer(&self, question: &str) -> bool {
        self.app.offer(question, &self.global.consent())
    }
}

/// One stack of a command: its environment, and the Docker host on which it runs.
#[derive(Clone)]
pub(crate) struct StackContext {
    command: CommandContext,
    pub(crate) daemon: Daemon,
    pub(crate) environment: Environment,
}

impl Deref for StackContext {
    type Target = CommandContext;

    fn deref(&self) -> &CommandContext {
        &self.command
    }
}

impl StackContext {
    /// Replaces the settings by those of the stack's own project.
    ///
    /// # Errors
    /// Kind `Usage`: the file of that project cannot be understood.
    pub(crate) fn with_own_settings(mut self) -> Result<Self> {
        self.command.settings = Arc::new(self.settings.for_stack(&self.environment)?);
        Ok(self)
    }

    /// Returns the same command for this stack as seen in another way.
    pub(crate) fn with_environment(&self, environment: Environment) -> Self {
        Self { environment, ..self.clone() }
    }

    /// Returns the same command for another environment of the host. Messages begin with that stack's name.
    pub(crate) fn beside(&self, environment: &Environment) -> Self {
        let app = self.of_stack(environment, self.cancel.clone());
        let command = CommandContext { app, ..self.command.clone() };
        Self { command, daemon: self.daemon.clone(), environment: environment.clone() }
    }
}
