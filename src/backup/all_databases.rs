//! Making a backup of all databases: each dumped and verified like any other, beside the target, then one tar.
//!
//! Promises: the tar gets its name only when every dump in it is verified and `globals.sql` has its own end; whatever
//! fails, nothing is left. While it is made it takes its own size of disk twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::backup::create::{Created, create};
use crate::backup::directory_format::{add, close, names};
use crate::backup::request::{BackupRequest, BackupTarget, OnExisting};
use crate::backup::sealing::seal;
use crate::backup::sink::{BackupSink, WrittenBackup};
use crate::cancel::CancelToken;
use crate::codec::{Hashing, Stored};
use crate::databases::properties::Properties;
use crate::docker::Container;
use crate::docker::exec::verified_stream;
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::dump::sql::Summary;
use crate::error::{self, Result};
use crate::fsutil::private_dir::PrivateDir;
use crate::operation::{Operation, SessionRole};
use crate::postgres::database_info::DatabaseInfo;
use crate::postgres::privileges::MAY_MEASURE;
use crate::postgres::session::fields;
use crate::postgres::tools::pg_dump;
use crate::postgres::{Access, Session, maintenance_database};
use crate::progress::Event;
use crate::repository::all_databases_layout::{DATABASES, GLOBALS, PROPERTIES};
use crate::repository::manifest::{
    CLUSTER, DatabaseEntry, Manifest, SCHEMA, Verification, VerificationLevel,
};
use crate::text::percent;
use crate::text::sql_quote::literal;

/// Backs up every database that can be connected to. `request` says how each is dumped and where the tar goes;
/// `open` is a session in one of them.
///
/// # Errors
/// Error of [`create`] for the first database that fails; `Tool` where the roles cannot be read. No file remains then.
pub(crate) async fn create_all(
    container: &Container,
    request: &BackupRequest,
    mut open: Session,
) -> Result<Created> {
    let Operation { cancel, progress, .. } = &request.operation;
    let begun = Instant::now();
    let mut facts = DatabaseInfo::read(&mut open).await?;
    let databases = databases(&mut open).await?;
    facts.table_bytes = databases.iter().map(|(_, size)| size).sum();
    let mut properties = BTreeMap::new();
    for (database, _) in &databases {
        let read = Properties::read(&mut open, &facts.version, database).await?;
        match read {
            Some(read) => drop(properties.insert(database.clone(), read)),
            None => progress.on(Event::Warning(gone(database))),
        }
    }
    open.close().await;
    let output = BackupSink::open(request, None, &facts)?;

    let cannot =
        |e: io::Error| error::failed("a directory for the dumps cannot be made beside the backup").because(e);
    let home = request.transport_options.disk.as_deref().unwrap_or(&request.transport_options.private_dirs);
    let private_dir = PrivateDir::make(home).map_err(cannot)?;
    let all = private_dir.directory("all").map_err(cannot)?;
    let mut inner = Vec::new();
    for (at, database) in properties.keys().cloned().collect::<Vec<_>>().iter().enumerate() {
        progress.step(&format!("database {} of {}: {database}", at + 1, databases.len()));
        let request = of_one(request, database, &all);
        let created = Box::pin(create(container, &request, None, None));
        match created.await {
            Ok(created) => inner.push(created),
            // Somebody's test database, say: the others shall have their backup all the same.
            Err(_) if !exists(container, &request.access, database).await => {
                properties.remove(database);
                progress.on(Event::Warning(gone(database)));
            }
            Err(error) => return Err(error.context(format!("database {database:?}"))),
        }
    }

    progress.step("dumping roles and tablespaces");
    let (globals, summary) = globals(container, request, &facts).await?;
    let written = private_dir.directory("globals").map_err(cannot)?.join(GLOBALS);
    write(&written, &globals)?;
    let described = written.with_file_name(PROPERTIES);
    let text = serde_json::to_string_pretty(&properties)
        .map_err(|e| error::failed(format!("{PROPERTIES} cannot be written")).because(e))?;
    write(&described, text.as_bytes())?;

    progress.step("gathering the dumps");
    let dumps = inner.iter().filter(|one| one.path.is_some()).count();
    let (stop, recipients) = (cancel.clone(), request.recipients.clone());
    let gathering = move || {
        output.fill(recipients.as_ref(), |out| {
            let (stored, out) = tar(&written, &described, (&all.join(DATABASES), dumps), out, &stop)?;
            Ok((stored, summary, out))
        })
    };
    let packed = cancel.blocking(gathering).await?;
    drop(private_dir);
    progress.step("naming the file");
    let mut manifest = manifest(request, &facts, &packed, &inner)?;
    let took = begun.elapsed();
    manifest.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let started = request.operation.started;
    manifest.verified.at = started.checked_add(took).unwrap_or(started);
    seal(request, &mut manifest, packed.head).await?;
    let path = Box::pin(packed.output.publish(&manifest)).await?;
    progress.on(Event::Done);
    Ok(Created { path, manifest })
}

