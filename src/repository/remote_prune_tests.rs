//! Backups in stores that list late, refuse to delete, or hold something else than what was put there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::authenticity::ManifestKeys;
use super::catalog::Catalog;
use super::check::read_store;
use super::identity::Identity;
use super::manifest::Manifest;
use super::name::Label;
use super::prune::{ConfirmedCopies, PrunePlan, PruneRequest, PrunedBackups, StoreCopies};
use super::remote_backups::RemoteBackups;
use super::retention::{RetentionDecision, RetentionPolicy};
use super::store::tests::{backups, manifest, stores, write};
use super::store::{ExistingObject, ObjectBytes, ObjectHold, PartUpload, PutResult, Store, StoredObject};
use crate::cancel::{CancelToken, pair};
use crate::config::calendar_duration::CalendarDuration;
use crate::config::store_url::StoreUrl;
use crate::consent::{Confirmed, Disposable};
use crate::error::{self, ErrorKind, Result};

/// A store with faults of its own before another one.
struct FaultyStore {
    inner: Arc<dyn Store>,
    /// Objects that a list does not have yet.
    unlisted: Mutex<Vec<String>>,
    /// Keys with this ending cannot be deleted.
    kept: Mutex<Option<&'static str>>,
    holds: Mutex<HashMap<String, ObjectHold>>,
    /// So many deletes are done; the next one never answers.
    deletes: Mutex<usize>,
    /// A delete was asked for that never answers.
    is_stuck: Mutex<bool>,
    /// Reads fail.
    unreadable: Mutex<bool>,
    /// The locks of an object that is gone cannot be asked for.
    refuses_holds: Mutex<bool>,
}

impl FaultyStore {
    fn before(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner: inner.clone(),
            unlisted: Mutex::default(),
            kept: Mutex::default(),
            holds: Mutex::default(),
            deletes: Mutex::new(usize::MAX),
            is_stuck: Mutex::default(),
            unreadable: Mutex::default(),
            refuses_holds: Mutex::default(),
        })
    }
}

impl Store for FaultyStore {
    fn url(&self) -> &StoreUrl {
        self.inner.url()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        existing: ExistingObject,
    ) -> BoxFuture<'a, Result<PutResult>> {
        self.inner.put(key, bytes, existing)
    }

    fn begin<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Box<dyn PartUpload>>> {
        self.inner.begin(key)
    }

    fn open<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<ObjectBytes>> {
        Box::pin(async move {
            if *self.unreadable.lock().unwrap() {
                return Err(error::failed(format!("cannot read {key}: AccessDenied")));
            }
            self.inner.open(key, range).await
        })
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>>> {
        Box::pin(async move {
            let mut listed = self.inner.list(directory).await?;
            let unlisted = self.unlisted.lock().unwrap();
            listed.retain(|object| !unlisted.iter().any(|ending| object.key.ends_with(ending)));
            Ok(listed)
        })
    }

    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StoredObject>>> {
        self.inner.stat(key)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.kept.lock().unwrap().is_some_and(|ending| key.ends_with(ending)) {
                return Err(error::failed(format!("cannot delete {key}: AccessDenied")));
            }
            let left = self.deletes.lock().unwrap().checked_sub(1);
            if let Some(left) = left {
                *self.deletes.lock().unwrap() = left;
            } else {
                *self.is_stuck.lock().unwrap() = true;
                futures::future::pending::<()>().await;
            }
            self.inner.delete(key).await
        })
    }

    fn hold<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectHold>> {
        let hold = self.holds.lock().unwrap().get(key).copied();
        Box::pin(async move {
            if *self.refuses_holds.lock().unwrap() && self.inner.stat(key).await?.is_none() {
                return Err(error::failed(format!("cannot look at {key}: AccessDenied")));
            }
            Ok(hold.unwrap_or_default())
        })
    }
}

struct Nobodys;

impl Disposable for Nobodys {}

const NOW: &str = "2024-12-20T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn label(day: u8) -> Label {
    format!("backup_202412{day:02}_143022").parse().unwrap()
}

fn of_day(day: u8, dump: &[u8]) -> Manifest {
    let started = label(day).timestamp();
    Manifest { started, ..manifest(&format!("{day:04}"), dump) }
}

