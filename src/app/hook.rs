//! Hooks: commands of the configuration that get the result of a backup on stdin.
//!
//! Promises: a hook that fails is a warning and never the failure of a backup; it and its children end after [`LIMIT`];
//! its stdout goes to our stderr, because ours is the answer; no message shows its arguments, which may hold a token.

use std::convert::Infallible;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::App;

/// Time limit of a hook.
const LIMIT: Duration = Duration::from_mins(1);

impl App {
    /// Runs a hook with a document on its stdin; warns where it fails. `key` is its key in the configuration.
    pub(crate) async fn run_hook(&self, key: &str, argv: &[String], document: String) {
        let Some((program, arguments)) = argv.split_first() else { return };
        let warn = |failure: String| self.ui.warn(&format!("`{program}` of `{key}` {failure}"));
        let mut command = Command::new(program);
        // A group of its own: it can be ended together with what it has started.
        command.args(arguments).stdin(Stdio::piped()).stdout(std::io::stderr()).process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(cause) => return warn(format!("cannot be started: {cause}")),
        };
        match tokio::time::timeout(LIMIT, feed(&mut child, document)).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => warn(format!("ended with {status}")),
            Ok(Err(cause)) => warn(format!("cannot be waited for: {cause}")),
            Err(_) => {
                end_group(&child);
                let _ = child.wait().await;
                warn(format!("was not done within {} s; it was ended", LIMIT.as_secs()));
            }
        }
    }
}

/// Writes the document to stdin and waits for the end; one that reads nothing is not wrong.
async fn feed(child: &mut Child, document: String) -> std::io::Result<std::process::ExitStatus> {
    let stdin = child.stdin.take();
    let writing = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(document.as_bytes()).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        status = child.wait() => status,
        never = writing => match never {},
    }
}

fn end_group(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
    }
}
