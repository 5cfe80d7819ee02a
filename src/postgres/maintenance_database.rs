//! Choosing the database from which another one is created, renamed or dropped: a session must not be in it.
//!
//! Promises: one function chooses, for every caller; a database that is not there, or that refuses this role, is passed
//! over; where none is left, the error names what was tried.

use super::access::Access;
use super::session::Session;
use crate::docker::{Container, ContainerInfo};
use crate::error::{self, Error, Result};
use crate::postgres::session::{CONNECTABLE, USUAL};

/// Answers of a server that refuse one database and not the server.
const OF_ONE_DATABASE: [&str; 6] = [
    "does not exist",
    "permission denied for database",
    "is not currently accepting connections",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "too many connections for database",
];

/// Opens a session outside of `live`: in `postgres`, else in `template1`, else in the database that is configured, else in
/// any other one that accepts connections.
///
/// # Errors
/// Kind `Target`: no other database can be connected to. Otherwise as [`Session::open`].
pub(crate) async fn outside(
    container: &Container,
    access: &Access,
    live: Option<&str>,
    application: &str,
) -> Result<Session> {
    let mut tried: Vec<String> = Vec::new();
    let mut refusal = None;
    for name in USUAL.into_iter().chain([access.database.as_str()]) {
        if Some(name) == live || tried.iter().any(|tried| tried == name) {
            continue;
        }
        match Box::pin(Session::open(container, &access.to(name), application)).await {
            Err(error) if is_of_one_database(&error) => refusal = refusal.or(Some(error)),
            opened => return opened,
        }
        tried.push(name.to_owned());
    }
    for name in Box::pin(others(container, access, live)).await {
        if Some(name.as_str()) == live || tried.contains(&name) {
            continue;
        }
        match Box::pin(Session::open(container, &access.to(&name), application)).await {
            Err(error) if is_of_one_database(&error) => {}
            opened => return opened,
        }
        tried.push(name);
    }
    Err(nowhere(container, access, live, &tried, refusal))
}

fn is_of_one_database(error: &Error) -> bool {
    OF_ONE_DATABASE.iter().any(|answer| error.message().contains(answer))
        && !(error.message().contains("role") && error.message().contains("does not exist"))
}

/// Databases that accept connections of this role, as `live` lists them.
async fn others(container: &Container, access: &Access, live: Option<&str>) -> Vec<String> {
    let Some(live) = live else { return Vec::new() };
    let Ok(mut session) = Session::open(container, &access.to(live), "envctl").await else {
        return Vec::new();
    };
    let names = session.column(CONNECTABLE).await.unwrap_or_default();
    session.close().await;
    names
}

fn nowhere(
    container: &ContainerInfo,
    access: &Access,
    live: Option<&str>,
    tried: &[String],
    refusal: Option<Error>,
) -> Error {
    let live = live.unwrap_or(&access.database);
    let error = error::target(format!(
        "no database of {} besides {live:?} accepts a connection of role {} (tried {})",
        container.name,
        access.user,
        tried.join(", ")
    ))
    .note("a database is created and renamed from another one")
    .hint(format!(
        "make one: `envctl psql -c 'CREATE DATABASE postgres'`, \
         or let its owner run `GRANT CONNECT ON DATABASE postgres TO {}`",
        crate::text::sql_quote::ident(&access.user)
    ));
    match refusal {
        Some(refusal) => error.because(refusal),
        None => error,
    }
}
