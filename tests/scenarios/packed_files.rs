//! Dumps as people keep them: packed by other tools, redirected by a shell, with text in front or bytes behind.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Project, Server};

/// Passes bytes through a program of this machine.
fn through(argv: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(argv[0])
        .args(&argv[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", argv[0]));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn utf16(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap().replace('\n', "\r\n");
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn every_packing_gets_its_rows_in() {
    let project = Project::new(Server::shared(15), "packed");
    project.fill(400);
    project.sql("insert into item values (-1, 'Ünï 🦀 \\. end')");
    let digest = project.digest();
    let dump =
        |options: &str| project.server.bytes(&format!("pg_dump -U postgres {options} {}", project.database));
    let (plain, tar) = (dump(""), dump("-Ft"));
    let front = [&b"pg_dump: warning: something\npg_dump: detail: else\n"[..], &plain[..]].concat();
    let gzip = through(&["gzip", "-c"], &plain);
    let files: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("a.sql.xz", through(&["xz", "-c"], &plain), &[]),
        ("a.sql.bz2", through(&["bzip2", "-c"], &plain), &[]),
        ("twice.gz", through(&["gzip", "-c"], &gzip), &[]),
        ("a.tar.gz", through(&["gzip", "-c"], &tar), &[]),
        ("a.dump.gz", through(&["gzip", "-c"], &dump("-Fc")), &["-j", "2"]),
        ("a.utf16", utf16(&plain), &[]),
        ("behind.gz", [&gzip[..], b"\n"].concat(), &[]),
        ("padded.gz", [&gzip[..], &[0; 1000]].concat(), &[]),
        ("front.sql", front.clone(), &["--skip-leading-text"]),
        ("front.sql.gz", through(&["gzip", "-c"], &front), &["--skip-leading-text"]),
    ];
    let other = format!("{}_in", project.database);
    for (name, bytes, options) in files {
        std::fs::write(project.path().join(name), &bytes).unwrap();
        let restore = ["restore", name, "--into", &other, "--yes", "--no-backup"];
        project.run(&[&restore[..], options].concat()).code(0);
        assert_eq!(digest_of(&project, &other), digest, "{name}");
        project.server.sql("postgres", &format!("drop database {other}"));
    }
    for bytes in [tar, utf16(&plain)] {
        project.run_with(&bytes, &["restore", "-", "--into", &other, "--yes", "--no-backup"]).code(0);
        assert_eq!(digest_of(&project, &other), digest, "by a pipe");
        project.server.sql("postgres", &format!("drop database {other}"));
    }
    // The refusal prints what gets the file in.
    let refused = project.run(&["restore", "front.sql", "--into", &other, "--yes"]).code(6);
    let hint = crate::support::hints::commands(&refused.err()).remove(0);
    let hinted: Vec<&str> = hint.iter().map(String::as_str).collect();
    assert_eq!(hinted[..2], ["restore", "front.sql"]);
    // The printed command keeps what was typed; consent is given anew.
    assert!(hinted.windows(2).any(|pair| pair == ["--into", other.as_str()]), "{hinted:?}");
    let agreed = ["--yes", "--no-backup"].into_iter().filter(|option| !hinted.contains(option));
    project.run(&hinted.iter().copied().chain(agreed).collect::<Vec<_>>()).code(0);
    assert_eq!(digest_of(&project, &other), digest, "by the hint");
    project.drop_siblings();
    project.server.sql("postgres", &format!("drop database {other}"));
}

fn digest_of(project: &Project, database: &str) -> String {
    project.server.sql(
        database,
        "select count(*) || ' ' || coalesce(md5(string_agg(i::text, ',' order by id)), '') from item i",
    )
}

#[test]
fn an_archive_that_a_terminal_has_bent_comes_back_by_the_hint() {
    let project = Project::new(Server::shared(15), "tty");
    project.fill(300);
    let digest = project.digest();
    let archive = project.server.bytes(&format!("pg_dump -U postgres -Fc {}", project.database));
    let bent: Vec<u8> =
        archive.iter().flat_map(|b| if *b == b'\n' { vec![b'\r', b'\n'] } else { vec![*b] }).collect();
    assert_ne!(bent, archive);
    std::fs::write(project.path().join("bent.dump"), &bent).unwrap();
    let refused = project.run(&["restore", "bent.dump", "--yes"]).code(8).says("docker exec -t");
    let hint = refused.err();
    let command = hint.split("undo that: `").nth(1).and_then(|rest| rest.split(" | ").next()).unwrap();
    let repaired = Command::new("sh").args(["-c", command]).current_dir(project.path()).output().unwrap();
    assert_eq!(repaired.stdout, archive, "{command}");
    let other = format!("{}_in", project.database);
    project.run_with(&repaired.stdout, &["restore", "-", "--into", &other, "--yes"]).code(0);
    assert_eq!(digest_of(&project, &other), digest);
    project.server.sql("postgres", &format!("drop database {other}"));
}
