//! Tests of MACs and keys, and of what a manifest without them lets through.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::cancel::CancelToken;
use crate::codec::Hasher;
use crate::codec::age::Keyring;
use crate::dump::sql::Rules;
use crate::dump::sql::{CopyBlock, Span};
use crate::error::{ErrorKind, Result};
use crate::progress::NoProgress;
use crate::repository::manifest::tests::sample;
use crate::repository::manifest::{Manifest, RestoreHints, path_for};
use crate::restore::examine::{DumpSource, ExaminedDump, InputOptions, examine};
use crate::secret::Secret;

fn keys(text: &str) -> ManifestKeys {
    ManifestKeys::parse(&Secret::new(text), "the test").unwrap()
}

const KEY: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";

fn verified(text: &str, keys: &ManifestKeys) -> Authenticity {
    let home = tempfile::tempdir().unwrap();
    let backup = home.path().join("b.sql");
    fs::write(path_for(&backup), text).unwrap();
    Manifest::authenticated_of(&backup, keys).unwrap().1
}

#[test]
fn a_manifest_is_authentic_only_as_it_was_written() {
    let ours = keys(KEY);
    let mut manifest = sample();
    manifest.sign(ours.signing());
    let text = manifest.to_json();
    assert_eq!(verified(&text, &ours), Authenticity::Authenticated);
    assert_eq!(Manifest::parse(&text).unwrap(), manifest);
    let altered = Authenticity::Unauthenticated(Doubt::Altered);
    for (from, to) in [
        ("\"rows\": 3", "\"rows\": 4"),
        ("\"stack\": \"acme\"", "\"stack\": \"shop\""),
        ("{\n", "{\n  \"later\": 1,\n"),
        ("\n}\n", "\n}\n\n"),
        ("\n}\n", ",\n  \"later\": 1\n}\n"),
    ] {
        assert!(text.contains(from), "{from}");
        let at = text.rfind(from).unwrap();
        let edited = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
        assert_eq!(verified(&edited, &ours), altered, "{to}");
    }
    let compact: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(verified(&compact.to_string(), &ours), altered, "another program has rewritten it");
    manifest.mac = None;
    assert_eq!(verified(&manifest.to_json(), &ours), Authenticity::Unauthenticated(Doubt::NoMac));
    let theirs = verified(&text, &keys(OTHER));
    assert!(matches!(&theirs, Authenticity::Unauthenticated(Doubt::OtherKey { .. })), "{theirs:?}");
    assert!(!theirs.is_authenticated() && theirs.doubt().unwrap().contains("another key"));
    assert_eq!(verified(&text, &ManifestKeys::default()), theirs, "no key is here");
}

#[test]
fn fields_of_a_later_version_are_covered_by_its_mac() {
    let ours = keys(KEY);
    let text = sample().to_json().replacen("{\n", "{\n  \"later\": {\"a\": [1, 2.50]},\n", 1);
    let covered = text.strip_suffix("\n}\n").unwrap();
    let mac = Mac::of(covered, ours.signing().unwrap());
    let text = format!("{covered}{}", mac.tail());
    assert_eq!(verified(&text, &ours), Authenticity::Authenticated);
    assert_eq!(verified(&text.replace("2.50", "2.5"), &ours), Authenticity::Unauthenticated(Doubt::Altered));
}

#[test]
fn after_a_change_of_keys_the_first_line_signs_and_every_line_verifies() {
    let rotated = keys(&format!("# since autumn\n{OTHER}\n\n{KEY}\n"));
    let (mut old, mut new) = (sample(), sample());
    old.sign(keys(KEY).signing());
    new.sign(rotated.signing());
    assert_eq!(verified(&old.to_json(), &rotated), Authenticity::Authenticated);
    assert_eq!(verified(&new.to_json(), &rotated), Authenticity::Authenticated);
    assert!(!verified(&new.to_json(), &keys(KEY)).is_authenticated());
    assert_eq!(verified(&old.to_json(), &keys(OTHER).and(keys(KEY))), Authenticity::Authenticated);
}

