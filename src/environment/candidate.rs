//! Candidates of an ambiguous selector, one line each, with the flag that picks the candidate.
//!
//! Promises: every line names project, directory, container, state and flag; typed, the flag picks exactly
//! that candidate; every foreign string is escaped.

use std::fmt;

use crate::error::{self, Error};

use super::role::Role;
use crate::environment::model::{Environment, Service};
use crate::text::escape::escape;
use crate::text::shell_word::shell_word;

/// One line of an error that lists what could have been meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// Stack and profile: `acme prod`.
    pub(crate) environment: String,
    /// The compose project or swarm stack, if any.
    pub(crate) project: Option<String>,
    /// The directory the project was started in, if known.
    pub(crate) directory: Option<String>,
    pub(crate) container: String,
    /// State of the container, as the engine names it.
    pub(crate) state: String,
    /// Flag that picks this candidate.
    pub(crate) flag: String,
}

impl Candidate {
    /// An environment, shown by its database, else its backend, else its first container.
    pub(crate) fn of_environment(environment: &Environment, flag: String) -> Option<Self> {
        Some(Self { flag, ..Self::of_member(environment, shown(environment)?) })
    }

    /// One container of an environment, picked by its name.
    pub(crate) fn of_member(environment: &Environment, member: &Service) -> Self {
        Self {
            environment: environment.to_string(),
            project: environment.project.clone(),
            directory: environment.directory.clone(),
            container: member.container.name.clone(),
            state: member.container.state.to_string(),
            flag: container_flag(member),
        }
    }
}

fn shown(environment: &Environment) -> Option<&Service> {
    (environment.with_role(Role::Db).next())
        .or_else(|| environment.with_role(Role::Backend).next())
        .or_else(|| environment.members.first())
}

/// `--container NAME`, or the id where there is no name.
fn container_flag(member: &Service) -> String {
    let container = &member.container;
    let name = if container.name.is_empty() { &container.id } else { &container.name };
    format!("--container {}", shell_word(name))
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.environment)?;
        if let Some(project) = &self.project {
            write!(f, "project {}, ", escape(project))?;
        }
        if let Some(directory) = &self.directory {
            write!(f, "in {}, ", escape(directory))?;
        }
        write!(f, "container {} {}  {}", escape(&self.container), escape(&self.state), self.flag)
    }
}

/// An ambiguity (kind `Target`): the question on the first line, each candidate on its own.
pub(crate) fn ambiguous(
    question: impl fmt::Display,
    candidates: impl IntoIterator<Item = Candidate>,
) -> Error {
    let mut candidates: Vec<Candidate> = candidates.into_iter().collect();
    candidates.sort();
    let lines: Vec<String> =
        std::iter::once(question.to_string()).chain(candidates.iter().map(ToString::to_string)).collect();
    let error = error::target(lines.join("\n  "));
    match candidates.first() {
        Some(candidate) => {
            error.hint(format!("add the flag at the end of a line, such as `{}`", candidate.flag))
        }
        None => error,
    }
}

/// The environments as candidates. `all` is everything that was seen: a flag has to single an environment
/// out among all of them, not only among those listed.
pub(crate) fn listed(environments: &[&Environment], all: &[Environment]) -> Vec<Candidate> {
    let several_stacks = environments.iter().any(|environment| environment.stack != environments[0].stack);
    environments
        .iter()
        .filter_map(|environment| {
            Candidate::of_environment(environment, flag(environment, all, several_stacks))
        })
        .collect()
}

fn flag(environment: &Environment, all: &[Environment], with_stack: bool) -> String {
    let of_stack = || all.iter().filter(|other| other.stack == environment.stack);
    let same = of_stack().filter(|other| other.profile.name == environment.profile.name).count();
    let awkward =
        environment.stack.contains(['*', '?', '[', ']', '{', '}', '\\']) || environment.stack.is_empty();
    if same > 1 || awkward {
        return shown(environment).map(container_flag).unwrap_or_default();
    }
    let mut parts = Vec::new();
    if with_stack {
        parts.push(format!("--stack {}", shell_word(&environment.stack)));
    }
    if of_stack().count() > 1 || !with_stack {
        parts.push(environment.profile.flag());
    }
    parts.join(" ")
}
