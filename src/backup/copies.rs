//! Copies of a backup in stores, made from its file.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::codec::BLOCK;
use crate::error::{self, Result};
use crate::operation::Operation;
use crate::progress::Event;
use crate::repository::manifest::Manifest;
use crate::repository::name::Label;
use crate::repository::remote_backups::RemoteBackups;
use crate::repository::store::upload::PartWriter;

/// Copies a backup into a store; returns the address of the copy.
///
/// # Errors
/// Errors of the store, and kind `Failed` where the file cannot be read. The store holds no backup then.
pub(crate) async fn copy(
    path: &Path,
    manifest: &Manifest,
    backups: &RemoteBackups,
    operation: &Operation,
) -> Result<PathBuf> {
    let Operation { cancel, progress, .. } = operation;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = Label::split(name).ok_or_else(|| error::failed(format!("{name} is no name of a backup")))?;
    progress.step(&format!("copying to {}", backups.catalog().directory().display()));
    let upload = backups.begin(named.0, named.1, &manifest.operation, manifest.stored_bytes, cancel)?;
    let (writer, file) = (upload.writer(), path.to_owned());
    let (total, progress) = (manifest.stored_bytes, progress.clone());
    let reading = move || send(&file, writer, |done| progress.on(Event::Bytes { done, total: Some(total) }));
    let copied = match cancel.blocking(reading).await {
        Ok(()) => backups.publish(upload, named, manifest, cancel).await,
        // The upload's own error is the cause of a closed pipe.
        Err(error) => Err(upload.failure().unwrap_or(error)),
    };
    backups.settle().await;
    copied
}

fn send(path: &Path, mut writer: PartWriter, told: impl Fn(u64)) -> Result<()> {
    let unreadable = |e| error::failed(format!("cannot read {}", path.display())).because(e);
    let unsent = |e| error::failed(format!("cannot send {}", path.display())).because(e);
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let (mut block, mut done) = (vec![0; BLOCK], 0);
    loop {
        let read = file.read(&mut block).map_err(unreadable)?;
        if read == 0 {
            return writer.finish().map_err(unsent);
        }
        writer.write_all(&block[..read]).map_err(unsent)?;
        done += read as u64;
        told(done);
    }
}
