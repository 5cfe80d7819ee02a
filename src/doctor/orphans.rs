//! Orphans of envctl on this host and in its engine: workers and their private directories.
//!
//! Promises: removes the same as the next backup would, and nothing else: a lock that nobody holds any more tells.
//! Workers of living runs and of other hosts, and files elsewhere, are reported at most.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CheckFinding;
use crate::docker::Engine;
use crate::docker::worker;
use crate::docker::worker::OrphanWorker;
use crate::fsutil::private_dir;
use crate::text::shell_word::shell_word;

/// Workers and private directories that were found, and the result of their removal.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrphanReport {
    /// Every worker with how it stands.
    pub(crate) workers: Vec<(OrphanWorker, OrphanState)>,
    /// Private directories of killed runs, and whether they are gone.
    pub(crate) private_dirs: Vec<(PathBuf, bool)>,
    /// Reason for which workers could not be listed.
    pub(crate) unlisted: Option<String>,
    /// True where nothing was to be removed.
    pub(crate) only_looked: bool,
}

/// State of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrphanState {
    /// The worker's envctl is alive.
    Alive,
    /// The worker's envctl is on another host.
    Elsewhere,
    /// Left, with its private directory where nobody has told us to clean up.
    LeftAside,
    /// Left, and still there.
    Left,
    /// Left, and removed now.
    Removed,
}

/// Looks at the private directories in `homes` and at the engine's workers; removes what is left, unless it may only
/// look.
pub(crate) async fn look(engine: &Arc<dyn Engine>, homes: &[PathBuf], only_look: bool) -> OrphanReport {
    let (listed, unlisted) = match engine.workers().await {
        Ok(workers) => (workers, None),
        Err(error) => (Vec::new(), Some(error.full_message())),
    };
    let places = homes.to_vec();
    let (mut workers, private_dirs) = on_a_thread(move || {
        let stands = |left: OrphanWorker| {
            let standing = standing(&left, &places);
            (left, standing)
        };
        let workers: Vec<_> = listed.into_iter().map(stands).collect();
        (workers, places.iter().flat_map(|home| private_dir::left(home)).collect::<Vec<_>>())
    })
    .await;
    if !only_look {
        let homes: Vec<&Path> = homes.iter().map(PathBuf::as_path).collect();
        let reaped: Vec<String> =
            worker::reap(engine, &homes).await.into_iter().map(|left| left.id).collect();
        for (left, standing) in &mut workers {
            if *standing == OrphanState::Left && reaped.contains(&left.id) {
                *standing = OrphanState::Removed;
            }
        }
    }
    let gone = |path: PathBuf| {
        let gone = path.symlink_metadata().is_err();
        (path, gone)
    };
    let private_dirs = on_a_thread(move || private_dirs.into_iter().map(gone).collect()).await;
    OrphanReport { workers, private_dirs, unlisted, only_looked: only_look }
}

/// A directory on a server that is gone hangs whoever looks at it.
async fn on_a_thread<T: Default + Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

fn standing(left: &OrphanWorker, homes: &[PathBuf]) -> OrphanState {
    if !left.is_of_this_machine() {
        return OrphanState::Elsewhere;
    }
    if left.is_left(homes) {
        return OrphanState::Left;
    }
    // Only told: the path comes from a label, which anybody may write.
    match left.private_dir.parent() {
        Some(home) if left.is_left_in(home) => OrphanState::LeftAside,
        _ => OrphanState::Alive,
    }
}

/// Returns the findings about orphans.
pub(crate) fn judge(seen: &OrphanReport) -> Vec<CheckFinding> {
    let mut findings = Vec::new();
    if let Some(text) = &seen.unlisted {
        findings.push(CheckFinding::note("orphans", format!("workers cannot be listed: {text}")));
    }
    let alive = seen.workers.iter().filter(|(_, standing)| *standing == OrphanState::Alive).count();
    if alive > 0 {
        let noun = if alive == 1 { "worker is" } else { "workers are" };
        findings.push(CheckFinding::note("orphans", format!("{alive} {noun} at work")));
    }
    findings.extend(seen.workers.iter().filter_map(|(left, standing)| of_worker(left, *standing, seen)));
    findings.extend(seen.private_dirs.iter().map(|(path, gone)| of_private_dir(path, *gone, seen)));
    if findings.is_empty() {
        findings.push(CheckFinding::ok("orphans", "no orphans of killed runs of envctl"));
    }
    findings
}

