//! Which format a backup has, and who packs it: what was asked, what the file's name says, the settings.

use std::path::Path;

use crate::codec::Compression;
use crate::dump::format::Format;
use crate::error::{self, Result};
use crate::postgres::version::ServerVersion;

/// File extension of a backup of all databases.
pub(crate) const EXTENSION: &str = ".tar";

/// Format and compression, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DumpFormat {
    /// Format that pg_dump writes.
    pub(crate) format: Format,
    /// Compression by envctl; none for an archive, so that `pg_restore` can read the file.
    pub(crate) outside: Compression,
    /// Compression by pg_dump inside an archive.
    pub(crate) inside: Option<String>,
}

impl DumpFormat {
    /// Returns the file extension of a backup.
    pub(crate) fn extension(&self) -> String {
        match self.format {
            Format::Plain => format!(".sql{}", self.outside.extension()),
            Format::Custom => ".dump".to_owned(),
            // One file, which `tar` unpacks to the directory.
            Format::Directory => ".tar".to_owned(),
        }
    }
}

/// Format and compression from the options and the settings.
pub(crate) struct FormatRequest<'a> {
    /// `--format`, or the setting.
    pub(crate) format: &'a str,
    /// `--compress`.
    pub(crate) compress: Option<&'a str>,
    /// The setting for it.
    pub(crate) usual: &'a str,
    /// `-o`.
    pub(crate) output: Option<&'a Path>,
}

/// Decides.
///
/// # Errors
/// Kind `Usage`: an unknown word, a name that says another format, or a compression this pg_dump has not.
pub(crate) fn decide(asked: &FormatRequest<'_>, server: &ServerVersion) -> Result<DumpFormat> {
    match asked.format {
        "plain" => plain(asked),
        "custom" => archive(asked, server, Format::Custom),
        "directory" => archive(asked, server, Format::Directory),
        other => {
            Err(error::usage(format!("unknown format `{other}`"))
                .hint("use `plain`, `custom` or `directory`"))
        }
    }
}

fn plain(asked: &FormatRequest<'_>) -> Result<DumpFormat> {
    let outside = match (asked.compress, asked.output.and_then(by_name)) {
        (Some(asked), _) => asked.parse()?,
        (None, Some(named)) => named,
        (None, None) => asked.usual.parse()?,
    };
    Ok(DumpFormat { format: Format::Plain, outside, inside: None })
}

fn archive(asked: &FormatRequest<'_>, server: &ServerVersion, format: Format) -> Result<DumpFormat> {
    if let Some(path) = asked.output.filter(|path| by_name(path).is_some()) {
        let form = DumpFormat { format, outside: Compression::None, inside: None };
        return Err(error::usage(format!(
            "{} is the name of a plain dump, and the format is {}",
            path.display(),
            format.keyword()
        ))
        .hint(format!("name it `{}`, or leave the format: `--format plain`", form.extension())));
    }
    let text = asked.compress.unwrap_or(asked.usual);
    let level = text.split_once(':').map(|(_, level)| level);
    let inside = match (text.parse()?, level) {
        (Compression::None, _) => "0".to_owned(),
        // One core packs inside pg_dump, whose zlib is slow above its first levels.
        (Compression::Gzip(_), None) => USUAL_LEVEL.to_owned(),
        (Compression::Gzip(1..=9), Some(level)) => level.to_owned(),
        (Compression::Gzip(_), Some(level)) => {
            return Err(error::usage(format!(
                "pg_dump compresses archives itself and knows the gzip levels 1 to 9, not {level}"
            )));
        }
        (Compression::Zstd(level), _) if server.major() >= 16 => format!("zstd:{level}"),
        (Compression::Zstd(_), _) => {
            return Err(error::usage(format!(
                "pg_dump compresses archives itself, and that of PostgreSQL {server} has no zstd"
            ))
            .hint("use `--compress gzip`, or `--format plain --compress zstd`"));
        }
    };
    Ok(DumpFormat { format, outside: Compression::None, inside: Some(inside) })
}

/// The gzip level inside an archive where none is asked for.
const USUAL_LEVEL: &str = "6";

/// Returns the compression for a file's extension: `.sql.gz`, `.sql.zst`, `.sql`, each perhaps with `.age` behind it.
fn by_name(path: &Path) -> Option<Compression> {
    let inner = path.with_extension("");
    let path = if path.extension().is_some_and(|extension| extension == "age") { &inner } else { path };
    match path.extension()?.to_str()? {
        "gz" => Some(Compression::DEFAULT_GZIP),
        "zst" => Some(Compression::DEFAULT_ZSTD),
        "sql" => Some(Compression::None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(format: &str, compress: Option<&str>, output: Option<&str>, major: u32) -> Result<DumpFormat> {
        let asked = FormatRequest { format, compress, usual: "gzip", output: output.map(Path::new) };
        decide(&asked, &ServerVersion::new(major * 10_000, ""))
    }

    #[test]
    fn pg_dump_packs_an_archive_and_envctl_a_plain_dump() {
        let form = decided("custom", Some("zstd:3"), None, 16).unwrap();
        assert_eq!((form.outside, form.inside.as_deref()), (Compression::None, Some("zstd:3")));
        assert_eq!(decided("custom", Some("none"), None, 15).unwrap().inside.as_deref(), Some("0"));
        assert_eq!(decided("custom", None, Some("x"), 15).unwrap().extension(), ".dump");
        let form = decided("plain", None, Some("x.sql.zst"), 15).unwrap();
        assert_eq!((form.outside, form.inside), (Compression::DEFAULT_ZSTD, None));
        assert_eq!(decided("plain", None, Some("x.sql.gz.age"), 15).unwrap().extension(), ".sql.gz");
    }

    #[test]
    fn what_contradicts_itself_or_the_server_is_refused() {
        for (compress, output, major, argument) in [
            (None, Some("x.sql.gz"), 17, "plain dump"),
            (Some("zstd"), None, 15, "no zstd"),
            (Some("gzip:12"), None, 17, "1 to 9"),
        ] {
            let error = decided("custom", compress, output, major).unwrap_err();
            assert!(error.message().contains(argument), "{error}");
        }
        assert!(decided("tar", None, None, 17).is_err());
        assert_eq!(decided("directory", None, None, 15).unwrap().extension(), ".tar");
    }
}
