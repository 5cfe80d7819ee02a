//! Containers for tests, as short to write as they are to say.

use crate::docker::ContainerInfo;
use crate::docker::container_info::{ContainerState, Health, ImageConfig};
use crate::environment::selector::{ProfileRule, ProjectRules, TargetRequest};
use crate::environment::{Environment, Inventory, Role};
use crate::error::{Error, ErrorKind};

/// A container started by hand.
pub(crate) fn plain(name: &str) -> ContainerInfo {
    // Distinct, stable ids: FNV-1a of the name, in 64 hex digits.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    ContainerInfo {
        id: format!("{hash:016x}").repeat(4),
        name: name.to_owned(),
        image: "acme/thing:1".to_owned(),
        image_id: "sha256:00".to_owned(),
        state: ContainerState::Running,
        health: Health::None,
        labels: [].into(),
        env: Vec::new(),
        command: vec!["sleep".to_owned()],
        image_config: Some(ImageConfig::default()),
        init: false,
        addresses: [].into(),
        mounts: None,
        published: Vec::new(),
        host_network: false,
        created: "2026-01-01T00:00:00Z".to_owned(),
        started: "2026-01-01T00:00:01Z".to_owned(),
        migration_tool: None,
        processes: None,
    }
}

/// Replica 1 of a compose service, in `/srv/acme`.
pub(crate) fn service(project: &str, service: &str) -> ContainerInfo {
    plain(&format!("{project}-{service}-1"))
        .with("com.docker.compose.project", project)
        .with("com.docker.compose.service", service)
        .with("com.docker.compose.container-number", "1")
        .with("com.docker.compose.oneoff", "False")
        .with("com.docker.compose.project.working_dir", "/srv/acme")
}

/// A compose service `db` that runs postgres.
pub(crate) fn db(project: &str) -> ContainerInfo {
    service(project, "db").postgres()
}

/// A compose service `backend`.
pub(crate) fn backend(project: &str) -> ContainerInfo {
    service(project, "backend")
}

/// Backend and database of a project, in a directory.
pub(crate) fn stack(project: &str, directory: &str) -> Vec<ContainerInfo> {
    vec![backend(project).at(directory), db(project).at(directory)]
}

pub(crate) trait Build: Sized {
    fn with(self, label: &str, value: &str) -> Self;
    fn named(self, name: &str) -> Self;
    fn number(self, number: &str) -> Self;
    fn at(self, directory: &str) -> Self;
    fn files(self, files: &str) -> Self;
    fn state(self, state: ContainerState) -> Self;
    fn postgres(self) -> Self;
    fn pgdata(self) -> Self;
    fn holds(self, tool: &str) -> Self;
}

impl Build for ContainerInfo {
    fn with(mut self, label: &str, value: &str) -> Self {
        self.labels.insert(label.to_owned(), value.to_owned());
        self
    }

    fn named(self, name: &str) -> Self {
        let id = plain(name).id;
        Self { name: name.to_owned(), id, ..self }
    }

    /// Another replica, with the name that compose gives it.
    fn number(self, number: &str) -> Self {
        let name =
            self.name.rsplit_once('-').map_or(self.name.clone(), |(stem, _)| format!("{stem}-{number}"));
        self.named(&name).with("com.docker.compose.container-number", number)
    }

    /// Another checkout, with an id of its own.
    fn at(self, directory: &str) -> Self {
        let id = plain(&format!("{}{directory}", self.name)).id;
        Self { id, ..self }.with("com.docker.compose.project.working_dir", directory)
    }

    fn files(self, files: &str) -> Self {
        self.with("com.docker.compose.project.config_files", files)
    }

    fn state(mut self, state: ContainerState) -> Self {
        self.state = state;
        self
    }

    fn postgres(mut self) -> Self {
        self.command = vec!["docker-entrypoint.sh".to_owned(), "postgres".to_owned()];
        self.image = "postgres:15".to_owned();
        self.pgdata()
    }

    fn pgdata(mut self) -> Self {
        self.image_config = Some(ImageConfig {
            env: vec!["PGDATA=/data".to_owned()],
            command: vec!["docker-entrypoint.sh".to_owned()],
            ..ImageConfig::default()
        });
        self
    }

    fn holds(mut self, tool: &str) -> Self {
        self.migration_tool = Some(tool.to_owned());
        self
    }
}

pub(crate) fn anything() -> TargetRequest {
    TargetRequest::default()
}

pub(crate) fn in_directory(directory: &str) -> TargetRequest {
    TargetRequest { project_dir: Some(directory.into()), ..anything() }
}

pub(crate) fn profile(name: &str) -> TargetRequest {
    TargetRequest { profile: Some(name.to_owned()), ..anything() }
}

pub(crate) fn stacks(globs: &[&str]) -> TargetRequest {
    TargetRequest { stacks: globs.iter().map(|glob| (*glob).to_owned()).collect(), ..anything() }
}

pub(crate) fn container(name: &str) -> TargetRequest {
    TargetRequest { container: Some(name.to_owned()), ..anything() }
}

pub(crate) fn ruled(stack: Option<&str>, profiles: &[(&str, ProfileRule)]) -> TargetRequest {
    let profiles = profiles.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect();
    TargetRequest { rules: ProjectRules { stack: stack.map(str::to_owned), profiles }, ..anything() }
}

/// `acme prod [project] db=a,b backend=c`: the environment in one line.
pub(crate) fn line(environment: &Environment) -> String {
    let names = |role| {
        environment.with_role(role).map(|member| member.container.name.as_str()).collect::<Vec<_>>().join(",")
    };
    let project = environment.project.as_deref().unwrap_or("-");
    format!("{environment} [{project}] db={} backend={}", names(Role::Db), names(Role::Backend))
}

pub(crate) fn lines(inventory: &Inventory) -> Vec<String> {
    inventory
        .stacks()
        .iter()
        .flat_map(|stack| stack.environments.iter().map(|environment| line(environment)))
        .collect()
}

/// The message of an error of kind `Target`, with its hints.
pub(crate) fn text(error: &Error) -> String {
    assert_eq!(error.kind(), ErrorKind::Target, "{error}");
    format!("{}\n{}", error.message(), [error.notes(), error.hints()].concat().join("\n"))
}

/// That every one of these stands in the error's words.
#[track_caller]
pub(crate) fn says<T: std::fmt::Debug>(result: crate::error::Result<T>, parts: &[&str]) {
    let text = text(&result.expect_err("an error was expected"));
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}
