//! Selectors from flags and configuration, as discovery takes them.
//!
//! Promise: plain data, settled once by `config`; discovery never asks where a selector came from, except
//! to name the flag in a message.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Selectors for the stacks, the profile and the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetRequest {
    /// `--stack` globs; empty means "the one that is meant here".
    pub(crate) stacks: Vec<String>,
    /// `--all-stacks`.
    pub(crate) all_stacks: bool,
    /// `--dev`, `--prod`, `--profile NAME`; `None` means "choose by rule 4".
    pub(crate) profile: Option<String>,
    /// `--container`: a name or an id prefix, the strongest evidence.
    pub(crate) container: Option<String>,
    /// `--index`: the replica's number.
    pub(crate) index: Option<u32>,
    /// The project directory the command was started in: where `envctl.toml` or a compose file lies.
    pub(crate) project_dir: Option<PathBuf>,
    /// Rules of `envctl.toml`, by stack and profile.
    pub(crate) rules: ProjectRules,
}

impl TargetRequest {
    /// Reports whether the request may name several stacks: `--all-stacks`, more than one `--stack`, or a glob. A
    /// glob counts even where it matches only one stack.
    pub(crate) fn names_several(&self) -> bool {
        self.all_stacks
            || self.stacks.len() > 1
            || self.stacks.iter().any(|stack| stack.contains(['*', '?', '[', '{']))
    }
}

/// Explicit facts from `envctl.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProjectRules {
    /// The stack that this directory's `envctl.toml` is about.
    pub(crate) stack: Option<String>,
    /// Rules of the stack's profiles, by name.
    pub(crate) profiles: BTreeMap<String, ProfileRule>,
}

/// Rule that recognises one profile of the configured stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProfileRule {
    /// The compose project's name.
    pub(crate) project: Option<String>,
    /// The service or container that is the backend.
    pub(crate) backend: Option<String>,
    /// The service or container that is the database.
    pub(crate) db: Option<String>,
    /// Destroying is refused whatever the flags.
    pub(crate) protected: Option<bool>,
}

/// Which container of an environment a verb works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContainerSelector {
    /// The service that is the backend.
    Backend,
    /// The service that is the database.
    Db,
    /// A service by its compose name, or a container by its name.
    Service(String),
}

impl ContainerSelector {
    /// `backend` and `db` are roles, everything else is a service's name.
    pub(crate) fn parse(part: &str) -> Self {
        match part {
            "backend" => Self::Backend,
            "db" | "database" => Self::Db,
            service => Self::Service(service.to_owned()),
        }
    }
}
