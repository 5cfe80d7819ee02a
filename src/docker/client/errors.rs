//! Refusals of a daemon as errors of envctl, with what to type next.

use crate::error;
use crate::error::Error;

/// The daemon's refusal in our words: which class it is, and what to do.
pub(crate) fn refusal(status: u16, reason: &str, what: &str) -> Error {
    let lower = reason.to_lowercase();
    let text = format!("{what}: {reason}");
    match status {
        404 => error::target(text).hint("see what runs: `envctl status`"),
        409 if lower.contains("paused") => error::target(text).hint("resume it: `docker unpause NAME`"),
        409 if lower.contains("restarting") => {
            error::target(text).note("it is between two starts").hint("see why: `envctl logs`")
        }
        409 => error::target(text).hint("start it: `docker start NAME`, or `docker compose up -d`"),
        400 if lower.contains("too new") || lower.contains("too old") => {
            error::docker(text).note("this engine speaks another API version").hint("upgrade the older side")
        }
        401 | 403 => error::docker(text)
            .note("the daemon refuses this user")
            .hint("ask who runs it, or take another `--context`"),
        _ => error::docker(text).hint("read the daemon's log: `journalctl -u docker`"),
    }
}
