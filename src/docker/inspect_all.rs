//! Everything that runs, in as few rounds as the engine allows: each round is a wait before the first byte of every command.
//!
//! Promises: a container that vanishes or hangs in between is left out and keeps nobody waiting; each image is asked for
//! once, and at the same time as the containers.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};

use super::container_info::{ContainerInfo, ImageConfig};
use super::engine::Engine;
use crate::docker::container_summary::ContainerSummary;
use crate::error::Result;

/// Questions that are open at a time.
const AT_ONCE: usize = 8;

/// Time limit for the inspection of one container; a listing leaves out a container that takes longer.
pub(crate) const INSPECT_LIMIT: Duration = Duration::from_secs(10);

/// Longest wait for the processes of one container.
const TOP_LIMIT: Duration = Duration::from_secs(3);

/// One container; none when it has vanished, or when the daemon holds it so long that it cannot be worked
/// with now (a start or a stop that hangs must not hang every command).
async fn look(engine: &Arc<dyn Engine>, id: &str) -> Result<Option<ContainerInfo>> {
    tokio::time::timeout(INSPECT_LIMIT, engine.inspect(id)).await.unwrap_or(Ok(None))
}

/// Looks at these containers of a listing: every container and every image side by side. Then the processes of the
/// running containers for which `is_in_doubt` holds are listed: a round of its own, and only where it tells something.
///
/// # Errors
/// Kind `Docker`: the engine cannot be asked. A container that vanishes in between is left out.
pub(crate) async fn observe(
    engine: &Arc<dyn Engine>,
    listed: Vec<ContainerSummary>,
    is_in_doubt: impl Fn(&ContainerInfo) -> bool,
) -> Result<Vec<ContainerInfo>> {
    let images = once(listed.iter().filter_map(|line| line.image_id.clone()));
    let looking = futures::stream::iter(listed)
        .map(|line| async move { look(engine, &line.id).await })
        .buffered(AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect();
    let (mut containers, mut configs): (Vec<ContainerInfo>, _) =
        futures::try_join!(looking, configs(engine, images))?;
    let known = |id: &String| configs.iter().any(|(known, _)| known == id);
    // An engine that lists no images, or names them otherwise there than it does here.
    let left = once(containers.iter().map(|container| container.image_id.clone()).filter(|id| !known(id)));
    configs.extend(self::configs(engine, left).await?);
    for container in &mut containers {
        container.image_config =
            configs.iter().find(|(id, _)| *id == container.image_id).and_then(|(_, config)| config.clone());
    }
    let in_doubt = containers.iter_mut().filter(|container| container.is_running() && is_in_doubt(container));
    futures::stream::iter(in_doubt)
        .for_each_concurrent(AT_ONCE, |container| async {
            // An engine that does not tell leaves the doubt as it is.
            let asking = tokio::time::timeout(TOP_LIMIT, engine.top(&container.id)).await;
            container.processes = asking.ok().and_then(Result::ok);
        })
        .await;
    Ok(containers)
}

type Configs = Vec<(String, Option<ImageConfig>)>;

async fn configs(engine: &Arc<dyn Engine>, images: Vec<String>) -> Result<Configs> {
    futures::stream::iter(images)
        .map(|id| async move { engine.image(&id).await.map(|config| (id, config)) })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

fn once(images: impl Iterator<Item = String>) -> Vec<String> {
    let mut images: Vec<String> = images.collect();
    images.sort();
    images.dedup();
    images
}
