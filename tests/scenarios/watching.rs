//! A backup that is watched: its pings reach a server, its hook gets the result, and the check passes afterwards.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::Value;

use crate::support::Project;
use crate::support::rig::Server;

#[test]
fn a_real_backup_is_pinged_told_and_checked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut block = [0; 4096];
            let read = stream.read(&mut block).unwrap_or(0);
            let text = String::from_utf8_lossy(&block[..read]).into_owned();
            let _ = seen.send(text.split(' ').nth(1).unwrap_or_default().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK");
        }
    });
    let server = Server::each().next().unwrap();
    let project = Project::new(server, "watched");
    project.sql("create table own (a int); insert into own values (1)");
    let told = project.path().join("told.json");
    let file = project.path().join("envctl.toml");
    let settings = format!(
        "{}[backup]\nping = \"http://{address}/uuid\"\n[hooks]\non_success = [\"sh\", \"-c\", \"cat > {}\"]\n",
        std::fs::read_to_string(&file).unwrap(),
        told.display()
    );
    std::fs::write(&file, settings).unwrap();
    project.run(&["backup", "-q"]).code(0);
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), ["/uuid/start", "/uuid"]);
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&told).unwrap()).unwrap();
    assert_eq!(document["manifest"]["tables"][0]["rows"], 1, "{document}");
    project.run(&["backup", "check", "--max-age", "10m"]).code(0);
    project.run(&["backup", "check", "--verified-within", "7d"]).code(8);
}
