//! A container that is there and cannot be used: the precise state, and the command that changes it.

use crate::docker::container_info::ContainerState;
use crate::error::{self, Error};

use super::labels::ContainerLabels;
use crate::environment::model::{Environment, Service};
use crate::text::escape::escape;
use crate::text::shell_word::shell_word;

/// Returns the error of a verb on a container that does not run; `None` where the container runs. Health refuses
/// nothing: the user may be about to repair a database that fails its check.
pub(crate) fn refusal(environment: &Environment, member: &Service) -> Option<Error> {
    let container = &member.container;
    let name = shell_word(&container.name);
    let start = format!("run `docker start {name}`");
    let hints = match container.state {
        ContainerState::Running => return None,
        ContainerState::Paused => vec![format!("run `docker unpause {name}`")],
        ContainerState::Restarting => {
            vec![format!("run `docker logs --tail 50 {name}` to see why it keeps ending")]
        }
        ContainerState::Removing => vec!["wait until it is gone".to_owned(), up(environment, member, "run")],
        ContainerState::Dead => vec![format!("run `docker rm {name}`"), up(environment, member, "then run")],
        ContainerState::Created | ContainerState::Exited(0) => vec![start, up(environment, member, "or run")],
        ContainerState::Exited(_) => {
            vec![
                format!("run `docker logs --tail 50 {name}` to see why it ended"),
                start,
                up(environment, member, "or run"),
            ]
        }
        ContainerState::Other(_) => vec![format!("run `docker inspect {name}`")],
    };
    let state = match &container.state {
        ContainerState::Created => "was created and never started".to_owned(),
        ContainerState::Exited(code) => format!("has exited with code {code}"),
        ContainerState::Other(part) => format!("is in state `{}`, which envctl does not know", escape(part)),
        state => format!("is {state}"),
    };
    let what = member.role.map_or_else(|| escape(&member.service), |role| role.keyword().to_owned());
    let error =
        error::target(format!("{environment}: {what} container `{}` {state}", escape(&container.name)));
    Some(hints.into_iter().filter(|hint| !hint.is_empty()).fold(error, Error::hint))
}

/// The compose command that brings the service up with the files it was started from.
fn up(environment: &Environment, member: &Service, how: &str) -> String {
    let marks = ContainerLabels::read(&member.container);
    let (Some(project), false) = (&environment.project, marks.swarm_task) else {
        return String::new();
    };
    let mut parts = vec!["docker compose -p".to_owned(), shell_word(project)];
    parts.extend(marks.config_files.iter().flat_map(|file| ["-f".to_owned(), shell_word(file)]));
    parts.extend(["up -d".to_owned(), shell_word(&member.service)]);
    let change = environment.directory.iter().map(|directory| format!("cd {} && ", shell_word(directory)));
    let command = change.chain([parts.join(" ")]).collect::<String>();
    format!("{how} `{command}`")
}
