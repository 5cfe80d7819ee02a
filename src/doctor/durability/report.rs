//! Observed facts that decide whether a database survives.

use super::probe::{self, ContainerProbe};
use crate::docker::ContainerInfo;
use crate::docker::container_info::ImageConfig;
use crate::postgres::server_durability::ServerDurability;
use crate::postgres::version::ServerVersion;

/// Observed facts that decide whether a database survives.
#[derive(Clone, Debug)]
pub(crate) struct DurabilityReport {
    /// The container: mounts, ports, image.
    pub(crate) container: ContainerInfo,
    /// Image that the container's image reference names on this engine now; `None` where there is none.
    pub(crate) named_image: Option<ImageConfig>,
    /// Facts from inside the container; `None` where no command could be run.
    pub(crate) probe: Option<ContainerProbe>,
    /// Settings of the server; `None` where the server was not asked.
    pub(crate) server: Option<ServerDurability>,
    pub(crate) version: Option<ServerVersion>,
}

impl DurabilityReport {
    /// Directory of the cluster without symbolic links, as far as the container was asked.
    pub(super) fn data_directory(&self) -> Option<String> {
        let real = self.probe.as_ref().map(|probe| probe.directory.clone()).filter(|path| !path.is_empty());
        real.or_else(|| data_directory(&self.container, self.server.as_ref()))
    }

    /// Number of the device that the cluster lies on, where the container runs under the kernel of this host.
    pub(crate) fn device_here(&self) -> Option<u64> {
        let probe = self.probe.as_ref()?;
        let here = std::fs::read_to_string(probe::BOOT_ID).ok()?;
        (!probe.boot_id.is_empty() && here.trim() == probe.boot_id).then_some(probe.device)?
    }
}

/// Directory of the cluster: of the server's own setting, else the variable of the image.
pub(super) fn data_directory(container: &ContainerInfo, server: Option<&ServerDurability>) -> Option<String> {
    let own = server.and_then(|server| server.data_directory.clone());
    own.or_else(|| container.env("PGDATA").map(str::to_owned)).filter(|path| path.starts_with('/'))
}
