//! All databases of a server in one tar: `globals.sql`, what belongs to each database, and one proven dump of each.
//!
//! Promises: each dump in it is one that [`super::create`] has proven, with its own manifest; each is restored by its own
//! swap; `tar -xf`, `gunzip` and `psql` read it as well as envctl does. The dumps are of moments of their own: nothing
//! makes two databases stand still at once.

mod create;
mod globals;
mod name;
mod restore;
mod unpack;

pub use create::create_all;
pub use globals::{Roles, roles_of};
pub(super) use restore::create as create_roles;
pub use restore::{ClusterPlan, RestoredAll, missing_roles, run};
pub use unpack::{Held, Unpacked, is_cluster, unpack};

/// Roles and tablespaces, as `pg_dumpall --globals-only` writes them. It holds the roles' password hashes.
const GLOBALS: &str = "globals.sql";
/// Owner, encoding, locale and settings by database.
const PROPERTIES: &str = "properties.json";
/// The folder of the dumps.
const DATABASES: &str = "databases";
