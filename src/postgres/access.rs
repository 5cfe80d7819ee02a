//! Role, database and address of a connection: as configured, else from the image's variables.
//!
//! Promise: no password is sent unless the server asks for one; it is never on a command line (those are
//! in `docker events`), and never printed.

use crate::docker::{Container, ContainerInfo, ExecSpec};
use crate::error::{self, Result};
use crate::secret::Secret;
use crate::text::encoding::SQL_ASCII;
use crate::text::percent::url_part;
use crate::text::sql_quote::conninfo;
use std::fmt;

/// Role, database and address of a connection.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The role.
    pub(crate) user: String,
    pub(crate) database: String,
    /// Sent only after the server has asked for it once.
    password: Option<Secret>,
    send_password: bool,
    /// The user inside the container that runs the tools; `None` is the container's own.
    pub(crate) os_user: Option<String>,
    /// Host of the server, seen from the server's container; `None` is the socket that the tools there expect.
    host: Option<String>,
    /// The port; `None` is what the tools there expect.
    port: Option<u16>,
    /// Limits that the server knows and that a session of ours lifts; empty until a session has asked.
    unlimited: Vec<&'static str>,
    /// Encoding of the database; `None` until a session has asked.
    encoding: Option<String>,
}

/// Search path of a session for envctl's own statements. Whoever may create a function in a schema on the role's path
/// could have it run with the rights of that role, in the place of PostgreSQL's own (CVE-2018-1058).
pub(crate) const OWN_PATH: &str = "pg_catalog";

/// Statement that sets [`OWN_PATH`].
pub(crate) const SET_OWN_PATH: &str = "SET search_path = pg_catalog";

/// Limits of a session that not every version knows: an unknown name in `PGOPTIONS` is fatal to the connection. A session
/// that waits for another one, for rows, or for its reader would be ended by them.
pub(crate) const LIMITS: [&str; 3] = ["idle_session_timeout", "transaction_timeout", "tcp_user_timeout"];

/// Connection settings from the configuration or a flag.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ConnectionOverrides {
    /// Role.
    pub(crate) user: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) password: Option<Secret>,
    /// User inside the container.
    pub(crate) os_user: Option<String>,
    /// Host of the server, seen from the server's container.
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
}

/// Names of the variables that an image is set up with: those of the official image, then those of Bitnami's.
const USER: [&str; 2] = ["POSTGRES_USER", "POSTGRESQL_USERNAME"];
const DATABASE: [&str; 2] = ["POSTGRES_DB", "POSTGRESQL_DATABASE"];
const PASSWORD: [&str; 2] = ["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"];
/// Bitnami's superuser has a password of its own where the container has another user.
const SUPERUSER_PASSWORD: &str = "POSTGRESQL_POSTGRES_PASSWORD";
const SUPERUSER: &str = "postgres";

impl Access {
    /// Decides, reading the variables of the official image and of Bitnami's, and their `_FILE` forms, from the container.
    ///
    /// # Errors
    /// Kind `Tool`: a `_FILE` variable names a file that cannot be read in the container.
    pub(crate) async fn discover(container: &Container, overrides: &ConnectionOverrides) -> Result<Self> {
        let user = match &overrides.user {
            Some(user) => user.clone(),
            None => first(container, &USER).await?.unwrap_or_else(|| SUPERUSER.to_owned()),
        };
        let database = match &overrides.database {
            Some(database) => database.clone(),
            None => match first(container, &DATABASE).await? {
                Some(database) => database,
                // Bitnami's makes none.
                None if is_bitnami(container) => SUPERUSER.to_owned(),
                // The official image's own default: the database is called like the user.
                None => user.clone(),
            },
        };
        Ok(Self {
            user,
            database,
            password: overrides.password.clone(),
            send_password: false,
            os_user: overrides.os_user.clone(),
            host: overrides.host.clone().or_else(|| socket_of(&container.command)),
            port: overrides.port.or_else(|| port_of(container)),
            unlimited: Vec::new(),
            encoding: None,
        })
    }

    /// Returns the access to another database of the same server.
    #[must_use]
    pub(crate) fn to(&self, database: &str) -> Self {
        let encoding = self.encoding.clone().filter(|_| database == self.database);
        Self { database: database.to_owned(), encoding, ..self.clone() }
    }

    /// Returns the access over TCP inside the container; `None` where a host was named.
    pub(crate) fn by_loopback(&self) -> Option<Self> {
        self.host.is_none().then(|| Self { host: Some("127.0.0.1".to_owned()), ..self.clone() })
    }

