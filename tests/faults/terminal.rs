//! Both ends are a terminal: a backup and a restore are byte for byte what they are without one (reliability F21).

use crate::support::pty::Pty;
use crate::support::{Project, Proxy, Server};

/// envctl in a terminal of its own, to its end.
#[track_caller]
fn at_a_terminal(project: &Project, args: &[&str]) -> Vec<String> {
    let proxy = Proxy::start(Vec::new());
    let mut terminal = Pty::start(&project.command_through(&proxy, args));
    let code = terminal.finish();
    assert_eq!(code, 0, "{args:?}: {}", terminal.shown());
    proxy.requests()
}

/// That these programs were started, each without a terminal.
#[track_caller]
fn without_a_terminal(requests: &[String], programs: &[&str]) {
    for program in programs {
        let starts = |request: &&String| {
            request.starts_with("POST /containers/") && request.contains(&format!("\"{program}\""))
        };
        let started: Vec<&String> = requests.iter().filter(starts).collect();
        assert!(!started.is_empty(), "{program} was not started: {requests:#?}");
        // A worker has none unless it asks for one.
        let without = |request: &&String| {
            request.contains(r#""Tty":false"#) || request.starts_with("POST /containers/create")
        };
        assert!(started.iter().all(without), "{started:#?}");
    }
    let with: Vec<&String> = requests.iter().filter(|request| request.contains(r#""Tty":true"#)).collect();
    assert!(with.is_empty(), "{with:#?}");
}

#[test]
fn f21_a_dump_at_a_terminal_keeps_its_line_ends_and_so_does_its_restore() {
    let project = Project::new(Server::shared(15), "f21");
    project.fill(3000);
    // What a terminal would bend: ends of lines, and the keys that mean something to it.
    project.sql("insert into item values (-1, E'two\\nlines\\tand \\x03 \\x04 \\x1a keys')");
    let digest = project.digest();
    for transport in ["exec", "worker"] {
        let file = format!("{transport}.sql");
        let backup = ["backup", "-o", &file, "--compress", "none", "--transport", transport];
        let requests = at_a_terminal(&project, &backup);
        without_a_terminal(&requests, &["pg_dump", "psql"]);
        let path = project.path().join(&file);
        project.assert_verified(&path);
        let sql = std::fs::read(&path).unwrap();
        assert!(memchr::memmem::find(&sql, b"\r\n").is_none(), "an end of a line was bent");
        assert!(memchr::memmem::find(&sql, b"\n-1\ttwo\\nlines").is_some(), "the row is there");
        project.sql("delete from item");
        let restore = ["restore", &file, "--yes", "--no-backup", "--transport", transport];
        let requests = at_a_terminal(&project, &restore);
        without_a_terminal(&requests, &["psql"]);
        assert_eq!(project.digest(), digest, "{transport}");
        project.drop_siblings();
    }
}
