//! The options every command has: target, output, safety.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::color::Color;
use crate::config::{Flags, Sourced};
use crate::consent::Consent;
use crate::text::shell_word::shell_word;
use crate::ui::{ColorChoice, TargetOptions};

/// Options of every command. Each has an environment variable `ENVCTL_…`, except those that lift a guard.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option a person types")]
pub(crate) struct GlobalArgs {
    /// The development profile
    #[arg(long, global = true, help_heading = "Target", conflicts_with_all = ["prod", "profile"])]
    dev: bool,
    /// The production profile
    #[arg(long, global = true, help_heading = "Target", conflicts_with = "profile")]
    prod: bool,
    /// A profile by its name, e.g. staging
    #[arg(long, global = true, help_heading = "Target", value_name = "NAME")]
    profile: Option<String>,
    /// A stack by its name or a glob; repeatable
    #[arg(short, long, global = true, help_heading = "Target", value_name = "GLOB")]
    stack: Vec<String>,
    /// Every stack that runs
    #[arg(long, global = true, help_heading = "Target", conflicts_with = "stack")]
    all_stacks: bool,
    /// The database's name
    #[arg(short, long, global = true, help_heading = "Target", value_name = "NAME")]
    database: Option<String>,
    /// The project's directory instead of this one
    #[arg(short = 'C', long, global = true, help_heading = "Target", value_name = "DIR")]
    project_dir: Option<PathBuf>,
    /// This configuration file instead of the envctl.toml found upwards
    #[arg(long, global = true, help_heading = "Target", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A Docker context
    #[arg(long, global = true, help_heading = "Target", value_name = "NAME")]
    context: Option<String>,
    /// A Docker host: unix://, tcp:// or ssh://
    #[arg(short = 'H', long, global = true, help_heading = "Target", value_name = "URL")]
    host: Option<String>,
    /// A container by its name or the beginning of its id
    #[arg(long, global = true, help_heading = "Target", value_name = "NAME")]
    container: Option<String>,
    /// The replica with this number
    #[arg(long, global = true, help_heading = "Target", value_name = "N")]
    index: Option<u32>,
    /// Talk to a plain TCP daemon on another machine
    #[arg(long, global = true, help_heading = "Target")]
    pub(crate) insecure: bool,

    /// The answer as JSON on stdout
    #[arg(long, global = true, help_heading = "Output", env = "ENVCTL_JSON", hide_env = true)]
    pub(crate) json: bool,
    /// Say nothing but the answer and warnings
    #[arg(short, long, global = true, help_heading = "Output", env = "ENVCTL_QUIET", hide_env = true)]
    pub(crate) quiet: bool,
    /// Say more; twice for even more
    #[arg(short, long, global = true, help_heading = "Output", action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No progress lines
    #[arg(long, global = true, help_heading = "Output", env = "ENVCTL_NO_PROGRESS", hide_env = true)]
    pub(crate) no_progress: bool,
    /// Colours: auto, always or never
    #[arg(long, global = true, help_heading = "Output", value_name = "WHEN", env = "ENVCTL_COLOR", hide_env = true, value_parser = color)]
    pub(crate) color: Option<ColorChoice>,

    /// Agree to what asks y/N
    #[arg(short, long, global = true, help_heading = "Safety")]
    yes: bool,
    /// Agree to what asks for the stack's name; once for each stack
    #[arg(long, global = true, help_heading = "Safety", value_name = "STACK")]
    confirm: Vec<String>,
    /// Show the plan and change nothing
    #[arg(long, global = true, help_heading = "Safety")]
    pub(crate) dry_run: bool,
    /// How long to wait for a lock: 10s, 2m
    #[arg(long, global = true, help_heading = "Safety", value_name = "TIME", value_parser = crate::config::duration::parse)]
    lock_timeout: Option<Duration>,
    /// How long a stream may stand still
    #[arg(long, global = true, help_heading = "Safety", value_name = "TIME", value_parser = crate::config::duration::parse)]
    stall_timeout: Option<Duration>,
    /// How long the whole command may take; with several stacks, each of them
    #[arg(long, global = true, help_heading = "Safety", value_name = "TIME", value_parser = crate::config::duration::parse, env = "ENVCTL_TIMEOUT", hide_env = true)]
    pub(crate) timeout: Option<Duration>,
}

