//! Throwaway PostgreSQL server: started from an image, waited for, filled with the roles that a backup needs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use crate::docker::engine::{Engine, LogsRequest};
use crate::docker::throwaway::Throwaway;
use crate::docker::throwaway::spec::ThrowawaySpec;
use crate::docker::worker::worker_spec::ResourceLimits;
use crate::docker::{Container, ExecSpec};
use crate::error::{self, Result};
use crate::operation::{Operation, SessionRole};
use crate::postgres::access::ConnectionOverrides;
use crate::postgres::preload;
use crate::postgres::session::Refusal;
use crate::postgres::{Access, Session};
use crate::repository::manifest::Manifest;
use crate::restore::all_databases::Roles;
use crate::text::sql_quote::{ident, literal};

/// Command of the server. Nothing of it has to survive a crash, so that nothing is synced and little is logged.
const COMMAND: [&str; 19] = [
    "postgres",
    "-c",
    "fsync=off",
    "-c",
    "full_page_writes=off",
    "-c",
    "synchronous_commit=off",
    "-c",
    "wal_level=minimal",
    "-c",
    "max_wal_senders=0",
    "-c",
    "max_wal_size=4GB",
    "-c",
    "autovacuum=off",
    "-c",
    "max_locks_per_transaction=1024",
    // The temporary server of a first start listens nowhere: see `wait`.
    "-c",
    "listen_addresses=localhost",
];

/// Size of `/dev/shm`: parallel index builds take their memory there, and 64 MB, Docker's default, are too few.
const SHARED_MEMORY: u64 = 256 << 20;

/// Longest wait for its first session: an image makes a cluster first.
const STARTUP_LIMIT: Duration = Duration::from_mins(2);

/// Superuser of the server; a backup may hold a role `postgres` that is none.
const SUPERUSER: &str = "envctl_verify";

/// Throwaway server that runs.
pub(crate) struct ThrowawayServer {
    throwaway: Throwaway,
    access: Access,
}

impl ThrowawayServer {
    /// Starts a throwaway server, with more `arguments`. Do not drop the future, see [`Throwaway::start`].
    ///
    /// # Errors
    /// Kind `Docker`: the engine refuses. Nothing is left then.
    pub(crate) async fn start(
        engine: &Arc<dyn Engine>,
        operation: &Operation,
        image: &str,
        limits: ResourceLimits,
        arguments: Vec<String>,
        private_dirs: &Path,
    ) -> Result<Self> {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let spec = ThrowawaySpec {
            operation: operation.id.clone(),
            image: image.to_owned(),
            command: COMMAND.into_iter().map(str::to_owned).chain(arguments).collect(),
            env: vec![
                variable("POSTGRES_USER", SUPERUSER),
                variable("POSTGRES_DB", "postgres"),
                // No network leads to it.
                variable("POSTGRES_HOST_AUTH_METHOD", "trust"),
                variable("POSTGRES_INITDB_ARGS", "--no-sync"),
            ],
            shared_memory: SHARED_MEMORY,
            limits,
            private_dir: private_dirs.to_owned(),
        };
        let throwaway = Throwaway::start(engine, spec, private_dirs).await?;
        let overrides = ConnectionOverrides {
            user: Some(SUPERUSER.to_owned()),
            database: Some("postgres".to_owned()),
            ..ConnectionOverrides::default()
        };
        match Access::discover(throwaway.container(), &overrides).await {
            Ok(access) => Ok(Self { throwaway, access }),
            Err(cause) => {
                let _ = throwaway.remove().await;
                Err(cause)
            }
        }
    }