fn of_worker(left: &OrphanWorker, standing: OrphanState, seen: &OrphanReport) -> Option<CheckFinding> {
    let id = left.id.get(..12).unwrap_or(&left.id);
    let what = format!("the worker of envctl/{}", left.operation.short());
    let killed = "orphan of a run that was killed";
    let remove = format!("docker rm --force --volumes {}", shell_word(id));
    match standing {
        OrphanState::Alive => None,
        OrphanState::Removed => Some(CheckFinding::note("orphans", format!("removed {what}, {killed}"))),
        OrphanState::Left if seen.only_looked => Some(
            CheckFinding::warning("orphans", format!("{what} is there, {killed}"))
                .next("remove it: `envctl doctor`"),
        ),
        OrphanState::Left => Some(
            CheckFinding::warning("orphans", format!("{what}, {killed}, could not be removed"))
                .next(format!("remove it: `{remove}`")),
        ),
        OrphanState::LeftAside if left.private_dir.symlink_metadata().is_err() => Some(
            CheckFinding::warning("orphans", format!("{what} is there, {killed}"))
                .next(format!("remove it: `{remove}`")),
        ),
        OrphanState::LeftAside => {
            let private_dir = shell_word(&left.private_dir.display().to_string());
            Some(
                CheckFinding::warning(
                    "orphans",
                    format!("{what} is there, {killed}; its private directory is {private_dir}"),
                )
                .next(format!("remove both: `{remove}; rm -r {private_dir}`")),
            )
        }
        OrphanState::Elsewhere => Some(
            CheckFinding::note("orphans", format!("{what} belongs to an envctl on host {}", left.host()))
                .next("run envctl doctor on that host: only there can be known whether that one lives"),
        ),
    }
}

fn of_private_dir(path: &Path, gone: bool, seen: &OrphanReport) -> CheckFinding {
    let shown = path.display();
    let what = format!("{shown}, orphan of a run that was killed");
    if gone {
        return CheckFinding::note("orphans", format!("removed the directory {what}"));
    }
    let finding = CheckFinding::warning("orphans", format!("there is the directory {what}"));
    if seen.only_looked {
        finding.next("remove it: `envctl doctor`")
    } else {
        finding.next(format!("remove it: `rm -r {}`", shell_word(&shown.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn left() -> OrphanWorker {
        OrphanWorker {
            id: "c0ffee00c0ffee00".into(),
            operation: "0123456789abcdef".into(),
            private_dir: "/run/envctl-worker-0123456789abcdef".into(),
            machine: "there@0".into(),
            running: true,
        }
    }

    fn of(standing: OrphanState, only_looked: bool) -> Vec<CheckFinding> {
        judge(&OrphanReport { workers: vec![(left(), standing)], only_looked, ..OrphanReport::default() })
    }

    #[test]
    fn a_worker_is_told_by_how_it_stands() {
        for (standing, only_looked, severity, text) in [
            (OrphanState::Alive, false, Severity::Note, "1 worker is at work"),
            (OrphanState::Removed, false, Severity::Note, "removed the worker of envctl/01234567"),
            (OrphanState::Left, false, Severity::Warning, "could not be removed"),
            (OrphanState::Left, true, Severity::Warning, "is there"),
            (OrphanState::LeftAside, false, Severity::Warning, "is there"),
            (OrphanState::Elsewhere, false, Severity::Note, "on host there"),
        ] {
            let [finding] = <[CheckFinding; 1]>::try_from(of(standing, only_looked)).unwrap();
            assert_eq!(finding.severity, severity, "{finding:?}");
            assert!(finding.what.contains(text), "{finding:?}");
        }
    }

    #[test]
    fn what_is_to_be_typed_fits() {
        assert_eq!(of(OrphanState::Left, true)[0].next, ["remove it: `envctl doctor`"]);
        assert_eq!(
            of(OrphanState::Left, false)[0].next,
            ["remove it: `docker rm --force --volumes c0ffee00c0ff`"]
        );
        let home = tempfile::tempdir().unwrap();
        let private_dir = home.path().join("envctl-worker-0123456789abcdef");
        let workers =
            vec![(OrphanWorker { private_dir: private_dir.clone(), ..left() }, OrphanState::LeftAside)];
        let seen = OrphanReport { workers, ..OrphanReport::default() };
        assert!(
            judge(&seen)[0].next[0].ends_with("c0ffee00c0ff`"),
            "its private directory is gone: {seen:?}"
        );
        std::fs::create_dir(&private_dir).unwrap();
        let both = format!("c0ffee00c0ff; rm -r {}`", private_dir.display());
        assert!(judge(&seen)[0].next[0].ends_with(&both), "{seen:?}");
    }

    #[test]
    fn a_removed_private_directory_is_a_note_and_one_that_stays_a_warning() {
        for (gone, severity) in [(true, Severity::Note), (false, Severity::Warning)] {
            let seen = OrphanReport {
                private_dirs: vec![("/run/envctl-worker-0".into(), gone)],
                ..OrphanReport::default()
            };
            assert_eq!(judge(&seen)[0].severity, severity);
        }
    }

    #[test]
    fn nothing_left_is_one_good_line() {
        assert_eq!(judge(&OrphanReport::default())[0].severity, Severity::Ok);
        let unlisted = OrphanReport { unlisted: Some("403".into()), ..OrphanReport::default() };
        assert_eq!(judge(&unlisted)[0].severity, Severity::Note);
    }

    #[test]
    fn a_worker_of_another_host_is_never_taken_for_left() {
        assert_eq!(standing(&left(), &["/run".into()]), OrphanState::Elsewhere);
    }
}
