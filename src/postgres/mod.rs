//! Communication with the database inside its container: roles, commands and answers.
//!
//! Everything goes through the container's own `psql` and `pg_dump`, so client and server always match
//! and a hostile server meets only them (`reference`: client-side CVEs of libpq).

pub mod access;
pub mod beside;
pub mod canceller;
pub mod copy;
pub mod csv;
pub mod dump;
pub mod emptiness;
pub mod encoding;
pub mod facts;
mod first_start;
pub mod health;
pub mod holder;
pub mod loading;
pub mod lock;
#[cfg(test)]
mod lock_tests;
pub mod mask;
pub mod orphans;
pub mod pg_restore;
pub mod preflight;
pub mod properties;
pub mod psql;
pub mod quote;
pub mod reliance;
pub mod rights;
pub mod search_path;
pub mod server_error;
pub mod session;
#[cfg(test)]
mod session_tests;
pub mod standing;
pub mod version;
pub mod visitors;

pub use access::Access;
pub use holder::Holder;
pub use mask::mask;
pub use server_error::ServerError;
pub use session::Session;
