//! Checks that a plain dump is complete: the dump trailer, `\unrestrict`, and nothing behind them.
//!
//! The trailer is `--`, `-- PostgreSQL database dump complete`, `--`, and on servers patched for
//! CVE-2025-8714 a line `\unrestrict KEY` with the key of the header's `\restrict KEY`.

use super::token::Open;

/// Reason of a text that ends well and has no trailer.
pub(crate) const NO_TRAILER: &str = "no trailer (`PostgreSQL database dump complete`)";

/// Completeness of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// The trailer is there, whole, in its place, and nothing follows it.
    Trailer,
    /// The dump is incomplete, with a reason that continues "the dump is incomplete: …".
    Missing(String),
}

impl Completeness {
    /// Reports whether the dump is complete.
    pub(crate) fn is_complete(&self) -> bool {
        *self == Self::Trailer
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TrailerState {
    #[default]
    Nothing,
    Rule,
    Words,
    Complete,
    /// Complete, and its `\unrestrict` has passed too.
    Released,
}

/// The trailer as it passes by.
#[derive(Debug, Default)]
pub(crate) struct Trailer {
    seen: TrailerState,
    cluster: bool,
    key: Option<String>,
    locked: bool,
    broken: Option<&'static str>,
    /// The text has a header of pg_dump or pg_dumpall.
    dumped: bool,
}

impl Trailer {
    /// The key of `\restrict`.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Reports that the trailer has passed.
    pub(crate) fn has_passed(&self) -> bool {
        matches!(self.seen, TrailerState::Complete | TrailerState::Released)
    }

    /// Reports that the text has a header of pg_dump or pg_dumpall.
    pub(crate) fn is_of_pg_dump(&self) -> bool {
        self.dumped
    }

    /// Reports whether the text is the output of `pg_dumpall`.
    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// A `--` comment that stands alone at the start of its line.
    pub(crate) fn comment(&mut self, text: &str) {
        let keywords = if self.cluster {
            "-- PostgreSQL database cluster dump complete"
        } else {
            "-- PostgreSQL database dump complete"
        };
        self.seen = match self.seen {
            // A second dump begins, and ends with a trailer of its own.
            TrailerState::Complete | TrailerState::Released
                if text == "-- PostgreSQL database dump" && !self.locked =>
            {
                self.key = None;
                TrailerState::Nothing
            }
            TrailerState::Complete if self.locked => return self.breaks("data after the trailer"),
            TrailerState::Complete | TrailerState::Released => self.seen,
            TrailerState::Words if text == "--" => TrailerState::Complete,
            TrailerState::Rule if text == keywords => TrailerState::Words,
            _ if text == "--" => TrailerState::Rule,
            _ => TrailerState::Nothing,
        };
        self.dumped |= text.starts_with("-- PostgreSQL database ");
        self.cluster |= text == "-- PostgreSQL database cluster dump";
    }

    /// Anything that is neither blank nor such a comment.
    pub(crate) fn other(&mut self) {
        match self.seen {
            TrailerState::Complete if self.locked => self.breaks("data after the trailer"),
            // Statements that somebody has appended.
            TrailerState::Complete | TrailerState::Released => {}
            _ => self.seen = TrailerState::Nothing,
        }
    }

    /// `\restrict KEY`; false where it is out of place.
    pub(crate) fn restrict(&mut self, key: &str) -> bool {
        self.other();
        let fits = !self.locked && (self.cluster || self.key.as_deref().is_none_or(|known| known == key));
        self.locked = true;
        self.key = Some(key.to_owned());
        fits
    }

    /// `\unrestrict KEY`; false where it is out of place or does not fit.
    pub(crate) fn unrestrict(&mut self, key: &str) -> bool {
        if !self.locked || self.key.as_deref() != Some(key) {
            self.breaks("the `\\unrestrict` key differs from the `\\restrict` key");
            return false;
        }
        self.locked = false;
        if self.seen == TrailerState::Complete {
            self.seen = TrailerState::Released;
            return true;
        }
        self.other();
        self.cluster
    }

    fn breaks(&mut self, reason: &'static str) {
        self.broken.get_or_insert(reason);
    }

    /// The result at the end of the stream.
    pub(crate) fn completeness(
        &self,
        bytes: u64,
        open: Open,
        inside: bool,
        table: Option<&str>,
    ) -> Completeness {
        let missing = |reason: &str| Completeness::Missing(reason.to_owned());
        match self.end(bytes, open, inside, table) {
            Completeness::Missing(reason) => Completeness::Missing(reason),
            Completeness::Trailer => match self.seen {
                TrailerState::Complete if self.locked => missing("the closing `\\unrestrict` is not there"),
                TrailerState::Complete | TrailerState::Released => Completeness::Trailer,
                _ => missing(NO_TRAILER),
            },
        }
    }

    /// The result at the end of a script, which has no trailer: it ends behind a statement.
    pub(crate) fn end(&self, bytes: u64, open: Open, inside: bool, table: Option<&str>) -> Completeness {
        let missing = |reason: &str| Completeness::Missing(reason.to_owned());
        if bytes == 0 {
            return missing("the file is empty");
        }
        if let Some(reason) = self.broken {
            return missing(reason);
        }
        match open {
            Open::Copy => {
                Completeness::Missing(format!("it ends inside the COPY of {}", table.unwrap_or("?")))
            }
            Open::Quote => missing("it ends inside a quoted string or name"),
            Open::Comment => missing("it ends inside a comment"),
            Open::Metacommand => missing("it ends inside a backslash command"),
            Open::Nothing if inside => missing("it ends inside a statement"),
            Open::Nothing => Completeness::Trailer,
        }
    }
}
