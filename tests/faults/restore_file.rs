//! The file to restore is cut, changed, or holds what it should not: nothing of it is swapped in.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use crate::support::{Fault, Gate, On, Project, Proxy, Server, Snapshot, Up};

/// A project with a backup of the old state, the SQL of that backup, and the digest of what is there now.
struct Case {
    project: Project,
    sql: Vec<u8>,
    now: String,
}

fn case(name: &str, rows: u32) -> Case {
    case_on(Server::shared(15), name, rows)
}

fn case_on(server: &Server, name: &str, rows: u32) -> Case {
    let project = Project::new(server, name);
    project.fill(rows);
    project.run(&["backup"]).code(0);
    let sql = project.plain(&Snapshot::of(&project).dumps()[0]);
    project.sql("delete from item where id % 2 = 0; insert into item values (0, 'newer than the backup')");
    let now = project.digest();
    Case { project, sql, now }
}

impl Case {
    /// Restores these bytes from a file that has no manifest.
    fn restore(&self, sql: &[u8]) -> crate::support::Finished {
        std::fs::write(self.project.path().join("foreign.sql"), sql).unwrap();
        self.project.run(&["restore", "foreign.sql", "--yes", "--no-backup"])
    }

    fn restore_file(&self, file: &std::path::Path) -> crate::support::Finished {
        self.project.run(&["restore", file.to_str().unwrap(), "--yes", "--no-backup"])
    }

    fn text(&self) -> String {
        String::from_utf8(self.sql.clone()).unwrap()
    }
}

#[test]
fn f29_a_truncated_dump_is_refused_before_the_server_hears_of_it() {
    let case = case("f29", 200);
    let whole = case.sql.len();
    let lines: Vec<usize> =
        case.sql.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    let mut cuts: Vec<usize> = (1..10).map(|n| n * 7919 % whole).collect();
    cuts.extend(lines.iter().step_by(lines.len() / 8));
    cuts.extend(lines.iter().rev().take(8));
    // Inside and right before the dump's own trailer.
    cuts.extend((1..7).map(|n| whole - n * 23));
    // Without its last empty line a dump is still whole.
    cuts.retain(|cut| whole - cut > 1);
    for cut in cuts {
        let finished = case.restore(&case.sql[..cut]);
        assert_eq!(finished.code, 8, "cut at {cut} of {whole}: {}", finished.err());
        assert!(!finished.err().contains("PostgreSQL 15"), "the server was asked before the file was proven");
    }
    case.project.assert_untouched(&case.now);
}

#[test]
fn f29_a_truncated_backup_of_ours_is_refused() {
    let case = case("f29m", 200);
    let dump = Snapshot::of(&case.project).dumps().remove(0);
    let stored = std::fs::read(&dump).unwrap();
    for cut in [0, 1, 10, 11, stored.len() / 3, stored.len() - 9, stored.len() - 8, stored.len() - 1] {
        std::fs::write(&dump, &stored[..cut]).unwrap();
        let finished = case.restore_file(&dump);
        assert_eq!(finished.code, 8, "cut at {cut} of {}: {}", stored.len(), finished.err());
    }
    case.project.assert_untouched(&case.now);
}

#[test]
fn f29_a_damaged_newest_backup_is_never_skipped_in_silence() {
    let case = case("f29l", 200);
    case.project.run(&["backup"]).code(0);
    let newest = Snapshot::of(&case.project).dumps().pop().unwrap();
    let stored = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &stored[..stored.len() - 9]).unwrap();
    let finished = case.project.run(&["restore", "latest", "--yes", "--no-backup"]);
    let name = newest.file_name().unwrap().to_str().unwrap();
    // The older one is whole and is what `latest` means; a person is told which one it is not.
    let finished = finished.code(0).says("is newer and passed over");
    assert!(finished.err().contains(name), "it is not named:\n{}", finished.err());
    assert_eq!(case.project.sql("select count(*) from item"), "200");
    case.project.drop_siblings();
}

