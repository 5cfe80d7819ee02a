//! Archives of `pg_dump`: `custom` files, and the directories and tars of the `directory` format.
//!
//! Promises: an archive is read to its last byte and verified before a server hears of it, without
//! `pg_restore`; whatever the layout, it can be handed to `pg_restore` as one custom archive over a pipe.

pub(crate) mod custom_stream;
pub(crate) mod entry_data;
pub(crate) mod files;
mod rewrite;
pub(crate) mod scanner;
#[cfg(test)]
mod tests;
mod toc;
pub(crate) mod toc_statements;

pub(crate) use custom_stream::CustomStream;
pub(crate) use rewrite::ListFilter;
pub(crate) use scanner::ArchiveScanner;