#[test]
fn a_key_that_could_be_guessed_is_refused_and_none_is_shown() {
    for text in ["", "# nothing\n", "short\n", &format!("{KEY}\nhunter2\n")] {
        let error = ManifestKeys::parse(&Secret::new(text), "the test").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert!(!format!("{:?}", keys(KEY)).contains("0011"));
}

#[test]
fn the_own_key_is_made_once_and_for_its_user_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state/envctl/manifest.key");
    assert_eq!(read_own(&path).unwrap(), None);
    assert!(!path.exists(), "looking makes none");
    let made: Vec<ManifestKeys> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| make_own(&path).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|keys| *keys == made[0]), "one key, whoever came first");
    assert_eq!(read_own(&path).unwrap().unwrap(), made[0]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(read_own(&path).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(make_own(&path).unwrap_err().kind(), ErrorKind::Usage, "and it is not replaced");
}

/// A plain dump whose only table is filled by `copy`, with a manifest that says so.
fn dump(home: &Path, copy: &str, change: impl FnOnce(&mut Manifest)) -> PathBuf {
    let text = format!(
        "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.18\n\
         -- Dumped by pg_dump version 15.18\n\n{copy}\n\
         --\n-- PostgreSQL database dump complete\n--\n\n"
    );
    let path = home.join("backup_20260101_000000.sql");
    fs::write(&path, &text).unwrap();
    let mut hasher = Hasher::default();
    hasher.update(text.as_bytes());
    let sha256 = hasher.finish();
    let bytes = text.len() as u64;
    let mut manifest = Manifest {
        plain_bytes: bytes,
        stored_bytes: bytes,
        plain_sha256: sha256,
        stored_sha256: sha256,
        compression: "none".into(),
        tables: vec![CopyBlock {
            table: "public.users".into(),
            rows: 1,
            data: Some(Span { offset: 0, bytes: 2 }),
            contents: None,
        }],
        entries: Vec::new(),
        restore_hints: Some(RestoreHints::default()),
        ..sample()
    };
    change(&mut manifest);
    fs::write(path_for(&path), manifest.to_json()).unwrap();
    path
}

async fn examined(path: &Path, trust: bool, keys: &ManifestKeys) -> Result<ExaminedDump> {
    let progress: Arc<dyn crate::progress::Progress> = Arc::new(NoProgress);
    let asked = InputOptions {
        trust,
        keys: keys.clone(),
        keyring: Keyring::default(),
        rules: Rules::default(),
        command: String::new(),
        options: String::new(),
        database: None,
        into: None,
    };
    examine(&DumpSource::File(path.to_owned()), &asked, 1, &progress, &CancelToken::never()).await
}

const ROWS: &str = "COPY public.users (id) FROM stdin;\n1\n\\.\n";
const PROGRAM: &str = "COPY public.users (id) FROM PROGRAM 'id';";

#[tokio::test]
async fn a_forged_manifest_lets_no_program_through() {
    let (home, ours) = (tempfile::tempdir().unwrap(), keys(KEY));
    let forgeries: [&dyn Fn(&mut Manifest); 3] =
        [&|_| (), &|manifest| manifest.sign(keys(OTHER).signing()), &|manifest| {
            manifest.sign(keys(KEY).signing());
            manifest.operation = "ffffffffffffffff".into();
        }];
    for forge in forgeries {
        let path = dump(home.path(), PROGRAM, |manifest| {
            manifest.tables.clear();
            forge(manifest);
        });
        let error = examined(&path, false, &ours).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.message().contains("not authenticated"), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains("--trust")));
        let trusted = examined(&path, true, &ours).await.unwrap();
        assert!(!trusted.authenticity.is_authenticated() && trusted.manifest.is_some());
    }
    let path = dump(home.path(), PROGRAM, |manifest| {
        manifest.tables.clear();
        manifest.sign(ours.signing());
    });
    assert!(examined(&path, false, &ours).await.unwrap().authenticity.is_authenticated());
}

#[tokio::test]
async fn a_backup_of_another_machine_is_restored_after_a_scan() {
    let (home, ours) = (tempfile::tempdir().unwrap(), keys(KEY));
    let path = dump(home.path(), ROWS, |manifest| manifest.sign(keys(OTHER).signing()));
    let found = examined(&path, false, &ours).await.unwrap();
    assert_eq!(found.summary.rows(), 1);
    assert_eq!(
        found.summary.copies[0].data.unwrap().bytes,
        2,
        "counted in the file, not taken from the manifest"
    );
    assert!(found.summary.lines > 0, "read to its end");
    assert!(matches!(found.authenticity, Authenticity::Unauthenticated(Doubt::OtherKey { .. })));
}

