//! The one door to Docker. Nothing outside this folder names bollard or speaks HTTP.
//!
//! [`context`] decides which daemon, [`client`] speaks to it, [`engine`] is all that is asked of it,
//! [`crate::docker::inspect_all`] sees what runs, [`exec`] is one command in a container,
//! [`crate::docker::exec::verified_stream`] one whose output is verified whole, [`crate::docker::exec::interactive`]
//! one with a person or a pipe on our side, [`worker`] a tool beside a container whose bytes pass the daemon by.

pub(crate) mod client;
pub(crate) mod container;
pub(crate) mod container_info;
pub(crate) mod container_summary;
pub(crate) mod context;
pub(crate) mod engine;
pub(crate) mod exec;
#[cfg(test)]
mod exec_tests;
#[cfg(test)]
pub(crate) mod fake_engine;
pub(crate) mod forward;
pub(crate) mod inspect_all;
#[cfg(test)]
mod proven_tests;
pub(crate) mod throwaway;
pub(crate) mod worker;

pub(crate) use crate::docker::exec::spec::ExecSpec;
pub(crate) use container::Container;
pub(crate) use container_info::ContainerInfo;
pub(crate) use container_summary::ContainerSummary;
pub(crate) use engine::Engine;
pub(crate) use exec::Exec;
