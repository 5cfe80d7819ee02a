//! Role of a container: the database, the backend, or neither, with its confidence.
//!
//! Promises: a database is known by postgres as its process (its command, or the engine's list of its processes) or by
//! PGDATA in its image's own configuration. An image's name and `POSTGRES_*` variables never make one: backends,
//! exporters and backup jobs share them.

use std::fmt;

use crate::docker::ContainerInfo;

use super::evidence::{Evidence, EvidenceSource};
use super::labels::ContainerLabels;
use crate::environment::selector::ProfileRule;
use crate::text::escape::escape;

/// Role of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The application that holds the migrations.
    Backend,
    /// The database server.
    Db,
}

impl Role {
    /// `backend` or `db`.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Db => "db",
        }
    }

    fn parse(argument: &str) -> Option<Self> {
        match argument.to_ascii_lowercase().as_str() {
            "backend" => Some(Self::Backend),
            "db" | "database" => Some(Self::Db),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}

/// Confidence of a role, weakest first. Among the services of one place those with the highest confidence count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Confidence {
    /// A part of the name; PGDATA of an image whose container runs something else.
    Likely,
    /// The exact name `backend`; postgres as the process.
    Plain,
    /// Holds the migration tool.
    HasTool,
    /// `envctl.role`.
    Labelled,
    /// `envctl.toml`.
    Configured,
}

/// One container's claim to a role.
#[derive(Clone, Debug)]
pub(crate) struct RoleEvidence {
    pub(crate) role: Role,
    pub(crate) confidence: Confidence,
    pub(crate) evidence: Evidence,
}

impl RoleEvidence {
    fn new(role: Role, confidence: Confidence, text: impl Into<String>) -> Self {
        let source = match confidence {
            Confidence::Configured => EvidenceSource::Config,
            Confidence::Labelled => EvidenceSource::Label,
            _ => EvidenceSource::Convention,
        };
        Self { role, confidence, evidence: Evidence::new(source, text) }
    }
}

/// Returns the role of a container with its evidence. The rule of the profile outweighs the container's own marks.
pub(crate) fn role_evidence(
    container: &ContainerInfo,
    marks: &ContainerLabels,
    rule: Option<&ProfileRule>,
) -> Option<RoleEvidence> {
    rule.and_then(|rule| by_rule(container, marks, rule)).or_else(|| by_itself(container, marks))
}

fn by_rule(container: &ContainerInfo, marks: &ContainerLabels, rule: &ProfileRule) -> Option<RoleEvidence> {
    let named = |wanted: &Option<String>| {
        wanted.as_deref().is_some_and(|name| name == marks.service || name == container.name)
    };
    let role = match (named(&rule.db), named(&rule.backend)) {
        (true, _) => Role::Db,
        (false, true) => Role::Backend,
        (false, false) => return None,
    };
    Some(RoleEvidence::new(
        role,
        Confidence::Configured,
        format!("`{}` is the {role} in envctl.toml", escape(&marks.service)),
    ))
}

/// Returns the role of a container with its evidence, by the container's own marks alone.
pub(crate) fn by_itself(container: &ContainerInfo, marks: &ContainerLabels) -> Option<RoleEvidence> {
    if let Some(role) = marks.role.as_deref().and_then(Role::parse) {
        return Some(RoleEvidence::new(role, Confidence::Labelled, format!("label envctl.role={role}")));
    }
    // Any other role on the label says that it is neither of the two.
    if marks.role.is_some() {
        return None;
    }
    database(container).or_else(|| backend(container, &marks.service))
}

fn database(container: &ContainerInfo) -> Option<RoleEvidence> {
    if runs_postgres(&container.command) {
        return Some(RoleEvidence::new(Role::Db, Confidence::Plain, "postgres is its process"));
    }
    if container.processes.iter().flatten().any(|line| is_postmaster(line)) {
        return Some(RoleEvidence::new(Role::Db, Confidence::Plain, "postgres runs in it"));
    }
    let image = container.image_config.as_ref()?;
    let pgdata = has_variable(&image.env, "PGDATA");
    (pgdata || runs_postgres(&image.command)).then(|| {
        let what = if pgdata { "its image sets PGDATA" } else { "its image starts postgres" };
        RoleEvidence::new(Role::Db, Confidence::Likely, what)
    })
}

/// Reports whether only its processes can tell if a container is a database: something speaks for one, and neither its command
/// nor a label settles it.
pub(crate) fn is_in_doubt(container: &ContainerInfo) -> bool {
    let marks = ContainerLabels::read(container);
    if marks.role.is_some() || runs_postgres(&container.command) {
        return false;
    }
    let image = container.image_config.as_ref();
    let image_speaks = image
        .is_some_and(|image| has_variable(&image.env, "PGDATA") || runs_postgres(&image.command))
        || image_is_postgres(&container.image);
    let service_speaks = is_database_name(&marks.service)
        || (hint_of_database(container).is_some() && backend(container, &marks.service).is_none());
    image_speaks || service_speaks
}

/// Names that people give to the one database of a project.
const DATABASE_NAMES: &[&str] = &["db", "database", "postgres", "postgresql", "pg"];

/// Reports whether a service is named for being the database, and not for what uses it (`keycloak-db`).
pub(crate) fn is_database_name(service: &str) -> bool {
    DATABASE_NAMES.iter().any(|name| service.eq_ignore_ascii_case(name))
}

/// Reports whether a process is a PostgreSQL server or one of its children, by its command line.
fn is_postmaster(line: &str) -> bool {
    let program = line.split_ascii_whitespace().next().unwrap_or_default();
    matches!(basename(program).trim_end_matches(':'), "postgres" | "postmaster")
}

