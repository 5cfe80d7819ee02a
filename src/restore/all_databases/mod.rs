//! All databases of a server in one tar: `globals.sql`, what belongs to each database, and one verified dump of each.
//!
//! Promises: each dump in it is one that [`crate::backup::create`] has verified, with its own manifest; each is
//! restored by its own swap; `tar -xf`, `gunzip` and `psql` read it as well as envctl does. The dumps are of moments
//! of their own: nothing makes two databases stand still at once.

mod globals;
pub(crate) mod restore_all;
mod unpack;

pub(crate) use globals::{Roles, roles_of};
pub(crate) use restore_all::create as create_roles;
pub(crate) use restore_all::{ClusterPlan, RestoredAll, missing_roles, run};
pub(crate) use unpack::{UnpackedCluster, UnpackedDatabase, is_cluster, unpack};
