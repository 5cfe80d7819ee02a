//! HTTP to the daemon where a generated client does not serve: tolerant JSON and hijacked streams.
//!
//! Promises: each call opens its own connection; an upgraded connection hands back every byte that
//! came with the answer's headers; nothing is written to a stream before the daemon has agreed to it
//! (moby discards early bytes).

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::transport::{BoxIo, Connector};
use crate::error::{self, Error, Result};
use crate::text::percent::encode_except;

/// Time limit for the headers of the daemon's answer. Streams have no such limit.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// No JSON answer is larger; a listing of a thousand containers is about 3 MiB.
const LARGEST_ANSWER: usize = 64 << 20;

/// A stream the daemon agreed to: bytes that came early, then the connection itself.
pub(crate) struct UpgradedStream {
    /// Bytes that arrived behind the headers and were already read.
    pub(crate) early: Bytes,
    /// The connection.
    pub(crate) io: BoxIo,
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// Kind `Docker`: unreachable, or no answer in time.
pub(crate) async fn send(connector: &Connector, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    let io = connector.connect().await?;
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await
    };
    match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
        Ok(answer) => answer.map_err(|cause| broken(connector, cause)),
        Err(_) => Err(error::docker(format!(
            "Docker at {} did not answer within {} s",
            connector.endpoint().host,
            ANSWER_LIMIT.as_secs()
        ))
        .hint("see whether the daemon is overloaded or hung: `docker info`")),
    }
}

/// GET, the whole answer.
///
/// # Errors
/// Errors of [`send`]. An answer that is not 2xx is returned as [`HttpAnswer`] with its status.
pub(crate) async fn get(connector: &Connector, path: &str) -> Result<HttpAnswer> {
    let request = request(Method::GET, path, None)?;
    let response = send(connector, request).await?;
    let (status, date) = (response.status(), date(response.headers()));
    let body = Limited::new(response.into_body(), LARGEST_ANSWER)
        .collect()
        .await
        .map_err(|cause| error::docker(format!("the answer to {path} broke off")).because(cause))?
        .to_bytes();
    Ok(HttpAnswer { status, body, date })
}

/// GET whose body is read as it comes (logs with follow).
///
/// # Errors
/// Errors of [`send`]. An answer that is not 2xx becomes an error with the daemon's message.
pub(crate) async fn get_stream(connector: &Connector, path: &str) -> Result<Response<Incoming>> {
    let response = send(connector, request(Method::GET, path, None)?).await?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Err(HttpAnswer { status, body, date: None }.into_error(path))
}

/// POST that turns the connection into a stream.
///
/// # Errors
/// Kind `Docker` with the daemon's own words when it refuses.
pub(crate) async fn hijack(connector: &Connector, path: &str, body: String) -> Result<UpgradedStream> {
    let mut request = request(Method::POST, path, Some(body))?;
    let headers = request.headers_mut();
    headers.insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
    headers.insert(hyper::header::UPGRADE, hyper::header::HeaderValue::from_static("tcp"));
    let response = send(connector, request).await?;
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body =
            response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if status.is_success() {
            return Err(error::docker(format!("the daemon answered {status} where a stream was asked for"))
                .note("a proxy between envctl and the daemon may be stripping the Upgrade header"));
        }
        return Err(HttpAnswer { status, body, date: None }.into_error(path));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|cause| broken(connector, cause))?;
    let parts = upgraded
        .downcast::<TokioIo<BoxIo>>()
        .map_err(|_| error::docker("the upgraded connection is of a foreign type"))?;
    Ok(UpgradedStream { early: parts.read_buf, io: parts.io.into_inner() })
}

/// An answer with its status.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    /// The body as sent.
    pub(crate) body: Bytes,
    /// The daemon's own clock, in seconds since 1970.
    pub(crate) date: Option<i64>,
}

fn date(headers: &hyper::HeaderMap) -> Option<i64> {
    let date = headers.get(hyper::header::DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?.as_second())
}

impl HttpAnswer {
    /// The body of a 2xx answer.
    ///
    /// # Errors
    /// The daemon's own words.
    pub(crate) fn success(self, what: &str) -> Result<Bytes> {
        if self.status.is_success() { Ok(self.body) } else { Err(self.into_error(what)) }
    }

    /// The daemon's words as an error of ours.
    pub(crate) fn into_error(self, what: &str) -> Error {
        #[derive(serde::Deserialize)]
        struct EngineMessage {
            #[serde(alias = "cause")]
            message: String,
        }
        let text = serde_json::from_slice::<EngineMessage>(&self.body)
            .map_or_else(|_| String::from_utf8_lossy(&self.body).trim().to_owned(), |answer| answer.message);
        crate::docker::client::errors::refusal(self.status.as_u16(), &text, what)
    }
}

fn request(method: Method, path: &str, body: Option<String>) -> Result<Request<Full<Bytes>>> {
    let mut builder = Request::builder().method(method).uri(path).header("Host", "docker");
    if body.is_some() {
        builder = builder.header("Content-Type", "application/json");
    }
    builder
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|cause| error::usage(format!("{path:?} is no request path")).because(cause))
}

fn broken(connector: &Connector, cause: hyper::Error) -> Error {
    error::docker(format!("the connection to Docker at {} broke", connector.endpoint().host))
        .because(cause)
        .hint("see whether a Docker daemon listens there: `docker context ls` shows the addresses, `journalctl -u docker` its log")
}

/// Container names and ids go into a path: anything but the characters Docker allows is percent-encoded.
pub(crate) fn path_part(name: &str) -> String {
    encode_except(name, |c| c.is_ascii_alphanumeric() || "_.-:".contains(c))
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::{DATE, HeaderValue};

    use super::*;

    #[test]
    fn the_daemons_clock_is_the_date_of_its_answer() {
        let of = |value| date(&HeaderMap::from_iter([(DATE, HeaderValue::from_static(value))]));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(of("yesterday"), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }
}
