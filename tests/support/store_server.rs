//! Servers of object stores: moto for S3, azurite for Azure. `scripts/setup tools` installs both.
//!
//! Promise: a server ends with the test binary, however that ends; each bucket belongs to one test.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::rig::eventually;

/// Account and key of azurite, which are the same everywhere.
pub const AZURE_ACCOUNT: &str = "devstoreaccount1";
pub const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn tool(path: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let tool = cache.join("envctl-rig").join(path);
    assert!(tool.exists(), "{} is not there: scripts/setup tools", tool.display());
    tool
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a server that ends when our end of its pipe is closed.
pub fn start(command: &str, port: u16) {
    let script = format!("{command} >/dev/null 2>&1 </dev/null & cat >/dev/null; kill $!");
    let child = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
    // The pipe is closed with the process.
    static SERVERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    SERVERS.lock().unwrap().push(child);
    eventually(Duration::from_secs(60), "the store answers", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
}

/// Port of the S3 server of this test binary.
pub fn s3_port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let port = free_port();
        start(&format!("exec {} -H 127.0.0.1 -p {port}", tool("moto-5.2.5/bin/moto_server").display()), port);
        port
    })
}

/// Port of the Azure server of this test binary.
pub fn azure_port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let port = free_port();
        let tool = tool("azurite-3.35.0/node_modules/.bin/azurite-blob");
        let options = "--silent --inMemoryPersistence --skipApiVersionCheck --disableTelemetry";
        start(&format!("exec {} {options} --blobHost 127.0.0.1 --blobPort {port}", tool.display()), port);
        port
    })
}

fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("bucket{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Makes a bucket and gives its name.
pub fn new_bucket() -> String {
    let bucket = new_name();
    let (status, _) = s3_request("PUT", &format!("/{bucket}"));
    assert_eq!(status, 200);
    bucket
}

/// Makes a bucket whose objects can be locked, and gives its name.
pub fn new_bucket_with_locks() -> String {
    let bucket = new_name();
    let lock = "x-amz-bucket-object-lock-enabled: true\r\n";
    let (status, _) = s3_request_with("PUT", &format!("/{bucket}"), lock, "");
    assert_eq!(status, 200);
    bucket
}

/// Asks the S3 server past envctl; it checks no signatures.
pub fn s3_request(method: &str, path: &str) -> (u16, String) {
    s3_request_with(method, path, "", "")
}

/// Asks the S3 server past envctl, with more headers and a body.
pub fn s3_request_with(method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", s3_port())).unwrap();
    let authorization = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request";
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\nConnection: close\r\n\
         {headers}Authorization: {authorization}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// Keys of a bucket.
pub fn s3_keys(bucket: &str) -> Vec<String> {
    let (_, answer) = s3_request("GET", &format!("/{bucket}?list-type=2"));
    answer.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// Number of uploads in parts that are neither completed nor aborted.
pub fn s3_open_uploads(bucket: &str) -> usize {
    s3_request("GET", &format!("/{bucket}?uploads")).1.matches("<UploadId>").count()
}

/// Makes a container of Azure and gives its name.
pub fn new_container() -> String {
    let container = new_name();
    let script = r#"
import base64, datetime, hashlib, hmac, sys, urllib.request
account, key, port, container = sys.argv[1:]
date = datetime.datetime.utcnow().strftime("%a, %d %b %Y %H:%M:%S GMT")
headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
text = "PUT" + "\n" * 12 + headers + f"/{account}/{account}/{container}\nrestype:container"
signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
request = urllib.request.Request(f"http://127.0.0.1:{port}/{account}/{container}?restype=container", method="PUT",
    headers={"x-ms-date": date, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {account}:{signature}"})
urllib.request.urlopen(request)
"#;
    let port = azure_port().to_string();
    let made = Command::new("python3")
        .args(["-c", script, AZURE_ACCOUNT, AZURE_KEY, &port, &container])
        .status()
        .unwrap();
    assert!(made.success());
    container
}