fn color(argument: &str) -> Result<ColorChoice, String> {
    ColorChoice::parse(argument).ok_or_else(|| "expected auto, always or never".to_owned())
}

/// An option with its value as a shell takes both. A value that begins with a dash would be taken for an option itself:
/// it is bound to the long name.
pub(crate) fn option(short: &str, long: &str, value: &str) -> String {
    let argument = shell_word(value);
    if value.starts_with('-') { format!("{long}={argument}") } else { format!("{short} {argument}") }
}

impl GlobalArgs {
    /// Returns the options for the configuration layer, each with its name on the command line.
    pub(crate) fn flags(&self) -> Flags {
        fn given<T: Clone>(name: &str, value: Option<&T>) -> Option<Sourced<T>> {
            value.map(|value| Sourced::flag(name, value.clone()))
        }
        let profile = match (self.dev, self.prod) {
            (true, _) => Some(Sourced::flag("--dev", "dev".to_owned())),
            (_, true) => Some(Sourced::flag("--prod", "prod".to_owned())),
            _ => given("--profile", self.profile.as_ref()),
        };
        Flags {
            stacks: (!self.stack.is_empty()).then(|| Sourced::flag("--stack", self.stack.clone())),
            all_stacks: self.all_stacks.then(|| Sourced::flag("--all-stacks", true)),
            profile,
            container: given("--container", self.container.as_ref()),
            index: given("--index", self.index.as_ref()),
            database: given("--database", self.database.as_ref()),
            project_dir: given("--project-dir", self.project_dir.as_ref()),
            config: given("--config", self.config.as_ref()),
            context: given("--context", self.context.as_ref()),
            host: given("--host", self.host.as_ref()),
            lock_timeout: given("--lock-timeout", self.lock_timeout.as_ref()),
            stall_timeout: given("--stall-timeout", self.stall_timeout.as_ref()),
            timeout: given("--timeout", self.timeout.as_ref()),
            color: self.color.map(|choice| {
                let color = match choice {
                    ColorChoice::Auto => Color::Auto,
                    ColorChoice::Always => Color::Always,
                    ColorChoice::Never => Color::Never,
                };
                Sourced::flag("--color", color)
            }),
        }
    }

    /// Returns the options with another profile: `--from`, `--to`.
    #[must_use]
    pub(crate) fn with_profile(&self, name: &str) -> Self {
        Self { dev: false, prod: false, profile: Some(name.to_owned()), ..self.clone() }
    }

    /// The database that was named on the command line.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Reports whether a profile is named on the command line.
    pub(crate) fn names_profile(&self) -> bool {
        self.dev || self.prod || self.profile.is_some()
    }

    /// Target options as they were typed, for the commands in hints.
    pub(crate) fn target_options(&self) -> TargetOptions {
        let path = |short: &str, long: &str, value: &PathBuf| option(short, long, &value.to_string_lossy());
        let mut location = Vec::new();
        location.extend(self.project_dir.as_ref().map(|dir| path("-C", "--project-dir", dir)));
        location.extend(self.config.as_ref().map(|file| path("--config", "--config", file)));
        location.extend(self.context.as_ref().map(|name| option("--context", "--context", name)));
        location.extend(self.host.as_ref().map(|url| option("-H", "--host", url)));
        location.extend(self.insecure.then(|| "--insecure".to_owned()));
        let stacks: Vec<String> = self.stack.iter().map(|name| option("-s", "--stack", name)).collect();
        let every = self.all_stacks.then(|| "--all-stacks".to_owned());
        let profile = match (self.dev, self.prod) {
            (true, _) => Some("--dev".to_owned()),
            (_, true) => Some("--prod".to_owned()),
            _ => self.profile.as_ref().map(|name| option("--profile", "--profile", name)),
        };
        TargetOptions {
            location,
            stack: every.or_else(|| (!stacks.is_empty()).then(|| stacks.join(" "))),
            profile_typed: profile.is_some(),
            profile,
            container: self.container.as_ref().map(|name| option("--container", "--container", name)),
            index: self.index.map(|number| format!("--index {number}")),
            database: self.database.as_ref().map(|name| option("-d", "--database", name)),
        }
    }

    /// Returns the consent given on the command line.
    pub(crate) fn consent(&self) -> Consent {
        Consent { yes: self.yes, confirm: self.confirm.clone(), dry_run: self.dry_run }
    }
}
