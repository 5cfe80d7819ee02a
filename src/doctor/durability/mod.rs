//! Durability: whether the data of a database survives the next recreation of its container, the next pull of its image
//! and a connection from the network.
//!
//! Promises: one command in the container and one question about its image, side by side, beside the session that is
//! open; nothing is written; [`judge`] decides from the values alone.

mod findings;
mod probe;
mod report;

use crate::docker::{Container, ContainerInfo};
use crate::postgres::Access;
use crate::postgres::server_durability::ServerDurability;
pub(crate) use findings::judge;
pub(crate) use report::DurabilityReport;
use report::data_directory;

/// Looks at a running container. `server` and `access` are those of a session, where there is one.
pub(crate) async fn look(
    container: &Container,
    server: Option<ServerDurability>,
    access: Option<&Access>,
) -> DurabilityReport {
    let directory = data_directory(container, server.as_ref());
    let named = async {
        if findings::is_pinned(&container.image) {
            return None;
        }
        container.engine().image(&container.image).await.ok().flatten()
    };
    let (probe, named_image) = tokio::join!(probe::look(container, directory.as_deref(), access), named);
    DurabilityReport { container: ContainerInfo::clone(container), named_image, probe, server, version: None }
}
