//! A throwaway container: a server of a given image, without network, that is removed whatever happens.
//!
//! Promises: nothing of the host is mounted and no port is open; its data lie in a volume of its own, which goes with
//! it; whatever a killed envctl leaves, the next run removes as it removes workers, by the lock of a private
//! directory; discovery passes over it.

pub(crate) mod spec;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::consent::Disposable;
use crate::docker::Container;
use crate::docker::engine::Engine;
use crate::docker::throwaway::spec::ThrowawaySpec;
use crate::error::{self, Result};
use crate::fsutil::private_dir::PrivateDir;

/// A throwaway container that runs.
pub(crate) struct Throwaway {
    container: Container,
    /// Held for as long as the container is in use.
    _lock: PrivateDir,
}

impl Disposable for Throwaway {}

impl Throwaway {
    /// Creates and starts a throwaway container. Do not drop the future: a container that is still being made would stay until the next
    /// run. `private_dirs` is the parent of the private directories of workers.
    ///
    /// # Errors
    /// Kind `Docker`: there is no such image, or the engine refuses. `Failed`: no lock can be made. In every case
    /// nothing of it is left.
    pub(crate) async fn start(
        engine: &Arc<dyn Engine>,
        spec: ThrowawaySpec,
        private_dirs: &Path,
    ) -> Result<Self> {
        let lock = PrivateDir::make(private_dirs).map_err(|cause: io::Error| {
            error::failed(format!("no lock can be made in {}", private_dirs.display())).because(cause)
        })?;
        let spec = ThrowawaySpec { private_dir: lock.path().to_owned(), ..spec };
        let name = spec.name();
        let started = async {
            engine.throwaway_create(&spec).await?;
            engine.container_start(&name).await?;
            let info = engine.inspect(&name).await?;
            info.ok_or_else(|| error::docker(format!("the container {name} is gone already")))
        };
        match started.await {
            Ok(info) => Ok(Self { container: Container::new(engine, info), _lock: lock }),
            Err(cause) => {
                let _ = engine.worker_remove(&name).await;
                Err(cause)
            }
        }
    }

    /// The container, as every operation in a container takes it.
    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    /// Kills the container and removes it with its volume.
    ///
    /// # Errors
    /// Kind `Docker`: the engine refuses; the next run removes the container.
    pub(crate) async fn remove(self) -> Result<()> {
        self.container.engine().worker_remove(&self.container.id).await
    }
}
