//! Docker host: the address of a daemon, its parser and its formatter.
//!
//! Promises: [`Address::parse`] and `Display` are the only parser and formatter; a URL that holds a
//! password is refused without being repeated; nothing that ssh could take for an option gets through.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub(crate) const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Address on which a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port, plain or TLS.
    Tcp {
        /// Name or address; IPv6 without brackets.
        host: String,
        port: u16,
    },
    /// `docker system dial-stdio` on another machine.
    Ssh {
        /// Login name, where the URL has one.
        user: Option<String>,
        /// Host name or alias of the ssh configuration.
        host: String,
        /// Port, where the URL has one.
        port: Option<u16>,
        /// The daemon's socket over there, where the URL has one.
        path: Option<String>,
    },
    /// A Windows named pipe, as a path with forward slashes (`//./pipe/docker_engine`).
    Npipe(String),
}

impl Host {
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => write!(f, "tcp://{}:{port}", Bracketed(host)),
            Self::Npipe(path) => write!(f, "npipe://{path}"),
            Self::Ssh { user, host, port, path } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{}", Bracketed(host))?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(path.as_deref().unwrap_or_default())
            }
        }
    }
}

struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

/// A parsed URL: the port of a TCP host may still depend on TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The host; a TCP port of 0 means that none was written.
    pub(crate) host: Host,
    /// The scheme itself asks for TLS (`https://`).
    pub(crate) tls: bool,
}

impl Address {
    /// Reads a URL as docker does: an empty one is the platform's own endpoint, one without a scheme is TCP.
    ///
    /// # Errors
    /// A reason that quotes no part of the URL that could be a secret.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let url = url.trim();
        if url.is_empty() {
            return Ok(Self::plain(own_endpoint()));
        }
        if url.starts_with(['/', '.', '~']) {
            return Err("a socket's path is written `unix:///path/to/docker.sock`".to_owned());
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("tcp", url));
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::plain(Host::Unix(PathBuf::from(DOCKER_SOCKET)))),
            "unix" => Ok(Self::plain(Host::Unix(PathBuf::from(rest)))),
            "npipe" => Ok(Self::plain(Host::Npipe(rest.replace('\\', "/")))),
            "tcp" | "http" => Ok(Self::plain(tcp(rest)?)),
            "https" => Ok(Self { host: tcp(rest)?, tls: true }),
            "ssh" => Ok(Self::plain(ssh(rest)?)),
            "fd" => Err("fd:// is where a daemon listens, not an address to connect to".to_owned()),
            // A scheme cannot hold a secret only when it looks like one.
            value if value.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Err(format!("unknown scheme `{value}://`"))
            }
            _ => Err("not a host URL".to_owned()),
        }
    }

    fn plain(host: Host) -> Self {
        Self { host, tls: false }
    }

    /// The host with docker's default port where the URL has none: 2376 with TLS, else 2375.
    pub(crate) fn host_with_port(self, tls: bool) -> Host {
        match self.host {
            Host::Tcp { host, port: 0 } => Host::Tcp { host, port: if tls { 2376 } else { 2375 } },
            host => host,
        }
    }
}

fn own_endpoint() -> Host {
    if cfg!(windows) {
        Host::Npipe("//./pipe/docker_engine".to_owned())
    } else {
        Host::Unix(PathBuf::from(DOCKER_SOCKET))
    }
}

fn tcp(rest: &str) -> Result<Host, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("a name or password in a TCP host is not supported".to_owned());
    }
    if !path.is_empty() {
        return Err("a path after the host is not supported".to_owned());
    }
    let (host, port) = host_and_port(authority)?;
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Ok(Host::Tcp { host, port: port.unwrap_or(0) })
}

fn ssh(rest: &str) -> Result<Host, String> {
    let (authority, path) = match rest.find('/') {
        Some(slash) => (&rest[..slash], Some(&rest[slash..]).filter(|path| *path != "/")),
        None => (rest, None),
    };
    // The last @ separates: a password may hold others.
    let (user, address) = authority.rsplit_once('@').map_or((None, authority), |(user, at)| (Some(user), at));
    if user.is_some_and(|user| user.contains([':', '@'])) {
        return Err("a password in an ssh host is not supported; use a key or an agent".to_owned());
    }
    let (host, port) = host_and_port(address)?;
    if host.is_empty() {
        return Err("the ssh host is empty".to_owned());
    }
    // `ssh://-oProxyCommand=…` would run a command here.
    if host.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
        return Err("an ssh host or user must not begin with a dash or be empty".to_owned());
    }
    Ok(Host::Ssh { user: user.map(str::to_owned), host, port, path: path.map(str::to_owned) })
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    if authority.matches('[').count() > 1 || authority.find('[').is_some_and(|at| at > 0) {
        return Err("brackets stand around an IPv6 address and nowhere else".to_owned());
    }
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or("an IPv6 address has no closing bracket")?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("the port after an IPv6 address is not readable".to_owned()),
        }
    } else if let Some((host, port)) = authority.split_once(':') {
        (host, Some(port))
    } else {
        (authority, None)
    };
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("the host name holds white space or control characters".to_owned());
    }
    let port = match port {
        None => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("the port is not a number from 1 to 65535".to_owned()),
        },
    };
    Ok((host.to_owned(), port))
}

/// Reports whether traffic to this host stays on the machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
