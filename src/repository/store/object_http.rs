//! HTTP for object stores, on the libraries that the rest of envctl uses: hyper, and rustls with ring.
//!
//! Promises: connections are kept while their server keeps them; a request has a time limit that grows with its body, so
//! that a slow line finishes a part; a response that stands still fails.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::Extensions;
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::ObjectHold;
use crate::error::{self, Result};
use crate::sync::lock;

/// Time limit for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Time limit for the answer to a request without a body, and for the next bytes of an answer.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// Slowest line that finishes a part, in bytes per second.
const SLOWEST: u64 = 16 << 10;

/// Makes HTTP clients that share their connections.
#[derive(Clone)]
pub(super) struct HyperConnector {
    tls: TlsConnector,
    idle: Idle,
}

/// Connections that wait for a request, by scheme and authority.
type Idle = Arc<Mutex<HashMap<String, Vec<SendRequest<HttpRequestBody>>>>>;

impl fmt::Debug for HyperConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperConnector")
    }
}

impl HyperConnector {
    /// Trusts the certificate authorities of the system; where there are none, those that are compiled in.
    pub(super) fn new() -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| error::failed("TLS cannot be set up").because(e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), idle: Idle::default() })
    }

    async fn answer(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let hold = request.extensions().get::<HoldHeaders>().cloned();
        let host = uri.host().ok_or_else(|| fault(HttpErrorKind::Unknown, "the address names no host"))?;
        let secure = uri.scheme_str() == Some("https");
        let usual = if secure { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        // A signature covers the host without the usual port.
        let authority = if port == usual { host.to_owned() } else { format!("{host}:{port}") };
        let header =
            HeaderValue::from_str(&authority).map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        request.headers_mut().insert(HOST, header);
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static("envctl"));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        let limit = ANSWER_LIMIT + Duration::from_secs(request.body().content_length() as u64 / SLOWEST);

        let place = format!("{secure} {authority}");
        let mut connection = match self.idle_connection(&place) {
            Some(connection) => connection,
            None => timeout(CONNECT_LIMIT, self.connect(host, port, secure))
                .await
                .map_err(|_| fault(HttpErrorKind::Connect, &format!("{authority} does not answer")))??,
        };
        let response = timeout(limit, connection.send_request(request))
            .await
            .map_err(|_| fault(HttpErrorKind::Timeout, &format!("{authority} does not answer in {limit:?}")))?
            .map_err(of_hyper)?;
        if let Some(hold) = hold {
            hold.read(response.headers());
        }
        let idle = self.idle.clone();
        tokio::spawn(async move {
            // Ready again when the answer has been read.
            if connection.ready().await.is_ok() {
                lock(&idle).entry(place).or_default().push(connection);
            }
        });
        Ok(response
            .map(|body| HttpResponseBody::new(LimitedBody { body, limit: Box::pin(sleep(ANSWER_LIMIT)) })))
    }

    fn idle_connection(&self, place: &str) -> Option<SendRequest<HttpRequestBody>> {
        let mut idle = lock(&self.idle);
        let connections = idle.get_mut(place)?;
        connections.retain(SendRequest::is_ready);
        connections.pop()
    }

    async fn connect(
        &self,
        host: &str,
        port: u16,
        secure: bool,
    ) -> Result<SendRequest<HttpRequestBody>, HttpError> {
        let failed = |e: std::io::Error| {
            let text = format!("{host}:{port} cannot be reached: {e}");
            fault(HttpErrorKind::Connect, &text)
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        let _ = stream.set_nodelay(true);
        if !secure {
            return handshake(TokioIo::new(stream)).await;
        }
        let name =
            ServerName::try_from(host.to_owned()).map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        let stream = self.tls.connect(name, stream).await.map_err(failed)?;
        handshake(TokioIo::new(stream)).await
    }
}

/// Headers of an answer that the library does not hand on: they travel with the request and come back filled in.
#[derive(Clone, Default)]
pub(super) struct HoldHeaders(Arc<Mutex<ObjectHold>>);

impl HoldHeaders {
    pub(super) fn extension(&self) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(self.clone());
        extensions
    }

    pub(super) fn hold(&self) -> ObjectHold {
        *lock(&self.0)
    }

    fn read(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        *lock(&self.0) = ObjectHold {
            retained_until: text("x-amz-object-lock-retain-until-date").and_then(|date| date.parse().ok()),
            legal_hold: text("x-amz-object-lock-legal-hold")
                .is_some_and(|text| text.eq_ignore_ascii_case("on")),
            is_hidden: text("x-amz-delete-marker").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        };
    }
}

async fn handshake<T>(stream: T) -> Result<SendRequest<HttpRequestBody>, HttpError>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(stream).await.map_err(of_hyper)?;
    tokio::spawn(connection);
    Ok(sender)
}

impl HttpConnector for HyperConnector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for HyperConnector {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.answer(request))
    }
}

fn fault(kind: HttpErrorKind, text: &str) -> HttpError {
    HttpError::new_boxed(kind, text.into())
}

/// Tells which errors another attempt may cure, as object_store's own client does.
fn of_hyper(error: hyper::Error) -> HttpError {
    let lost = error.is_closed() || error.is_canceled() || error.is_incomplete_message();
    let kind = if lost || error.is_body_write_aborted() {
        HttpErrorKind::Request
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if std::error::Error::source(&error)
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some()
    {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    };
    HttpError::new(kind, error)
}

/// A response that fails where its next bytes do not come.
struct LimitedBody {
    body: Incoming,
    limit: Pin<Box<Sleep>>,
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.limit.as_mut().reset(Instant::now() + ANSWER_LIMIT);
            return Poll::Ready(frame.map(|frame| frame.map_err(of_hyper)));
        }
        self.limit
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(fault(HttpErrorKind::Timeout, "the answer stands still"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
