//! The contract of a store, and backups through it: on a directory, and on a bucket in memory. Servers of object stores
//! are asked the same by `tests/faults`.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;

use super::local::LocalStore;
use super::permissions::try_rights;
use super::upload::{Upload, UploadTasks, begin};
use super::verify_upload::{UploadVerification, confirm};
use super::{ExistingObject, PutResult, Store};
use crate::cancel::{CancelToken, pair};
use crate::codec::Hasher;
use crate::config::store_url::StoreUrl;
use crate::error::ErrorKind;
use crate::repository::catalog::Catalog;
use crate::repository::identity::Identity;
use crate::repository::manifest::Manifest;
use crate::repository::manifest::tests::sample;
use crate::repository::name::Label;
use crate::repository::remote_backups::RemoteBackups;

pub(crate) fn stores() -> (tempfile::TempDir, Vec<Arc<dyn Store>>) {
    let home = tempfile::tempdir().unwrap();
    let url: StoreUrl = format!("file://{}", home.path().join("store").display()).parse().unwrap();
    let local: Arc<dyn Store> = Arc::new(LocalStore::new(url));
    #[cfg(feature = "stores")]
    let stores = vec![local, in_memory("s3://bucket/some/prefix"), in_memory("s3://bucket")];
    #[cfg(not(feature = "stores"))]
    let stores = vec![local];
    (home, stores)
}

#[cfg(feature = "stores")]
fn in_memory(url: &str) -> Arc<dyn Store> {
    let inner = Box::new(object_store::memory::InMemory::new());
    Arc::new(super::object::ObjectStorage { url: url.parse().unwrap(), inner })
}

pub(crate) async fn all_of(store: &dyn Store, key: &str) -> Vec<u8> {
    let blocks: Vec<Bytes> = store.open(key, None).await.unwrap().try_collect().await.unwrap();
    blocks.concat()
}

#[tokio::test]
async fn every_store_keeps_the_contract() {
    let (_home, stores) = stores();
    for store in stores {
        let store = store.as_ref();
        let put = |key, bytes: &'static [u8], existing| store.put(key, Bytes::from_static(bytes), existing);
        assert_eq!(put("a/b/one", b"first", ExistingObject::Keep).await.unwrap(), PutResult::Stored);
        assert_eq!(put("a/b/one", b"other", ExistingObject::Keep).await.unwrap(), PutResult::Taken);
        // The answer to an earlier attempt may have been lost.
        assert_eq!(put("a/b/one", b"first", ExistingObject::Keep).await.unwrap(), PutResult::Stored);
        assert_eq!(all_of(store, "a/b/one").await, b"first");
        put("a/b/one", b"second", ExistingObject::Replace).await.unwrap();
        assert_eq!(all_of(store, "a/b/one").await, b"second");
        let range: Vec<Bytes> = store.open("a/b/one", Some(1..4)).await.unwrap().try_collect().await.unwrap();
        assert_eq!(range.concat(), b"eco");

        assert_eq!(store.stat("a/b/one").await.unwrap().unwrap().size, 6);
        assert_eq!(store.stat("a/b/none").await.unwrap(), None);
        assert_eq!(store.open("a/b/none", None).await.err().unwrap().kind(), ErrorKind::Target);

        put("a/b/c/two", b"2", ExistingObject::Keep).await.unwrap();
        put("a/bb/three", b"3", ExistingObject::Keep).await.unwrap();
        let keys = |listed: Vec<super::StoredObject>| -> Vec<String> {
            let mut keys: Vec<String> = listed.into_iter().map(|object| object.key).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(store.list("a/b").await.unwrap()), ["a/b/c/two", "a/b/one"]);
        assert_eq!(keys(store.list("").await.unwrap()).len(), 3);
        assert_eq!(store.list("nowhere").await.unwrap(), []);

        let mut upload = store.begin("a/b/parts").await.unwrap();
        let (one, two) = (upload.part(Bytes::from_static(b"12")), upload.part(Bytes::from_static(b"345")));
        two.await.unwrap();
        one.await.unwrap();
        assert_eq!(store.stat("a/b/parts").await.unwrap(), None, "an object appears when it is complete");
        upload.complete().await.unwrap();
        assert_eq!(all_of(store, "a/b/parts").await, b"12345");

        let mut upload = store.begin("a/b/aborted").await.unwrap();
        upload.part(Bytes::from_static(b"12")).await.unwrap();
        upload.abort().await.unwrap();
        assert_eq!(store.stat("a/b/aborted").await.unwrap(), None);

        store.delete("a/b/one").await.unwrap();
        store.delete("a/b/one").await.unwrap();
        assert_eq!(keys(store.list("a/b").await.unwrap()), ["a/b/c/two", "a/b/parts"]);
        let tried = try_rights(store).await;
        assert!(tried.len() == 6 && tried.iter().all(|tried| tried.failure.is_none()));
        assert_eq!(store.list("").await.unwrap().len(), 3, "the probe is gone");
    }
}

