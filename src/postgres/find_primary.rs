//! Opening of the first session: election of the primary among replicas, choice of the database.

use crate::docker::Container;
use crate::error::{self, Error, Result};
use crate::postgres::access::ConnectionOverrides;
use crate::postgres::{Access, Session, empty_databases, maintenance_database};
use crate::text::shell_word::shell_word;

/// Which database a first session is opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstSession {
    /// The one that is configured, else the container's own.
    Configured,
    /// Database for a verb that writes, chosen as for `Configured`.
    ToWrite,
    /// Database for a verb that only reads: the container's own one where several could be meant.
    ToLook,
    /// The container's own one, whatever is in it.
    Default,
    /// Any that accepts connections.
    Any,
}

/// Settles which database is meant where only the image's variables, or nobody, name one: an application may have made
/// its own, and then the default one is empty.
pub(crate) async fn choose_database(
    mut session: Session,
    entry: FirstSession,
) -> Result<(Session, Option<String>)> {
    // A server that does not tell has the last word where it is asked for the database itself.
    if !empty_databases::is_empty(&mut session).await.unwrap_or(false) {
        return Ok((session, None));
    }
    let access = session.access().clone();
    let others = empty_databases::others_with_content(&mut session).await?;
    // Named by POSTGRES_DB or POSTGRES_USER it may be empty because it is new.
    let named = access.database != UNNAMED;
    match others.as_slice() {
        [] => Ok((session, None)),
        [only] if entry != FirstSession::ToWrite || !named => {
            let container = session.container().clone();
            session.close().await;
            let session = Session::open(&container, &access.to(only), "envctl").await?;
            let why = format!("the only database that is not empty; {} is", access.database);
            Ok((session, Some(why)))
        }
        _ if entry == FirstSession::ToLook => Ok((session, None)),
        several => Err(which(&access.database, several, named)),
    }
}

/// Database of the image where no variable names one.
const UNNAMED: &str = "postgres";

/// The question which database is meant, with what picks each.
fn which(default: &str, others: &[String], named: bool) -> Error {
    let verb = if others.len() == 1 { "is" } else { "are" };
    let error = error::target(format!(
        "which database is meant? {default}, the container's default, is empty, and {} {verb} not",
        others.join(", ")
    ));
    let own = named.then_some(default);
    let candidates = others.iter().map(String::as_str).chain(own);
    let pick = |error: Error, name: &str| error.hint(format!("name the database: `-d {}`", shell_word(name)));
    candidates.fold(error, pick).hint("name it for good in envctl.toml: `[database] name = \"…\"`")
}

/// Asks every running replica whether it is the one that takes writes; also gives why some could not be asked.
pub(crate) async fn find_primary(
    replicas: &[Container],
    overrides: &ConnectionOverrides,
    entry: FirstSession,
) -> Result<(Vec<Error>, Session)> {
    let (mut primaries, mut silent) = (Vec::new(), Vec::new());
    for container in replicas {
        let opening = async {
            let access = Access::discover(container, overrides).await?;
            match entry {
                FirstSession::Configured
                | FirstSession::ToWrite
                | FirstSession::ToLook
                | FirstSession::Default => Session::open(container, &access, "envctl").await,
                FirstSession::Any => maintenance_database::outside(container, &access, None, "envctl").await,
            }
        };
        let opened = opening.await;
        if replicas.len() == 1 {
            let session = opened?;
            return Ok((silent, session));
        }
        let asked = match opened {
            Ok(mut session) => {
                let answer = session.value("select pg_is_in_recovery()").await;
                answer.map(|answer| (session, answer)).map_err(Error::from)
            }
            Err(error) => Err(error),
        };
        match asked {
            Ok((session, answer)) if answer.as_deref() == Some("f") => {
                primaries.push(session);
            }
            Ok(_) => {}
            // It may be the one that is down, which the others are there for.
            Err(error) => silent.push(error.context(format!("container {}", container.name))),
        }
    }
    match (primaries.len(), primaries.pop()) {
        (1, Some(primary)) => Ok((silent, primary)),
        (0, _) => {
            let none =
                error::target("no replica of the database takes writes").hint("pick one with `--index N`");
            Err(silent.iter().fold(none, |none, error| none.hint(error.full_message())))
        }
        (n, _) => {
            Err(error::target(format!("{n} replicas of the database each take writes; which one is meant?"))
                .hint("pick one with `--index N`"))
        }
    }
}
