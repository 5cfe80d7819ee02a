//! Runs a command below a child subreaper, where process 1 of the container is a postmaster.
//!
//! The kernel hands an orphan to process 1. A postmaster takes an orphan that dies by a signal, or ends with a code
//! other than 0 and 1, for a crashed backend: it ends every session and recovers (reliability finding 6). A person
//! who leaves a shell with a stopped job is enough. `docker exec` has the same fault, and `init: true` prevents it.
//!
//! Promises: streams, terminal, job control, user, directory, environment and exit code are those of the command;
//! a command that cannot be started is reported as the engine reports it; no further exec is needed. Where
//! a reaper cannot be (no perl and no python3, a machine that is not known, a kernel or seccomp profile that refuses), the
//! command runs directly, and [`shortcoming`] says why.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::demux::Demuxer;
use crate::docker::container::Container;
use crate::docker::container_info::ContainerInfo;
use crate::docker::engine::{Engine, ExecState, ExecStream};
use crate::docker::exec::spec::ExecSpec;
use crate::docker::exec::start_failure::start_failure;
use crate::error::Result;

/// Name of the supervising processes, in `ps` and in `/proc/PID/comm`.
#[cfg(test)]
pub(crate) const COMM: &str = "envctl-reaper";

/// Interpreters, in the order of preference, with the options before the script.
const INTERPRETERS: &[(&str, &[&str], &LazyLock<String>)] = &[
    // Without the variables that perl reads; 2 ms to start.
    ("/usr/bin/perl", &["-C0", "-e"], &PERL),
    ("/usr/bin/python3", &["-I", "-S", "-c"], &PYTHON),
];

static PERL: LazyLock<String> = LazyLock::new(|| without_comments(include_str!("reaper.pl")));
static PYTHON: LazyLock<String> = LazyLock::new(|| without_comments(include_str!("reaper.py")));

/// The engine writes the whole command line into each event of an exec.
fn without_comments(script: &str) -> String {
    let code = |line: &&str| !line.is_empty() && !line.trim_start().starts_with('#');
    script.lines().filter(code).collect::<Vec<_>>().join("\n")
}

/// Variables that perl reads at its start. The command gets the container's values back.
const OF_PERL: [(&str, &str); 2] = [("PERL_BADLANG", "0"), ("PERL5OPT", "")];

/// Variable by which the script tells why it would run a command without a reaper, instead of running it.
const PROBE: &str = "ENVCTL_REAPER_PROBE";
/// Longest wait for that answer.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Returns why commands in `container` run without a reaper although process 1 may be a postmaster. `None` where they have
/// one, or where no command was started yet. Costs an exec where the image has an interpreter.
pub(crate) async fn shortcoming(container: &Container) -> Option<String> {
    if !is_needed(container) {
        return None;
    }
    if container.engine().reapers().known(container)?.is_none() {
        return Some("has neither perl nor python3".to_owned());
    }
    let spec = ExecSpec::new(["true"]).env(PROBE, "1");
    let probing = tokio::time::timeout(PROBE_LIMIT, container.capture(&spec, None));
    let told = probing.await.ok()?.ok()?.text();
    // What another program prints is none of ours.
    let reason =
        told.trim().lines().next().filter(|line| REASONS.iter().any(|known| line.starts_with(known)))?;
    Some(format!("cannot adopt orphaned processes ({reason})"))
}

/// Beginnings of what the scripts tell.
const REASONS: &[&str] = &["machine ", "prctl: ", "fork: ", "pipe: ", "ctypes: "];

/// Reports that process 1 may be a postmaster: the image is PostgreSQL's or a server runs in the container, and no init
/// was asked for.
pub(crate) fn is_needed(container: &ContainerInfo) -> bool {
    let name = |value: &String| matches!(value.rsplit('/').next(), Some("postgres" | "postmaster"));
    let server = |line: &String| {
        let program = line.split_ascii_whitespace().next().unwrap_or_default();
        matches!(program.trim_end_matches(':').rsplit('/').next(), Some("postgres" | "postmaster"))
    };
    let runs_server = container.processes.iter().flatten().any(server);
    let of_postgres = ["PGDATA", "PG_MAJOR"].iter().any(|name| container.env(name).is_some());
    !container.init && (of_postgres || runs_server || container.command.iter().any(name))
}

