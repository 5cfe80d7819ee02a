//! HTTP/1.1 from the server's side, for one request on each connection.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// A connection, read and written.
pub(super) struct Connection {
    pub(super) reader: BufReader<Box<dyn Read + Send>>,
    pub(super) writer: Box<dyn Write + Send>,
    hang_up: Box<dyn Fn() + Send>,
}

/// One request.
pub(super) struct Request {
    pub(super) method: String,
    /// Without the version's prefix and the query.
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Connection {
    pub(super) fn unix(stream: UnixStream) -> Self {
        let (reader, closer) =
            (stream.try_clone().expect("a second handle"), stream.try_clone().expect("a second handle"));
        Self {
            reader: BufReader::new(Box::new(reader)),
            writer: Box::new(stream),
            hang_up: Box::new(move || drop(closer.shutdown(Shutdown::Both))),
        }
    }

    pub(super) fn tcp(stream: TcpStream) -> Self {
        let (reader, closer) =
            (stream.try_clone().expect("a second handle"), stream.try_clone().expect("a second handle"));
        Self {
            reader: BufReader::new(Box::new(reader)),
            writer: Box::new(stream),
            hang_up: Box::new(move || drop(closer.shutdown(Shutdown::Both))),
        }
    }

    pub(super) fn hang_up(&self) {
        (self.hang_up)();
    }

    /// Reads one request with its body.
    pub(super) fn request(&mut self) -> io::Result<Request> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // Some clients send the absolute form; servers have to take both (RFC 9112, 3.2.2).
        let target = target.strip_prefix("http://docker").unwrap_or(target);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, path) = (method.to_owned(), without_version(path).to_owned());
        let query = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut length = 0;
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "no client here sends chunks");
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().expect("a length");
                }
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(Request { method, path, query, body })
    }

    /// Answers with a whole body and ends.
    pub(super) fn answer(&mut self, status: u16, kind: &str, body: &str) -> io::Result<()> {
        let reason = if status < 300 { "OK" } else { "Refused" };
        write!(
            self.writer,
            "HTTP/1.1 {status} {reason}\r\nApi-Version: 1.41\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        self.writer.flush()
    }

    /// Answers with JSON.
    pub(super) fn json(&mut self, status: u16, body: &serde_json::Value) -> io::Result<()> {
        self.answer(status, "application/json", &body.to_string())
    }

    /// Refuses in the engine's form.
    pub(super) fn refuse(&mut self, status: u16, message: &str) -> io::Result<()> {
        self.json(status, &serde_json::json!({"message": message}))
    }
}

/// `/v1.41/version` is `/version`.
fn without_version(path: &str) -> &str {
    match path.strip_prefix("/v").and_then(|rest| rest.find('/').map(|at| rest.split_at(at))) {
        Some((version, rest)) if version.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => path,
    }
}
