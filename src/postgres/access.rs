//! As whom to connect: from what was said, else from what the official image's variables say.
//!
//! Promise: no password is sent unless the server asks for one; it is never on a command line (those are
//! in `docker events`), and never printed.

use std::fmt;
use std::sync::Arc;

use super::quote::conninfo;
use crate::docker::exec::capture;
use crate::docker::{Container, Engine, ExecSpec};
use crate::error::{self, Result};
use crate::secret::Secret;

/// Who to be, and where.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// Sent only after the server has asked for it once.
    password: Option<Secret>,
    send_password: bool,
    /// The user inside the container that runs the tools; `None` is the container's own.
    pub os_user: Option<String>,
    /// Limits that the server knows and that a session of ours lifts; empty until a session has asked.
    unlimited: Vec<&'static str>,
    /// Encoding of the database; `None` until a session has asked.
    encoding: Option<String>,
}

/// Limits of a session that not every version knows: an unknown name in `PGOPTIONS` is fatal to the connection. A session
/// that waits for another one, for rows, or for its reader would be ended by them.
pub(super) const LIMITS: [&str; 3] = ["idle_session_timeout", "transaction_timeout", "tcp_user_timeout"];

/// The encoding whose text the server neither checks nor converts.
pub const SQL_ASCII: &str = "SQL_ASCII";

/// What the configuration or a flag says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Role.
    pub user: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// User inside the container.
    pub os_user: Option<String>,
}

impl Access {
    /// Decides, reading `POSTGRES_USER`, `_DB`, `_PASSWORD` and their `_FILE` forms from the container.
    ///
    /// # Errors
    /// Kind `Tool`: a `_FILE` variable names a file that cannot be read in the container.
    pub async fn discover(engine: &Arc<dyn Engine>, container: &Container, wishes: &Wishes) -> Result<Self> {
        let user = match &wishes.user {
            Some(user) => user.clone(),
            None => {
                setting(engine, container, "POSTGRES_USER").await?.unwrap_or_else(|| "postgres".to_owned())
            }
        };
        let database = match &wishes.database {
            Some(database) => database.clone(),
            // The image's own default: the database is called like the user.
            None => setting(engine, container, "POSTGRES_DB").await?.unwrap_or_else(|| user.clone()),
        };
        Ok(Self {
            user,
            database,
            password: wishes.password.clone(),
            send_password: false,
            os_user: wishes.os_user.clone(),
            unlimited: Vec::new(),
            encoding: None,
        })
    }

    /// The same access to another database of the same server.
    #[must_use]
    pub fn to(&self, database: &str) -> Self {
        let encoding = self.encoding.clone().filter(|_| database == self.database);
        Self { database: database.to_owned(), encoding, ..self.clone() }
    }

    /// Notes what a session has learned: the database's encoding, and which of [`LIMITS`] the server knows.
    pub(super) fn learn(&mut self, encoding: &str, limits: &str) {
        self.encoding = Some(encoding.to_owned()).filter(|name| !name.is_empty());
        self.unlimited =
            LIMITS.into_iter().filter(|name| limits.split(' ').any(|one| one == *name)).collect();
    }

    /// Encoding of the database, as the server names it; `None` until a session has asked.
    pub fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }

    /// The same access with the password: the server asked.
    ///
    /// # Errors
    /// Kind `Tool`: there is no password to send.
    pub async fn with_password(&self, engine: &Arc<dyn Engine>, container: &Container) -> Result<Self> {
        let password = match &self.password {
            Some(password) => Some(password.clone()),
            None => password_of(engine, container).await?,
        };
        let Some(password) = password.filter(|_| !self.send_password) else {
            return Err(error::tool(format!(
                "PostgreSQL in {} wants a password for role {}",
                container.name, self.user
            ))
            .hint(
                "give it in envctl.toml: `[database] password_file = \"…\"` or `password_command = [\"…\"]`",
            ));
        };
        Ok(Self { password: Some(password), send_password: true, ..self.clone() })
    }

    /// The database's address over TCP, with the password that the container was set up with, where it has one.
    ///
    /// # Errors
    /// As [`capture`].
    pub async fn url(
        &self,
        engine: &Arc<dyn Engine>,
        container: &Container,
        host: &str,
        port: u16,
    ) -> Result<Secret> {
        let password = self.known_password(engine, container).await?;
        let word = password.map_or_else(String::new, |password| format!(":{}", in_url(password.expose())));
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Secret::new(format!(
            "postgresql://{}{word}@{host}:{port}/{}",
            in_url(&self.user),
            in_url(&self.database)
        )))
    }

    /// The password, should a server ask for one: what was configured, else what the container was set up with.
    ///
    /// # Errors
    /// As [`capture`].
    pub(super) async fn known_password(
        &self,
        engine: &Arc<dyn Engine>,
        container: &Container,
    ) -> Result<Option<Secret>> {
        match &self.password {
            Some(password) => Ok(Some(password.clone())),
            None => password_of(engine, container).await,
        }
    }

    /// `--dbname=…` for psql and pg_dump, as a quoted connection string.
    pub fn dbname(&self) -> String {
        format!("--dbname={}", conninfo(&[("dbname", &self.database), ("user", &self.user)]))
    }

    /// A command of PostgreSQL's with this access in its surroundings. `application` is how the session
    /// calls itself in `pg_stat_activity` (at most 63 bytes count).
    pub fn spec(&self, argv: Vec<String>, application: &str) -> ExecSpec {
        // Settings of the role or the database must not bend what envctl reads or dumps.
        let mut options =
            "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 \
                       -c default_transaction_read_only=off -c client_min_messages=warning -c datestyle=ISO"
                .to_owned();
        for limit in &self.unlimited {
            options.push_str(&format!(" -c {limit}=0"));
        }
        // Where the server does not convert, it refuses to send bytes that are not of the encoding asked for.
        let encoding = self.encoding().filter(|encoding| *encoding == SQL_ASCII).unwrap_or("UTF8");
        let mut spec = ExecSpec::new(argv)
            .user(self.os_user.as_deref())
            .env("PGAPPNAME", application)
            .env("PGCONNECT_TIMEOUT", "15")
            .env("PGCLIENTENCODING", encoding)
            .env("PGOPTIONS", &options);
        if let Some(password) = self.password.as_ref().filter(|_| self.send_password) {
            spec = spec.env("PGPASSWORD", password.expose());
        }
        spec
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// A part of an URL: every byte that could mean something is escaped.
fn in_url(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// The password that the container was set up with.
async fn password_of(engine: &Arc<dyn Engine>, container: &Container) -> Result<Option<Secret>> {
    Ok(setting(engine, container, "POSTGRES_PASSWORD").await?.map(Secret::new))
}

/// A variable of the official image, or the content of the file that its `_FILE` form names.
async fn setting(engine: &Arc<dyn Engine>, container: &Container, name: &str) -> Result<Option<String>> {
    if let Some(value) = container.env(name).filter(|value| !value.is_empty()) {
        return Ok(Some(value.to_owned()));
    }
    let Some(path) = container.env(&format!("{name}_FILE")).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let read = capture(engine, container, &ExecSpec::new(["cat", "--", path]), None).await?;
    if read.exit_code != 0 {
        return Err(error::tool(format!(
            "{name}_FILE of {} cannot be read: {}",
            container.name,
            read.complaint()
        )));
    }
    // The image reads it with `$(< file)`, which drops the line end.
    Ok(Some(read.text()))
}
