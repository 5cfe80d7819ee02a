//! Archives that pg_dump wrote, read whole, in pieces, cut, bent, and disguised.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{ArchiveScanner, CustomStream, ListFilter};
use crate::dump::sql::{Completeness, FindingKind, Rules, Summary};
use crate::error::ErrorKind;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dump/archive/fixtures").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn scan(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Summary {
    let mut scanner = ArchiveScanner::new();
    for chunk in chunks {
        scanner.feed(chunk.as_ref());
    }
    scanner.finish()
}

fn rows(summary: &Summary) -> Vec<(&str, u64)> {
    let mut rows: Vec<_> = summary.copies.iter().map(|block| (block.table.as_str(), block.rows)).collect();
    rows.sort_unstable();
    rows
}

const ROWS: &[(&str, u64)] =
    &[("public.\"odd name\"", 3), ("public.empty", 0), ("public.parted_1", 9), ("public.person", 1000)];

#[test]
fn rows_are_counted_whatever_packs_them() {
    for name in ["small_15.dump", "small_17.dump", "small_17_zstd.dump"] {
        let summary = scan([bytes(name)]);
        assert_eq!(summary.completeness(), Completeness::Trailer, "{name}");
        assert_eq!(rows(&summary), ROWS, "{name}");
        assert_eq!(summary.roles, ["postgres"], "{name}");
        assert_eq!(summary.refusals().count(), 0, "{name}: {:?}", summary.findings);
        assert!(summary.pg_dump_version.unwrap().starts_with(&name[6..8]), "{name}");
    }
}

/// The archive as the rules of a restore make it, in chunks of this size.
fn filtered(archive: &[u8], rules: &Rules, size: usize) -> (Vec<u8>, String) {
    let mut filter = ListFilter::new(rules.clone());
    let mut out: Vec<u8> = archive.chunks(size).flat_map(|chunk| filter.feed(chunk.to_vec())).collect();
    let (rest, left_out) = filter.finish();
    out.extend(rest);
    (out, left_out.to_string())
}

#[test]
fn rules_reach_the_owners_of_an_archive_and_no_row() {
    for name in ["small_15.dump", "small_17.dump", "small_17_zstd.dump"] {
        let archive = bytes(name);
        let no_owner = Rules { no_owner: true, ..Rules::default() };
        let (other, left_out) = filtered(&archive, &no_owner, 1000);
        assert_eq!(other, filtered(&archive, &no_owner, 7).0, "{name}: whatever the chunks");
        let summary = scan([&other]);
        assert_eq!(
            (summary.completeness(), rows(&summary)),
            (Completeness::Trailer, ROWS.to_vec()),
            "{name}"
        );
        assert_eq!(summary.roles, Vec::<String>::new(), "{name}");
        assert!(left_out.ends_with("OWNER statements"), "{name}: {left_out}");
        let roles = [("postgres".to_owned(), "else".to_owned())].into();
        let (other, _) = filtered(&archive, &Rules { roles, ..Rules::default() }, 1000);
        assert_eq!(scan([&other]).roles, ["else"], "{name}");
        // A cut is seen behind the filter as before it.
        for at in [1, 40, 4000, archive.len() / 2, archive.len() - 1] {
            let at = at.min(archive.len() - 1);
            let (cut, _) = filtered(&archive[..at], &no_owner, 1000);
            assert_ne!(scan([cut]).completeness(), Completeness::Trailer, "{name} cut at {at}");
        }
    }
}

#[test]
fn a_directory_and_a_tar_read_as_one_custom_archive() {
    for name in ["small_15_directory.tar", "small_17.tar"] {
        let mut archive = Vec::new();
        CustomStream::open(&fixture(name)).unwrap().read_to_end(&mut archive).unwrap();
        let summary = scan([archive]);
        assert_eq!(summary.completeness(), Completeness::Trailer, "{name}");
        assert_eq!(rows(&summary), ROWS, "{name}");
    }
    // The same unpacked.
    let home = tempfile::tempdir().unwrap();
    tar::Archive::new(std::fs::File::open(fixture("small_15_directory.tar")).unwrap())
        .unpack(home.path())
        .unwrap();
    let mut archive = Vec::new();
    CustomStream::open(&home.path().join("d")).unwrap().read_to_end(&mut archive).unwrap();
    assert_eq!(rows(&scan([archive])), ROWS);
    // And copied in part.
    let lost = std::fs::read_dir(home.path().join("d")).unwrap().flatten();
    let lost =
        lost.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(".dat.gz")).unwrap();
    std::fs::remove_file(lost).unwrap();
    let cut = CustomStream::open(&home.path().join("d")).unwrap().read_to_end(&mut Vec::new());
    assert!(cut.unwrap_err().to_string().contains("is not there"));
}

