//! Database access for the verbs: finds the primary, opens a session, reads the facts about the database.

use std::time::Duration;

use crate::app::{App, Daemon};
use crate::commands::find_catalog;
use crate::commands::interactive_exec::{target_line, tell_unprotected};
use crate::config::Settings;
use crate::docker::{Container, ContainerInfo};
use crate::environment::selector::ContainerSelector;
use crate::environment::{Environment, Target};
use crate::error::{self, Error, Result};
use crate::postgres::access::ConnectionOverrides;
use crate::postgres::database_info::DatabaseInfo;
use crate::postgres::{Access, Session, emptiness, standing};
use crate::progress::Progress as _;
use crate::repository::identity::Identity;
use crate::text::shell_word::shell_word;
use crate::ui::TargetLine;

/// A database that answers.
pub(crate) struct ConnectedDatabase {
    pub(crate) target: Target,
    pub(crate) container: Container,
    pub(crate) access: Access,
    pub(crate) facts: DatabaseInfo,
    /// The project has no other database service.
    pub(crate) only_service: bool,
    /// The Docker context, or the host where there is none.
    pub(crate) context: String,
}

impl ConnectedDatabase {
    /// Returns another database of the same server.
    pub(crate) fn in_database(&self, name: &str) -> Self {
        Self {
            target: self.target.clone(),
            container: self.container.clone(),
            access: self.access.to(name),
            facts: DatabaseInfo { database: name.to_owned(), ..self.facts.clone() },
            only_service: self.only_service,
            context: self.context.clone(),
        }
    }

    /// Identity of this database, for the choice of its backups.
    pub(crate) fn identity(&self) -> Identity {
        find_catalog::identity(&self.target, self.only_service, &self.context, Some(&self.facts.database))
    }
}

