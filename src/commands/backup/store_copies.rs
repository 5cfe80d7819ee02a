//! Copies of a new backup in the stores of the settings.

use std::path::PathBuf;

use crate::backup::copies::copy;
use crate::backup::create::Created;
use crate::backup::request::{BackupRequest, BackupTarget, OnExisting};
use crate::commands::shared::context::StackContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::commands::shared::find_catalog::in_store;
use crate::error::{ErrorKind, Result};
use crate::repository::store::Patience;

/// Copies a backup into every store of the settings; returns the addresses. A store that fails does not keep the others
/// from theirs. A file that was named with `-o` has no copies.
///
/// # Errors
/// The error of the first store that failed; the backup itself stays.
pub(crate) async fn copy_to_stores(
    stack: &StackContext,
    found: &ConnectedDatabase,
    request: &BackupRequest,
    created: &Created,
) -> Result<Vec<PathBuf>> {
    let BackupTarget::File { taken: OnExisting::Next, .. } = &request.destination else {
        return Ok(Vec::new());
    };
    let Some(path) = &created.path else { return Ok(Vec::new()) };
    let settings = stack.settings.for_stack(&found.target)?;
    let (mut copies, mut failure) = (Vec::new(), None);
    for url in &settings.backup.stores {
        let copied = async {
            let store = stack.open_store(&settings, url, Patience::Long).await?;
            copy(path, &created.manifest, &in_store(store, found), &request.operation).await
        };
        match copied.await {
            Ok(address) => copies.push(address),
            Err(error) => {
                let stop = matches!(error.kind(), ErrorKind::Cancelled(_));
                failure.get_or_insert(error.note(format!(
                    "the backup itself is complete: {}; it has no copy in {url}",
                    path.display()
                )));
                if stop {
                    break;
                }
            }
        }
    }
    stack.ui.end_progress();
    match failure {
        Some(error) => Err(error),
        None => Ok(copies),
    }
}