    /// Variables that lead the tools in the container to the server.
    pub(crate) fn place(&self) -> Vec<(String, String)> {
        let host = self.host.clone().map(|host| ("PGHOST".to_owned(), host));
        let port = self.port.map(|port| ("PGPORT".to_owned(), port.to_string()));
        host.into_iter().chain(port).collect()
    }

    /// Notes what a session has learned: the database's encoding, and which of [`LIMITS`] the server knows.
    pub(crate) fn learn(&mut self, encoding: &str, limits: &str) {
        self.encoding = Some(encoding.to_owned()).filter(|name| !name.is_empty());
        self.unlimited =
            LIMITS.into_iter().filter(|name| limits.split(' ').any(|one| one == *name)).collect();
    }

    /// Statements, each behind `\; `, that behind a RESET ALL lift the limits and set the encoding again.
    pub(crate) fn after_reset(&self) -> String {
        let mut sql = String::new();
        for limit in &self.unlimited {
            sql.push_str(&format!("\\; SET {limit} = 0"));
        }
        if self.encoding() == Some(SQL_ASCII) {
            sql.push_str(&format!("\\; SET client_encoding = '{SQL_ASCII}'"));
        }
        sql
    }

    /// Encoding of the database, as the server names it; `None` until a session has asked.
    pub(crate) fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }

    /// Returns the access of another role, with a password of its own.
    #[must_use]
    pub(crate) fn as_role(&self, user: &str, password: Secret) -> Self {
        Self { user: user.to_owned(), password: Some(password), send_password: false, ..self.clone() }
    }

    /// Returns the access with the password that the server asked for.
    ///
    /// # Errors
    /// Kind `Tool`: there is no password to send.
    pub(crate) async fn with_password(&self, container: &Container) -> Result<Self> {
        let password = match &self.password {
            Some(password) => Some(password.clone()),
            None => password_of(container, &self.user).await?,
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
    pub(crate) async fn url(&self, container: &Container, host: &str, port: u16) -> Result<Secret> {
        let password = self.known_password(container).await?;
        let token = password.map_or_else(String::new, |password| format!(":{}", url_part(password.expose())));
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Secret::new(format!(
            "postgresql://{}{token}@{host}:{port}/{}",
            url_part(&self.user),
            url_part(&self.database)
        )))
    }

    /// The password, should a server ask for one: what was configured, else what the container was set up with.
    pub(crate) async fn known_password(&self, container: &Container) -> Result<Option<Secret>> {
        match &self.password {
            Some(password) => Ok(Some(password.clone())),
            None => password_of(container, &self.user).await,
        }
    }

    /// `--dbname=…` for psql and pg_dump, as a quoted connection string.
    pub(crate) fn dbname(&self) -> String {
        format!("--dbname={}", conninfo(&[("dbname", &self.database), ("user", &self.user)]))
    }

    /// A command of PostgreSQL's with this access in its surroundings. `application` is how the session
    /// calls itself in `pg_stat_activity` (at most 63 bytes count).
    pub(crate) fn spec(&self, argv: Vec<String>, application: &str) -> ExecSpec {
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
        spec.env.extend(self.place());
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

/// The password that the container was set up with.
async fn password_of(container: &Container, user: &str) -> Result<Option<Secret>> {
    if user == SUPERUSER
        && let Some(password) = setting(container, SUPERUSER_PASSWORD).await?
    {
        return Ok(Some(Secret::new(password)));
    }
    Ok(first(container, &PASSWORD).await?.map(Secret::new))
}

/// The first of these variables that says something.
async fn first(container: &Container, names: &[&str]) -> Result<Option<String>> {
    let theirs = container.env("BITNAMI_APP_NAME").is_some();
    let mut names: Vec<&&str> = names.iter().collect();
    // An image reads its own names; the others may have been left in a file that both services are given.
    names.sort_by_key(|name| name.starts_with("POSTGRESQL_") != theirs);
    for name in names {
        if let Some(value) = setting(container, name).await? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn is_bitnami(container: &ContainerInfo) -> bool {
    container
        .env
        .iter()
        .any(|pair| pair.starts_with("POSTGRESQL_") || pair.starts_with("BITNAMI_APP_NAME=postgresql"))
}

/// The port that the container's command or Bitnami's variable names; `PGPORT` is inherited by every tool in the container.
fn port_of(container: &ContainerInfo) -> Option<u16> {
    if container.env("PGPORT").is_some_and(|port| !port.is_empty()) {
        return None;
    }
    let named = option_of(&container.command, "-p", "port");
    named.or_else(|| container.env("POSTGRESQL_PORT_NUMBER").map(str::to_owned))?.parse().ok()
}

/// The socket's directory that the container's command names.
fn socket_of(command: &[String]) -> Option<String> {
    let all = option_of(command, "-k", "unix_socket_directories")?;
    all.split(',').map(str::trim).find(|one| one.starts_with('/')).map(str::to_owned)
}

/// The value that the command line of a postgres gives a setting: `-p 5433`, `-c port=5433`, `--port=5433`. The last one
/// counts.
fn option_of(command: &[String], short: &str, setting: &str) -> Option<String> {
    let runs = |token: &String| token.starts_with('-') || ["postgres", "postmaster"].contains(&base(token));
    let from = command.iter().position(runs)?;
    let mut value = None;
    let mut text = command[from..].iter().map(String::as_str);
    while let Some(token) = text.next() {
        let assigned = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            (name.trim().replace('-', "_") == setting).then(|| value.trim().trim_matches('\'').to_owned())
        };
        let found = if token == short {
            text.next().map(str::to_owned)
        } else if token == "-c" {
            text.next().and_then(assigned)
        } else if let Some(pair) = token.strip_prefix("--").or_else(|| token.strip_prefix("-c")) {
            assigned(pair)
        } else {
            token.strip_prefix(short).filter(|rest| !rest.is_empty()).map(str::to_owned)
        };
        value = found.or(value);
    }
    value
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A variable of the official image, or the content of the file that its `_FILE` form names.
async fn setting(container: &Container, name: &str) -> Result<Option<String>> {
    if let Some(value) = container.env(name).filter(|value| !value.is_empty()) {
        return Ok(Some(value.to_owned()));
    }
    let Some(path) = container.env(&format!("{name}_FILE")).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let read = container.capture(&ExecSpec::new(["cat", "--", path]), None).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::fake_engine::{Scripted, container};

    #[test]
    fn a_port_and_a_socket_are_read_from_the_command() {
        let read = |command: &str| {
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            (option_of(&command, "-p", "port"), socket_of(&command))
        };
        for command in [
            "docker-entrypoint.sh postgres -p 5545",
            "postgres -p5545",
            "docker-entrypoint.sh -c port=5545",
            "postgres -cport=5545",
            "/usr/lib/postgresql/15/bin/postgres -D /data --port=5545",
            "postgres -c port=1 -p 5545",
        ] {
            assert_eq!(read(command).0.as_deref(), Some("5545"), "{command}");
        }
        assert_eq!(read("docker-entrypoint.sh postgres -c ssl=on"), (None, None));
        assert_eq!(read("sh -p 1 pgbouncer -p 2").0.as_deref(), Some("2"));
        assert_eq!(read("postgres -k /run/pg").1.as_deref(), Some("/run/pg"));
        assert_eq!(
            read("postgres -c unix_socket_directories=@abstract,/run/pg").1.as_deref(),
            Some("/run/pg")
        );
        assert_eq!(read("postgres --unix-socket-directories=").1, None);
    }

    #[tokio::test]
    async fn bitnamis_variables_are_known() {
        let discover = async |env: &[&str], overrides: &ConnectionOverrides| {
            let script = Scripted::new([]);
            let info =
                ContainerInfo { env: env.iter().map(|&pair| pair.to_owned()).collect(), ..container("db") };
            let db = script.container(info);
            let access = Access::discover(&db, overrides).await.unwrap();
            let password = access.known_password(&db).await.unwrap();
            let password = password.map(|password| password.expose().to_owned()).unwrap_or_default();
            (format!("{}@{} {password}", access.user, access.database), access.port)
        };
        let bitnami = [
            "POSTGRESQL_USERNAME=shop",
            "POSTGRESQL_DATABASE=store",
            "POSTGRESQL_PASSWORD=one",
            "POSTGRESQL_POSTGRES_PASSWORD=two",
            "POSTGRESQL_PORT_NUMBER=5545",
        ];
        let usual = ConnectionOverrides::default();
        assert_eq!(discover(&bitnami, &usual).await, ("shop@store one".to_owned(), Some(5545)));
        let superuser =
            ConnectionOverrides { user: Some("postgres".to_owned()), ..ConnectionOverrides::default() };
        assert_eq!(discover(&bitnami, &superuser).await.0, "postgres@store two");
        assert_eq!(discover(&bitnami[..1], &usual).await.0, "shop@postgres ");
        assert_eq!(discover(&["POSTGRES_USER=a", "POSTGRES_PASSWORD=p"], &usual).await.0, "a@a p");
        // The tools in the container inherit it.
        assert_eq!(discover(&["PGPORT=5544", "POSTGRESQL_PORT_NUMBER=5545"], &usual).await.1, None);
    }
}
