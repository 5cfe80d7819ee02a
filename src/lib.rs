//! envctl: the daily work on stacks that run on Docker and PostgreSQL.
//!
//! The tour. Every command is the same six steps, one folder each:
//!
//! **args** ([`commands`]) → **settings** ([`config`]) → **docker** ([`docker`]) →
//! **environment** ([`environment`]) → **operation** ([`backups`], [`postgres`]) → **output** ([`ui`]).
//! Over several stacks the operation is a plan of plans, then a run ([`stacks`]).
//!
//! A step takes the previous step's value and returns a plain value. `app` is the only place where
//! they are wired to the process: its clock, its environment, its terminal.

pub mod app;
pub mod backups;
pub mod cli;
pub mod commands;
pub mod config;
pub mod docker;
pub mod doctor;
pub mod environment;
pub mod error;
pub mod exit;
pub mod interrupt;
pub mod migrations;
pub mod postgres;
pub mod progress;
pub mod secret;
pub mod stacks;
pub mod ui;
