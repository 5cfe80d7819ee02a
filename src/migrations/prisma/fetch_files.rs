//! The folder of migrations in a container, brought here as a tar stream through an exec.
//!
//! Promises: nothing is written outside of the folder that was named; links, devices and paths that climb are
//! refused; a stream without its end is no folder. The archive API is not used: it holds the container's lock
//! until its reader is done, and unpacks as root (reliability §0.9).

use std::io::Read as _;
use std::path::{Component, Path};

use crate::docker::exec::CAPTURE_LIMIT;
use crate::docker::{Container, ExecSpec};
use crate::error::{self, Error, Result};

/// Copies a folder of the container into `to`. A folder that is not there is an empty one.
///
/// # Errors
/// Kind `Tool`: no `tar` in the image. `Refused`: an entry that would leave the folder. `Integrity`: cut.
pub(crate) async fn fetch(container: &Container, from: &str, to: &Path) -> Result<()> {
    let spec = ExecSpec::new(["tar", "-C", from, "-cf", "-", "."]);
    let got = container.capture(&spec, None).await?;
    let complaint = got.complaint();
    if got.exit_code != 0 && complaint.contains("No such file or directory") && !complaint.contains("exec") {
        return Ok(());
    }
    if got.exit_code != 0 {
        return Err(error::tool(format!(
            "{from} cannot be read in container {}: {complaint}",
            container.name
        ))
        .note("the image needs `tar`")
        .hint("add it, or name a folder of this machine: `[migrations] dir = \"…\"`"));
    }
    if got.stdout.len() >= CAPTURE_LIMIT {
        return Err(error::refused(format!("{from} in container {} is larger than 8 MiB", container.name))
            .hint("name the folder on this machine instead: `[migrations] dir = \"…\"`"));
    }
    unpack(&got.stdout, to)
}

fn unpack(bytes: &[u8], to: &Path) -> Result<()> {
    let broken = |e: std::io::Error| {
        error::integrity("the migrations of the container did not arrive whole").because(e)
    };
    // Two blocks of zeros end an archive; without them the stream was cut where it looks whole.
    if bytes.len() < 1024 || bytes[bytes.len() - 1024..].iter().any(|byte| *byte != 0) {
        return Err(error::integrity(
            "the migrations of the container did not arrive whole: the end is missing",
        ));
    }
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(hostile(&path, "it leads out of its folder"));
        }
        let target = to.join(&path);
        match entry.header().entry_type() {
            tar::EntryType::Directory => std::fs::create_dir_all(&target).map_err(broken)?,
            tar::EntryType::Regular => {
                let mut text = Vec::new();
                entry.read_to_end(&mut text).map_err(broken)?;
                std::fs::create_dir_all(target.parent().unwrap_or(to)).map_err(broken)?;
                std::fs::write(&target, text).map_err(broken)?;
            }
            // Prisma passes over them too.
            tar::EntryType::Symlink | tar::EntryType::XGlobalHeader | tar::EntryType::XHeader => {}
            _ => return Err(hostile(&path, "it is neither a file nor a folder")),
        }
    }
    Ok(())
}

fn hostile(path: &Path, why: &str) -> Error {
    error::refused(format!("the container's folder of migrations holds {}: {why}", path.display()))
        .hint("look at that folder before you do anything else")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseError;

    use super::*;
    use crate::error::ErrorKind;

    fn archive(entries: &[(&str, tar::EntryType)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(if *kind == tar::EntryType::Regular { 2 } else { 0 });
            header.set_mode(0o777);
            header.set_cksum();
            let data: &[u8] = if *kind == tar::EntryType::Regular { b"ok" } else { b"" };
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn no_path_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("in");
        for name in ["../out", "a/../../out", "/tmp/envctl-out"] {
            let error = unpack(&archive(&[(name, tar::EntryType::Regular)]), &to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{name}");
        }
        for kind in [tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Block, tar::EntryType::Fifo]
        {
            assert_eq!(
                unpack(&archive(&[("a", kind)]), &to).unwrap_err().kind(),
                ErrorKind::Refused,
                "{kind:?}"
            );
        }
        unpack(&archive(&[("./a", tar::EntryType::Symlink), ("./b/c", tar::EntryType::Regular)]), &to)
            .unwrap();
        assert!(!to.join("a").exists() && to.join("b/c").is_file());
    }

    /// Names that climb, names that do not, and every kind of entry.
    fn hostile_entry() -> impl Strategy<Value = (String, u8)> {
        let part =
            prop_oneof![Just("..".to_owned()), Just(".".to_owned()), Just(String::new()), "[a-c]{1,2}"];
        let name = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
        let kinds = prop_oneof![
            3 => Just(b'0'), 2 => Just(b'5'), 1 => Just(b'1'), 2 => Just(b'2'), 1 => Just(b'3'), 1 => Just(b'4'),
            1 => Just(b'6'), 1 => Just(b'7'), 1 => any::<u8>(),
        ];
        (name.prop_filter("a name", |name| !name.is_empty() && name.len() < 60), kinds)
    }

    proptest! {
        /// Links to a folder outside, then files through them; devices, pipes; `..` anywhere.
        #[test]
        fn whatever_the_container_sends_stays_in_the_folder(entries in proptest::collection::vec(hostile_entry(), 1..8)) {
            let dir = tempfile::tempdir().unwrap();
            let (to, outside) = (dir.path().join("in"), dir.path().join("out"));
            std::fs::create_dir(&to).unwrap();
            std::fs::create_dir(&outside).unwrap();
            let mut builder = tar::Builder::new(Vec::new());
            for (name, kind) in &entries {
                let mut header = tar::Header::new_ustar();
                header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
                header.as_mut_bytes()[156] = *kind;
                let target = b"../out";
                header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target);
                header.set_size(if *kind == b'0' { 2 } else { 0 });
                header.set_mode(0o777);
                header.set_cksum();
                let data: &[u8] = if *kind == b'0' { b"ok" } else { b"" };
                builder.append(&header, data).unwrap();
            }
            let _ = unpack(&builder.into_inner().unwrap(), &to);
            prop_assert!(std::fs::read_dir(&outside).unwrap().next().is_none(), "something is outside");
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "something is beside");
            only_files_and_folders(&to)?;
        }

        /// Any bytes are an answer or an error.
        #[test]
        fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048), zeros in 0..2usize) {
            let dir = tempfile::tempdir().unwrap();
            let _ = unpack(&[bytes, vec![0; zeros * 1024]].concat(), dir.path());
        }
    }

    fn only_files_and_folders(at: &Path) -> Result<(), TestCaseError> {
        for entry in std::fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            prop_assert!(kind.is_file() || kind.is_dir(), "{:?} is neither", entry.path());
            if kind.is_dir() {
                only_files_and_folders(&entry.path())?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_stream_that_was_cut_is_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let whole = archive(&[("./a", tar::EntryType::Regular), ("./b", tar::EntryType::Regular)]);
        for len in [0, 512, 1024, 1536, whole.len() - 512] {
            assert_eq!(unpack(&whole[..len], dir.path()).unwrap_err().kind(), ErrorKind::Integrity, "{len}");
        }
    }
}
