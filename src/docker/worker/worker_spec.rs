//! Values by which an engine is asked for workers.

use std::path::{Path, PathBuf};

use crate::docker::worker::machine_id::{SEPARATOR, this_machine};
use crate::fsutil::private_dir::{self, DirOwner};
use crate::operation::OperationId;

/// Resource limits of a worker. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ResourceLimits {
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// Processors.
    pub(crate) cpus: Option<f64>,
}

/// A worker, as the engine is asked for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerSpec {
    /// The operation's id.
    pub(crate) operation: OperationId,
    /// The container's name.
    pub(crate) name: String,
    /// The image: the database container's own by its id, so that the tools are of its version, or one that was named.
    pub(crate) image: String,
    /// True where the worker reads stdin through the engine and ends when stdin ends.
    pub(crate) attach_stdin: bool,
    /// True where the worker runs a program of another image, in that image's own directory, with a writable `/tmp`.
    pub(crate) foreign_image: bool,
    /// The id of the container whose network it joins.
    pub(crate) network_of: String,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Variables. No secrets: whoever may ask the engine sees them.
    pub(crate) env: Vec<(String, String)>,
    /// `UID:GID`.
    pub(crate) user: String,
    /// The private directory on this host.
    pub(crate) private_dir: PathBuf,
    /// This machine: only its own envctl know whether a private directory is left.
    pub(crate) machine: String,
    /// True for a remote worker, which sees nothing of this host and reads and writes through the engine.
    pub(crate) remote: bool,
    /// A file or directory of this host that it may read, as [`ARCHIVE`].
    pub(crate) archive: Option<PathBuf>,
    /// Resource limits of the worker.
    pub(crate) limits: ResourceLimits,
}

/// Properties of an engine that decide whether workers can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EngineFeatures {
    /// Runs as an ordinary user, who is root in its containers.
    pub(crate) rootless: bool,
    /// Maps the users of containers to others of the host (`userns-remap`).
    pub(crate) user_namespaces: bool,
    /// Runs in a virtual machine of Docker Desktop.
    pub(crate) desktop: bool,
}

/// End of a worker, as reported by the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContainerExit {
    /// The tool's exit code; 128 and more for a signal.
    pub(crate) exit_code: i64,
    /// The kernel ended it for want of memory.
    pub(crate) out_of_memory: bool,
}

impl ContainerExit {
    /// Reports a tool that was ended by SIGKILL.
    pub(crate) fn is_killed(self) -> bool {
        self.exit_code == 128 + 9
    }
}

/// A worker of whatever envctl, as the engine lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrphanWorker {
    /// The container's id.
    pub(crate) id: String,
    pub(crate) operation: OperationId,
    /// The private directory that it says it has.
    pub(crate) private_dir: PathBuf,
    /// The machine of that private directory, in the words of [`this_machine`].
    pub(crate) machine: String,
    /// True where the worker runs or may still start. False where it has ended, or was not started for an hour.
    pub(crate) running: bool,
}

impl OrphanWorker {
    /// Reports whether the worker's private directory is on this machine. Only an envctl of the same machine can know
    /// whether the worker is an orphan.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.machine == this_machine()
    }

    /// The name of its machine, for people.
    pub(crate) fn host(&self) -> &str {
        self.machine.split_once(SEPARATOR).map_or(&*self.machine, |(host, _)| host)
    }

    /// Reports whether the worker is an orphan with its private directory in one of `homes`. Reads the disk.
    pub(crate) fn is_left(&self, homes: &[PathBuf]) -> bool {
        self.is_of_this_machine() && homes.iter().any(|home| self.is_left_in(home))
    }

    /// Reports whether the worker is an orphan with its private directory in `home`. Does not compare machines.
    pub(crate) fn is_left_in(&self, home: &Path) -> bool {
        match private_dir::standing(home, &self.private_dir) {
            DirOwner::Left => true,
            // The machine was started anew; or we cannot see it, as one in a unit's own `/tmp`.
            DirOwner::Gone => !self.running,
            DirOwner::Kept => false,
        }
    }
}