#[tokio::test]
async fn a_key_never_leads_out_of_a_directory() {
    let (_home, stores) = stores();
    for key in ["../x", "a/../../x", "/etc/passwd", "a/./b"] {
        let put = stores[0].put(key, Bytes::new(), ExistingObject::Keep).await;
        assert_eq!(put.unwrap_err().kind(), ErrorKind::Usage, "{key}");
    }
}

/// Writes bytes on a thread, as a dump does.
pub(crate) async fn write(upload: &Upload, bytes: Vec<u8>) {
    let mut writer = upload.writer();
    let writing = tokio::task::spawn_blocking(move || {
        writer.write_all(&bytes).unwrap();
        writer.finish().unwrap();
    });
    writing.await.unwrap();
}

#[tokio::test]
async fn an_upload_of_one_part_and_of_many_is_confirmed_and_one_that_was_damaged_is_not() {
    let (_home, stores) = stores();
    for store in stores {
        for size in [0, 10, 1000, 1001, 5500] {
            let bytes: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
            let upload =
                begin(store.clone(), "x".into(), 1000, CancelToken::never(), &UploadTasks::default());
            write(&upload, bytes.clone()).await;
            let sent = upload.complete().await.unwrap();
            assert_eq!(all_of(store.as_ref(), "x").await, bytes, "{size}");
            let mut hasher = Hasher::default();
            hasher.update(&bytes);
            let sha256 = hasher.finish();
            let confirmed = confirm(store.as_ref(), &sent, &sha256).await.unwrap();
            assert_eq!(confirmed, UploadVerification::ReadBack);
            let mut damaged = bytes.clone();
            damaged.push(0);
            store.put("x", damaged.clone().into(), ExistingObject::Replace).await.unwrap();
            let error = confirm(store.as_ref(), &sent, &sha256).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity);
            if size > 0 {
                damaged.pop();
                damaged[0] ^= 1;
                store.put("x", damaged.into(), ExistingObject::Replace).await.unwrap();
                let error = confirm(store.as_ref(), &sent, &sha256).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Integrity);
            }
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_dropped_or_cancelled_leaves_nothing() {
    let (_home, stores) = stores();
    for store in stores {
        let tasks = UploadTasks::default();
        let upload = begin(store.clone(), "x".into(), 10, CancelToken::never(), &tasks);
        write(&upload, vec![7; 55]).await;
        drop(upload);
        tasks.settle().await;
        let (source, cancel) = pair();
        let upload = begin(store.clone(), "x".into(), 10, cancel, &tasks);
        write(&upload, vec![7; 55]).await;
        source.fire(2);
        let error = upload.complete().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled(2));
        tasks.settle().await;
        assert_eq!(store.list("").await.unwrap(), []);
    }
}

pub(crate) fn backups(store: &Arc<dyn Store>) -> RemoteBackups {
    RemoteBackups::new(store.clone(), |root| Catalog::new(root, "acme", Some("prod")))
}

pub(crate) fn manifest(id: &str, dump: &[u8]) -> Manifest {
    let mut hasher = Hasher::default();
    hasher.update(dump);
    let stored_sha256 = hasher.finish();
    let started = "2024-12-01T14:30:22Z".parse().unwrap();
    Manifest { operation: id.into(), started, stored_bytes: dump.len() as u64, stored_sha256, ..sample() }
}

/// Makes a backup in a store and gives its address.
async fn back_up(backups: &RemoteBackups, manifest: &Manifest, dump: &[u8]) -> String {
    let label: Label = "backup_20241201_143022".parse().unwrap();
    let cancel = CancelToken::never();
    let upload = backups.begin(label, ".sql", &manifest.operation, 0, &cancel).unwrap();
    write(&upload, dump.to_vec()).await;
    let address = backups.publish(upload, (label, ".sql"), manifest, &cancel).await.unwrap();
    address.display().to_string()
}