/// Returns the connectable databases with their sizes, without templates, staging databases and previous databases.
async fn databases(session: &mut Session) -> Result<Vec<(String, u64)>> {
    let rows = session
        .query(&format!(
            "select d.datname, case when {MAY_MEASURE} then pg_catalog.pg_database_size(d.oid) else 0 end \
             from pg_catalog.pg_database d where d.datallowconn and not d.datistemplate \
               and d.datname not like 'envctl\\_new\\_%' and d.datname not like 'envctl\\_old\\_%' order by 1"
        ))
        .await?;
    let pair = |row| fields(row).map(|[name, size]: [String; 2]| (name, size.parse().unwrap_or(0)));
    rows.into_iter().map(pair).collect()
}

fn gone(database: &str) -> String {
    format!("database {database:?} was dropped meanwhile and is not in the backup")
}

/// Returns false only where the server says that there is no such database.
async fn exists(container: &Container, access: &Access, database: &str) -> bool {
    let asking = async {
        let opening = maintenance_database::outside(container, access, Some(database), "envctl backup");
        let mut session = opening.await.ok()?;
        let sql =
            format!("select count(*) from pg_catalog.pg_database where datname = {}", literal(database));
        let count = session.value(&sql).await.ok()?;
        session.close().await;
        count
    };
    asking.await.is_none_or(|count| count != "0")
}

/// The backup of one of them.
fn of_one(request: &BackupRequest, database: &str, all: &Path) -> BackupRequest {
    let file = format!("{}.sql{}", percent::encode(database), request.compression.extension());
    BackupRequest {
        access: request.access.to(database),
        destination: BackupTarget::File { path: all.join(DATABASES).join(file), taken: OnExisting::Refuse },
        // The tar around it is encrypted.
        recipients: None,
        ..request.clone()
    }
}

/// Roles and tablespaces, whole.
async fn globals(
    container: &Container,
    request: &BackupRequest,
    facts: &DatabaseInfo,
) -> Result<(Vec<u8>, Summary)> {
    let application = request.operation.application_name(SessionRole::Globals);
    let access = request.access.to(&facts.database);
    // The server may ask for a password, which a session finds out.
    let session = Session::open(container, &access, &application).await?;
    let spec = pg_dump::globals(session.access(), &application);
    session.close().await;
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(4);
    let running = request.operation.cancel.run_until_cancelled(verified_stream::run(
        container,
        &spec,
        sender,
        request.stall_limit,
    ));
    let gathering = async {
        let mut all = Vec::new();
        while let Some(block) = receiver.recv().await {
            all.extend_from_slice(&block);
        }
        all
    };
    let (end, globals) = tokio::join!(running, gathering);
    let end = end??;
    if end.exit_code != 0 {
        let text: Vec<&str> = end.stderr.lines().map(str::trim).take(6).collect();
        let error = error::tool(format!(
            "pg_dumpall in container {} failed (exit code {}): {}",
            container.name,
            end.exit_code,
            text.join("; ")
        ));
        return Err(if end.stderr.contains("permission denied") {
            error
                .note("only a superuser may read the roles' passwords")
                .hint("name another role in envctl.toml: `[database] user`")
        } else {
            error
        });
    }
    let mut contents = AnyScanner::new(Format::Plain);
    contents.feed(&globals);
    let summary = contents.finish();
    if !summary.cluster || !summary.completeness().is_complete() {
        return Err(error::integrity("pg_dumpall ended with exit code 0, but its output is incomplete")
            .note("nothing was kept")
            .hint("run it again with `-v`"));
    }
    Ok((globals, summary))
}

/// Into a private directory.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| crate::fsutil::atomic_file::write_failure(path, e))
}

/// Globals first: by that a restore knows the file. `dumps` are so many, each with its manifest.
fn tar<W: Write>(
    globals: &Path,
    properties: &Path,
    (dumps, count): (&Path, usize),
    out: W,
    cancel: &CancelToken,
) -> Result<(Stored, W)> {
    let failed = |e: io::Error| error::failed("the tar cannot be written").because(e);
    let mut names = names(dumps).map_err(failed)?;
    if names.len() != 2 * count {
        return Err(error::integrity(format!(
            "{} files were made of {count} databases, and {} are there",
            2 * count,
            names.len()
        ))
        .note("nothing was kept; something else writes beside the backup")
        .hint("run it again where nothing else writes"));
    }
    names.sort();
    let mut tar = ::tar::Builder::new(Hashing::new(cancel.cancellable(out)));
    add(&mut tar, Path::new(GLOBALS), globals).map_err(failed)?;
    add(&mut tar, Path::new(PROPERTIES), properties).map_err(failed)?;
    for name in names {
        add(&mut tar, &Path::new(DATABASES).join(&name), &dumps.join(&name)).map_err(failed)?;
    }
    close(tar).map_err(failed)
}

