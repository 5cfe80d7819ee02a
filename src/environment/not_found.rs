//! Errors for a target that was not found: the request, the inventory, and hints.

use crate::error::{self, Error};

use super::candidate::{Candidate, ambiguous, listed};
use crate::environment::model::{Environment, Inventory, Service};
use crate::text::escape::escape;
use crate::text::shell_word::shell_word;

impl Inventory {
    /// The error (kind `Target`) that nothing fits. `asked` is what nothing was found for, a phrase; empty
    /// where nothing particular was asked.
    pub(crate) fn nothing(&self, asked: &str) -> Error {
        let applications: Vec<&Environment> =
            self.environments.iter().filter(|other| other.is_application()).collect();
        if !applications.is_empty() {
            let asked = if asked.is_empty() { "no stack fits" } else { asked };
            return ambiguous(
                format!("{asked}; these are there"),
                listed_in_full(&applications, &self.environments),
            );
        }
        let asked = if asked.is_empty() { String::new() } else { format!("{asked}: ") };
        let members: Vec<&Service> = self.environments.iter().flat_map(|other| &other.members).collect();
        if members.is_empty() {
            return error::target(format!("{asked}the daemon has no containers"))
                .hint("start the stack with `docker compose up -d`")
                .hint("name its daemon if it runs on another one: `--context NAME` or `--host URL`");
        }
        let misses = members.iter().filter_map(|member| member.near_miss());
        let lines: Vec<String> =
            std::iter::once(format!("{asked}{}", seen(&members))).chain(misses).collect();
        error::target(lines.join("\n  "))
            .hint("start the stack with `docker compose up -d`, or name a container with `--container NAME`")
            .hint("label a database that is not recognised `envctl.role: db`, on its service")
    }
}

impl Service {
    /// Explains why the container is no database although its hint suggests one.
    pub(crate) fn near_miss(&self) -> Option<String> {
        let hint = self.hint.as_ref()?;
        let name = escape(&self.container.name);
        Some(format!(
            "{name} speaks of postgres ({hint}) but neither sets PGDATA in its image nor runs postgres"
        ))
    }
}

/// Returns the number of containers that run, and the names of the first ten.
fn seen(members: &[&Service]) -> String {
    let names: Vec<String> = members.iter().take(10).map(|member| escape(&member.container.name)).collect();
    let more = if members.len() > names.len() { ", …" } else { "" };
    let running = members.iter().filter(|member| member.container.is_running()).count();
    let verb = if running == 1 { "container runs" } else { "containers run" };
    let stopped = match members.len() - running {
        0 => String::new(),
        stopped => format!(" ({stopped} more do not)"),
    };
    format!("{running} {verb}{stopped}, none belongs to a stack with a database: {}{more}", names.join(", "))
}

/// With `--stack` on every line, for a question that no stack answered.
fn listed_in_full(environments: &[&Environment], all: &[Environment]) -> Vec<Candidate> {
    let mut candidates = listed(environments, all);
    for (candidate, environment) in candidates.iter_mut().zip(environments) {
        if !candidate.flag.contains("--stack") && !candidate.flag.contains("--container") {
            candidate.flag = format!("--stack {} {}", shell_word(&environment.stack), candidate.flag);
        }
    }
    candidates
}
