//! Archives of `pg_dump`: `custom` files, and the directories and tars of the `directory` format.
//!
//! Promises: an archive is read to its last byte and proven before a server hears of it, without
//! `pg_restore`; whatever the layout, it can be handed to `pg_restore` as one custom archive over a pipe.

mod custom;
mod data;
mod listed;
mod load;
mod members;
mod rewrite;
mod scanner;
mod spread;
#[cfg(test)]
mod tests;
mod toc;

pub use custom::CustomStream;
pub use load::load;
use members::Members;
pub use rewrite::ListFilter;
pub use scanner::ArchiveScanner;
pub use spread::Spread;
pub use toc::{Inner, Layout, MAGIC, Toc, TocEntry};
