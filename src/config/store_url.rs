//! Address of a store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///directory`.
//!
//! Promise: an address holds no credentials, so that it may be printed; one formatter, one parser, and they agree.

use std::fmt;
use std::str::FromStr;

/// Kind of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// Amazon S3 and everything that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
    /// A directory of this machine, perhaps one that a network file system brings.
    File,
}

const SCHEMES: [(&str, StoreKind); 4] = [
    ("s3://", StoreKind::S3),
    ("gs://", StoreKind::Google),
    ("az://", StoreKind::Azure),
    ("file://", StoreKind::File),
];

/// Address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreUrl {
    pub(crate) kind: StoreKind,
    /// Bucket or container; empty for a directory.
    pub(crate) bucket: String,
    /// Keys begin with it: without slashes at its ends; for a directory the absolute path.
    pub(crate) prefix: String,
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = SCHEMES.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(scheme, _)| scheme);
        write!(f, "{scheme}{}", self.bucket)?;
        match self.kind {
            StoreKind::File => f.write_str(&self.prefix),
            _ if self.prefix.is_empty() => Ok(()),
            _ => write!(f, "/{}", self.prefix),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = SCHEMES.iter().find_map(|(scheme, kind)| Some((*kind, text.strip_prefix(scheme)?)));
        let Some((kind, rest)) = found else {
            return Err(
                "expected s3://BUCKET/PREFIX, gs://…, az://CONTAINER/… or file:///DIRECTORY".to_owned()
            );
        };
        if kind == StoreKind::File {
            let path = rest.trim_end_matches('/');
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err("a directory is named by its absolute path: file:///mnt/backups".to_owned());
            }
            return Ok(Self { kind, bucket: String::new(), prefix: path.to_owned() });
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains(['@', ':']) {
            return Err(
                "credentials do not belong into an address; they come from the cloud's own environment \
                variables and files"
                    .to_owned(),
            );
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err("the address names no bucket".to_owned());
        }
        let prefix = prefix.trim_end_matches('/');
        let is_odd = |part: &str| part.is_empty() || part == "." || part == "..";
        if prefix.contains(['?', '#', '\\']) || prefix.chars().any(char::is_control) {
            return Err("a prefix has no `?`, `#` and `\\`".to_owned());
        }
        if !prefix.is_empty() && prefix.split('/').any(is_odd) {
            return Err("a prefix has no empty parts, no `.` and no `..`".to_owned());
        }
        Ok(Self { kind, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_reads_back() {
        for text in ["s3://b", "s3://b/x/y", "gs://b.example/x", "az://c/backups", "file:///mnt/a b"] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
        }
        let url: StoreUrl = "s3://b/x/".parse().unwrap();
        assert_eq!(
            (url.bucket.as_str(), url.prefix.as_str(), url.to_string().as_str()),
            ("b", "x", "s3://b/x")
        );
    }

    #[test]
    fn addresses_that_lead_elsewhere_or_hold_credentials_are_refused() {
        for text in [
            "b/x",
            "s3:/b",
            "s3://",
            "s3:///x",
            "s3://key:secret@b/x",
            "s3://b:9000/x",
            "s3://b//x",
            "s3://b/../x",
            "s3://b/x?y",
            "file://mnt",
            "file:///a/../b",
            "http://b/x",
            "S3://b",
        ] {
            let fault = text.parse::<StoreUrl>().unwrap_err();
            assert!(!fault.contains("secret"), "{text}: {fault}");
        }
    }
}
