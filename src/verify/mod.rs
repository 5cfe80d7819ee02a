//! Verification of a backup by restoring it: into a throwaway server without network, dumped again to nowhere, and
//! compared with the manifest.
//!
//! Promises: the database that was backed up receives nothing; whatever happens the throwaway server is removed; what
//! keeps a verification from being made (no image, no space, no daemon) is of kind `Unverified` and never a failure
//! of the backup, nor a pass.

pub(crate) mod assertions;
pub(crate) mod image;
pub(crate) mod restore_test;
pub(crate) mod server;
