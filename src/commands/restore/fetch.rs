//! A backup of a store as a private file of this machine.
//!
//! The file is read twice: to its end before the server hears of it, and again while it is loaded. A copy takes the
//! network once, and several sessions can read it side by side.

use std::path::Path;

use super::source::latest;
use crate::commands::restore::source::normal;
use crate::commands::shared::context::StackContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::commands::shared::download::download;
use crate::commands::shared::find_catalog::with_service_directory;
use crate::config::store_url::StoreUrl;
use crate::error::{self, Result};
use crate::progress::Progress as _;
use crate::repository::catalog::Catalog;
use crate::repository::remote_backups::RemoteBackups;
use crate::repository::store::Patience;
use crate::restore::piped_dump::PrivateCopy;

/// Fetches a backup: by its name, or the newest of the database `found`.
///
/// # Errors
/// Kind `Target`: there is no such backup. `Failed`: the store does not answer, or there is no space. `Cancelled`.
pub(super) async fn fetch(
    stack: &StackContext,
    url: &StoreUrl,
    asked: &Path,
    from: Option<&str>,
    found: Option<&ConnectedDatabase>,
) -> Result<PrivateCopy> {
    if asked.as_os_str() == "-" {
        return Err(
            error::usage("`-` is stdin, and `--store` names a store").hint("leave one of the two out")
        );
    }
    let environment = &stack.environment;
    let profile = from.map(normal).or(environment.profile.name.as_deref());
    let store = stack.open_store(&stack.settings, url, Patience::Long).await?;
    let backups = RemoteBackups::new(store, |root| {
        let catalog = Catalog::new(root, &environment.stack, profile);
        match found {
            Some(found) => with_service_directory(catalog, found),
            None => catalog,
        }
    });
    let progress = stack.ui.progress();
    progress.step(&format!("looking into {}", backups.catalog().home().display()));
    let fetching = async {
        let chosen = match found {
            Some(found) => {
                let listed = backups.list().await?;
                let choose = |target: &_| Ok(backups.latest_of(&listed, target)?.backup);
                let latest = latest(&choose, found, profile, &stack.settings)?;
                for newer in listed.iter().take_while(|remote| remote.backup.label > latest.label) {
                    if let Err(problem) = &newer.backup.manifest {
                        let path = newer.backup.path.display();
                        stack.ui.warn(&format!("{path} is newer and passed over: {problem}"));
                    }
                }
                listed.into_iter().find(|remote| remote.backup.path == latest.path)
            }
            None => Some(backups.find(asked).await?),
        };
        let chosen = chosen.ok_or_else(|| error::target("the backup is gone"))?;
        download(stack, &backups, &chosen).await
    };
    let fetched = stack.cancel.run_until_cancelled(fetching).await?;
    stack.ui.end_progress();
    fetched
}
