//! Removal of workers that the engine was still creating when nobody needed them any more. The engine goes on creating
//! what was asked for, and only what is there can be removed.
//!
//! Promise: no operation waits for them; the command does at its end ([`finish`]), within a limit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::docker::engine::Engine;
use crate::error::Result;
use crate::sync::lock;

struct LateRemoval {
    engine: Arc<dyn Engine>,
    name: String,
    creating: JoinHandle<Result<()>>,
}

/// Of the process, since a command may end with an error from any depth and over several stacks.
static PENDING: Mutex<Vec<LateRemoval>> = Mutex::new(Vec::new());

/// Time limit for the removal of a worker, after which the removal is left to the next run.
const REMOVAL: Duration = Duration::from_secs(15);
/// Time limit for the engine to create what is then removed, at the end of a command.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);

/// Leaves a worker whose creation goes on to the end of the command.
pub(super) fn add(engine: Arc<dyn Engine>, name: String, creating: JoinHandle<Result<()>>) {
    lock(&PENDING).push(LateRemoval { engine, name, creating });
}

/// Removes each of them as soon as it is there. `tell` takes details for `-v`.
pub(crate) async fn finish(limit: Duration, mut tell: impl FnMut(String)) {
    let pending = std::mem::take(&mut *lock(&PENDING));
    let end = tokio::time::Instant::now() + limit;
    for LateRemoval { engine, name, mut creating } in pending {
        if !creating.is_finished() {
            tell(format!("waiting until Docker has created the worker {name}, to remove it"));
            if tokio::time::timeout_at(end, &mut creating).await.is_err() {
                tell(format!(
                    "Docker is still creating the worker {name} after {limit:?}; the next command removes it"
                ));
                continue;
            }
        }
        remove(&*engine, &name).await;
    }
}

/// Removes a worker within a time limit; what is not removed is left to the next run.
pub(super) async fn remove(engine: &dyn Engine, name: &str) {
    let _ = tokio::time::timeout(REMOVAL, engine.worker_remove(name)).await;
}
