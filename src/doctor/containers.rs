//! A stack's containers: what does not run, what does not serve, what cannot be told apart.
//!
//! Promise: the words and commands about a container that cannot be used are those of every other verb.

use super::{CheckFinding, StackPlace};
use crate::docker::container_info::{ContainerState, Health};
use crate::environment::selector::ContainerSelector;
use crate::environment::{Environment, Role, Service};
use crate::text::shell_word::shell_word;

/// Returns the findings about an environment's containers, one line where all is well.
pub(crate) fn judge(environment: &Environment, place: &StackPlace) -> Vec<CheckFinding> {
    if !environment.is_up() {
        return vec![stopped(environment, place)];
    }
    let mut findings: Vec<CheckFinding> =
        [(Role::Db, ContainerSelector::Db), (Role::Backend, ContainerSelector::Backend)]
            .iter()
            .filter_map(|(role, wanted)| usable(environment, *role, wanted))
            .collect();
    let told =
        |member: &Service| findings.iter().any(|finding| finding.what.contains(&member.container.name));
    let of_members: Vec<CheckFinding> = environment
        .members
        .iter()
        .filter(|member| member.container.is_running() || !told(member))
        .filter_map(ailing)
        .collect();
    findings.extend(of_members);
    if environment.profile.is_disputed() {
        findings.push(
            CheckFinding::warning(
                "containers",
                format!(
                    "which profile it is cannot be told and it counts as production: {}",
                    environment.profile.because()
                ),
            )
            .next("say it in envctl.toml (`[profiles.NAME] project = \"…\"`), or with the label `envctl.profile`"),
        );
    }
    if findings.is_empty() {
        let count = environment.members.len();
        let noun = if count == 1 { "container" } else { "containers" };
        findings.push(CheckFinding::ok("containers", format!("{count} {noun}, all as they should be")));
    }
    findings.into_iter().map(|finding| finding.at(place)).collect()
}

/// A stack that somebody stopped is no fault, but in production.
fn stopped(environment: &Environment, place: &StackPlace) -> CheckFinding {
    let what = match environment.members.len() {
        1 => "its only container does not run".to_owned(),
        n => format!("none of its {n} containers runs"),
    };
    if !environment.profile.is_prod() {
        return CheckFinding::note("containers", what).at(place);
    }
    let finding = CheckFinding::problem("containers", what).at(place);
    match environment.pick(&ContainerSelector::Db, None) {
        Err(error) if environment.with_role(Role::Db).next().is_some() => finding.explained_by(&error),
        _ => finding.next("start it where its compose file lies: `docker compose up -d`"),
    }
}

/// Checks that commands find the one container of a role.
fn usable(environment: &Environment, role: Role, wanted: &ContainerSelector) -> Option<CheckFinding> {
    let error = match environment.pick(wanted, None) {
        Ok(target) => return target.preferred.map(|reason| CheckFinding::note("containers", reason)),
        Err(error) => error,
    };
    let members: Vec<&Service> = environment.with_role(role).collect();
    let runs = members.iter().any(|member| member.container.is_running());
    let what = error.full_message();
    let finding = match (role, members.as_slice()) {
        // A stack without a backend is a database, and one without a database has it elsewhere.
        (Role::Db, []) => CheckFinding::note("containers", what),
        (_, []) => return None,
        // The hints name the states; what runs cannot be told apart.
        _ if runs => CheckFinding::warning("containers", what),
        _ => CheckFinding::problem("containers", what),
    };
    Some(finding.explained_by(&error))
}

/// Checks the state and health of one container, whatever its role.
fn ailing(member: &Service) -> Option<CheckFinding> {
    let container = &member.container;
    let name = shell_word(&container.name);
    let logs = format!("its logs say why: `docker logs --tail 50 {name}`");
    let shown = &container.name;
    match (&container.state, container.health) {
        (ContainerState::Restarting, _) => {
            Some(CheckFinding::problem("containers", format!("container {shown} keeps restarting")).next(logs))
        }
        (ContainerState::Running, Health::Unhealthy) => Some(
            CheckFinding::problem("containers", format!("container {shown} fails its health check"))
                .next(format!(
                    "see what the check says: `docker inspect --format '{{{{json .State.Health}}}}' {name}`"
                ))
                .next(logs),
        ),
        (ContainerState::Running, Health::Starting) => {
            Some(CheckFinding::note("containers", format!("container {shown} is still starting")))
        }
        (ContainerState::Paused, _) => Some(
            CheckFinding::warning("containers", format!("container {shown} is paused"))
                .next(format!("resume it: `docker unpause {name}`")),
        ),
        (ContainerState::Dead, _) => Some(
            CheckFinding::warning("containers", format!("container {shown} is dead: Docker could not remove it"))
                .next(format!("try again: `docker rm --force {name}`")),
        ),
        // Work that is done ends with 0: migrations, seeds. 130 and 143 are somebody's signal.
        (ContainerState::Exited(code), _) if ![0, 130, 143].contains(code) => Some(
            CheckFinding::warning("containers", format!("container {shown} has ended with code {code}"))
                .next(logs),
        ),
        (ContainerState::Running, _) if member.role == Some(Role::Db) && is_bare(member) => Some(
            CheckFinding::note(
                "containers",
                format!(
                    "in container {shown} postgres is process 1: a process of `docker exec` that loses its parent and \
                     dies by a signal makes it end all sessions and go through crash recovery"
                ),
            )
            .next("give the service an init: `init: true` in its compose file"),
        ),
        _ => None,
    }
}

/// Warns of a postmaster that is process 1 where the commands of envctl run without a reaper, for this reason.
pub(crate) fn unprotected(name: &str, why: &str, place: &StackPlace) -> CheckFinding {
    CheckFinding::warning(
        "containers",
        format!(
            "container {name} {why}: a process that `envctl shell` or `envctl exec` leaves there makes postgres, which is \
             process 1, end all sessions and go through crash recovery when it dies by a signal"
        ),
    )
    .next("give the service an init: `init: true` in its compose file")
    .at(place)
}

/// Reports whether the postmaster is process 1 without an init, and has to reap orphans (reliability §1).
fn is_bare(member: &Service) -> bool {
    let container = &member.container;
    let program = container.command.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let ends_as_postgres = ["postgres", "docker-entrypoint.sh"].contains(&program);
    !container.init && ends_as_postgres
}

#[cfg(test)]
#[path = "containers_tests.rs"]
mod tests;
