//! Messages of an engine about a process that could not start.

/// Returns the engine's message where `stdout` is one about a process that could not start. The engine sends
/// such a message as stdout with exit code 126, 127 or 128 (moby `daemon/exec.go`; runc, crun).
pub(crate) fn start_failure(stdout: &[u8], exit_code: i64) -> Option<String> {
    const OPENINGS: &[&str] =
        &["OCI runtime", "exec failed", "unable to find user", "unable to find group", "crun:", "runc "];
    if !(126..=128).contains(&exit_code) || stdout.len() > 8192 {
        return None;
    }
    let text = String::from_utf8_lossy(stdout);
    let text = text.trim();
    OPENINGS.iter().any(|opening| text.starts_with(opening)).then(|| text.to_owned())
}
