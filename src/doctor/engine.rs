//! The Docker engine: which, in what version, and whether workers can serve there.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::CheckFinding;
use crate::docker::Engine;
use crate::docker::engine::EngineVersion;
use crate::docker::worker::worker_spec::ResourceLimits;
use crate::docker::worker::{Unfit, WorkerFactory};
use crate::error::{self, Result};

/// Time limit for one answer of the engine about itself.
const LIMIT: Duration = Duration::from_secs(10);

/// Observed state of an engine.
#[derive(Debug)]
pub(crate) struct EngineReport {
    pub(crate) address: String,
    /// The context's name, and why it is this one.
    pub(crate) chosen: String,
    /// Version of the engine, or the error of the request.
    pub(crate) version: Result<EngineVersion>,
    /// Success where workers can be used; otherwise the reason against them.
    pub(crate) workers: Result<(), Unfit>,
}

/// Looks at it. `private_dirs` is where private directories for workers are made.
pub(crate) async fn look(engine: &Arc<dyn Engine>, chosen: String, private_dirs: &Path) -> EngineReport {
    let slow = |what: &str| format!("{what} within {} s", LIMIT.as_secs());
    let version = tokio::time::timeout(LIMIT, engine.version());
    let worker_factory = async {
        // A private directory is made and goes at once: that it can be is the question.
        let worker_factory =
            WorkerFactory::open(engine, &"doctor".into(), private_dirs, ResourceLimits::default()).await?;
        worker_factory.private_dir().map(drop)
    };
    let (version, workers) = tokio::join!(version, tokio::time::timeout(LIMIT, worker_factory));
    EngineReport {
        address: engine.address(),
        chosen,
        version: version.unwrap_or_else(|_| Err(error::docker(slow("no answer about its version")))),
        workers: workers.unwrap_or_else(|_| Err(Unfit::Refused(slow("no answer to `GET /info`")))),
    }
}

/// Returns the findings about an engine.
pub(crate) fn judge(seen: &EngineReport) -> Vec<CheckFinding> {
    let EngineReport { address, chosen, version, workers } = seen;
    let engine = match version {
        Ok(EngineVersion { version, api, os }) if os == "windows" => CheckFinding::problem(
            "docker",
            format!("{version} (API {api}) at {address} runs Windows containers"),
        )
        .next("name another engine with `--context`: envctl works on Linux containers"),
        Ok(EngineVersion { version, api, .. }) => CheckFinding::ok(
            "docker",
            format!("{} (API {}) at {address}, {chosen}", known(version), known(api)),
        ),
        Err(error) => CheckFinding::warning(
            "docker",
            format!("{address}, {chosen}, does not tell its version: {}", error.full_message()),
        )
        .explained_by(error),
    };
    let workers = match workers {
        Ok(()) => CheckFinding::ok("workers", "backups and restores can run beside the database"),
        Err(unfit) => unfit_workers(unfit),
    };
    vec![engine, workers]
}

fn known(value: &str) -> &str {
    if value.is_empty() { "unknown" } else { value }
}

/// A backup works all the same, only slower: never worse than a note, but where the machine could do better.
fn unfit_workers(unfit: &Unfit) -> CheckFinding {
    let slower =
        |why: &dyn Display| format!("{why}: dumps go through the daemon, which takes about twice as long");
    match unfit {
        Unfit::Remote => CheckFinding::note(
            "workers",
            "the Docker daemon is not on this host: workers compress there, and restores go through the daemon",
        ),
        Unfit::NoPrivateDir(_) => CheckFinding::warning("workers", slower(unfit)).next(
            "make that directory one that you can write into, or name another: `export XDG_RUNTIME_DIR=DIR`",
        ),
        other => CheckFinding::note("workers", slower(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn seen(version: Result<EngineVersion>, workers: Result<(), Unfit>) -> Vec<CheckFinding> {
        judge(&EngineReport {
            address: "unix:///x.sock".into(),
            chosen: "context default (DOCKER_HOST)".into(),
            version,
            workers,
        })
    }

    fn version(os: &str) -> EngineVersion {
        EngineVersion { version: "20.10.24".into(), api: "1.41".into(), os: os.into() }
    }

    #[test]
    fn an_engine_that_serves_is_told_in_two_lines() {
        let findings = seen(Ok(version("linux")), Ok(()));
        assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
        assert_eq!(findings[0].what, "20.10.24 (API 1.41) at unix:///x.sock, context default (DOCKER_HOST)");
    }

    #[test]
    fn what_an_engine_is_like_decides_what_is_said_of_workers() {
        for (unfit, severity, text) in [
            (Unfit::Remote, Severity::Note, "not on this host"),
            (Unfit::Desktop, Severity::Note, "virtual machine"),
            (Unfit::UserNamespaces, Severity::Note, "userns-remap"),
            (Unfit::Refused("Forbidden".into()), Severity::Note, "Forbidden"),
            (Unfit::NoPrivateDir("/run: read-only".into()), Severity::Warning, "/run: read-only"),
        ] {
            let findings = seen(Ok(version("linux")), Err(unfit));
            assert_eq!(findings[1].severity, severity, "{findings:?}");
            assert!(findings[1].what.contains(text), "{findings:?}");
        }
    }

    #[test]
    fn an_engine_of_another_kind_or_without_a_word_is_told() {
        assert_eq!(seen(Ok(version("windows")), Ok(()))[0].severity, Severity::Problem);
        let mute = seen(Err(error::docker("403: Forbidden").hint("ask who runs it")), Ok(()));
        assert_eq!((mute[0].severity, mute[0].next.len()), (Severity::Warning, 1));
    }
}