/// Returns the transport that all databases share, else the most used one and the reasons of the others.
fn shared_transport(inner: &[Created]) -> (String, Option<String>) {
    let manifests = || inner.iter().map(|one| &one.manifest);
    let by_worker = manifests().filter(|manifest| manifest.transport == "worker").count();
    let transport = if by_worker > 0 { "worker" } else { "exec" };
    let why = manifests().filter(|manifest| manifest.transport == "exec").filter_map(|manifest| {
        let why = manifest.transport_reason.as_deref()?;
        Some(if by_worker > 0 { format!("{:?} by exec: {why}", manifest.database) } else { why.to_owned() })
    });
    let mut why: Vec<String> = why.collect();
    why.sort();
    why.dedup();
    (transport.to_owned(), (!why.is_empty()).then(|| why.join("; ")))
}

fn manifest(
    request: &BackupRequest,
    facts: &DatabaseInfo,
    packed: &WrittenBackup,
    inner: &[Created],
) -> Result<Manifest> {
    let first =
        &inner.first().ok_or_else(|| error::target("the server has no database to back up"))?.manifest;
    let union = |of: fn(&Manifest) -> &Vec<String>| {
        let mut all: Vec<String> = inner.iter().flat_map(|one| of(&one.manifest)).cloned().collect();
        all.sort();
        all.dedup();
        all
    };
    let (transport, transport_reason) = shared_transport(inner);
    let databases = inner.iter().map(|Created { path, manifest }| DatabaseEntry {
        name: manifest.database.clone(),
        file: path
            .as_deref()
            .and_then(Path::file_name)
            .map(|file| format!("{DATABASES}/{}", file.to_string_lossy()))
            .unwrap_or_default(),
        tables: manifest.tables.len(),
        rows: manifest.rows(),
        plain_bytes: manifest.plain_bytes,
        stored_bytes: manifest.stored_bytes,
    });
    Ok(Manifest {
        schema: SCHEMA,
        envctl: env!("CARGO_PKG_VERSION").to_owned(),
        operation: request.operation.id.clone(),
        purpose: request.purpose,
        source: request.source.clone(),
        database: String::new(),
        databases: databases.collect(),
        server_version: facts.version.to_string(),
        pg_dump_version: first.pg_dump_version.clone(),
        format: CLUSTER.to_owned(),
        compression: request.compression(),
        transport,
        transport_reason,
        whole: request.dump.is_whole(),
        started: request.operation.started,
        duration_ms: 0,
        plain_bytes: packed.stored.plain_bytes,
        plain_sha256: packed.stored.plain_sha256,
        stored_bytes: packed.stored.bytes,
        stored_sha256: packed.stored.sha256,
        tables: Vec::new(),
        entries: Vec::new(),
        restore_hints: None,
        extensions: union(|manifest| &manifest.extensions),
        roles: union(|manifest| &manifest.roles),
        search_path: Vec::new(),
        preload_libraries: union(|manifest| &manifest.preload_libraries),
        last_migration: None,
        verified: Verification {
            level: VerificationLevel::Complete,
            at: request.operation.started,
            by: Some(request.operation.actor.clone()),
            restored_in_ms: None,
            tested_at: None,
            opened_at: None,
        },
        encryption: None,
        empty: inner.iter().all(|one| one.manifest.is_empty()),
        mac: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::pair;
    use crate::error::ErrorKind;

    fn of(home: &Path, dumps: usize, cancel: &CancelToken) -> Result<(Stored, Vec<u8>)> {
        let of_all = [GLOBALS, PROPERTIES].map(|name| home.join(name));
        for path in &of_all {
            fs::write(path, "{}").unwrap();
        }
        let [globals, properties] = of_all;
        tar(&globals, &properties, (&home.join(DATABASES), dumps), Vec::new(), cancel)
    }

    #[test]
    fn every_dump_is_in_the_tar_or_there_is_none() {
        let home = tempfile::tempdir().unwrap();
        let dumps = home.path().join(DATABASES);
        fs::create_dir(&dumps).unwrap();
        for name in ["b.sql", "b.sql.json", "a.sql", "a.sql.json"] {
            fs::write(dumps.join(name), name).unwrap();
        }
        let error = of(home.path(), 3, &CancelToken::never()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
        let (trigger, cancel) = pair();
        trigger.fire(2);
        assert!(of(home.path(), 2, &cancel).is_err(), "nobody wants it any more");
        let (stored, bytes) = of(home.path(), 2, &CancelToken::never()).unwrap();
        assert_eq!(stored.bytes, bytes.len() as u64);
        let mut tar = ::tar::Archive::new(&*bytes);
        let names =
            tar.entries().unwrap().map(|member| member.unwrap().path().unwrap().display().to_string());
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                GLOBALS,
                PROPERTIES,
                "databases/a.sql",
                "databases/a.sql.json",
                "databases/b.sql",
                "databases/b.sql.json"
            ]
        );
    }
}
