//! Search for the project: `envctl.toml` found upwards, else a compose file.
//!
//! Promise: looks only, upwards from a folder; a folder that may not be listed is passed over.

use std::path::{Path, PathBuf};

/// The name of a project's configuration file.
pub(crate) const FILE_NAME: &str = "envctl.toml";

/// Result of the search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Project {
    /// The folder of `envctl.toml`, else the nearest one with a compose file.
    pub(crate) folder: Option<PathBuf>,
    /// `envctl.toml`.
    pub(crate) file: Option<PathBuf>,
}

/// Looks upwards from `start`, an absolute path. `envctl.toml` anywhere above wins over a compose file
/// that is nearer: somebody wrote it to say where the project is.
pub(crate) fn find(start: &Path) -> Project {
    let file = start.ancestors().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file());
    let folder = match &file {
        Some(file) => file.parent(),
        None => start.ancestors().find(|folder| holds_compose_file(folder)),
    };
    Project { folder: folder.map(Path::to_owned), file }
}

pub(crate) fn holds_compose_file(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // By its name first: a folder may hold thousands of others.
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_compose_file))
        .any(|entry| entry.path().is_file())
}

/// `compose.yml`, `docker-compose.dev.yaml`, `compose.prod.yml` and the like.
pub(crate) fn is_compose_file(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml")) else {
        return false;
    };
    stem == "compose" || stem.starts_with("compose.") || stem.starts_with("docker-compose")
}

/// Reports whether a file that was found, not named, may make envctl run commands.
/// The file has to belong to the user or to root. Otherwise anybody who can write to a folder above (`/tmp`) could
/// choose what runs. Git has the same rule.
pub(crate) fn is_trusted(file: &Path, uid: Option<u32>) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let owner = std::fs::metadata(file).map(|metadata| metadata.uid()).ok();
        uid.is_none_or(|uid| owner.is_some_and(|owner| owner == uid || owner == 0))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, uid);
        true
    }
}