#[test]
fn f32_an_error_at_the_top_of_a_large_dump_is_told_in_the_servers_words() {
    for server in Server::each() {
        let case = case_on(server, "f32l", 60_000);
        let broken =
            case.text().replacen("\nCREATE TABLE public.item", "\nSELECT 1/0;\nCREATE TABLE public.item", 1);
        for _ in 0..2 {
            case.restore(broken.as_bytes()).code(7).says("division by zero");
            case.project.assert_untouched(&case.now);
        }
    }
}

#[test]
fn f30_a_foreign_dump_needs_its_trailer_and_its_own_key() {
    let case = case("f30", 20);
    let text = case.text();
    let (body, _) = text.rsplit_once("\\unrestrict ").expect("a patched pg_dump");
    case.restore(body.as_bytes()).code(8);
    case.restore(format!("{body}\\unrestrict someotherkey\n\n").as_bytes()).code(8);
    case.project.assert_untouched(&case.now);

    // As an older pg_dump writes it.
    let restrict = text.lines().find(|line| line.starts_with("\\restrict ")).unwrap();
    let older = body.replace(restrict, "");
    case.restore(older.as_bytes()).code(0);
    assert_eq!(case.project.sql("select count(*) from item"), "20");
    case.restore(case.sql.as_slice()).code(0);
    case.project.drop_siblings();
}

#[test]
fn f31_a_file_that_changes_after_it_was_proven_is_not_swapped_in() {
    let case = case("f31", 2000);
    let path = case.project.path().join("moving.sql");
    let changed = case.text().replacen("\n1\t", "\n1000000\t", 1);
    assert_ne!(changed.as_bytes(), case.sql);
    let appended = [case.sql.as_slice(), b"delete from item;\n"].concat();
    let truncated = &case.sql[..case.sql.len() / 2];
    // Written over in its place, or another one moved there.
    for (bytes, moved, words) in [
        (changed.as_bytes(), false, "changed while it was being restored"),
        (&appended, false, "changed while it was being restored"),
        (truncated, false, "is incomplete"),
        (changed.as_bytes(), true, "changed while it was being restored"),
        (truncated, true, "is incomplete"),
    ] {
        std::fs::write(&path, &case.sql).unwrap();
        let gate = Gate::default();
        let hold = Up::HoldBefore { words: b"COMMENT ON DATABASE \"envctl_new", gate: gate.clone() };
        let proxy = Proxy::with(On::ExecStart("psql"), Fault::Up(hold));
        let running = case.project.start_through(&proxy, &["restore", "moving.sql", "--yes", "--no-backup"]);
        gate.wait();
        if moved {
            std::fs::write(case.project.path().join("other.sql"), bytes).unwrap();
            std::fs::rename(case.project.path().join("other.sql"), &path).unwrap();
        } else {
            std::fs::write(&path, bytes).unwrap();
        }
        gate.open();
        running.finish().code(8).says("moving.sql").says(words).says("hint:");
        case.project.assert_untouched(&case.now);
    }
}

#[test]
fn f32_an_error_in_the_middle_names_the_line_and_changes_nothing() {
    for server in Server::each() {
        let case = case_on(server, "f32", 2000);
        let text = case.text();
        let broken = text.replacen(
            "\nCOPY public.item",
            "\nALTER TABLE public.nosuch ADD x int;\n\nCOPY public.item",
            1,
        );
        let line = broken.lines().position(|line| line.contains("nosuch")).unwrap() + 1;
        let finished =
            case.restore(broken.as_bytes()).code(7).says("nosuch").says("nothing was swapped in|as it was");
        assert!(
            finished.err().contains(&format!("line {line}")),
            "line {line} is not named: {}",
            finished.err()
        );
        case.project.assert_untouched(&case.now);

        let broken = text.replacen("\n7\t", "\nseven\t", 1);
        case.restore(broken.as_bytes()).code(7).says("seven");
        case.project.assert_untouched(&case.now);

        let double = text.replacen("\n7\t", "\n8\t", 1);
        case.restore(double.as_bytes()).code(7).says("item_pkey|unique|duplicate");
        case.project.assert_untouched(&case.now);
    }
}

