//! Formats in which `pg_dump` writes.

/// Output format of pg_dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// SQL, for psql.
    #[default]
    Plain,
    /// One archive, for `pg_restore`: `--format=custom`.
    Custom,
    /// An archive of many files, several of which are written at once: `--format=directory`.
    Directory,
}

impl Format {
    /// Returns the name of the format on the command line and in manifests.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Custom => "custom",
            Self::Directory => "directory",
        }
    }
}
