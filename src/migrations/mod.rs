//! Migrations: which there are, which are applied, and applying the rest, by one of several drivers.
//!
//! The way: [`folder`] finds the files, [`layout`] reads them as one tool's migrations, [`sql`] compares
//! them with that tool's own table and applies them through one psql session; [`prisma`] asks the Prisma
//! CLI in the backend's container instead, and [`command`] any other tool there. What comes out is always a [`History`] or a [`MigrationPlan`].
//!
//! Promises: a plan is made before anything changes; a file runs as one query, so that it is applied whole
//! or not at all; every failure ends in words and a next command.

pub mod command;
pub mod detect;
pub mod folder;
pub mod history;
pub mod layout;
mod lexer;
pub mod name;
pub mod plan;
pub mod prisma;
pub mod reset;
pub mod risk;
mod runnable;
pub mod sql;
mod survey;

pub use detect::Driver;
pub use history::{History, Migration, State};
pub use name::MigrationName;
pub use plan::{Applied, MigrationPlan, Planned};
pub use reset::ResetPlan;
