//! Connection from a worker to the server beside it: over TCP in the same network. The worker sees no socket of the
//! server.
//!
//! Promise: a password is written into a file that only the worker's user reads, and only once the server has asked;
//! it is in no variable and on no command line, both of which the engine shows.

use crate::docker::worker::{Unfit, WorkerError};
use crate::docker::{Container, ExecSpec};
use crate::fsutil::private_dir;
use crate::fsutil::private_dir::PrivateDir;
use crate::postgres::access::Access;
use crate::postgres::session::{Refusal, Session};
use crate::secret::Secret;

/// The password file's name in a worker's private directory.
const PASSFILE: &str = "pgpass";

/// Host and port of a server, seen from the server's own network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    host: String,
    port: String,
}

impl ListenAddress {
    /// Asks the server.
    ///
    /// # Errors
    /// [`Unfit::NoPort`] where it listens on none; the session's own.
    pub(crate) async fn of(session: &mut Session) -> Result<std::result::Result<Self, Unfit>, Refusal> {
        let rows =
            session.query("select current_setting('listen_addresses'), current_setting('port')").await?;
        let [addresses, port] =
            <[String; 2]>::try_from(rows.into_iter().next().unwrap_or_default()).unwrap_or_default();
        Ok(Self::parse(&addresses, &port).ok_or(Unfit::NoPort))
    }

    /// The host, a name or an address, and the port.
    pub(crate) fn parts(&self) -> (&str, Option<u16>) {
        (&self.host, self.port.parse().ok())
    }

    fn parse(addresses: &str, port: &str) -> Option<Self> {
        let all: Vec<&str> = addresses.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        let has = |names: &[&str]| all.iter().any(|one| names.contains(one));
        let host = if has(&["*", "0.0.0.0", "localhost", "127.0.0.1"]) {
            "127.0.0.1"
        } else if has(&["::", "::1"]) {
            "::1"
        } else {
            all.first()?
        };
        Some(Self { host: host.to_owned(), port: port.to_owned() })
    }
}

/// Returns `spec`, as [`Access::spec`] made it, for a worker: over TCP and without a password.
pub(crate) fn over_tcp(spec: ExecSpec, port: &ListenAddress) -> ExecSpec {
    let mut spec = spec.user(None);
    spec.env.retain(|(name, _)| !["PGPASSWORD", "PGHOST", "PGPORT"].contains(&name.as_str()));
    spec.env("PGHOST", &port.host).env("PGPORT", &port.port)
}

/// Returns `spec` with the password file that [`leave_password`] has left in the private directory.
pub(crate) fn with_passfile(spec: ExecSpec) -> ExecSpec {
    spec.env("PGPASSFILE", private_dir::inside(PASSFILE))
}

/// Leaves the password in the private directory.
///
/// # Errors
/// Kind `Tool`: its source cannot be read. [`Unfit`]: none is known, or it cannot be written.
pub(crate) async fn leave_password(
    container: &Container,
    access: &Access,
    private_dir: &PrivateDir,
) -> Result<(), WorkerError> {
    let Some(password) = access.known_password(container).await? else {
        let unknown = "the server wants a password, and none is known".to_owned();
        return Err(Unfit::NotConnected(unknown).into());
    };
    let written = private_dir.secret(PASSFILE, passfile(password.expose()).expose().as_bytes());
    Ok(written.map_err(|e| Unfit::NoPrivateDir(e.to_string()))?)
}

/// The words of a libpq that had no password to send.
pub(crate) fn wants_password(text: &str) -> bool {
    text.contains("no password supplied")
}

/// One line for every host, port, database and role; colons and backslashes are escaped.
fn passfile(password: &str) -> Secret {
    Secret::new(format!("*:*:*:*:{}\n", password.replace('\\', "\\\\").replace(':', "\\:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_taken_where_the_server_listens_on_it() {
        let host = |addresses: &str| ListenAddress::parse(addresses, "5433").map(|port| port.host);
        for addresses in ["*", "localhost", "0.0.0.0", "10.0.0.1, 127.0.0.1"] {
            assert_eq!(host(addresses).as_deref(), Some("127.0.0.1"), "{addresses}");
        }
        assert_eq!(host("::").as_deref(), Some("::1"));
        assert_eq!(host("10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(host(""), None);
    }

    #[test]
    fn no_password_is_where_the_engine_shows_it() {
        let port = ListenAddress::parse("*", "5432").unwrap();
        let spec = ExecSpec::new(["pg_dump"]).env("PGPASSWORD", "secret").user(Some("postgres"));
        let spec = with_passfile(over_tcp(spec, &port));
        let names: Vec<&str> = spec.env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PGHOST", "PGPORT", "PGPASSFILE"]);
        assert_eq!(spec.user, None);
        assert_eq!(passfile("a:b\\c").expose(), "*:*:*:*:a\\:b\\\\c\n");
    }
}