fn backend(container: &ContainerInfo, service: &str) -> Option<RoleEvidence> {
    let shown = escape(service);
    if let Some(tool) = &container.migration_tool {
        return Some(RoleEvidence::new(
            Role::Backend,
            Confidence::HasTool,
            format!("holds the migration tool {}", escape(tool)),
        ));
    }
    if service.eq_ignore_ascii_case("backend") {
        return Some(RoleEvidence::new(Role::Backend, Confidence::Plain, "its name is `backend`"));
    }
    let part = service.split(['-', '_']).find(|part| {
        ["backend", "api", "app", "web", "server"].iter().any(|known| part.eq_ignore_ascii_case(known))
    })?;
    // An exporter called postgres-server or a job called app-db-backup is no backend.
    if supports_database(container) {
        return None;
    }
    let text = if part.len() == service.len() {
        format!("its name is `{shown}`")
    } else {
        format!("its name `{shown}` has `{}` in it", escape(part))
    };
    Some(RoleEvidence::new(Role::Backend, Confidence::Likely, text))
}

/// Returns signs of a database that do not suffice for the role, for the message that no database was found.
pub(crate) fn hint_of_database(container: &ContainerInfo) -> Option<String> {
    let variable = container.env.iter().find_map(|pair| {
        let name = pair.split('=').next().unwrap_or(pair);
        (name.starts_with("POSTGRES_") || name.starts_with("POSTGRESQL_") || name == "PGDATA").then_some(name)
    });
    let image = image_is_postgres(&container.image).then(|| format!("image {}", escape(&container.image)));
    let variable = variable.map(|name| format!("variable {}", escape(name)));
    let support: Vec<String> = image.into_iter().chain(variable).collect();
    (!support.is_empty()).then(|| support.join(", "))
}

fn supports_database(container: &ContainerInfo) -> bool {
    image_is_postgres(&container.image)
}

/// Reports whether the image's own name (without registry, tag, digest) suggests a postgres server.
fn image_is_postgres(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or(image);
    let name = name.split(':').next().unwrap_or(name).to_ascii_lowercase();
    ["postgres", "postgis", "pgvector", "timescale", "spilo"].iter().any(|known| name.contains(known))
}

fn has_variable(env: &[String], name: &str) -> bool {
    env.iter().any(|pair| pair.split_once('=').is_some_and(|(key, value)| key == name && !value.is_empty()))
}

/// Reports whether the command starts the server: past inits, user changers and entrypoint scripts, the program is
/// `postgres` or `postmaster`. A word further on (`psql -U postgres`, `--user postgres`) is an argument.
pub(crate) fn runs_postgres(command: &[String]) -> bool {
    let mut arguments = command.iter().map(String::as_str).flat_map(in_shell).peekable();
    while let Some(argument) = arguments.next() {
        match basename(argument) {
            "postgres" | "postmaster" => return true,
            "gosu" | "su-exec" => {
                arguments.next();
            }
            "tini" | "docker-init" | "dumb-init" | "catatonit" | "exec" | "env" | "sh" | "bash" | "--"
            | "-g" | "-s" | "-c" | "-ec" | "-e" => {}
            script if is_entrypoint(script) => {}
            _ => return false,
        }
    }
    false
}

/// The words of a script given to `sh -c`, or the word itself.
fn in_shell(argument: &str) -> impl Iterator<Item = &str> {
    argument.split_ascii_whitespace()
}

fn is_entrypoint(name: &str) -> bool {
    name.contains("entrypoint")
}

fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_told_from_what_only_names_it() {
        for (command, is) in [
            ("docker-entrypoint.sh postgres", true),
            ("docker-entrypoint.sh postgres -c shared_buffers=1GB", true),
            ("/usr/local/bin/docker-entrypoint.sh postgres", true),
            ("/usr/lib/postgresql/15/bin/postgres -D /data", true),
            ("/sbin/docker-init -- docker-entrypoint.sh postgres", true),
            ("tini -- gosu postgres postgres", true),
            ("sh -c|exec postgres -D /data", true),
            ("postmaster", true),
            ("docker-entrypoint.sh sh -c|while true; do pg_dump; done", false),
            ("psql -U postgres", false),
            ("gosu postgres /backup.sh", false),
            ("/bin/postgres_exporter --user postgres", false),
            ("node server.js postgres", false),
            ("", false),
        ] {
            // A bar stands before a word that has spaces in it.
            let (arguments, script) = command.split_once('|').unwrap_or((command, ""));
            let mut command: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            command.extend((!script.is_empty()).then(|| script.to_owned()));
            assert_eq!(runs_postgres(&command), is, "{command:?}");
        }
    }

    #[test]
    fn the_server_is_told_by_its_processes() {
        for (line, is) in [
            ("postgres", true),
            ("postgres: checkpointer", true),
            ("/opt/bitnami/postgresql/bin/postgres -D /bitnami/postgresql/data", true),
            ("postmaster", true),
            ("postgres_exporter --port 1", false),
            ("psql -U postgres", false),
            ("pg_dump postgres", false),
            ("node server.js postgres", false),
            ("", false),
        ] {
            assert_eq!(is_postmaster(line), is, "{line}");
        }
    }

    #[test]
    fn images_are_known_by_their_own_name() {
        for (image, is) in [
            ("postgres:15", true),
            ("registry.example:5000/library/postgres@sha256:00", true),
            ("postgis/postgis:16-3.4", true),
            ("postgres-tools/backend:1", false),
            ("node:20", false),
        ] {
            assert_eq!(image_is_postgres(image), is, "{image}");
        }
    }
}
