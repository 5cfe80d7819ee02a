//! Making backups, keeping them, and putting them back so that nothing can half-happen.
//!
//! [`create`] makes one, its bytes brought by [`transport`]; [`catalog`] finds them, [`source`] proves what is to be restored, [`restore`]
//! carries it out with [`loaders`], [`load`] (or, over several sessions, [`lanes`] by a [`layout`]) and [`swap`], which leaves
//! what was there [`kept`], for [`undo`]. [`scan`] and [`compression`] are the stream between.

pub mod aids;
pub mod archive;
pub mod authenticity;
mod background;
pub mod catalog;
pub mod cluster;
pub mod complaint;
pub mod compression;
pub mod contents;
mod count;
pub mod create;
pub mod data_only;
mod deferred;
mod directory;
mod explain;
mod fill;
mod filtered;
mod heard;
pub mod identity;
mod in_place;
pub mod kept;
pub mod label;
pub mod lanes;
pub mod layout;
pub mod load;
pub mod loaders;
mod loading_role;
pub mod manifest;
mod open_dump;
mod output;
mod passage;
pub mod restore;
pub mod scan;
mod side;
pub mod source;
pub mod stored;
pub mod swap;
pub mod transport;
pub mod undo;
mod verdict;