#[tokio::test]
async fn a_backup_in_a_store_is_listed_found_and_read_and_two_of_one_second_have_names_of_their_own() {
    let (_home, stores) = stores();
    for store in stores {
        let backups = backups(&store);
        assert!(backups.list().await.unwrap().is_empty());
        let one = back_up(&backups, &manifest("1111", b"one"), b"one").await;
        let two = back_up(&backups, &manifest("2222", b"twice"), b"twice").await;
        let root = store.url().to_string();
        assert_eq!(one, format!("{root}/acme/prod/backup_20241201_143022.sql"));
        assert_eq!(two, format!("{root}/acme/prod/backup_20241201_143022_2.sql"));

        let listed = backups.list().await.unwrap();
        let shown: Vec<_> = listed.iter().map(|one| one.backup.path.display().to_string()).collect();
        assert_eq!(shown, [two.clone(), one]);
        assert!(listed.iter().all(|one| one.backup.manifest.is_ok()));
        let found = backups.find("backup_20241201_143022_2.sql".as_ref()).await.unwrap();
        let (dump, size) = backups.open_dump(&found).await.unwrap();
        let blocks: Vec<Bytes> = dump.try_collect().await.unwrap();
        assert_eq!((blocks.concat(), size), (b"twice".to_vec(), 5));
        assert_eq!(backups.find(two.as_ref()).await.unwrap().backup.path, found.backup.path);
        let text = backups.manifest_text(&found).await.unwrap();
        assert_eq!(text, manifest("2222", b"twice").to_json());

        let target = Identity { stack: "acme".into(), profile: Some("prod".into()), ..Identity::default() };
        assert_eq!(backups.latest_of(&listed, &target).unwrap().backup.path, found.backup.path);
        let other = Identity { stack: "shop".into(), ..target };
        let error = backups.latest_of(&listed, &other).unwrap_err();
        assert!(
            error.hints().iter().all(|hint| hint.contains(&format!("--store {root}"))),
            "{:?}",
            error.hints()
        );
        let missing = backups.find("backup_20241201_143023.sql".as_ref()).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Target);
    }
}

#[tokio::test]
async fn a_backup_that_is_not_whole_in_its_store_is_listed_with_the_reason_and_never_taken() {
    let (_home, stores) = stores();
    for store in stores {
        let backups = backups(&store);
        let key = "acme/prod/backup_20241201_143022.sql";
        let put = |key: String, bytes: &'static [u8]| {
            let store = store.clone();
            async move { store.put(&key, Bytes::from_static(bytes), ExistingObject::Replace).await.unwrap() }
        };
        // A dump alone is no backup.
        put(format!("{key}.1111"), b"one").await;
        assert!(backups.list().await.unwrap().is_empty());
        back_up(&backups, &manifest("1111", b"one"), b"one").await;
        put(format!("{key}.1111"), b"longer").await;
        let problem = async || backups.list().await.unwrap()[0].backup.manifest.clone().unwrap_err();
        assert_eq!(problem().await, "6 bytes where the manifest says 3");
        store.delete(&format!("{key}.1111")).await.unwrap();
        assert_eq!(problem().await, "its dump is not there");
        let found = backups.find("backup_20241201_143022.sql".as_ref()).await.unwrap();
        assert_eq!(backups.open_dump(&found).await.err().unwrap().kind(), ErrorKind::Integrity);
        put(format!("{key}.json"), b"{}").await;
        assert!(problem().await.contains("not a manifest"));
    }
}

#[tokio::test]
async fn an_upload_that_is_not_confirmed_is_taken_back() {
    let (_home, stores) = stores();
    for store in stores {
        let backups = backups(&store);
        let label: Label = "backup_20241201_143022".parse().unwrap();
        let cancel = CancelToken::never();
        let upload = backups.begin(label, ".sql", &"1111".into(), 0, &cancel).unwrap();
        write(&upload, b"damaged on the way".to_vec()).await;
        let stated = manifest("1111", b"damaged on the wax");
        let published = backups.publish(upload, (label, ".sql"), &stated, &cancel).await;
        assert_eq!(published.unwrap_err().kind(), ErrorKind::Integrity);
        assert_eq!(store.list("").await.unwrap(), []);
    }
}
