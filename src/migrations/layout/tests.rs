//! Folders as the tools write them, and as people spoil them.

use std::fs;
use std::path::Path;

use super::*;
use crate::error::ErrorKind;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn names(layout: Layout, at: &Path) -> Vec<(String, String)> {
    layout.read(at).unwrap().into_iter().map(|script| (script.key, script.name)).collect()
}

#[test]
fn both_ways_of_dating_prisma_folders_are_ordered_as_prisma_orders_them() {
    let dir = folder(&[
        ("20241201143022_a/migration.sql", ""),
        ("20241201_150000_b/migration.sql", ""),
        ("20240101_000000_first copy/migration.sql", "select 1"),
        ("migration_lock.toml", "provider = \"postgresql\""),
        ("README.md", ""),
    ]);
    let order: Vec<String> = names(Layout::Prisma, dir.path()).into_iter().map(|(key, _)| key).collect();
    assert_eq!(order, ["20240101_000000_first copy", "20241201_150000_b", "20241201143022_a"]);
}

#[test]
fn a_folder_without_its_file_is_refused_before_anything_runs() {
    let dir = folder(&[("1_a/migration.sql", ""), ("2_b/notes.txt", "")]);
    let error = Layout::Prisma.read(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.message().contains("2_b holds no migration.sql"), "{error}");
}

#[test]
fn names_that_no_two_machines_order_alike_are_refused() {
    let dir = folder(&[("1_é/migration.sql", ""), ("1_f/migration.sql", "")]);
    assert!(Layout::Prisma.read(dir.path()).unwrap_err().message().contains("ambiguous"));
}

#[test]
fn dbmate_takes_what_stands_between_its_marks() {
    let dir = folder(&[
        ("20240102030405_users.sql", "-- migrate:up\ncreate table u();\n\n-- migrate:down\ndrop table u;\n"),
        (
            "20240102030406_index.sql",
            "-- migrate:up transaction:false\ncreate index concurrently i on u(a);\n",
        ),
        ("notes.sql", "select 1"),
    ]);
    let scripts = Layout::Dbmate.read(dir.path()).unwrap();
    assert_eq!(scripts.len(), 2);
    assert_eq!((scripts[0].key.as_str(), scripts[0].sql.trim()), ("20240102030405", "create table u();"));
    assert_eq!((scripts[0].transaction, scripts[1].transaction), (true, false));
    let dir = folder(&[("1_a.sql", "create table t();")]);
    assert!(Layout::Dbmate.read(dir.path()).unwrap_err().message().contains("-- migrate:up"));
}

#[test]
fn numbers_are_ordered_as_numbers_and_two_of_one_version_are_refused() {
    let dir = folder(&[("0010_ten.up.sql", "a"), ("9_nine.up.sql", "b"), ("9_nine.down.sql", "c")]);
    for layout in [Layout::Sqlx, Layout::GolangMigrate] {
        assert_eq!(
            names(layout, dir.path()),
            [("9".into(), "9_nine".into()), ("10".into(), "0010_ten".into())],
            "{layout:?}"
        );
    }
    fs::write(dir.path().join("010_again.up.sql"), "").unwrap();
    assert!(Layout::Sqlx.read(dir.path()).unwrap_err().message().contains("same version 10"));
}

#[test]
fn what_a_tool_passes_over_is_passed_over_and_what_it_would_stumble_over_is_refused() {
    let dir = folder(&[("1_a.up.sql", ""), ("1_a.down.sql", ""), ("seed.sql", "x"), ("README.md", "x")]);
    for layout in [Layout::Sqlx, Layout::GolangMigrate] {
        assert_eq!(names(layout, dir.path()), [("1".into(), "1_a".into())], "{layout:?}");
    }
    fs::write(dir.path().join("big_seed.sql"), "").unwrap();
    assert!(Layout::Sqlx.read(dir.path()).unwrap_err().message().contains("big_seed.sql is no file name"));
    assert_eq!(names(Layout::GolangMigrate, dir.path()).len(), 1);
    fs::write(dir.path().join("2_b.sql"), "").unwrap();
    assert!(
        Layout::GolangMigrate.read(dir.path()).unwrap_err().message().contains("2_b.sql is no file name")
    );
}

