//! `--container`: the environment of the one container that is named.
//!
//! Promises: a full name wins over an id's beginning; other flags may agree with the container and never
//! overrule it.

use globset::Glob;

use crate::docker::ContainerInfo;
use crate::error::{self, Result};

use super::candidate::{Candidate, ambiguous};
use super::labels::ContainerLabels;
use super::profile::{self, Profile};
use super::role;
use crate::environment::model::{Environment, Inventory, Service};
use crate::environment::select_environment::decided_by_flag;
use crate::environment::selector::TargetRequest;
use crate::text::escape::escape;

impl Inventory {
    /// The environment of the container that `--container` names.
    pub(crate) fn around(&self, name: &str, request: &TargetRequest) -> Result<Environment> {
        let name = name.trim_start_matches('/');
        let members = || {
            self.environments.iter().flat_map(|other| other.members.iter().map(move |member| (other, member)))
        };
        let by_name: Vec<_> = members().filter(|(_, member)| member.container.name == name).collect();
        let is_id = !name.is_empty() && name.chars().all(|c| c.is_ascii_hexdigit());
        let by_id = || {
            members()
                .filter(|(_, member)| is_id && member.container.id.starts_with(&name.to_ascii_lowercase()))
        };
        let found = if by_name.is_empty() { by_id().collect() } else { by_name };
        match found.as_slice() {
            [(environment, member)] => agree((*environment).clone(), member.container.id.clone(), request),
            [] => self.passed_over_named(name, is_id, request),
            several => {
                let candidates =
                    several.iter().map(|(environment, member)| Candidate::of_member(environment, member));
                Err(ambiguous(format!("several containers begin with `{}`", escape(name)), candidates))
            }
        }
    }

    /// A one-off container may be named; it joins the environment of its project.
    fn passed_over_named(&self, name: &str, is_id: bool, request: &TargetRequest) -> Result<Environment> {
        let mut fitting = self.passed_over.iter().map(|(container, _)| container).filter(|container| {
            container.name == name || (is_id && container.id.starts_with(&name.to_ascii_lowercase()))
        });
        let (Some(container), None) = (fitting.next(), fitting.next()) else {
            return Err(self.nothing(&format!("no container `{}`", escape(name))));
        };
        let marks = ContainerLabels::read(container);
        let home = self.environments.iter().find(|other| {
            marks.place.as_ref().is_some_and(|place| {
                other.project.as_ref() == Some(&place.project) && other.directory == place.directory
            })
        });
        let mut environment = home.cloned().unwrap_or_else(|| Environment::around(container, &marks));
        environment.members.push(Service::named(container, &marks));
        agree(environment, container.id.clone(), request)
    }
}

/// The environment of a named container, if the other flags say nothing else.
fn agree(mut environment: Environment, id: String, request: &TargetRequest) -> Result<Environment> {
    environment.named = Some(id);
    let container = request.container.as_deref().map(escape).unwrap_or_default();
    let fits = |pattern: &String| {
        *pattern == environment.stack
            || Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(&environment.stack))
    };
    if !request.stacks.is_empty() && !request.stacks.iter().any(fits) {
        return Err(error::target(format!(
            "container `{container}` belongs to {environment}, not to the stack of `--stack`"
        ))
        .hint("leave out `--stack` or `--container`"));
    }
    if let Some(wanted) = &request.profile {
        let name = profile::normalise(wanted);
        match (&environment.profile.name, name) {
            (None, Some(name)) => environment = decided_by_flag(environment, &name)?,
            (known, name) if *known != name => {
                let because = environment.profile.because();
                let wanted = escape(wanted);
                return Err(error::target(format!(
                    "container `{container}` belongs to {environment}, not to {wanted}: {because}"
                ))
                .hint("leave out the profile's flag or `--container`"));
            }
            _ => {}
        }
    }
    Ok(Environment { chosen_because: "--container".to_owned(), ..environment })
}

impl Environment {
    /// The surroundings of a container that belongs to nothing that was seen.
    fn around(container: &ContainerInfo, marks: &ContainerLabels) -> Self {
        let project = marks.place.as_ref().map(|place| place.project.clone());
        Self {
            stack: project.clone().unwrap_or_else(|| container.name.clone()),
            profile: Profile::unknown(Vec::new()),
            evidence: Vec::new(),
            project,
            directory: marks.place.as_ref().and_then(|place| place.directory.clone()),
            chosen_because: String::new(),
            members: Vec::new(),
            protected: marks.protected,
            named: None,
        }
    }
}

impl Service {
    /// A one-off container, with the role its own marks give it.
    fn named(container: &ContainerInfo, marks: &ContainerLabels) -> Self {
        let role_evidence = role::by_itself(container, marks);
        Self {
            container: container.clone(),
            service: marks.service.clone(),
            number: marks.number,
            role: role_evidence.as_ref().map(|role_evidence| role_evidence.role),
            evidence: role_evidence.into_iter().map(|role_evidence| role_evidence.evidence).collect(),
            hint: None,
        }
    }
}
