//! Workers of whatever envctl, as the engine lists them, and which of them killed runs have left.
//!
//! Promises: only a worker of this machine is ever taken for left, in a place that was named, and only by what cannot
//! be said of a living one: nobody holds its private directory's lock, or the private directory is gone and the
//! worker does not run. Private directories are looked at on a thread of their own, since a directory on a server
//! that is gone hangs whoever looks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

use crate::docker::engine::Engine;
use crate::fsutil::private_dir;
use crate::fsutil::private_dir::DirOwner;
use crate::operation::OperationId;

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

const SEPARATOR: char = '@';

/// This machine: its name, and a word of its own, since many are called `localhost`. The identity is hashed as
/// machine-id(5) asks of whoever shows it to others.
pub fn this_machine() -> &'static str {
    static MACHINE: OnceLock<String> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let identity = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        named(&rustix::system::uname().nodename().to_string_lossy(), &identity)
    })
}

fn named(host: &str, identity: &str) -> String {
    let identity = identity.trim();
    if identity.is_empty() {
        return host.to_owned();
    }
    let hash = Sha256::new().chain_update("envctl.worker").chain_update(identity).finalize();
    let mut name = format!("{host}{SEPARATOR}");
    for byte in hash.iter().take(8) {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

/// Removes the workers and private directories that killed runs left in these places; gives the workers. Private
/// directories of others, and of those who live, are left alone.
pub(crate) async fn reap(engine: &Arc<dyn Engine>, homes: &[&Path]) -> Vec<OrphanWorker> {
    let homes: Vec<PathBuf> = homes.iter().map(|home| home.to_path_buf()).collect();
    let workers = engine.workers().await.unwrap_or_default();
    let seen = homes.clone();
    let look = move || workers.into_iter().filter(|worker| worker.is_left(&seen)).collect::<Vec<_>>();
    let mut reaped = Vec::new();
    for left in tokio::task::spawn_blocking(look).await.unwrap_or_default() {
        if engine.worker_remove(&left.id).await.is_ok() {
            reaped.push(left);
        }
    }
    // A panic in there is no reason to stop what the caller came for.
    let _ = tokio::task::spawn_blocking(move || homes.iter().for_each(|home| drop(private_dir::sweep(home))))
        .await;
    reaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsutil::private_dir::PrivateDir;

    fn left(private_dir: &Path, running: bool) -> OrphanWorker {
        OrphanWorker {
            id: "c0ffee".into(),
            operation: "op".into(),
            private_dir: private_dir.to_owned(),
            machine: this_machine().to_owned(),
            running,
        }
    }

    #[test]
    fn two_machines_of_one_name_are_two_machines() {
        assert_ne!(named("localhost", "4c4c"), named("localhost", "5d5d"));
        assert_eq!(named("runner", "\n"), "runner", "a container that has no identity has a name of its own");
        let worker = OrphanWorker { machine: named("runner", "4c4c"), ..left(Path::new("/run"), false) };
        assert_eq!(worker.host(), "runner");
        assert!(!worker.is_of_this_machine());
    }

    #[test]
    fn a_worker_is_an_orphan_when_nobody_locks_its_private_directory() {
        let home = tempfile::tempdir().unwrap();
        let homes = [home.path().to_owned()];
        let private_dir = PrivateDir::make(home.path()).unwrap();
        assert!(!left(private_dir.path(), true).is_left(&homes));
        assert!(
            !left(private_dir.path(), false).is_left(&homes),
            "its envctl still wants to know how it ended"
        );
        let unlocked = home.path().join("envctl-worker-0123456789abcdef");
        std::fs::create_dir(&unlocked).unwrap();
        std::fs::write(unlocked.join("lock"), "").unwrap();
        assert!(left(&unlocked, true).is_left(&homes));
        let elsewhere = OrphanWorker { machine: "localhost@0".into(), ..left(&unlocked, true) };
        assert!(!elsewhere.is_left(&homes));
    }

    #[test]
    fn a_worker_whose_private_directory_cannot_be_seen_is_an_orphan_only_if_it_does_not_run() {
        let home = tempfile::tempdir().unwrap();
        let unseen = home.path().join("envctl-worker-0123456789abcdef");
        let homes = [home.path().to_owned()];
        assert!(!left(&unseen, true).is_left(&homes), "another envctl's /tmp may hold it");
        assert!(left(&unseen, false).is_left(&homes), "the machine was started anew");
    }
}
