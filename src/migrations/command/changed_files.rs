//! Files that a tool has written, found by comparing listings from before and after.
//!
//! Promises: by content and not by time, which differs between a container and the host behind a bind mount; nothing is
//! written in the container.

use std::collections::BTreeSet;

use super::resolved_tool::ResolvedTool;
use crate::docker::exec::{CAPTURE_LIMIT, CommandOutput};
use crate::error::{self, Result};

/// A file that a tool has made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedFile {
    /// Relative to the tool's directory.
    pub(crate) path: String,
    /// True where the file was there before.
    pub(crate) changed: bool,
    /// Present content of the file.
    pub(crate) bytes: Vec<u8>,
}

/// Checksum, size and path of every file that could be a migration.
pub(crate) type Listing = BTreeSet<String>;

/// Packages and histories, in which nobody's migrations are.
const PASSED_OVER: &[&str] = &["node_modules", ".git", "vendor", ".venv", "venv", "__pycache__"];

/// Lists the files that `tool` could have written. `call` runs a program in the tool's directory.
///
/// # Errors
/// Kind `Tool`: no `find` in the image.
pub(crate) async fn listing(
    tool: &ResolvedTool,
    call: impl AsyncFn(&[String]) -> Result<CommandOutput>,
) -> Result<Listing> {
    // A folder that may not be read makes `find` end with 1, with everything else in its output.
    let listed = call(&find(tool.writes)).await?;
    Ok(listed.text().lines().map(str::to_owned).collect())
}

pub(crate) fn find(writes: &[&str]) -> Vec<String> {
    let mut argv = vec!["find", ".", "("];
    for (at, name) in PASSED_OVER.iter().enumerate() {
        argv.extend(if at == 0 { &[][..] } else { &["-o"] });
        argv.extend(["-name", name]);
    }
    argv.extend([")", "-prune", "-o", "-type", "f", "("]);
    for (at, pattern) in writes.iter().enumerate() {
        argv.extend(if at == 0 { &[][..] } else { &["-o"] });
        argv.extend(["-path", pattern]);
    }
    argv.extend([")", "-exec", "cksum", "{}", "+"]);
    argv.into_iter().map(str::to_owned).collect()
}

/// Returns the files that are new or changed since `before`, with their content.
///
/// # Errors
/// Errors of [`listing`]. Kind `Tool`: a file cannot be read, or its size is not that of a migration.
pub(crate) async fn find_changes(
    before: &Listing,
    tool: &ResolvedTool,
    container: &str,
    call: impl AsyncFn(&[String]) -> Result<CommandOutput>,
) -> Result<Vec<ChangedFile>> {
    let after = listing(tool, &call).await?;
    let mut files = Vec::new();
    for (path, changed) in differences(before, &after) {
        let read = call(&["cat", "--", &path].map(str::to_owned)).await?;
        if read.exit_code != 0 || read.stdout.len() >= CAPTURE_LIMIT {
            return Err(error::tool(format!("{path} cannot be read in container {container}"))
                .hint(format!("see it there: `envctl exec backend -- cat {}/{path}`", tool.dir)));
        }
        files.push(ChangedFile { path, changed, bytes: read.stdout });
    }
    Ok(files)
}

/// `CHECKSUM SIZE ./PATH` lines that were not there, as paths and whether another line had the path.
pub(crate) fn differences(before: &Listing, after: &Listing) -> Vec<(String, bool)> {
    let path = |line: &str| -> Option<String> {
        let path = line.splitn(3, ' ').nth(2)?;
        Some(path.strip_prefix("./").unwrap_or(path).to_owned())
    };
    let known: BTreeSet<String> = before.iter().filter_map(|line| path(line)).collect();
    let new = after.difference(before).filter_map(|line| path(line));
    let mut found: Vec<(String, bool)> = new.map(|path| (path.clone(), known.contains(&path))).collect();
    found.sort();
    found
}
