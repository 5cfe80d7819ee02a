//! As much of HTTP/1.1 as the proxy needs: one request, the head of its answer.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;

/// A request, whole.
pub(super) struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub(super) fn read(client: &mut UnixStream) -> io::Result<Self> {
        let head = read_head(client)?;
        let mut body = vec![0; content_length(&head).unwrap_or(0)];
        client.read_exact(&mut body)?;
        Ok(Self { head, body })
    }

    pub(super) fn write(&self, daemon: &mut UnixStream) -> io::Result<()> {
        daemon.write_all(&self.head)?;
        daemon.write_all(&self.body)
    }

    pub(super) fn line_and_body(&self) -> String {
        format!("{} {}", self.line(), String::from_utf8_lossy(&self.body))
    }

    /// `METHOD /path`, without the host and the API version that some requests carry.
    fn line(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = path.strip_prefix("http://docker").unwrap_or(path);
        let versioned = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
        format!("{method} {}", versioned.unwrap_or(path))
    }

    pub(super) fn creates_exec(&self) -> bool {
        let line = self.line();
        line.starts_with("POST /containers/") && line.ends_with("/exec")
    }

    pub(super) fn starts_exec(&self) -> bool {
        self.line().starts_with("POST /exec/") && self.line().ends_with("/start")
    }

    pub(super) fn inspects_exec(&self) -> bool {
        self.line().starts_with("GET /exec/")
    }

    pub(super) fn is_to_a_worker(&self, word: &str) -> bool {
        let line = self.line();
        line.contains(" /containers/envctl-") && line.ends_with(word)
    }

    pub(super) fn exec_id(&self) -> Option<String> {
        let line = self.line();
        let (_, rest) = line.split_once(" /exec/")?;
        Some(rest.split('/').next().unwrap_or_default().to_owned())
    }

    /// The command line of an exec that is being created, without the reaper that runs it.
    pub(super) fn argv(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let words = body["Cmd"].as_array().cloned().unwrap_or_default();
        let mut words: Vec<_> = words.iter().filter_map(|word| word.as_str()).collect();
        if words.starts_with(&["/usr/bin/perl", "-C0", "-e"]) {
            words.drain(..5);
        }
        words.join("\0")
    }
}

/// Reads up to the empty line, and not a byte further.
pub(super) fn read_head(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_lowercase();
    head.lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|text| text.trim().parse().ok())
}

/// The body of a short answer.
pub(super) fn read_body(daemon: &mut UnixStream, head: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = vec![0; content_length(head).unwrap_or(0)];
    daemon.read_exact(&mut body)?;
    Ok(body)
}

/// A field of a JSON object.
pub(super) fn json_text(body: &[u8], name: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value[name].as_str().map(str::to_owned)
}

/// An answer of our own.
pub(super) fn answer(client: &mut UnixStream, status: u16, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} Rig\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
