//! A backup of a store as a private file of this machine, with its manifest beside it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;

use crate::app::App;
use crate::error::{self, Result};
use crate::fsutil::atomic_file;
use crate::fsutil::private_dir::{self, PrivateDir};
use crate::progress::{Event, Progress as _};
use crate::repository::manifest::path_for;
use crate::repository::remote_backups::{RemoteBackup, RemoteBackups};
use crate::restore::piped_dump::PrivateCopy;
use crate::text::units::bytes;

/// Fetches a backup of a store, with its manifest, into a private directory.
///
/// # Errors
/// Kind `Failed`: the store does not answer, or there is no space. `Integrity`: the object is cut.
pub(crate) async fn download(
    app: &App,
    backups: &RemoteBackups,
    chosen: &RemoteBackup,
) -> Result<PrivateCopy> {
    let home = app.download_dir();
    for orphan in private_dir::sweep(&home) {
        app.ui.detail(&format!("removed {}, orphan of a run that was killed", orphan.display()));
    }
    let address = &chosen.backup.path;
    let manifest = backups.manifest_text(chosen).await?;
    let (mut dump, size) = backups.open_dump(chosen).await?;
    let elsewhere = "name a larger one: `TMPDIR=/other/disk envctl …`";
    if let Some(free) = atomic_file::free_space(&home).filter(|free| *free < size) {
        return Err(error::failed(format!(
            "{} has {}, and {} are free in {}, where the file is kept while it is read",
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
    let progress = app.ui.progress();
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
    app.ui.say(&format!("fetched {}", address.display()));
    Ok(PrivateCopy::new(path, address.display().to_string(), &home, Arc::new(directory)))
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
