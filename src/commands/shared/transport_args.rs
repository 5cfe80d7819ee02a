//! The options about the way that the bytes of a dump take.

use crate::app::App;
use crate::config::Settings;
use crate::docker::worker::worker_spec::ResourceLimits;
use crate::error::Result;
use crate::postgres::tools::runner::TransportOptions;

/// Options for the transport of a dump, and for the resources of a worker.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct TransportArgs {
    /// worker (a container beside the database), exec (through the daemon) or auto
    #[arg(long, value_name = "WAY")]
    transport: Option<String>,
    /// The most memory a worker may use: 512m
    #[arg(long, value_name = "SIZE", value_parser = crate::config::memory)]
    worker_memory: Option<u64>,
    /// How many processors a worker may use: 1.5
    #[arg(long, value_name = "N", value_parser = crate::config::cpus)]
    worker_cpus: Option<f64>,
}

impl TransportArgs {
    /// With the settings behind it.
    ///
    /// # Errors
    /// Kind `Usage`: an unknown word.
    pub(crate) fn options(&self, app: &App, settings: &Settings) -> Result<TransportOptions> {
        let usual = &settings.workers;
        Ok(TransportOptions {
            transport: self.transport.as_deref().unwrap_or(&usual.transport).parse()?,
            private_dirs: app.private_dirs(),
            elsewhere: app.all_private_dirs(),
            disk: None,
            worker_min_size: usual.min_size,
            limits: ResourceLimits {
                memory: self.worker_memory.or(usual.memory),
                cpus: self.worker_cpus.or(usual.cpus),
            },
        })
    }
}
