//! What envctl packs anybody can unpack: with gzip and its kin, Python, Node, zstd, tar.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Project, Server};

/// What a program makes of these bytes on its stdin.
#[track_caller]
fn by(program: &[&str], packed: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{} starts (`scripts/setup tools` installs it): {e}", program[0]));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = packed.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    assert!(output.status.success(), "{program:?}: {}", output.status);
    output.stdout
}

const PYTHON: &str =
    "import gzip, sys; sys.stdout.buffer.write(gzip.GzipFile(fileobj=sys.stdin.buffer).read())";
const NODE: &str =
    "const z = require('node:zlib'); process.stdin.pipe(z.createGunzip()).pipe(process.stdout)";
const NODE_WHOLE: &str = "const fs = require('node:fs'); \
     fs.writeSync(1, String(require('node:zlib').gunzipSync(fs.readFileSync(0)).length))";

#[test]
fn every_gzip_reads_a_backup() {
    let project = Project::new(Server::shared(15), "gzips");
    // Several members.
    project.fill(60_000);
    project.run(&["backup", "-o", "b.sql", "--compress", "none"]).code(0);
    let without = |sql: &[u8]| {
        let text = String::from_utf8_lossy(sql).into_owned();
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    };
    let expected = without(&std::fs::read(project.path().join("b.sql")).unwrap());
    let in_node = |script| {
        [
            "docker",
            "run",
            "--rm",
            "-i",
            "--network=none",
            "--entrypoint=node",
            "envctl-backend:20",
            "-e",
            script,
        ]
    };
    for level in ["gzip", "gzip:1", "gzip:12"] {
        project.run(&["backup", "-o", "b.sql.gz", "--compress", level, "--force"]).code(0);
        let packed = std::fs::read(project.path().join("b.sql.gz")).unwrap();
        for reader in
            [&["gzip", "-dc"][..], &["zcat"], &["pigz", "-dc"], &["python3", "-c", PYTHON], &in_node(NODE)]
        {
            assert!(without(&by(reader, &packed)) == expected, "{level} by {reader:?}");
        }
        let length = by(&in_node(NODE_WHOLE), &packed);
        let plain = by(&["gzip", "-dc"], &packed).len().to_string();
        assert_eq!(String::from_utf8_lossy(&length), plain, "{level} by node at once");
        by(&["gzip", "-t"], &packed);
    }
    project.run(&["backup", "-o", "b.sql.zst", "--compress", "zstd:3"]).code(0);
    let packed = std::fs::read(project.path().join("b.sql.zst")).unwrap();
    assert!(without(&by(&["zstd", "-dc"], &packed)) == expected, "by zstd");
}
