//! What the tests against a real engine share: database containers of their own, a runner of the
//! binary, a fault proxy before the daemon, a terminal, and the invariants that hold after any fault.
//!
//! Promises: nothing here touches a container it has not started; whatever it started is removed when
//! the test binary ends, however it ends; nothing waits longer than its limit.
#![allow(dead_code, unused_imports, reason = "each test binary uses the part it needs")]
#![allow(
    clippy::collapsible_match,
    clippy::duration_suboptimal_units,
    clippy::needless_pass_by_value,
    clippy::unused_self,
    reason = "a fault is an arm and a helper a sentence, even where fewer words would do"
)]
#![allow(missing_docs, unreachable_pub, reason = "read by the tests beside it only")]

pub mod hints;
pub mod invariants;
pub mod pairs;
pub mod project;
pub mod proxy;
pub mod pty;
pub mod rig;
pub mod run;
pub mod shell;
pub mod store_proxy;
pub mod store_server;
pub mod timing;

pub use invariants::Snapshot;
pub use project::Project;
pub use proxy::{Down, Fault, Gate, On, Proxy, Rule, Up};
pub use rig::Server;
pub use run::{Finished, Running};
