//! Pings: one GET before a backup and one after it, to a service that tells when they stop.
//!
//! Promises: a ping that fails is a warning and never the failure of a backup; it takes [`LIMIT`] at most; no redirect is
//! followed; the address is shown without its path.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{HOST, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::App;
use crate::config::ping_url::PingUrl;

/// Time limit of a ping, from the name of the host to the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Event that a ping tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PingEvent {
    Start,
    Success,
    Failure,
}

impl PingEvent {
    fn suffix(self) -> &'static str {
        match self {
            Self::Start => "/start",
            Self::Success => "",
            Self::Failure => "/fail",
        }
    }
}

impl App {
    /// Sends a ping; warns where it fails.
    pub(crate) async fn ping(&self, url: &PingUrl, event: PingEvent) {
        let failure = match tokio::time::timeout(LIMIT, get(url, event.suffix())).await {
            Ok(Ok(status)) if status.is_success() => return,
            Ok(Ok(status)) if status.is_redirection() => {
                format!("it answers {}, and redirects are not followed", status.as_u16())
            }
            Ok(Ok(status)) => format!("it answers {}", status.as_u16()),
            Ok(Err(cause)) => cause,
            Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
        };
        self.ui.warn(&format!("the ping to {url} failed: {failure}"));
    }
}

/// Sends one GET and returns the status of the answer.
async fn get(url: &PingUrl, suffix: &str) -> Result<StatusCode, String> {
    let (host, port) = host_and_port(url)?;
    let stream = TcpStream::connect((host, port)).await.map_err(|cause| cause.to_string())?;
    if url.is_https {
        exchange(url, suffix, encrypt(stream, host).await?).await
    } else {
        exchange(url, suffix, stream).await
    }
}

/// Returns the host without brackets, and the port.
fn host_and_port(url: &PingUrl) -> Result<(&str, u16), String> {
    let usual = if url.is_https { 443 } else { 80 };
    let end_of_address = url.authority.rfind(']').unwrap_or(0);
    let (host, port) = match url.authority[end_of_address..].rfind(':') {
        Some(at) => {
            let (host, port) = url.authority.split_at(end_of_address + at);
            (host, port[1..].parse().map_err(|_| "its port is no number".to_owned())?)
        }
        None => (url.authority.as_str(), usual),
    };
    Ok((host.trim_start_matches('[').trim_end_matches(']'), port))
}

async fn exchange<T>(url: &PingUrl, suffix: &str, stream: T) -> Result<StatusCode, String>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    TokioIo<T>: Read + Write,
{
    let request = Request::get(url.request_path(suffix).expose())
        .header(HOST, &url.authority)
        .header(USER_AGENT, concat!("envctl/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| "its address cannot be sent".to_owned())?;
    let failed = |cause: hyper::Error| cause.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed);
    connection.abort();
    answer.map(|answer| answer.status())
}

/// Trusts the certificate authorities of the system; where there are none, those that are compiled in.
#[cfg(feature = "tls")]
async fn encrypt(
    stream: TcpStream,
    host: &str,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    use std::sync::Arc;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|cause| cause.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from(host.to_owned()).map_err(|cause| cause.to_string())?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|cause| cause.to_string())
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "the same signature as with TLS")]
async fn encrypt(_stream: TcpStream, _host: &str) -> Result<TcpStream, String> {
    Err("this build of envctl has no TLS".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read() {
        for (text, expected) in [
            ("https://hc.example/x", ("hc.example", 443)),
            ("http://hc.example/x", ("hc.example", 80)),
            ("http://hc.example:8000/x", ("hc.example", 8000)),
            ("http://[::1]:8000/x", ("::1", 8000)),
            ("https://[::1]/x", ("::1", 443)),
        ] {
            assert_eq!(host_and_port(&PingUrl::parse(text).unwrap()), Ok(expected), "{text}");
        }
        assert!(host_and_port(&PingUrl::parse("http://h:port/x").unwrap()).is_err());
    }
}