/// Reaches the database of an environment and says so on the target line.
pub(crate) async fn reach(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<ConnectedDatabase> {
    let (found, session) = reach_open(app, daemon, settings, environment).await?;
    session.close().await;
    Ok(found)
}

/// Reaches the database like [`reach`] and leaves the session open. A further session would cost an exec.
pub(crate) async fn reach_open(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<(ConnectedDatabase, Session)> {
    reach_from(app, daemon, settings, environment, FirstSession::Configured).await
}

/// Reaches the server like [`reach_open`], in any database that accepts connections.
pub(crate) async fn reach_open_anywhere(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<(ConnectedDatabase, Session)> {
    reach_from(app, daemon, settings, environment, FirstSession::Any).await
}

/// See [`reach_open`], for a verb that writes: a database that only an image's variable names is written to only where
/// it is not empty beside one that is not.
pub(crate) async fn reach_open_to_write(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<(ConnectedDatabase, Session)> {
    reach_from(app, daemon, settings, environment, FirstSession::ToWrite).await
}

/// See [`reach_open`], in the container's own database, whatever is in it.
pub(crate) async fn reach_open_default(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<(ConnectedDatabase, Session)> {
    reach_from(app, daemon, settings, environment, FirstSession::Default).await
}

/// Which database a first session is opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstSession {
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

async fn reach_from(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
    entry: FirstSession,
) -> Result<(ConnectedDatabase, Session)> {
    let (target, access, mut session, only) = connect_from(app, daemon, settings, environment, entry).await?;
    let facts = DatabaseInfo::read(&mut session).await?;
    let mut line = line(&target, daemon, environment, &facts);
    if let Some(only) = only {
        line.because = Some(line.because.map_or(only.clone(), |because| format!("{because}; {only}")));
    }
    app.ui.target(&line);
    let only_service = environment.database_services().len() < 2;
    let (container, context) = (session.container().clone(), daemon.context.clone());
    Ok((ConnectedDatabase { target, container, access, facts, only_service, context }, session))
}

/// The target line of a database.
pub(crate) fn line(
    target: &Target,
    daemon: &Daemon,
    environment: &Environment,
    facts: &DatabaseInfo,
) -> TargetLine {
    TargetLine {
        database: Some((facts.database.clone(), facts.version.to_string())),
        because: (!environment.chosen_because.is_empty()).then(|| environment.chosen_because.clone()),
        ..target_line(target, daemon)
    }
}

/// Time without an answer from the server after which the progress line says that envctl waits.
const SILENCE: Duration = Duration::from_secs(2);

/// The primary of an environment's database, with an open session.
pub(crate) async fn connect(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<(Target, Access, Session)> {
    let (target, access, session, _) =
        connect_from(app, daemon, settings, environment, FirstSession::ToLook).await?;
    Ok((target, access, session))
}

/// Also gives why the database is another one than the container's own.
async fn connect_from(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
    entry: FirstSession,
) -> Result<(Target, Access, Session, Option<String>)> {
    let mut target = environment.pick(&ContainerSelector::Db, settings.target.index)?;
    if let Some(reason) = &target.preferred {
        app.ui.detail(reason);
    }
    let wishes = app.wishes(&settings.for_stack(&target)?, target.profile.name.as_deref())?;
    let answering = app.interrupt.or(primary(daemon, &target, &wishes, entry));
    let telling = async {
        tokio::time::sleep(SILENCE).await;
        app.ui.progress().step(&format!("waiting for PostgreSQL in {} to answer", target.container.name));
        std::future::pending::<()>().await;
    };
    let found = tokio::select! {
        found = answering => found,
        () = telling => unreachable!("it says so and waits"),
    };
    let (silent, session) = found??;
    for error in silent {
        app.ui.warn(&format!("a replica of the database was passed over: {}", error.full_message()));
    }
    target.container = ContainerInfo::clone(session.container());
    tell_unprotected(app, session.container()).await;
    if matches!(entry, FirstSession::Any | FirstSession::Default) || wishes.database.is_some() {
        return Ok((target, session.access().clone(), session, None));
    }
    let settling = Box::pin(settle(session, entry));
    let (access, session, only) = app.interrupt.or(settling).await??;
    Ok((target, access, session, only))
}

/// Settles which database is meant where only the image's variables, or nobody, name one: an application may have made
/// its own, and then the default one is empty.
async fn settle(mut session: Session, entry: FirstSession) -> Result<(Access, Session, Option<String>)> {
    // A server that does not tell has the last word where it is asked for the database itself.
    if !emptiness::is_empty(&mut session).await.unwrap_or(false) {
        return Ok((session.access().clone(), session, None));
    }
    let access = session.access().clone();
    let others = emptiness::others_with_content(&mut session).await?;
    // Named by POSTGRES_DB or POSTGRES_USER it may be empty because it is new.
    let named = access.database != UNNAMED;
    match others.as_slice() {
        [] => Ok((access, session, None)),
        [only] if entry != FirstSession::ToWrite || !named => {
            let container = session.container().clone();
            session.close().await;
            let session = Session::open(&container, &access.to(only), "envctl").await?;
            let why = format!("the only database that is not empty; {} is", access.database);
            Ok((session.access().clone(), session, Some(why)))
        }
        _ if entry == FirstSession::ToLook => Ok((access, session, None)),
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
async fn primary(
    daemon: &Daemon,
    target: &Target,
    wishes: &ConnectionOverrides,
    entry: FirstSession,
) -> Result<(Vec<Error>, Session)> {
    let (mut primaries, mut silent) = (Vec::new(), Vec::new());
    let replicas = std::iter::once(&target.container).chain(&target.candidates);
    for container in replicas {
        let container = &daemon.container(container);
        let opening = async {
            let access = Access::discover(container, wishes).await?;
            match entry {
                FirstSession::Configured
                | FirstSession::ToWrite
                | FirstSession::ToLook
                | FirstSession::Default => Session::open(container, &access, "envctl").await,
                FirstSession::Any => standing::outside(container, &access, None, "envctl").await,
            }
        };
        let opened = opening.await;
        if target.candidates.is_empty() {
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