/// Creates and starts `spec`, below a reaper where one is needed. Gives the id of the exec and its stream.
///
/// # Errors
/// The engine refused.
pub(crate) async fn start(container: &Container, spec: &ExecSpec) -> Result<(String, ExecStream)> {
    let engine = container.engine();
    let reapers = engine.reapers();
    if is_needed(container) {
        match reapers.known(container) {
            Some(Some(known)) => return direct(container, &below(known, container, spec)).await,
            Some(None) => {}
            None => {
                for candidate in 0..INTERPRETERS.len() {
                    let below = below(candidate, container, spec);
                    let (id, mut stream) = direct(container, &below).await?;
                    if !is_missing(engine, &id, &mut stream, &below).await {
                        reapers.learn(container, Some(candidate));
                        return Ok((id, stream));
                    }
                }
                reapers.learn(container, None);
            }
        }
    }
    direct(container, spec).await
}

async fn direct(container: &Container, spec: &ExecSpec) -> Result<(String, ExecStream)> {
    let engine = container.engine();
    let id = engine.exec_create(&container.id, spec).await?;
    let stream = engine.exec_start(&id, spec.tty).await?;
    Ok((id, stream))
}

/// `spec` as the argument of the reaper.
fn below(interpreter: usize, container: &ContainerInfo, spec: &ExecSpec) -> ExecSpec {
    let (program, options, script) = INTERPRETERS[interpreter];
    let mut below = spec.clone();
    below.reaper.push(program.to_owned());
    below.reaper.extend(options.iter().map(|option| (*option).to_owned()));
    below.reaper.push(script.to_string());
    if program.ends_with("perl") {
        // Ends perl's own options.
        below.reaper.push("--".to_owned());
        for (name, value) in OF_PERL {
            let own = spec.env.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.as_str());
            match own.or_else(|| container.env(name)) {
                Some(kept) => below = below.env(&format!("ENVCTL_KEPT_{name}"), kept),
                None if value.is_empty() => continue,
                None => {}
            }
            below.env.retain(|(known, _)| known != name);
            below = below.env(name, value);
        }
    }
    below
}

/// Pauses between two questions whether a process was started, in milliseconds.
const START_POLLS: &[u64] = &[0, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000, 2000];
/// Time for the rest of the engine's message about a failed start.
const FAILURE: Duration = Duration::from_secs(2);
/// A longer output is no message about a failed start.
const LONGEST_FAILURE: usize = 8192;

/// Reports whether the engine could not start the interpreter of `spec`. What was read of the stream is read again.
async fn is_missing(engine: &Arc<dyn Engine>, id: &str, stream: &mut ExecStream, spec: &ExecSpec) -> bool {
    let Some(code) = failed_start(engine, id).await else { return false };
    let mut bytes = stream.early.to_vec();
    let reading = async {
        let mut buffer = vec![0; LONGEST_FAILURE];
        while bytes.len() < LONGEST_FAILURE {
            match stream.io.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            }
        }
    };
    let _ = tokio::time::timeout(FAILURE, reading).await;
    let mut text = Vec::new();
    if spec.tty {
        text.clone_from(&bytes);
    } else {
        let _ = Demuxer::default().feed(&bytes, &mut |_, part: &[u8]| text.extend_from_slice(part));
    }
    stream.early = bytes.into();
    // A user or a directory that is not there is reported in the same way, and is no fault of the image's.
    start_failure(&text, code).is_some_and(|message| message.contains(&spec.reaper[0]))
}

/// The exit code, where no process was started.
async fn failed_start(engine: &Arc<dyn Engine>, id: &str) -> Option<i64> {
    for pause in START_POLLS {
        tokio::time::sleep(Duration::from_millis(*pause)).await;
        match engine.exec_inspect(id).await {
            // Not begun yet. Podman gives code 0 then. An engine that tells no process id has begun.
            Ok(Some(
                ExecState { running: true, pid: Some(0), .. }
                | ExecState { running: false, pid: Some(0), exit_code: None | Some(0) },
            )) => {}
            Ok(Some(ExecState {
                running: false,
                pid: None | Some(0),
                exit_code: Some(code @ 126..=128),
            })) => {
                return Some(code);
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
