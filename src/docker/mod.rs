//! The one door to Docker. Nothing outside this folder names bollard or speaks HTTP.
//!
//! [`context`] decides which daemon, [`client`] speaks to it, [`engine`] is all that is asked of it, [`observe`] sees what runs,
//! [`exec`] is one command in a container, [`proven`] one whose output is proven whole, [`attach`] one
//! with a person or a pipe on our side, [`worker`] a tool beside a container whose bytes pass the daemon by.

pub mod attach;
mod body;
pub mod client;
pub mod container;
pub mod context;
pub mod demux;
pub mod end;
pub mod engine;
pub mod exec;
#[cfg(test)]
mod exec_tests;
pub mod forward;
mod http;
mod listed;
pub mod observe;
pub mod proof;
pub mod proven;
#[cfg(test)]
mod proven_tests;
pub mod reaper;
#[cfg(test)]
pub(crate) mod scripted;
pub mod spill;
mod ssh;
#[cfg(feature = "tls")]
mod tls;
pub mod tool;
mod transport;
pub mod tty;
pub mod worker;

pub use container::Container;
pub use engine::Engine;
pub use exec::{Exec, ExecSpec};
pub use listed::Listed;
pub use transport::{BoxIo, Io};
