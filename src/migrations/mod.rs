//! Migrations: which there are, which are applied, and applying the rest, by one of several drivers.
//!
//! The way: [`crate::migrations::directory`] finds the files, [`layout`] reads them as one tool's migrations, [`sql`] compares
//! them with that tool's own table and applies them through one psql session; [`prisma`] asks the Prisma
//! CLI in the backend's container instead, and [`command`] any other tool there. What comes out is always a [`History`] or a [`MigrationPlan`].
//!
//! Promises: a plan is made before anything changes; a file runs as one query, so that it is applied whole
//! or not at all; every failure ends in words and a next command.

pub(crate) mod command;
pub(crate) mod directory;
pub(crate) mod driver;
pub(crate) mod driver_inputs;
pub(crate) mod find_driver;
mod find_folders;
pub(crate) mod history;
pub(crate) mod layout;
pub(crate) mod migration_name;
pub(crate) mod plan;
pub(crate) mod prisma;
pub(crate) mod reset;
mod rewritten_tables;
pub(crate) mod risk;
pub(crate) mod sql;
mod unsupported_statements;

pub(crate) use driver::Driver;
pub(crate) use history::{History, MigrationState};
pub(crate) use migration_name::MigrationName;
pub(crate) use plan::{Applied, MigrationPlan};
pub(crate) use reset::ResetPlan;
