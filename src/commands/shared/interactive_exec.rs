//! Shared parts of `shell`, `exec` and `psql`: target line, attached session, exit code of the child.

use crate::app::App;
use crate::commands::shared::context::StackContext;
use crate::docker::exec::interactive::{Outcome, converse};
use crate::docker::exec::kill_tree::SurvivingProcesses;
use crate::docker::exec::subreaper;
use crate::docker::{Container, ContainerInfo, ExecSpec};
use crate::environment::Target;
use crate::environment::selector::ContainerSelector;
use crate::error::{Error, ErrorKind, Result};
use crate::text::shell_word::shell_word;
use crate::ui::TargetLine;

impl StackContext {
    /// Returns the target line of a container that Docker alone knows about.
    pub(crate) fn target_line(&self, target: &Target) -> TargetLine {
        TargetLine {
            stack: target.stack.clone(),
            profile: target.profile.name.clone(),
            prod: target.profile.is_prod(),
            unknown: target.profile.is_unknown(),
            role_or_service: target.service.clone(),
            container: target.container.name.clone(),
            health: target.health_note(),
            context: self.daemon.context.clone(),
            database: None,
            because: None,
        }
    }

    /// Picks the container for a role, a service or a name, and tells it; `--container` names one whatever its role.
    ///
    /// # Errors
    /// Kind `Target`.
    pub(crate) fn any_container(&self, name: &str) -> Result<Container> {
        let index = self.settings.target.index;
        let picked = self.environment.named();
        let target =
            picked.unwrap_or_else(|| self.environment.pick(&ContainerSelector::parse(name), index))?;
        self.ui.target(&self.target_line(&target));
        Ok(self.daemon.container(&target.container))
    }
}

/// Holds the conversation and turns its end into the command's own exit code.
///
/// # Errors
/// Kind `Child` with the child's code; 126 and 127 with a word of ours when it could not be started.
pub(crate) async fn talk(app: &App, container: &Container, spec: &ExecSpec) -> Result<()> {
    app.ui.end_progress();
    let outcome = converse(container, spec, &app.cancel).await;
    tell_unprotected(app, container).await;
    match outcome? {
        Outcome::Exited(0) => Ok(()),
        Outcome::Exited(code) => Err(Error::new(ErrorKind::Child(code), "the command failed")),
        Outcome::ReaderGone(left) => Err(reader_gone(app, left.as_ref())),
        Outcome::NotStarted { code, text } => Err(not_started(code, &text, container, spec)),
    }
}

/// Tells under `-v` that a process which a command leaves may end all sessions of the database server, and why.
pub(crate) async fn tell_unprotected(app: &App, container: &Container) {
    if !app.ui.tells_details() {
        return;
    }
    if let Some(why) = subreaper::shortcoming(container).await {
        app.ui.detail(&format!(
            "container {} {why}: a process that a command leaves there becomes a child of PostgreSQL's process 1, which ends \
             all sessions and goes through crash recovery when it dies by a signal; `init: true` prevents it",
            container.name
        ));
    }
}

/// Whoever read our output has left, which is no failure of ours: quiet, as a program that SIGPIPE ended.
pub(crate) fn reader_gone(app: &App, left: Option<&SurvivingProcesses>) -> Error {
    if let Some(left) = left {
        app.ui.warn(&left.to_string());
    }
    Error::new(ErrorKind::Child(141), "the reader of the output closed the pipe")
}

/// Error for a command that the engine could not start, with a hint.
fn not_started(code: u8, text: &str, container: &ContainerInfo, spec: &ExecSpec) -> Error {
    let missing = text.contains("executable file not found") || text.contains("no such file or directory");
    // Older engines give 126 for a command that is not there; a shell gives 127.
    let code = if missing { 127 } else { code };
    let program = spec.program();
    let message = format!("`{program}` cannot be started in container {}: {text}", container.name);
    let hint = if text.contains("unable to find user") || text.contains("unable to find group") {
        format!("list the users there: `envctl exec {} -- cat /etc/passwd`", shell_word(&container.name))
    } else if text.contains("chdir") || text.contains("cwd") || text.contains("working directory") {
        "`-w` names a directory in the container".to_owned()
    } else if program == "sh" {
        format!("run a program that the image has: `envctl exec {} -- PROGRAM`", shell_word(&container.name))
    } else {
        format!(
            "list what there is: `envctl exec {} -- ls /usr/local/bin /usr/bin /bin`",
            shell_word(&container.name)
        )
    };
    Error::new(ErrorKind::NotStarted(code), message).hint(hint)
}
