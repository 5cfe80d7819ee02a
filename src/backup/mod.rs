//! Makes backups: the request, the dump, the sink that compresses and verifies, the published file.

pub(crate) mod all_databases;
pub(crate) mod copies;
pub(crate) mod create;
pub(crate) mod directory_format;
pub(crate) mod dump_result;
pub(crate) mod request;
mod sealing;
pub(crate) mod sink;
