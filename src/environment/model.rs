//! The values of discovery: what is there ([`Inventory`]), what is meant ([`Environment`]), what a verb
//! works on ([`Target`]).
//!
//! Promise: plain data, sorted, the same for the same containers in whatever order the daemon lists them.

use std::fmt;

use crate::docker::ContainerInfo;
use crate::docker::container_info::{ContainerState, Health};

use super::evidence::Evidence;
use super::profile::{self, Profile};
use super::role::Role;
use crate::environment::selector::ProjectRules;

/// Everything that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inventory {
    pub(crate) environments: Vec<Environment>,
    /// One-off and hook containers and envctl's own workers, with the reason for passing over each.
    pub(crate) passed_over: Vec<(ContainerInfo, &'static str)>,
}

/// One application with its environments; several of one profile are several checkouts.
#[derive(Clone, Debug)]
pub(crate) struct Stack<'a> {
    pub(crate) name: &'a str,
    /// One for each profile, project and directory.
    pub(crate) environments: Vec<&'a Environment>,
}

/// One profile of one stack: usually one compose project in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    /// The stack's name, of foreign origin.
    pub(crate) stack: String,
    /// Which of the stack's profiles this is, and why.
    pub(crate) profile: Profile,
    /// Evidence for the stack's name.
    pub(crate) evidence: Vec<Evidence>,
    /// The compose project or swarm stack; `None` for containers started by hand.
    pub(crate) project: Option<String>,
    /// The directory the project was started in, on the machine that started it.
    pub(crate) directory: Option<String>,
    /// Reason for the choice of this environment, one phrase; empty in an inventory.
    pub(crate) chosen_because: String,
    /// Containers of the environment, by service, number and name.
    pub(crate) members: Vec<Service>,
    /// Destroying is refused whatever the flags.
    pub(crate) protected: bool,
    /// The id of the container that `--container` names.
    pub(crate) named: Option<String>,
}

/// One container of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "Compose calls the name of a service `service`")]
pub(crate) struct Service {
    /// Container as the daemon described it.
    pub(crate) container: ContainerInfo,
    /// The service's name, or what the name of a container says that was started by hand.
    pub(crate) service: String,
    /// The replica's number, from 1.
    pub(crate) number: Option<u32>,
    /// Role of the service; several services with one role are ambiguous.
    pub(crate) role: Option<Role>,
    /// Role evidence of the container.
    pub(crate) evidence: Vec<Evidence>,
    /// Sign of a database that does not suffice for the role.
    pub(crate) hint: Option<String>,
}

/// The container that a verb works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The stack's name, of foreign origin.
    pub(crate) stack: String,
    /// Which profile, and why.
    pub(crate) profile: Profile,
    /// The compose project or swarm stack.
    pub(crate) project: Option<String>,
    /// The directory the project was started in.
    pub(crate) directory: Option<String>,
    /// Role of the container.
    pub(crate) role: Option<Role>,
    pub(crate) service: String,
    /// The container, running.
    pub(crate) container: ContainerInfo,
    /// Reason for this service and no other with the role, one sentence; `None` where no other has the role.
    pub(crate) preferred: Option<String>,
    /// Destroying is refused whatever the flags.
    pub(crate) protected: bool,
    /// For a database without `--index`: the other running replicas of its service. The caller asks each
    /// (and this one) `pg_is_in_recovery()` and takes the primary; two primaries are ambiguous.
    pub(crate) candidates: Vec<ContainerInfo>,
}

impl Inventory {
    /// Every application that was seen, running or not, by name.
    pub(crate) fn stacks(&self) -> Vec<Stack<'_>> {
        let mut stacks: Vec<Stack<'_>> = Vec::new();
        for environment in self.environments.iter().filter(|environment| environment.is_application()) {
            match stacks.last_mut().filter(|stack| stack.name == environment.stack) {
                Some(stack) => stack.environments.push(environment),
                None => stacks.push(Stack { name: &environment.stack, environments: vec![environment] }),
            }
        }
        stacks
    }

    /// Returns the environments that are no application: most have neither a backend nor a database.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Environment> {
        self.environments.iter().filter(|environment| !environment.is_application())
    }

    /// One-off and hook containers and envctl's own workers, with the reason for passing over each.
    #[cfg(test)]
    pub(crate) fn passed_over(&self) -> &[(ContainerInfo, &'static str)] {
        &self.passed_over
    }
}

impl Environment {
    /// Reports whether at least one container of the environment is running, paused or restarting.
    pub(crate) fn is_up(&self) -> bool {
        self.members.iter().any(|member| {
            matches!(
                member.container.state,
                ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
            )
        })
    }

    /// Reports whether the environment has a database or a backend. A backend outside of a project counts only by
    /// label, rule or flag. Otherwise every `web` or `app` on a machine would count.
    pub(crate) fn is_application(&self) -> bool {
        let has = |role| self.members.iter().any(|member| member.role == Some(role));
        let decreed = || self.members.iter().flat_map(|member| &member.evidence).any(Evidence::is_decreed);
        has(Role::Db) || (has(Role::Backend) && (self.project.is_some() || decreed()))
    }

    /// Protects it where the rules of its own project say so.
    pub(crate) fn protect(&mut self, rules: &ProjectRules) {
        let own =
            |name: &&String| profile::normalise(name) == self.profile.name && self.profile.name.is_some();
        let rule = rules.profiles.iter().find(|(name, _)| own(name));
        self.protected |= rule.is_some_and(|(_, rule)| rule.protected == Some(true));
    }

    /// Returns the names of the database services.
    pub(crate) fn database_services(&self) -> Vec<&str> {
        let mut services: Vec<&str> =
            self.with_role(Role::Db).map(|member| member.service.as_str()).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// Returns the same environment with this service as its only database.
    #[must_use]
    pub(crate) fn with_database(&self, service: &str) -> Self {
        let mut one = self.clone();
        for member in &mut one.members {
            if member.role == Some(Role::Db) && member.service != service {
                member.role = None;
            }
        }
        one
    }

    /// The members with a role.
    pub(crate) fn with_role(&self, role: Role) -> impl Iterator<Item = &Service> {
        self.members.iter().filter(move |member| member.role == Some(role))
    }
}

impl Target {
    /// Returns the health where it matters: `starting` or `unhealthy`.
    pub(crate) fn health_note(&self) -> Option<&'static str> {
        match self.container.health {
            Health::Starting | Health::Unhealthy => self.container.health.keyword(),
            Health::None | Health::Healthy => None,
        }
    }
}

impl fmt::Display for Environment {
    /// `acme prod`, escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", crate::text::escape::escape(&self.stack), self.profile)
    }
}
