//! From an environment to the one container that a verb works on.
//!
//! Promises: the container runs; replicas go by their number; two containers that claim one place are
//! ambiguous, also where a copy of the labels made the second.

use std::collections::BTreeSet;

use crate::docker::ContainerInfo;
use crate::error::{self, Error, Result};

use super::candidate::{Candidate, ambiguous};
use super::role::{self, Role};
use crate::environment::model::{Environment, Service, Target};
use crate::environment::not_running;
use crate::environment::selector::ContainerSelector;
use crate::text::escape::escape;
use crate::text::shell_word::shell_word;

impl Environment {
    /// The container for a role or a service. `index` is the replica's number, from 1; without it the lowest
    /// running one. `--container` outweighs both where its container has the wanted role or none.
    ///
    /// # Errors
    /// Kind `Target`: nobody has the role, several services have it, two containers claim one number, there
    /// is no such replica, or the container does not run.
    pub(crate) fn pick(&self, wanted: &ContainerSelector, index: Option<u32>) -> Result<Target> {
        let (member, others) = self.choose(wanted, index)?;
        self.running(member, others)
    }

    /// Picks a container like [`Environment::pick`], in any state: the logs of a container outlive its process.
    ///
    /// # Errors
    /// See [`Environment::pick`]; the state is no error.
    pub(crate) fn pick_in_any_state(&self, wanted: &ContainerSelector, index: Option<u32>) -> Result<Target> {
        let (member, others) = self.choose(wanted, index)?;
        Ok(self.target(member, others))
    }

    fn choose(
        &self,
        wanted: &ContainerSelector,
        index: Option<u32>,
    ) -> Result<(&Service, Vec<ContainerInfo>)> {
        if let Some(member) = self.named_member().filter(|member| fits(member, wanted)) {
            return Ok((member, Vec::new()));
        }
        let replicas = self.one_service(wanted)?;
        self.unique(&replicas)?;
        let member = match index {
            Some(number) => self.replica(&replicas, number)?,
            None => replicas.iter().find(|member| member.container.is_running()).unwrap_or(&replicas[0]),
        };
        let others = if *wanted == ContainerSelector::Db && index.is_none() {
            siblings(&replicas, member)
        } else {
            Vec::new()
        };
        Ok((member, others))
    }

    /// The container that `--container` names, whatever its role; `None` without the flag. For the verbs that
    /// work on any container: shell, exec, logs, forward.
    pub(crate) fn named(&self) -> Option<Result<Target>> {
        self.named_member().map(|member| self.running(member, Vec::new()))
    }

    fn named_member(&self) -> Option<&Service> {
        let id = self.named.as_ref()?;
        self.members.iter().find(|member| member.container.id == *id)
    }

    fn running(&self, member: &Service, candidates: Vec<ContainerInfo>) -> Result<Target> {
        match not_running::refusal(self, member) {
            Some(error) => Err(error),
            None => Ok(self.target(member, candidates)),
        }
    }

    fn target(&self, member: &Service, candidates: Vec<ContainerInfo>) -> Target {
        Target {
            stack: self.stack.clone(),
            profile: self.profile.clone(),
            project: self.project.clone(),
            directory: self.directory.clone(),
            role: member.role,
            service: member.service.clone(),
            container: member.container.clone(),
            preferred: member.role.and_then(|role| self.preferred(role, member)),
            protected: self.protected,
            candidates,
        }
    }

    /// The replicas of the one service that fits, by number; never empty.
    fn one_service(&self, wanted: &ContainerSelector) -> Result<Vec<&Service>> {
        let fitting: Vec<&Service> = match wanted {
            ContainerSelector::Backend => self.with_role(Role::Backend).collect(),
            ContainerSelector::Db => self.with_role(Role::Db).collect(),
            ContainerSelector::Service(name) => self.by_service(name),
        };
        let services: BTreeSet<&str> = fitting.iter().map(|member| member.service.as_str()).collect();
        match services.len() {
            0 => Err(self.nobody(wanted)),
            1 => Ok(fitting),
            _ if *wanted == ContainerSelector::Db => {
                named_for_the_database(&fitting).ok_or_else(|| self.several(wanted, &fitting))
            }
            _ => Err(self.several(wanted, &fitting)),
        }
    }

    /// Explains why a database service was taken although others have the role too.
    fn preferred(&self, role: Role, chosen: &Service) -> Option<String> {
        if role != Role::Db || self.named.is_some() {
            return None;
        }
        let others: BTreeSet<String> = self
            .with_role(Role::Db)
            .filter(|member| member.service != chosen.service)
            .map(|member| escape(&member.service))
            .collect();
        if others.is_empty() || !role::is_database_name(&chosen.service) {
            return None;
        }
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        Some(format!(
            "service `{}` is taken by its name for the database of the project, not {others}; `--container NAME` names another",
            escape(&chosen.service)
        ))
    }