    pub(crate) fn container(&self) -> &Container {
        self.throwaway.container()
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The container itself, as proof that plans for it need no consent.
    pub(crate) fn disposable(&self) -> &Throwaway {
        &self.throwaway
    }

    /// Waits until the server accepts sessions, runs the statements of `globals`, and makes the other roles and the
    /// tablespaces that the backup needs; as superusers where the manifest is authenticated. Returns the refusals of
    /// memberships.
    ///
    /// # Errors
    /// The server does not start. Kind `Integrity`: a role of the backup cannot be made.
    pub(crate) async fn prepare(
        &self,
        manifest: &Manifest,
        trusted: bool,
        globals: &Roles,
        operation: &Operation,
    ) -> Result<Vec<String>> {
        let name = operation.application_name(SessionRole::Restore);
        let mut session = self.wait(&name).await?;
        let mut refused = Vec::new();
        for statement in &globals.statements {
            let mut answer = session.query(statement).await;
            // The grantor is the superuser of the server that was backed up, and is none here (PostgreSQL 16).
            if let (Err(Refusal::Sql(_)), true) = (&answer, statement.starts_with("GRANT "))
                && let Some((membership, _)) = statement.rsplit_once(" GRANTED BY ")
            {
                answer = session.query(membership).await;
            }
            match answer {
                Ok(_) => {}
                Err(Refusal::Lost(cause)) => return Err(cause),
                Err(Refusal::Sql(cause)) if statement.starts_with("GRANT ") => {
                    refused.push(cause.to_string());
                }
                // Never the statement: a password's hash may be in it.
                Err(Refusal::Sql(cause)) => {
                    return Err(error::integrity(format!("a role of the backup cannot be made: {cause}")));
                }
            }
        }
        // Roles of PostgreSQL itself are there.
        let made = |role: &&String| {
            *role != SUPERUSER && !role.starts_with("pg_") && !globals.missing.contains(role)
        };
        for role in manifest.roles.iter().filter(made) {
            // Which roles were superusers no dump tells, and some objects need one for their owner: event triggers,
            // publications of all tables. Of an untrusted file none is one.
            let right = if trusted { " superuser" } else { "" };
            session.query(&format!("create role {}{right}", ident(role))).await?;
        }
        let tablespaces = manifest.restore_hints.iter().flat_map(|hints| &hints.tablespaces);
        for (number, tablespace) in tablespaces.enumerate() {
            let directory = format!("/var/lib/postgresql/envctl_tablespace_{number}");
            let make = ["install", "-d", "-o", "postgres", "-g", "postgres", &directory].map(str::to_owned);
            self.container().capture(&ExecSpec::new(make), None).await?;
            let create = format!("create tablespace {} location {}", ident(tablespace), literal(&directory));
            session.query(&create).await?;
        }
        session.close().await;
        Ok(refused)
    }

    /// Name of the server's own superuser, which no backup may make.
    pub(crate) fn superuser() -> &'static str {
        SUPERUSER
    }

    /// Opens a session when the server takes one. Images set their clusters up in ways of their own, so that every
    /// refusal is taken for a start that goes on, until the container ends.
    async fn wait(&self, application: &str) -> Result<Session> {
        let started = Instant::now();
        loop {
            match Session::open(self.container(), &self.access, application).await {
                Ok(mut session) => {
                    // A server of the image's own set-up is shut down at any moment.
                    let own = "select pg_catalog.current_setting('listen_addresses') = 'localhost'";
                    if session.value(own).await.is_ok_and(|answer| answer.as_deref() == Some("t")) {
                        return Ok(session);
                    }
                    session.close().await;
                    if started.elapsed() > STARTUP_LIMIT {
                        return Err(error::unverified("the server of the image does not take our settings"));
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                Err(cause) if started.elapsed() > STARTUP_LIMIT || self.has_ended().await => {
                    return Err(cause);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }

    /// Reports whether the container ended, was removed, or cannot be asked for.
    pub(crate) async fn has_ended(&self) -> bool {
        !matches!(self.container().inspect().await, Ok(Some(info)) if info.is_running())
    }

    /// Returns the library that the server could not load, from its log.
    pub(crate) async fn missing_library(&self) -> Option<String> {
        let container = self.container();
        let request = LogsRequest { tail: Some(50), ..LogsRequest::default() };
        let mut log = container.engine().logs(&container.id, &request).await.ok()?;
        let mut bytes = Vec::new();
        log.reader.read_to_end(&mut bytes).await.ok()?;
        preload::missing_in(&String::from_utf8_lossy(&bytes)).map(str::to_owned)
    }

    /// Removes the server.
    ///
    /// # Errors
    /// Kind `Docker`: the engine refuses; the next run removes it.
    pub(crate) async fn remove(self) -> Result<()> {
        self.throwaway.remove().await
    }
}
