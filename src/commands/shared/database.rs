//! Database access for the verbs: finds the primary, opens a session, reads the facts about the database.

use std::time::Duration;

use crate::commands::shared::context::StackContext;
use crate::commands::shared::interactive_exec::tell_unprotected;
use crate::docker::{Container, ContainerInfo};
use crate::environment::Target;
use crate::environment::selector::ContainerSelector;
use crate::error::Result;
use crate::postgres::database_info::DatabaseInfo;
use crate::postgres::find_primary::{FirstSession, choose_database, find_primary};
use crate::postgres::{Access, Session};
use crate::progress::Progress as _;
use crate::repository::identity::Identity;
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
        crate::commands::shared::database::identity(
            &self.target,
            self.only_service,
            &self.context,
            Some(&self.facts.database),
        )
    }
}

impl StackContext {
    /// Environment → database server, told on the target line.
    ///
    /// # Errors
    /// Kind `Target`, `Docker`: no server, or several that could be meant.
    pub(crate) async fn server(&self) -> Result<ConnectedDatabase> {
        let (found, session) = self.server_with_session(FirstSession::Configured).await?;
        session.close().await;
        Ok(found)
    }

    /// Reaches the server like [`StackContext::server`] and leaves the session open. A further session would cost an exec.
    ///
    /// # Errors
    /// Errors of [`StackContext::server`].
    pub(crate) async fn server_with_session(
        &self,
        entry: FirstSession,
    ) -> Result<(ConnectedDatabase, Session)> {
        self.reach_server(entry, None).await
    }

    /// Reaches the server by any of its databases. The target line names `meant`, which may not be there, and not the
    /// database that answers.
    ///
    /// # Errors
    /// Errors of [`StackContext::server`].
    pub(crate) async fn server_by_any_database(
        &self,
        meant: Option<&str>,
    ) -> Result<(ConnectedDatabase, Session)> {
        self.reach_server(FirstSession::Any, meant).await
    }

    async fn reach_server(
        &self,
        entry: FirstSession,
        meant: Option<&str>,
    ) -> Result<(ConnectedDatabase, Session)> {
        let (target, mut session, only) = self.connect_to(entry).await?;
        let facts = DatabaseInfo::read(&mut session).await?;
        let because = &self.environment.chosen_because;
        let because = Some(because.clone()).filter(|because| !because.is_empty());
        let because = because.into_iter().chain(only).collect::<Vec<_>>().join("; ");
        self.ui.target(&TargetLine {
            database: Some((meant.unwrap_or(&facts.database).to_owned(), facts.version.to_string())),
            because: Some(because).filter(|because| !because.is_empty()),
            ..self.target_line(&target)
        });
        let found = ConnectedDatabase {
            target,
            container: session.container().clone(),
            access: session.access().clone(),
            facts,
            only_service: self.environment.database_services().len() < 2,
            context: self.daemon.context.clone(),
        };
        Ok((found, session))
    }

    /// Opens a session with the primary, for a verb that only looks.
    ///
    /// # Errors
    /// Errors of [`StackContext::server`].
    pub(crate) async fn connect(&self) -> Result<(Target, Session)> {
        let (target, session, _) = self.connect_to(FirstSession::ToLook).await?;
        Ok((target, session))
    }

    /// Opens a session with the primary. Also gives why the database is another one than the container's own.
    async fn connect_to(&self, entry: FirstSession) -> Result<(Target, Session, Option<String>)> {
        let mut target = self.environment.pick(&ContainerSelector::Db, self.settings.target.index)?;
        if let Some(reason) = &target.preferred {
            self.ui.detail(reason);
        }
        let own = self.settings.for_stack(&target)?;
        let overrides = self.overrides(&own, target.profile.name.as_deref())?;
        let replicas = std::iter::once(&target.container).chain(&target.candidates);
        let replicas: Vec<Container> = replicas.map(|info| self.daemon.container(info)).collect();
        let answering = self.cancel.run_until_cancelled(find_primary(&replicas, &overrides, entry));
        let telling = async {
            tokio::time::sleep(SILENCE).await;
            let waiting = format!("waiting for PostgreSQL in {} to answer", target.container.name);
            self.ui.progress().step(&waiting);
            std::future::pending::<()>().await;
        };
        let found = tokio::select! {
            found = answering => found,
            () = telling => unreachable!("it says so and waits"),
        };
        let (silent, session) = found??;
        for error in silent {
            self.ui.warn(&format!("a replica of the database was passed over: {}", error.full_message()));
        }
        target.container = ContainerInfo::clone(session.container());
        tell_unprotected(self, session.container()).await;
        if matches!(entry, FirstSession::Any | FirstSession::Default) || overrides.database.is_some() {
            return Ok((target, session, None));
        }
        let (session, only) =
            self.cancel.run_until_cancelled(Box::pin(choose_database(session, entry))).await??;
        Ok((target, session, only))
    }
}

/// Time without an answer from the server after which the progress line says that envctl waits.
const SILENCE: Duration = Duration::from_secs(2);

/// Identity of the database of a target, for the choice of its backups.
pub(crate) fn identity(
    target: &Target,
    only_service: bool,
    context: &str,
    database: Option<&str>,
) -> Identity {
    let container = &target.container;
    Identity {
        stack: target.stack.clone(),
        profile: target.profile.name.clone(),
        service: target.project.is_some().then(|| target.service.clone()),
        container: Some((container.name.clone(), container.id.clone())),
        only_service,
        database: database.map(str::to_owned),
        context: Some(context.to_owned()),
    }
}
