//! A stack's backups in the stores of its settings: how old the last one is, whether the newest has its copy, what killed
//! uploads left.
//!
//! Promise: only lists and manifests are read.

use jiff::{SignedDuration, Timestamp};

use super::backups::is_good;
use super::{CheckFinding, StackPlace};
use crate::error::Error;
use crate::repository::catalog::{Backup, besides};
use crate::repository::identity::Identity;
use crate::repository::name::Label;
use crate::repository::remote_backups::RemoteListing;
use crate::text::shell_word::shell_word;
use crate::text::units::{age, bytes, counted};

/// Observed state of one store.
#[derive(Debug)]
pub(crate) struct StoreReport {
    /// Address of the store.
    pub(crate) url: String,
    pub(crate) listing: Result<RemoteListing, Error>,
}

/// A copy takes its time: a younger backup may still be on its way.
const COPY_TIME: SignedDuration = SignedDuration::from_hours(1);
/// A younger dump without a manifest may be that of a run that goes on.
const UPLOAD_TIME: SignedDuration = SignedDuration::from_hours(24);

/// Returns the findings about one store. `newest` is the newest good backup of this machine.
pub(crate) fn judge(
    seen: &StoreReport,
    place: &StackPlace,
    (target, newest): (&Identity, Option<&Backup>),
    now: Timestamp,
) -> Vec<CheckFinding> {
    let url = &seen.url;
    let option = format!("--store {}", shell_word(url));
    let findings = match &seen.listing {
        Err(error) => {
            let what = format!("the backups in {url} cannot be listed: {}", error.full_message());
            let check = format!("see what is missing: `envctl store check {}`", shell_word(url));
            vec![CheckFinding::problem_in_production(place, "stores", what).next(check)]
        }
        Ok(listing) => {
            let backups: Vec<Backup> = listing.backups.iter().map(|remote| remote.backup.clone()).collect();
            let last = backups.iter().find(|backup| is_good(backup, target));
            let missing = || {
                let others =
                    if backups.is_empty() { String::new() } else { format!(" {}", besides(&backups)) };
                let what = format!("there is no verified backup{others} in {url}");
                CheckFinding::problem_in_production(place, "stores", what)
                    .next(format!("make one: `envctl backup {option} {}`", place.flags))
            };
            let finding = last.map_or_else(missing, |last| aged(last, newest, url, now));
            let mut findings = vec![finding];
            findings.extend(lone_dumps(listing, url, now));
            findings
        }
    };
    findings.into_iter().map(|finding| finding.at(place)).collect()
}

fn aged(last: &Backup, newest: Option<&Backup>, url: &str, now: Timestamp) -> CheckFinding {
    let began = last.label.timestamp();
    let what = format!("the last backup in {url} was made {}", age(began, now));
    let uncopied = newest.filter(|newest| {
        let made = newest.label.timestamp();
        made > began && now.duration_since(made) > COPY_TIME
    });
    match uncopied {
        Some(newest) => {
            let name = newest.path.file_name().unwrap_or_default().to_string_lossy();
            CheckFinding::warning("stores", format!("{what}; the newer {name} has no copy there"))
                .next("make one that is copied: `envctl backup`; a copy that fails says why")
        }
        None => CheckFinding::ok("stores", format!("{what} ({})", bytes(last.stored_bytes))),
    }
}

/// Finds dumps whose upload was killed before the manifest was stored.
fn lone_dumps(listing: &RemoteListing, url: &str, now: Timestamp) -> Option<CheckFinding> {
    let of = |key: &str| Label::of_file(key.rsplit('/').next()?.rsplit_once('.')?.0);
    let old = listing.lone_dumps.iter().filter(|dump| {
        of(&dump.key).is_some_and(|label| now.duration_since(label.timestamp()) > UPLOAD_TIME)
    });
    let (mut count, mut size, mut first) = (0, 0, None);
    for dump in old {
        count += 1;
        size += dump.size;
        first.get_or_insert(&dump.key);
    }
    let first = first?;
    let dumps = counted(count, "dump", "dumps");
    let what =
        format!("{dumps} without a manifest in {url}, {}, of backups that were killed: {first}", bytes(size));
    Some(CheckFinding::note("stores", what).next("remove them with the tool of the store"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;
    use crate::repository::manifest::tests::sample;
    use crate::repository::remote_backups::RemoteBackup;
    use crate::repository::store::StoredObject;

    fn backup(night: &str) -> Backup {
        let label: Label = format!("backup_{night}").parse().unwrap();
        let mut manifest = sample();
        manifest.started = label.timestamp();
        Backup {
            path: format!("s3://b/acme/prod/{label}.sql.gz").into(),
            label,
            stored_bytes: 10,
            manifest: Ok(manifest),
            pin: None,
        }
    }

    fn told(listing: Result<RemoteListing, Error>, newest: Option<&Backup>) -> Vec<String> {
        let seen = StoreReport { url: "s3://b".into(), listing };
        let target = Identity { stack: "acme".into(), profile: Some("prod".into()), ..Identity::default() };
        let place = StackPlace::sample(true);
        let now = "2026-01-03T12:00:00Z".parse().unwrap();
        let findings = judge(&seen, &place, (&target, newest), now);
        findings.iter().map(|finding| format!("{}: {}", finding.severity.keyword(), finding.what)).collect()
    }

    fn of(nights: &[&str]) -> RemoteListing {
        let backups = nights.iter().map(|night| RemoteBackup::of(backup(night))).collect();
        RemoteListing { backups, lone_dumps: Vec::new() }
    }

    #[test]
    fn a_store_is_judged_by_its_newest_backup() {
        let newest = backup("20260103_020000");
        let both = of(&["20260103_020000", "20260102_020000"]);
        assert_eq!(told(Ok(both), Some(&newest)), ["ok: the last backup in s3://b was made 10 h ago (10 B)"]);
        let behind = told(Ok(of(&["20260102_020000"])), Some(&newest));
        assert!(
            behind[0].starts_with("warning:")
                && behind[0].contains("backup_20260103_020000.sql.gz has no copy"),
            "{behind:?}"
        );
        let on_its_way = backup("20260103_113000");
        assert!(told(Ok(of(&["20260102_020000"])), Some(&on_its_way))[0].starts_with("ok:"));
        assert_eq!(told(Ok(of(&[])), None), ["problem: there is no verified backup in s3://b"]);
        let refused = told(Err(error::failed("no")), None);
        assert_eq!(refused, ["problem: the backups in s3://b cannot be listed: no"]);
    }

    #[test]
    fn dumps_of_killed_uploads_are_told_and_those_on_their_way_are_not() {
        let dump = |night: &str| StoredObject {
            key: format!("acme/prod/backup_{night}.sql.gz.00ff"),
            size: 5,
            etag: None,
        };
        let mut listing = of(&["20260103_020000"]);
        listing.lone_dumps = vec![dump("20260101_020000"), dump("20260101_030000"), dump("20260103_110000")];
        let told = told(Ok(listing), None);
        assert!(told[1].contains("2 dumps without a manifest in s3://b, 10 B"), "{told:?}");
    }
}
