//! A fault proxy between envctl and an S3 server: it answers, cuts or delays exactly what a rule names.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::proxy::Gate;
use super::store_server::s3_port;

/// What happens to a request.
#[derive(Clone)]
pub enum StoreFault {
    /// The proxy answers with this status and body; the store never hears of it.
    Answer(u16, &'static str),
    /// The store does it, and the answer is lost.
    LostAnswer,
    /// The connection closes after so many bytes of the request's body.
    CutBody(usize),
    /// The connection closes after so many bytes of the answer's body.
    CutAnswer(usize),
    /// The request waits before the store hears of it.
    Slow(Duration),
    /// The request waits at the gate.
    Hold(Gate),
}

/// A fault for the first `times` requests whose `METHOD target` contains all of some texts.
#[derive(Clone)]
pub struct StoreRule {
    on: &'static [&'static str],
    fault: StoreFault,
    times: u32,
}

impl StoreRule {
    pub fn new(on: &'static [&'static str], fault: StoreFault) -> Self {
        Self { on, fault, times: u32::MAX }
    }

    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// A proxy; it serves until the test binary ends.
#[derive(Clone)]
pub struct StoreProxy {
    port: u16,
    rules: Arc<Mutex<Vec<StoreRule>>>,
    heads: Arc<Mutex<Vec<String>>>,
    answered: Arc<Mutex<Vec<String>>>,
}

impl StoreProxy {
    pub fn start(rules: Vec<StoreRule>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            rules: Arc::new(Mutex::new(rules)),
            heads: Arc::default(),
            answered: Arc::default(),
        };
        let serving = proxy.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let proxy = serving.clone();
                std::thread::spawn(move || proxy.serve(stream));
            }
        });
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Replaces the rules.
    pub fn set(&self, rules: Vec<StoreRule>) {
        *self.rules.lock().unwrap() = rules;
    }

    /// Heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// First lines of the requests so far that contain a text.
    pub fn requests(&self, text: &str) -> usize {
        self.heads().iter().filter(|head| head.lines().next().unwrap_or_default().contains(text)).count()
    }

    /// Requests whose first line contains a text and which the store has answered.
    pub fn answered(&self, text: &str) -> usize {
        self.answered.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    fn fault(&self, line: &str) -> Option<StoreFault> {
        let mut rules = self.rules.lock().unwrap();
        let rule =
            rules.iter_mut().find(|rule| rule.times > 0 && rule.on.iter().all(|text| line.contains(text)))?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    /// One request for each connection.
    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        self.heads.lock().unwrap().push(head.clone());
        let line = head.lines().next()?.to_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.unwrap_or(0);
        let fault = self.fault(&line);
        if let Some(StoreFault::CutBody(at)) = fault {
            let mut part = vec![0; at.min(length)];
            let _ = client.read_exact(&mut part);
            return client.shutdown(Shutdown::Both).ok();
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).ok()?;
        match &fault {
            Some(StoreFault::Answer(status, body)) => {
                let answer = format!(
                    "HTTP/1.1 {status} Told\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                );
                return client.write_all(answer.as_bytes()).ok();
            }
            Some(StoreFault::Slow(time)) => std::thread::sleep(*time),
            Some(StoreFault::Hold(gate)) => gate.pass_through(),
            _ => {}
        }
        let mut store = TcpStream::connect(("127.0.0.1", s3_port())).ok()?;
        let lines = head.trim_end().lines().filter(|line| !line.to_lowercase().starts_with("connection:"));
        let head = lines.map(in_s3).collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
        store.write_all(head.as_bytes()).ok()?;
        store.write_all(&body).ok()?;
        let mut answer = Vec::new();
        store.read_to_end(&mut answer).ok()?;
        self.answered.lock().unwrap().push(line);
        match fault {
            Some(StoreFault::LostAnswer) => return client.shutdown(Shutdown::Both).ok(),
            Some(StoreFault::CutAnswer(at)) => {
                let body = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
                answer.truncate(body + at);
            }
            _ => {}
        }
        client.write_all(&answer).ok()
    }
}

/// A header of Google's in S3's words. The rest of Google's XML interface is that of S3, so that an S3 server behind the
/// proxy stands for it: no test server speaks it by itself.
fn in_s3(line: &str) -> &str {
    match line.to_lowercase().as_str() {
        "x-goog-if-generation-match: 0" => "If-None-Match: *",
        line if line.starts_with("authorization: bearer ") => {
            "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"
        }
        _ => line,
    }
}
