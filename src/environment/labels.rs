//! One container's own marks: what compose, swarm, podman-compose and envctl wrote on it.
//!
//! Promises: reads, never judges; an empty or a malformed value is no value. Sources: compose's `pkg/api/labels.go`,
//! swarmkit's task labels, podman-compose (writes both families, leaves out config-hash and oneoff, and
//! names its files relative to the working directory).

use crate::docker::ContainerInfo;

use crate::environment::container_name::ParsedName;

/// Names the stack, whatever the project is called.
pub(crate) const LABEL_STACK: &str = "envctl.stack";
pub(crate) const LABEL_PROFILE: &str = "envctl.profile";
/// `backend` or `db`.
pub(crate) const LABEL_ROLE: &str = "envctl.role";
/// `true`: destroying is refused whatever the flags.
pub(crate) const LABEL_PROTECTED: &str = "envctl.protected";
/// On every container that envctl itself starts; discovery passes over them.
pub(crate) const LABEL_WORKER: &str = "envctl.worker";

/// Origin of a container: one compose project in one directory, or one swarm stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ComposeProject {
    pub(crate) project: String,
    pub(crate) directory: Option<String>,
}

/// Labels and names of one container, as discovery reads them.
#[derive(Clone, Debug)]
pub(crate) struct ContainerLabels {
    /// `None` for a container that no orchestrator labelled.
    pub(crate) place: Option<ComposeProject>,
    /// The service as compose or swarm call it, else what the container's name says.
    pub(crate) service: String,
    /// The replica's number, from 1.
    pub(crate) number: Option<u32>,
    pub(crate) config_files: Vec<String>,
    /// The container's name taken apart, where there is no place.
    pub(crate) plain: Option<ParsedName>,
    /// A task of a swarm: its exited predecessors stay listed beside it.
    pub(crate) swarm_task: bool,
    pub(crate) stack: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) protected: bool,
}

/// A label that is there and says something.
fn label<'a>(container: &'a ContainerInfo, key: &str) -> Option<&'a str> {
    container.label(key).map(str::trim).filter(|value| !value.is_empty())
}

/// A compose label in either family.
fn compose<'a>(container: &'a ContainerInfo, key: &str) -> Option<&'a str> {
    label(container, &format!("com.docker.compose.{key}"))
        .or_else(|| label(container, &format!("io.podman.compose.{key}")))
}

/// Returns the reason why a container is no part of any stack; `None` where it may be.
pub(crate) fn passed_over(container: &ContainerInfo) -> Option<&'static str> {
    if container.label(LABEL_WORKER).is_some() {
        return Some("envctl's own worker");
    }
    let oneoff = compose(container, "oneoff");
    if oneoff.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Some("one-off container");
    }
    if compose(container, "hook").is_some() {
        return Some("hook container");
    }
    // Compose 1.23 put a slug on service containers too; those say oneoff=False.
    if compose(container, "slug").is_some() && oneoff.is_none() {
        return Some("one-off container");
    }
    None
}

impl ContainerLabels {
    pub(crate) fn read(container: &ContainerInfo) -> Self {
        let mut marks = Self::origin(container);
        marks.stack = label(container, LABEL_STACK).map(str::to_owned);
        marks.profile = label(container, LABEL_PROFILE).map(str::to_owned);
        marks.role = label(container, LABEL_ROLE).map(str::to_owned);
        marks.protected = label(container, LABEL_PROTECTED).is_some_and(|value| !is_no(value));
        marks
    }

    fn origin(container: &ContainerInfo) -> Self {
        if let Some(project) = compose(container, "project") {
            return Self::of_compose(container, project);
        }
        Self::of_swarm(container).unwrap_or_else(|| Self::of_name(&container.name))
    }

    fn of_compose(container: &ContainerInfo, project: &str) -> Self {
        let directory = compose(container, "project.working_dir").map(without_trailing_slash);
        Self {
            place: Some(ComposeProject { project: project.to_owned(), directory }),
            service: compose(container, "service").unwrap_or(&container.name).to_owned(),
            number: compose(container, "container-number").and_then(replica_number),
            config_files: compose(container, "project.config_files")
                .map(|files| files.split(',').map(|file| file.trim().to_owned()).collect())
                .unwrap_or_default(),
            ..Self::empty()
        }
    }

    fn of_swarm(container: &ContainerInfo) -> Option<Self> {
        let full = label(container, "com.docker.swarm.service.name")?;
        // Tasks are called SERVICE.SLOT.ID, those of global services SERVICE.NODE.ID.
        let number = label(container, "com.docker.swarm.task.name")
            .and_then(|task| task.strip_prefix(full)?.strip_prefix('.')?.split('.').next())
            .and_then(replica_number);
        let Some(stack) = label(container, "com.docker.stack.namespace") else {
            return Some(Self { number, swarm_task: true, ..Self::of_name(full) });
        };
        let short = full.strip_prefix(stack).and_then(|rest| rest.strip_prefix('_')).unwrap_or(full);
        Some(Self {
            place: Some(ComposeProject { project: stack.to_owned(), directory: None }),
            service: short.to_owned(),
            number,
            swarm_task: true,
            ..Self::empty()
        })
    }

    fn of_name(name: &str) -> Self {
        let plain = ParsedName::parse(name);
        Self { service: plain.service.clone(), number: plain.number, plain: Some(plain), ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            place: None,
            service: String::new(),
            number: None,
            config_files: Vec::new(),
            plain: None,
            swarm_task: false,
            stack: None,
            profile: None,
            role: None,
            protected: false,
        }
    }
}

/// A replica's number. Compose counts from 1: a zero would come before every real one.
fn replica_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number > 0)
}

/// A protection that was misspelt still protects: only a clear no lifts it.
fn is_no(value: &str) -> bool {
    ["false", "no", "off", "0"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

fn without_trailing_slash(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { path } else { trimmed }.to_owned()
}
