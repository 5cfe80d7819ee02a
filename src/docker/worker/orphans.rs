//! Workers of whatever envctl, as the engine lists them, and which of them killed runs have left.
//!
//! Promises: only a worker of this machine is ever taken for left, in a place that was named, and only by what cannot
//! be said of a living one: nobody holds its private directory's lock, or the private directory is gone and the
//! worker does not run. Private directories are looked at on a thread of their own, since a directory on a server
//! that is gone hangs whoever looks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::docker::engine::Engine;
use crate::docker::worker::worker_spec::OrphanWorker;
use crate::fsutil::private_dir;

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
    use crate::docker::worker::machine_id::{named, this_machine};
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