/// Makes a backup of a day; its dump is its day as a text.
async fn back_up(backups: &RemoteBackups, day: u8) -> String {
    let dump = format!("dump {day:02}").into_bytes();
    let cancel = CancelToken::never();
    let manifest = of_day(day, &dump);
    let upload = backups.begin(label(day), ".sql", &manifest.operation, 0, &cancel).unwrap();
    write(&upload, dump).await;
    let address = backups.publish(upload, (label(day), ".sql"), &manifest, &cancel).await.unwrap();
    address.display().to_string()
}

/// Keeps the newest backup and no other.
fn keep_last() -> RetentionPolicy {
    RetentionPolicy {
        counts: [1, 0, 0, 0, 0, 0],
        within: [None; 6],
        safety: CalendarDuration::parse("30d").unwrap(),
    }
}

async fn plan(backups: &RemoteBackups) -> PrunePlan {
    let (keys, policy) = (ManifestKeys::default(), keep_last());
    let request =
        PruneRequest { policy: &policy, keys: &keys, copies: &[], now: now(), zone: &TimeZone::UTC };
    let listed = backups.listing(&keys).await.unwrap().backups;
    PrunePlan::of_store(backups.catalog(), listed, &request)
}

async fn carry_out(backups: &RemoteBackups, plan: PrunePlan) -> PrunedBackups {
    let confirmed = Confirmed::on_disposable(plan, &Nobodys);
    backups.prune(&confirmed, now(), &CancelToken::never()).await
}

async fn keys_of(store: &dyn Store) -> Vec<String> {
    let mut keys: Vec<String> = store.list("").await.unwrap().into_iter().map(|object| object.key).collect();
    keys.sort();
    keys
}

fn pair_of(day: u8) -> [String; 2] {
    let key = format!("acme/prod/{}.sql", label(day));
    [format!("{key}.{day:04}"), format!("{key}.json")]
}

fn pairs_of(days: &[u8]) -> Vec<String> {
    days.iter().flat_map(|day| pair_of(*day)).collect()
}

#[tokio::test]
async fn a_store_is_pruned_by_its_rules_and_other_objects_stay() {
    let (_home, stores) = stores();
    for store in stores {
        let backups = backups(&store);
        for day in 1..=3 {
            back_up(&backups, day).await;
        }
        let others = ["acme/prod/notes.txt", "shop/prod/backup_20241201_143022.sql.json"];
        for key in others {
            store.put(key, Bytes::from_static(b"x"), ExistingObject::Keep).await.unwrap();
        }
        let done = carry_out(&backups, plan(&backups).await).await;
        assert_eq!((done.removed.len(), done.failed.len(), done.versions_kept), (2, 0, false));
        let mut left = pairs_of(&[3]);
        left.extend(others.map(str::to_owned));
        left.sort();
        assert_eq!(keys_of(store.as_ref()).await, left);
        assert_eq!(plan(&backups).await.removals().count(), 0);
    }
}

#[tokio::test]
async fn what_cannot_be_deleted_stays_with_its_manifest_and_the_others_go() {
    let (_home, stores) = stores();
    for store in stores {
        let faulty = FaultyStore::before(&store);
        let faulty_store: Arc<dyn Store> = faulty.clone();
        let backups = backups(&faulty_store);
        for day in 1..=4 {
            back_up(&backups, day).await;
        }
        *faulty.kept.lock().unwrap() = Some(".0001");
        let locked = ObjectHold {
            retained_until: Some("2025-01-01T00:00:00Z".parse().unwrap()),
            ..ObjectHold::default()
        };
        let over = ObjectHold { retained_until: Some(now()), is_hidden: true, ..ObjectHold::default() };
        faulty.holds.lock().unwrap().extend([(pair_of(2)[0].clone(), locked), (pair_of(3)[0].clone(), over)]);
        let done = carry_out(&backups, plan(&backups).await).await;
        let messages: Vec<&str> = done.failed.iter().map(|(_, error)| error.message()).collect();
        assert!(messages[0].contains("AccessDenied") && messages.len() == 2, "{messages:?}");
        assert!(
            messages[1].contains("is locked until 2025-01-01 00:00:00 UTC (Object Lock)"),
            "{messages:?}"
        );
        assert!(done.versions_kept, "the bucket keeps what was deleted");
        assert_eq!(keys_of(store.as_ref()).await, pairs_of(&[1, 2, 4]));
        // A legal hold on the manifest alone: else a dump would be gone and its manifest left.
        *faulty.kept.lock().unwrap() = None;
        faulty.holds.lock().unwrap().clear();
        let held = ObjectHold { legal_hold: true, ..ObjectHold::default() };
        faulty.holds.lock().unwrap().insert(pair_of(1)[1].clone(), held);
        let done = carry_out(&backups, plan(&backups).await).await;
        assert!(done.failed[0].1.message().contains("by a legal hold"), "{:?}", done.failed);
        assert_eq!(keys_of(store.as_ref()).await, pairs_of(&[1, 4]));
    }
}

