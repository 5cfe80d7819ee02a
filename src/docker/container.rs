//! One container on its engine: the handle that every operation in a container takes.

use std::ops::Deref;
use std::sync::Arc;

use super::container_info::ContainerInfo;
use super::engine::Engine;
use crate::error::Result;

/// Container on the engine that runs it. Cheap to clone; derefs to the facts of the last look.
#[derive(Clone)]
pub(crate) struct Container {
    engine: Arc<dyn Engine>,
    info: Arc<ContainerInfo>,
}

impl Container {
    /// Joins the facts about a container with the engine that reported them.
    pub(crate) fn new(engine: &Arc<dyn Engine>, info: ContainerInfo) -> Self {
        Self { engine: engine.clone(), info: Arc::new(info) }
    }

    /// Returns the engine that runs the container.
    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Asks the engine for the container's present facts; `None` when the container does not exist any more.
    ///
    /// # Errors
    /// Kind `Docker`: the engine could not be asked.
    pub(crate) async fn inspect(&self) -> Result<Option<ContainerInfo>> {
        self.engine.inspect(&self.info.id).await
    }
}

impl Deref for Container {
    type Target = ContainerInfo;

    fn deref(&self) -> &ContainerInfo {
        &self.info
    }
}
