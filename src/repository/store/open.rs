//! Opens stores: credentials as the tools of the clouds take them, from variables and files.
//!
//! Promise: no value of a credential is part of an error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Store;
use super::local::LocalStore;
use crate::config::settings::S3Settings;
use crate::config::store_url::{StoreKind, StoreUrl};
use crate::error::Result;

/// Credentials and settings to open a store with.
#[derive(Clone, Default)]
#[cfg_attr(not(feature = "stores"), allow(dead_code, reason = "a directory needs none of it"))]
pub(crate) struct StoreOptions {
    /// Environment variables of the clouds: `AWS_…`, `AZURE_…`, `GOOGLE_…`.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) s3: S3Settings,
    pub(crate) patience: Patience,
}

/// Patience with a store that does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Somebody waits for the answer.
    #[default]
    Short,
    /// A backup or a restore shall survive an outage of some minutes.
    Long,
}

/// Opens a store.
///
/// # Errors
/// Kind `Usage`: there are no credentials for it, or a variable cannot be understood.
pub(crate) async fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    if url.kind == StoreKind::File {
        return Ok(Arc::new(LocalStore::new(url.clone())));
    }
    open_object_store(url, options).await
}

#[cfg(not(feature = "stores"))]
#[expect(clippy::unused_async, reason = "the signature of the full build")]
async fn open_object_store(url: &StoreUrl, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    let _ = options;
    Err(crate::error::usage(format!("this build of envctl knows no store but file://, not {url}"))
        .hint("build with `--features stores`"))
}

#[cfg(feature = "stores")]
async fn open_object_store(url: &StoreUrl, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    super::object_open::open(url, options).await
}