#[tokio::test]
async fn edited_row_counts_are_noticed() {
    let (home, ours) = (tempfile::tempdir().unwrap(), keys(KEY));
    let path = dump(home.path(), ROWS, |manifest| {
        manifest.sign(ours.signing());
        manifest.tables[0].rows = 7;
    });
    let error = examined(&path, false, &ours).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.message().contains("row counts"), "{error}");
}

#[tokio::test]
async fn rows_of_an_old_pg_dump_find_their_schema_in_the_search_path_of_the_file() {
    let (home, ours) = (tempfile::tempdir().unwrap(), keys(KEY));
    let copies = "SET search_path = shop, pg_catalog;\n\nCOPY item (id) FROM stdin;\n1\n\\.\n\n\
         SET search_path = public, pg_catalog;\n\nCOPY \"a.b\" (id) FROM stdin;\n1\n\\.\n";
    let block = |table: &str, rows| CopyBlock {
        table: table.into(),
        rows,
        data: Some(Span { offset: 0, bytes: 2 }),
        contents: None,
    };
    let path = dump(home.path(), copies, |manifest| {
        manifest.whole = false;
        manifest.tables = vec![block("item", 1), block("\"a.b\"", 1)];
        manifest.sign(ours.signing());
    });
    let examined = examined(&path, false, &ours).await.unwrap();
    assert!(examined.authenticity.is_authenticated());
    let tables: Vec<&str> = examined.summary.notes.rows.tables.iter().map(String::as_str).collect();
    assert_eq!(tables, ["\"public\".\"a.b\"", "\"shop\".\"item\""]);
}

#[cfg(feature = "encryption")]
#[tokio::test]
async fn a_thousand_damages_of_an_encrypted_backup_never_pass() {
    use crate::codec::age::tests::{IDENTITY, RECIPIENT, encrypted, keyring, recipients};
    use crate::codec::{Compression, StreamCompressor};

    let (home, ours) = (tempfile::tempdir().unwrap(), keys(KEY));
    let rows: Vec<String> =
        (0..4_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string()).collect();
    let copy = format!("COPY public.users (id) FROM stdin;\n{}\n\\.\n", rows.join("\n"));
    let path = dump(home.path(), &copy, |manifest| {
        manifest.tables[0].rows = 4_000;
        manifest.restore_hints = None;
    });
    let sql = fs::read(&path).unwrap();
    let mut compressor = StreamCompressor::new(Compression::DEFAULT_GZIP, 1, Vec::new()).unwrap();
    compressor.write_block(sql).unwrap();
    let stored = encrypted(&compressor.finish().unwrap().1, &[RECIPIENT]);
    let mut hasher = Hasher::default();
    hasher.update(&stored);
    let mut manifest = Manifest::of(&path).unwrap().unwrap();
    manifest.stored_bytes = stored.len() as u64;
    manifest.stored_sha256 = hasher.finish();
    manifest.encrypt(&recipients(&[RECIPIENT])).unwrap();
    manifest.sign(ours.signing());
    fs::write(path_for(&path), manifest.to_json()).unwrap();
    fs::write(&path, &stored).unwrap();
    let asked = InputOptions {
        trust: true,
        keys: ManifestKeys::default(),
        keyring: keyring(IDENTITY),
        rules: Rules::default(),
        command: String::new(),
        options: String::new(),
        database: None,
        into: None,
    };
    let progress: Arc<dyn crate::progress::Progress> = Arc::new(NoProgress);
    let source = DumpSource::File(path.clone());
    let examined = examine(&source, &asked, 1, &progress, &CancelToken::never()).await.unwrap();
    assert_eq!(examined.summary.rows(), 4_000);
    let mut state = 1_u64;
    for number in 0..1_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (state >> 16) as usize;
        let mut damaged = stored.clone();
        if number % 4 == 0 {
            damaged.truncate(place % stored.len());
        } else {
            damaged[place % stored.len()] ^= 1 << (number % 8);
        }
        fs::write(&path, damaged).unwrap();
        let error = examine(&source, &asked, 1, &progress, &CancelToken::never()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{number}: {error}");
    }
}