#[tokio::test]
async fn a_prune_that_ends_at_any_delete_leaves_no_dump_without_a_manifest() {
    let (_home, stores) = stores();
    for store in stores {
        for deletes in 0..6 {
            let faulty = FaultyStore::before(&store);
            let faulty_store: Arc<dyn Store> = faulty.clone();
            let backups = backups(&faulty_store);
            for day in 1..=4 {
                back_up(&backups, day).await;
            }
            *faulty.deletes.lock().unwrap() = deletes;
            let (source, cancel) = pair();
            let confirmed = Confirmed::on_disposable(plan(&backups).await, &Nobodys);
            let (done, ()) = tokio::join!(backups.prune(&confirmed, now(), &cancel), async {
                while !*faulty.is_stuck.lock().unwrap() {
                    tokio::task::yield_now().await;
                }
                source.fire(15);
            });
            assert_eq!((done.removed.len(), done.failed.len()), (deletes / 2, 0), "{deletes}");
            let listing = backups.listing(&ManifestKeys::default()).await.unwrap();
            assert!(listing.lone_dumps.is_empty(), "{deletes}: a dump takes space and nobody knows of it");
            let broken = listing.backups.iter().filter(|remote| remote.backup.manifest.is_err()).count();
            assert_eq!(broken, deletes % 2, "{deletes}: a manifest without its dump is no backup");
            *faulty.deletes.lock().unwrap() = usize::MAX;
            carry_out(&backups, plan(&backups).await).await;
            let left = plan(&backups).await;
            assert_eq!((left.removals().count(), left.lone_manifests.len()), (0, deletes % 2));
            for key in keys_of(store.as_ref()).await {
                store.delete(&key).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_backup_that_has_changed_since_it_was_looked_at_stays() {
    let (_home, stores) = stores();
    for store in stores {
        let backups = backups(&store);
        for day in 1..=4 {
            back_up(&backups, day).await;
        }
        let plan = plan(&backups).await;
        let pinned = backups.find(format!("{}.sql", label(1)).as_ref()).await.unwrap();
        let operation = crate::operation::Operation::for_test("0123");
        backups.set_pin(&pinned, Some("audit".into()), false, &operation).await.unwrap();
        let other = Manifest { operation: "ffff".into(), ..of_day(2, b"dump 02") }.to_json();
        store.put(&pair_of(2)[1], other.into(), ExistingObject::Replace).await.unwrap();
        for key in pair_of(3) {
            store.delete(&key).await.unwrap();
        }
        let done = carry_out(&backups, plan).await;
        let told: Vec<_> = done.failed.iter().map(|(_, error)| error.message().to_owned()).collect();
        assert!(told[0].contains("pinned meanwhile") && told[1].contains("changed meanwhile"), "{told:?}");
        // Another prune has removed it: nothing is left to do.
        assert_eq!(done.removed.len(), 1);

        let listed = backups.list().await.unwrap();
        let pin = listed.iter().find_map(|remote| remote.backup.pin.clone()).unwrap();
        assert_eq!(pin.reason.as_deref(), Some("audit"));
        assert!(backups.clear_pin(&pinned).await.unwrap() && !backups.clear_pin(&pinned).await.unwrap());
        store
            .put(&format!("acme/prod/{}.sql.pin", label(1)), Bytes::new(), ExistingObject::Keep)
            .await
            .unwrap();
        let listed = backups.list().await.unwrap();
        assert_eq!(
            listed.iter().filter(|remote| remote.backup.pin.is_some()).count(),
            1,
            "an empty pin pins"
        );
    }
}

#[tokio::test]
async fn a_store_that_lists_late_is_asked_for_the_dump_itself() {
    let (_home, stores) = stores();
    for store in stores {
        let faulty = FaultyStore::before(&store);
        let faulty_store: Arc<dyn Store> = faulty.clone();
        let backups = backups(&faulty_store);
        for day in 1..=3 {
            back_up(&backups, day).await;
        }
        // The second one of that second: its dump has the first name.
        let again = Manifest { operation: "aaaa".into(), ..of_day(3, b"another") };
        let cancel = CancelToken::never();
        let upload = backups.begin(label(3), ".sql", &again.operation, 0, &cancel).unwrap();
        write(&upload, b"another".to_vec()).await;
        backups.publish(upload, (label(3), ".sql"), &again, &cancel).await.unwrap();

        faulty.unlisted.lock().unwrap().extend([".0003".to_owned(), ".aaaa".to_owned()]);
        let listed = backups.list().await.unwrap();
        assert_eq!(listed.len(), 4);
        for remote in &listed {
            assert!(remote.backup.manifest.is_ok(), "{:?}", remote.backup.manifest);
            backups.open_dump(remote).await.map(drop).unwrap();
        }
        backups.find(format!("{}.sql", label(3)).as_ref()).await.unwrap().backup.manifest.unwrap();
        // What is not listed at all is not removed, and what is gone and listed is no backup.
        *faulty.unlisted.lock().unwrap() = vec![format!("{}.sql.json", label(1))];
        let done = carry_out(&backups, plan(&backups).await).await;
        assert_eq!((done.removed.len(), done.failed.len()), (2, 0));
        faulty.unlisted.lock().unwrap().clear();
        assert!(keys_of(store.as_ref()).await.contains(&pair_of(1)[0]));
    }
}

#[tokio::test]
async fn two_backups_that_race_to_one_name_both_stay() {
    let (_home, stores) = stores();
    for store in stores {
        let backups = backups(&store);
        let cancel = CancelToken::never();
        let racing = (0..4u8).map(async |number| {
            let dump = format!("of {number}").into_bytes();
            let own = Manifest { operation: format!("{number:04}").as_str().into(), ..of_day(7, &dump) };
            let upload = backups.begin(label(7), ".sql", &own.operation, 0, &cancel).unwrap();
            write(&upload, dump).await;
            backups.publish(upload, (label(7), ".sql"), &own, &cancel).await.unwrap()
        });
        let mut addresses = futures::future::join_all(racing).await;
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 4, "{addresses:?}");
        let listed = backups.list().await.unwrap();
        assert_eq!(listed.iter().filter(|remote| remote.backup.manifest.is_ok()).count(), 4);
    }
}

#[tokio::test]
async fn an_older_backup_under_a_newer_name_and_one_of_another_stack_are_not_taken() {
    let (_home, stores) = stores();
    for store in stores {
        let backups = backups(&store);
        back_up(&backups, 1).await;
        back_up(&backups, 2).await;
        // Dump and manifest of the first under the name of a third.
        let old = of_day(1, b"dump 01");
        let third = format!("acme/prod/{}.sql", label(3));
        let put = async |key: String, bytes: Vec<u8>| {
            store.put(&key, bytes.into(), ExistingObject::Replace).await.unwrap();
        };
        put(format!("{third}.0001"), b"dump 01".to_vec()).await;
        put(format!("{third}.json"), old.to_json().into_bytes()).await;
        let listed = backups.list().await.unwrap();
        let problem = listed[0].backup.manifest.clone().unwrap_err();
        assert_eq!(problem, "its manifest is that of backup_20241201_143022");
        let target = Identity { stack: "acme".into(), profile: Some("prod".into()), ..Identity::default() };
        let latest = backups.latest_of(&listed, &target).unwrap();
        assert_eq!(latest.backup.label, label(2));
        assert!(plan(&backups).await.backups[0].decision.is_keep(), "nobody vouches for it");

        for key in pair_of(2) {
            let bytes = super::store::tests::all_of(store.as_ref(), &key).await;
            put(key.replacen("acme", "shop", 1), bytes).await;
        }
        let shop = RemoteBackups::new(store.clone(), |root| Catalog::new(root, "shop", Some("prod")));
        let listed = shop.list().await.unwrap();
        let target = Identity { stack: "shop".into(), ..target };
        let error = shop.latest_of(&listed, &target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(error.message().contains("the backup is of stack acme"), "{error}");
        assert!(read_store(shop.catalog(), listed, "shop", Some("prod")).items.is_empty());
    }
}

#[tokio::test]
async fn a_local_backup_goes_when_every_store_has_confirmed_its_copy() {
    let (_home, stores) = stores();
    let home = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(home.path(), "acme", Some("prod"));
    std::fs::create_dir_all(catalog.directory()).unwrap();
    for day in 1..=4 {
        let dump = format!("dump {day:02}");
        let path = catalog.directory().join(format!("{}.sql", label(day)));
        std::fs::write(&path, &dump).unwrap();
        std::fs::write(super::manifest::path_for(&path), of_day(day, dump.as_bytes()).to_json()).unwrap();
    }
    let remote = backups(&stores[0]);
    for day in [1, 2, 4] {
        back_up(&remote, day).await;
    }
    // The dump of the second has been cut in the store since.
    stores[0].put(&pair_of(2)[0], Bytes::from_static(b"dum"), ExistingObject::Replace).await.unwrap();
    let keys = ManifestKeys::default();
    let removed = |confirmed: Option<ConfirmedCopies>| {
        let copies = [StoreCopies { url: "s3://b".parse().unwrap(), confirmed }];
        let policy = keep_last();
        let request =
            PruneRequest { policy: &policy, keys: &keys, copies: &copies, now: now(), zone: &TimeZone::UTC };
        let plan = PrunePlan::new(&catalog, &request).unwrap();
        let reasons: Vec<String> =
            plan.backups.iter().flat_map(|planned| planned.decision.reasons()).collect();
        let removed =
            plan.backups.iter().filter(|planned| matches!(planned.decision, RetentionDecision::Remove(_)));
        (removed.map(|planned| planned.backup.label).collect::<Vec<_>>(), reasons)
    };
    let (gone, reasons) = removed(Some(remote.confirmed(&keys).await.unwrap()));
    assert_eq!(gone, [label(1)], "{reasons:?}");
    assert_eq!(reasons[2..4], ["no copy in s3://b", "no copy in s3://b"], "{reasons:?}");
    let (gone, reasons) = removed(None);
    assert!(gone.is_empty() && reasons.contains(&"no copy confirmed in s3://b".to_owned()), "{reasons:?}");
}

#[tokio::test]
async fn a_pin_outlives_a_store_that_cannot_be_read_for_a_while() {
    let (_home, stores) = stores();
    for store in stores {
        let faulty = FaultyStore::before(&store);
        let shown: Arc<dyn Store> = faulty.clone();
        let backups = backups(&shown);
        back_up(&backups, 1).await;
        let found = backups.find(format!("{}.sql", label(1)).as_ref()).await.unwrap();
        let operation = crate::operation::Operation::for_test("0123");
        backups.set_pin(&found, Some("audit".into()), false, &operation).await.unwrap();
        *faulty.unreadable.lock().unwrap() = true;
        let error = backups.set_pin(&found, Some("again".into()), false, &operation).await.unwrap_err();
        assert!(error.full_message().contains("AccessDenied"), "{error}");
        *faulty.unreadable.lock().unwrap() = false;
        let listed = backups.list().await.unwrap();
        assert!(listed[0].backup.pin.is_some());
    }
}

#[tokio::test]
async fn no_manifest_is_left_where_the_locks_of_a_removed_dump_cannot_be_asked_for() {
    let (_home, stores) = stores();
    for store in stores {
        let faulty = FaultyStore::before(&store);
        let shown: Arc<dyn Store> = faulty.clone();
        let backups = backups(&shown);
        for day in 1..=4 {
            back_up(&backups, day).await;
        }
        let plan = plan(&backups).await;
        let planned = plan.removals().count();
        *faulty.refuses_holds.lock().unwrap() = true;
        let done = carry_out(&backups, plan).await;
        assert!(planned > 0 && done.failed.is_empty());
        assert_eq!(keys_of(store.as_ref()).await.len(), 2 * (4 - planned));
    }
}