    /// The containers of a service, else the one with that name.
    fn by_service(&self, name: &str) -> Vec<&Service> {
        let service: Vec<&Service> = self.members.iter().filter(|member| member.service == name).collect();
        if service.is_empty() {
            return self.members.iter().filter(|member| member.container.name == name).collect();
        }
        service
    }

    fn nobody(&self, wanted: &ContainerSelector) -> Error {
        let services: BTreeSet<String> = self.members.iter().map(|member| escape(&member.service)).collect();
        let other = self.members.iter().find(|member| member.role.is_none() && member.container.is_running());
        let other = other.map_or("SERVICE", |member| member.service.as_str());
        let services = services.into_iter().collect::<Vec<_>>().join(", ");
        let (what, role) = match wanted {
            ContainerSelector::Service(name) => (format!("no service or container `{}`", escape(name)), None),
            ContainerSelector::Backend => ("no backend".to_owned(), Some(Role::Backend)),
            ContainerSelector::Db => ("no database".to_owned(), Some(Role::Db)),
        };
        let mut message = format!("{self} has {what}; its services: {services}");
        if role == Some(Role::Db) {
            for miss in self.members.iter().filter_map(Service::near_miss) {
                message.push_str("\n  ");
                message.push_str(&miss);
            }
        }
        let error = error::target(message);
        match role {
            Some(Role::Backend) if !services.is_empty() => error
                .hint(format!("name a service in its place: `envctl shell {}`", shell_word(other)))
                .hint("name the container with `--container NAME`")
                .hint("label the service `envctl.role: backend`, or name it in envctl.toml"),
            Some(role) => error
                .hint("name the container with `--container NAME`")
                .hint(format!("label the service `envctl.role: {role}`, or name it in envctl.toml")),
            None => error,
        }
    }

    fn several(&self, wanted: &ContainerSelector, fitting: &[&Service]) -> Error {
        let role = match wanted {
            ContainerSelector::Db => "database",
            ContainerSelector::Backend | ContainerSelector::Service(_) => "backend",
        };
        let question = format!("{self}: several services may be the {role}");
        ambiguous(question, self.candidates(fitting)).hint(format!(
            "label one service `envctl.role: {}` for good, or name it in envctl.toml",
            if *wanted == ContainerSelector::Db { Role::Db } else { Role::Backend }
        ))
    }

    /// Refuses two containers with one number; those without a number are one such pair.
    fn unique(&self, replicas: &[&Service]) -> Result<()> {
        let numbers: BTreeSet<Option<u32>> = replicas.iter().map(|member| member.number).collect();
        if numbers.len() == replicas.len() && (numbers.len() == 1 || !numbers.contains(&None)) {
            return Ok(());
        }
        let service = replicas.first().map(|member| escape(&member.service)).unwrap_or_default();
        let question = format!("{self}: several containers claim to be the same replica of `{service}`");
        Err(ambiguous(question, self.candidates(replicas)))
    }

    fn replica<'a>(&self, replicas: &[&'a Service], number: u32) -> Result<&'a Service> {
        if let Some(member) = replicas.iter().find(|member| member.number == Some(number)) {
            return Ok(member);
        }
        let known: Vec<String> =
            replicas.iter().filter_map(|member| Some(member.number?.to_string())).collect();
        let service = replicas.first().map(|member| escape(&member.service)).unwrap_or_default();
        let error = error::target(format!("{self}: `{service}` has no replica {number}"));
        Err(match known.as_slice() {
            [] => error.hint("leave out `--index`: its containers have no numbers"),
            known => error.note(format!("there is `--index` {}", known.join(", "))),
        })
    }

    fn candidates(&self, members: &[&Service]) -> Vec<Candidate> {
        members.iter().map(|member| Candidate::of_member(self, member)).collect()
    }
}

/// The members of the one service whose name says that it is the project's database (`db`, and not `keycloak-db`);
/// `None` where no service or several have such a name.
fn named_for_the_database<'a>(fitting: &[&'a Service]) -> Option<Vec<&'a Service>> {
    let named: Vec<&Service> =
        fitting.iter().copied().filter(|member| role::is_database_name(&member.service)).collect();
    let services: BTreeSet<&str> = named.iter().map(|member| member.service.as_str()).collect();
    (services.len() == 1).then_some(named)
}

/// Reports whether the container of `--container` fits the selector, by role or by name. A container without a
/// role fits both roles.
fn fits(member: &Service, wanted: &ContainerSelector) -> bool {
    match wanted {
        ContainerSelector::Backend => member.role != Some(Role::Db),
        ContainerSelector::Db => member.role != Some(Role::Backend),
        ContainerSelector::Service(name) => *name == member.service || *name == member.container.name,
    }
}

fn siblings(replicas: &[&Service], chosen: &Service) -> Vec<ContainerInfo> {
    (replicas.iter())
        .filter(|member| member.container.id != chosen.container.id && member.container.is_running())
        .map(|member| member.container.clone())
        .collect()
}