#[test]
fn a_way_back_without_its_way_forward_and_a_name_that_the_tool_would_pass_over_are_refused() {
    let refused = |layout: Layout, files: &[(&str, &str)], says: &str| {
        let error = layout.read(folder(files).path()).unwrap_err();
        assert!(error.message().contains(says) && !error.hints().is_empty(), "{error}");
    };
    for layout in [Layout::Sqlx, Layout::GolangMigrate] {
        refused(
            layout,
            &[("1_a.up.sql", ""), ("2_b.down.sql", "")],
            "2_b.down.sql is a down migration, and its up migration",
        );
        refused(layout, &[("1_a.up.sql", ""), ("2-b.up.sql", "")], "2-b.up.sql is no file name");
        refused(layout, &[("1_a.up.sql", ""), ("2_b.DOWN.sql", "")], "2_b.DOWN.sql is no file name");
        refused(
            layout,
            &[("1_a.up.sql", "-- +goose Up\nselect 1;")],
            "1_a.up.sql:1: `-- +goose Up` is a marker of Goose",
        );
        // The other half may have another name, and may be missing.
        let dir = folder(&[("1_a.up.sql", ""), ("01_other.down.sql", ""), ("2_b.up.sql", "")]);
        assert_eq!(names(layout, dir.path()).len(), 2, "{layout:?}");
    }
    // dbmate sorts by name, which puts two of one version apart.
    let mark = "-- migrate:up\n";
    refused(Layout::Dbmate, &[("1-a.sql", mark), ("10.sql", mark), ("1_c.sql", mark)], "the same version 1");
}

#[test]
fn where_dbmates_order_is_not_that_of_the_numbers_the_plan_says_so() {
    let remarks = |layout: Layout, files: &[(&str, &str)]| {
        let dir = folder(files);
        layout.remarks(dir.path(), &layout.read(dir.path()).unwrap()).unwrap()
    };
    let mark = "-- migrate:up\n";
    let told = remarks(Layout::Dbmate, &[("2_b.sql", mark), ("10_c.sql", mark), ("1_a.sql", mark)]);
    assert_eq!(told, ["dbmate sorts by name, 10_c before 1_a; the order is dbmate's"]);
    assert!(remarks(Layout::Dbmate, &[("01_a.sql", mark), ("02_b.sql", mark)]).is_empty());
    // A tool passes over what lies below its folder: so does envctl, and the plan says so.
    for (layout, file) in
        [(Layout::Dbmate, "01_a.sql"), (Layout::Sqlx, "1_a.sql"), (Layout::GolangMigrate, "1_a.up.sql")]
    {
        let text = if layout == Layout::Dbmate { mark } else { "select 1;" };
        let told = remarks(layout, &[(file, text), ("v2/2_b.sql", text)]);
        assert_eq!(told, ["v2/2_b.sql is not run: only files of the folder itself are migrations"]);
    }
}

#[test]
fn a_link_among_the_migrations_is_refused_and_never_passed_over() {
    let dir = folder(&[("0001_a.sql", "-- migrate:up\n")]);
    std::os::unix::fs::symlink(dir.path().join("0001_a.sql"), dir.path().join("0002_b.sql")).unwrap();
    for layout in [Layout::Flat, Layout::Dbmate, Layout::Sqlx, Layout::GolangMigrate] {
        let error = layout.read(dir.path()).unwrap_err();
        assert!(error.message().contains("0002_b.sql is a link"), "{layout:?}: {error}");
    }
}

#[test]
fn sqlx_runs_outside_of_a_block_only_what_begins_with_its_mark() {
    let inside = |text: &str| Layout::Sqlx.read(folder(&[("1_a.sql", text)]).path()).unwrap()[0].transaction;
    assert!(!inside("-- no-transaction\r\nselect 1;"));
    for text in [
        "--no-transaction\n",
        " -- no-transaction\n",
        "select 1;\n-- no-transaction\n",
        "-- No-Transaction\n",
    ] {
        assert!(inside(text), "{text}");
    }
}

#[test]
fn a_folder_tells_whose_it_is_or_that_it_could_be_two() {
    let at = |files: &[(&str, &str)]| FolderMarkers::of(folder(files).path());
    assert_eq!(at(&[("1_a/migration.sql", "")]).layouts(false, false), [Layout::Prisma]);
    assert_eq!(at(&[("1_a.sql", "-- migrate:up\n")]).layouts(true, true), [Layout::Dbmate]);
    let pairs = at(&[("1_a.up.sql", ""), ("1_a.down.sql", "")]);
    assert_eq!(pairs.layouts(false, false), [Layout::Sqlx, Layout::GolangMigrate]);
    assert_eq!(pairs.layouts(true, false), [Layout::Sqlx]);
    assert_eq!(pairs.layouts(false, true), [Layout::GolangMigrate]);
    assert_eq!(at(&[("1_a.sql", "")]).layouts(true, false), [Layout::Sqlx]);
    assert_eq!(at(&[("1_a.sql", "")]).layouts(false, false), [Layout::Flat]);
    assert!(at(&[("readme.txt", "")]).layouts(true, true).is_empty());
}
