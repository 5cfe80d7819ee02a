//! Observations from which the migration driver of a stack is chosen.

use std::path::Path;

use crate::migrations::command::Found;

/// Configuration and containers from which the driver is chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct DriverInputs<'a> {
    /// `migrations.driver`.
    pub(crate) driver: &'a str,
    /// `migrations.dir`.
    pub(crate) dir: Option<&'a str>,
    /// The directory of the file that says `migrations.dir`; `None`: the project's.
    pub(crate) base: Option<&'a Path>,
    /// `migrations.layout`.
    pub(crate) layout: Option<&'a str>,
    /// The project's directory on this machine.
    pub(crate) project: Option<&'a Path>,
    /// `migrations.preset`.
    pub(crate) preset: Option<&'a str>,
    /// True where `migrations.commands` has a command that applies.
    pub(crate) own: bool,
    /// The container with the Prisma CLI.
    pub(crate) cli_in: Option<&'a str>,
    /// The backend's container, where it runs.
    pub(crate) backend: Option<&'a str>,
    /// The other tools whose files lie in it.
    pub(crate) tools: &'a [Found],
}

impl DriverInputs<'_> {
    /// The driver that is asked for: naming a tool is asking for it.
    pub(crate) fn wanted(&self) -> &str {
        if self.driver == "auto" && (self.preset.is_some() || self.own) { "command" } else { self.driver }
    }
}
