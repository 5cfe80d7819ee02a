//! A backup of a store as a private file of this machine.
//!
//! The file is read twice: to its end before the server hears of it, and again while it is loaded. A copy takes the
//! network once, and several sessions can read it side by side.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;

use super::source::latest;
use crate::commands::connect::ConnectedDatabase;
use crate::commands::context::StackContext;
use crate::commands::find_catalog::placed;
use crate::commands::restore::source::normal;
use crate::config::store_url::StoreUrl;
use crate::error::{self, Result};
use crate::fsutil::atomic_file;
use crate::fsutil::private_dir::{self, PrivateDir};
use crate::progress::{Event, Progress as _};
use crate::repository::catalog::Catalog;
use crate::repository::manifest::path_for;
use crate::repository::remote_backups::{RemoteBackup, RemoteBackups};
use crate::repository::store::Patience;
use crate::restore::pipe::PrivateCopy;
use crate::text::units::bytes;

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
            Some(found) => placed(catalog, found),
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

async fn download(
    stack: &StackContext,
    backups: &RemoteBackups,
    chosen: &RemoteBackup,
) -> Result<PrivateCopy> {
    let home = stack.download_dir();
    for orphan in private_dir::sweep(&home) {
        stack.ui.detail(&format!("removed {}, orphan of a run that was killed", orphan.display()));
    }
    let address = &chosen.backup.path;
    let manifest = backups.manifest_text(chosen).await?;
    let (mut dump, size) = backups.open_dump(chosen).await?;
    let elsewhere = "name a larger one: `TMPDIR=/other/disk envctl restore …`";
    if let Some(free) = atomic_file::free_space(&home).filter(|free| *free < size) {
        return Err(error::failed(format!(
            "{} has {}, and {} are free in {}, where the file is kept while it is restored",
            address.display(),
            bytes(size),
            bytes(free),
            home.display()
        ))
        .hint(elsewhere));
    }
    let unwritten = |e| {
        error::failed(format!("the backup cannot be kept in {}", home.display())).because(e).hint(elsewhere)
    };
    let directory = PrivateDir::make(&home).map_err(unwritten)?;
    let name = address.file_name().unwrap_or_default();
    let path = directory.path().join(name);
    create(&path_for(&path)).and_then(|mut file| file.write_all(manifest.as_bytes())).map_err(unwritten)?;
    let mut file = create(&path).map_err(unwritten)?;
    let progress = stack.ui.progress();
    progress.step(&format!("fetching {}", address.display()));
    let mut done = 0;
    while let Some(block) = dump.next().await {
        let block = block?;
        file.write_all(&block).map_err(unwritten)?;
        done += block.len() as u64;
        progress.on(Event::Bytes { done, total: Some(size) });
    }
    if done != size {
        return Err(error::integrity(format!("{} ended after {done} of {size} bytes", address.display())));
    }
    stack.ui.say(&format!("fetched {}", address.display()));
    Ok(PrivateCopy::new(path, address.display().to_string(), &home, Arc::new(directory)))
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
