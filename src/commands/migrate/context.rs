//! Preparation of the verbs about migrations: finds the database, the backend if one runs, and the driver.

use std::path::PathBuf;

use crate::commands::shared::context::StackContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::environment::Target;
use crate::error::{self, Result};
use crate::migrations::find_driver::{ChosenDriver, DriverSearch};
use crate::migrations::layout::Layout;
use crate::migrations::prisma::GUARD;
use crate::migrations::sql::SqlDriver;
use crate::migrations::{Driver, History};
use crate::postgres::Session;
use crate::postgres::find_primary::FirstSession;

/// The database and who migrates it.
pub(crate) struct MigrationContext {
    pub(crate) found: ConnectedDatabase,
    pub(crate) driver: Driver,
    pub(crate) project: Option<PathBuf>,
    /// Said where the stack was started from another directory than the files lie in.
    pub(crate) place: Option<String>,
}

impl StackContext {
    /// Reaches the database, says so on the target line, and finds the driver.
    ///
    /// # Errors
    /// Kind `Target`, `Docker`; kind `Usage`: no driver, or several that fit.
    pub(crate) async fn migrations(&self) -> Result<MigrationContext> {
        let (migrations, session) = self.migrations_with_session().await?;
        session.close().await;
        Ok(migrations)
    }

    /// Reaches the database like [`StackContext::migrations`], and returns the open session too.
    ///
    /// # Errors
    /// Errors of [`StackContext::migrations`].
    pub(crate) async fn migrations_with_session(&self) -> Result<(MigrationContext, Session)> {
        let (found, session) = self.server_with_session(FirstSession::ToWrite).await?;
        let ChosenDriver { driver, project, place } = self.driver(&found.target, &session).await?;
        Ok((MigrationContext { found, driver, project, place }, session))
    }

    /// Finds the driver for a database that is reached already.
    ///
    /// # Errors
    /// Errors of [`StackContext::migrations`].
    pub(crate) async fn driver(&self, target: &Target, session: &Session) -> Result<ChosenDriver> {
        self.is_named_project_of(target)?;
        let settings = &self.settings.for_stack(target)?;
        let sql = SqlDriver {
            container: session.container().clone(),
            access: session.access().clone(),
            layout: Layout::Flat,
            folder: PathBuf::new(),
            project: None,
            operation: self.operation(),
            lock_limit: settings.timeouts.lock,
        };
        let guard = GUARD.iter().filter_map(|name| self.set_variable(name)).collect();
        DriverSearch { settings, environment: &self.environment, target, sql, guard }.find().await
    }

    /// Returns the history of this stack's database, for another profile's driver `ours` of the same migrations.
    ///
    /// # Errors
    /// The driver's own.
    pub(crate) async fn history_for(
        &self,
        ours: &Driver,
        target: &Target,
        session: &Session,
    ) -> Result<History> {
        if let Driver::Command(_) = ours {
            // Its own tool in its own container has to say.
            return self.driver(target, session).await?.driver.history().await;
        }
        let (container, access) = (session.container().clone(), session.access().clone());
        SqlDriver { container, access, ..ours.sql().clone() }.history().await
    }

    /// Refuses a project that is named and is another stack's.
    fn is_named_project_of(&self, target: &Target) -> Result<()> {
        let settings = &self.settings;
        let named = settings.is_project_named() && !settings.target.names_several();
        let foreign = named && !settings.holds_for(&target.into());
        let Some(project) = settings.target.project_dir.as_ref().filter(|_| foreign) else { return Ok(()) };
        let own = settings.target.rules.stack.as_deref().unwrap_or("another stack");
        Err(error::usage(format!(
            "the project that is named, {}, is of stack `{own}`, and its migrations are not those of stack `{}`",
            project.display(),
            target.stack
        ))
        .hint("name the directory of its own project: `envctl migrate -C DIR`"))
    }
}