#[test]
fn f43_f44_a_foreign_dump_that_runs_commands_is_refused() {
    let case = case("f43", 20);
    let text = case.text();
    let unrestricted: String =
        text.split_inclusive('\n').filter(|line| !line.contains("restrict ")).collect();
    for evil in [
        "\\! touch /tmp/pwned",
        "\\o /tmp/pwned",
        "\\copy item to program 'touch /tmp/pwned'",
        "\\connect postgres",
        "select 1 \\g | touch /tmp/pwned",
        "\\set x `touch /tmp/pwned`",
        "COPY item TO PROGRAM 'touch /tmp/pwned';",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/tmp/x', 'f';",
    ] {
        let dump = unrestricted.replacen("\nCOPY public.item", &format!("\n{evil}\n\nCOPY public.item"), 1);
        let finished = case.restore(dump.as_bytes());
        assert_eq!(finished.code, 6, "{evil}: {}", finished.err());
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(dump.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let piped = case.project.run_with(&packed, &["restore", "-", "--yes", "--no-backup"]);
        assert_eq!(piped.code, 6, "{evil} from a pipe: {}", piped.err());
    }
    case.project.server.sh("test ! -e /tmp/pwned");
    case.project.assert_untouched(&case.now);
}

#[test]
fn f52_rows_that_the_manifest_promises_and_the_dump_lacks_stop_a_restore() {
    let case = case("f52", 20);
    let dump = Snapshot::of(&case.project).dumps().remove(0);
    let json = std::path::PathBuf::from(format!("{}.json", dump.display()));
    let text = std::fs::read_to_string(&json).unwrap();
    assert!(text.contains("\"rows\": 20"), "{text}");
    std::fs::write(&json, text.replace("\"rows\": 20", "\"rows\": 21")).unwrap();
    case.restore_file(&dump).code(8);
    case.project.assert_untouched(&case.now);
}

#[test]
fn f73_a_flipped_bit_anywhere_stops_a_restore() {
    let case = case("f73", 200);
    let dump = Snapshot::of(&case.project).dumps().remove(0);
    let stored = std::fs::read(&dump).unwrap();
    let mut places: Vec<usize> = (0..8).map(|n| n * 104_729 % stored.len()).collect();
    places.extend([0, 3, 9, stored.len() - 1, stored.len() - 5]);
    for place in places {
        let mut flipped = stored.clone();
        flipped[place] ^= 0x10;
        std::fs::write(&dump, &flipped).unwrap();
        let finished = case.restore_file(&dump);
        // A first byte that is no longer gzip's may be any kind of file.
        assert!(finished.code == 8 || (place < 3 && finished.code == 6), "byte {place}: {finished:?}");
    }
    case.project.assert_untouched(&case.now);
}

#[test]
fn f75_bytes_behind_the_end_of_a_backup_stop_a_restore() {
    let case = case("f75", 200);
    let dump = Snapshot::of(&case.project).dumps().remove(0);
    let stored = std::fs::read(&dump).unwrap();
    for tail in [&b"x"[..], b"delete from item;", &stored] {
        std::fs::write(&dump, [&stored, tail].concat()).unwrap();
        case.restore_file(&dump).code(8);
    }
    case.project.assert_untouched(&case.now);
}

#[test]
fn a_pipe_that_ends_early_changes_nothing() {
    let case = case("pipe", 2000);
    for cut in [0, 100, case.sql.len() / 2, case.sql.len() - 100] {
        case.project.run_with(&case.sql[..cut], &["restore", "-", "--yes", "--no-backup"]).code(8);
        case.project.assert_untouched(&case.now);
    }
    case.project.run_with(&case.sql, &["restore", "-", "--yes", "--no-backup"]).code(0);
    assert_eq!(case.project.sql("select count(*) from item"), "2000");
    case.project.drop_siblings();
}