#[test]
fn statements_among_the_data_are_judged_too() {
    let honest = bytes("small_17_inserts.dump");
    assert_eq!(scan([&honest]).completeness(), Completeness::Trailer);
    assert_eq!(scan([&honest]).refusals().count(), 0);
    let text = b"INSERT INTO public.parted_1 ";
    let at = memchr::memmem::find(&honest, text).unwrap();
    let mut hostile = honest;
    hostile[at..at + text.len()].copy_from_slice(b"ALTER SYSTEM RESET all;     ");
    let found = scan([hostile]);
    assert!(found.refusals().any(|finding| finding.kind == FindingKind::AlterSystem));
}

#[test]
fn statements_that_cannot_be_unpacked_are_not_believed() {
    let mut hidden = bytes("small_17_inserts.dump");
    // The byte of the compression, behind `PGDMP`, three of the version, two of sizes and the layout.
    assert_eq!(hidden[11], 0);
    hidden[11] = 2;
    let Completeness::Missing(why) = scan([hidden]).completeness() else { panic!("believed") };
    assert!(why.contains("cannot be scanned"), "{why}");
}

#[test]
fn a_copy_statement_that_names_a_program_is_found() {
    let mut hostile = bytes("small_17.dump");
    let copy = b"COPY public.parted_1 (d) FROM stdin;";
    let at = memchr::memmem::find(&hostile, copy).unwrap();
    hostile[at..at + copy.len()].copy_from_slice(b"COPY parted_1 FROM PROGRAM 'id'  ;  ");
    let found = scan([hostile]);
    assert!(found.refusals().any(|finding| finding.kind == FindingKind::Program));
}

#[test]
fn a_copy_statement_hides_nothing_behind_it() {
    let copy = b"COPY public.parted_1 (d) FROM stdin;\n";
    for hidden in [
        &b"COPY parted_1 FROM stdin; DROP ROLE \n"[..],
        b"COPY parted_1 FROM stdin;\nDROP ROLE a",
        b"SELECT 1; SELECT 2; SELECT 3; SELECT\n ",
    ] {
        let mut hostile = bytes("small_17.dump");
        let at = memchr::memmem::find(&hostile, copy).unwrap();
        let mut text = hidden.to_vec();
        text.resize(copy.len(), b' ');
        hostile[at..at + copy.len()].copy_from_slice(&text);
        let found = scan([hostile]);
        assert!(found.refusals().count() > 0, "{}", String::from_utf8_lossy(hidden));
    }
}

#[test]
fn a_list_of_large_objects_is_numbers_alone() {
    let mut hostile = bytes("small_17.dump");
    let at = memchr::memmem::find(&hostile, b"\x05\x00\x00\x004711\n").unwrap() + 4;
    hostile[at..at + 4].copy_from_slice(b"1');");
    let found = scan([hostile]);
    assert!(found.refusals().any(|finding| finding.kind == FindingKind::Ambiguous));
}

#[test]
fn a_tar_that_leads_elsewhere_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("hostile.tar");
    let hostile = |name: &str, kind: tar::EntryType| {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_cksum();
        let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
        archive.append(&header, std::io::empty()).unwrap();
        archive.finish().unwrap();
        CustomStream::open(&path).err().unwrap()
    };
    for (name, kind) in [
        ("d/../toc.dat", tar::EntryType::Regular),
        ("/toc.dat", tar::EntryType::Regular),
        ("toc.dat", tar::EntryType::Symlink),
        ("toc.dat", tar::EntryType::Link),
        ("toc.dat", tar::EntryType::Char),
        ("toc.dat", tar::EntryType::Fifo),
    ] {
        let error = hostile(name, kind);
        assert_eq!(error.kind(), ErrorKind::Refused, "{name} {kind:?}: {error}");
    }
    let error = hostile("other", tar::EntryType::Regular);
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    assert!(error.message().contains("no toc.dat"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_answer_does_not_depend_on_the_cuts(size in 1usize..4000, zstd in any::<bool>()) {
        let archive = bytes(if zstd { "small_17_zstd.dump" } else { "small_15.dump" });
        let summary = scan(archive.chunks(size));
        prop_assert_eq!(summary.completeness(), Completeness::Trailer);
        prop_assert_eq!(rows(&summary), ROWS);
    }

    /// `pg_restore -l` passes on these (reliability F24).
    #[test]
    fn no_part_of_an_archive_is_whole(cut in any::<proptest::sample::Index>(), zstd in any::<bool>()) {
        let archive = bytes(if zstd { "small_17_zstd.dump" } else { "small_15.dump" });
        let part = &archive[..cut.index(archive.len())];
        prop_assert_ne!(scan([part]).completeness(), Completeness::Trailer);
    }

    #[test]
    fn no_bent_archive_makes_it_panic(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut archive = bytes("small_15.dump");
        let at = at.index(archive.len());
        archive[at] = byte;
        scan(archive.chunks(1000));
    }
}
