//! Stores of backups, with the credentials of this process.

use std::path::PathBuf;
use std::sync::Arc;

use super::App;
use crate::config::Settings;
use crate::config::store_url::StoreUrl;
use crate::error::{ErrorKind, Result};
use crate::repository::store::{Patience, Store, StoreOptions, open};

impl App {
    /// Opens a store.
    ///
    /// # Errors
    /// Kind `Usage`: there are no credentials for it. `Failed`: it is not reached. `Cancelled`.
    pub(crate) async fn open_store(
        &self,
        settings: &Settings,
        url: &StoreUrl,
        patience: Patience,
    ) -> Result<Arc<dyn Store>> {
        let of_cloud = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|cloud| name.starts_with(cloud));
        let variables = self.environment.iter().filter(|(name, _)| of_cloud(name));
        let options = StoreOptions {
            variables: variables.map(|(name, value)| (name.clone(), value.clone())).collect(),
            home: self.home(),
            s3: settings.backup.s3.clone(),
            patience,
        };
        let opening = async {
            if patience == Patience::Long {
                // A wrong address is told at once, and not after a dump and minutes of attempts.
                let impatient = StoreOptions { patience: Patience::Short, ..options.clone() };
                // Only the answer to a GET says why: there is no such object where all is well.
                match open(url, &impatient).await?.open("envctl-reachable", None).await {
                    Err(error) if error.kind() != ErrorKind::Target => return Err(error),
                    _ => {}
                }
            }
            open(url, &options).await
        };
        self.cancel.run_until_cancelled(Box::pin(opening)).await?
    }

    /// Directory for the private copy of a backup that is restored from a store: `TMPDIR`, else `/var/tmp`, which is
    /// seldom in memory.
    pub(crate) fn download_dir(&self) -> PathBuf {
        let set = self.environment.get("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let usual = [PathBuf::from("/var/tmp"), PathBuf::from("/tmp")];
        set.into_iter().chain(usual).find(|path| path.is_dir()).unwrap_or_else(|| PathBuf::from("/tmp"))
    }
}
