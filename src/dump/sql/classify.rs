//! Classifies a whole statement by its first tokens.
//!
//! Promise: a statement that begins with COPY is either understood to the last word or reported, since
//! only the words decide whether the next lines are data or commands.

use super::finding::FindingKind;
use super::statement_state::{KeptToken, StatementState, is_trusted_language};

/// Classification of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatementClass {
    /// The table, as written, whose data follow.
    pub(crate) copy: Option<String>,
    /// Effects of the statement beyond filling the database.
    pub(crate) found: Vec<FindingKind>,
    /// The extension it creates.
    pub(crate) extension: Option<String>,
    /// The schema it creates the extension in.
    pub(crate) schema: Option<String>,
    /// The tablespace it selects.
    pub(crate) tablespace: Option<String>,
    /// The client encoding it selects.
    pub(crate) encoding: Option<String>,
}

impl StatementClass {
    fn of(kind: FindingKind) -> Self {
        Self { found: vec![kind], ..Self::default() }
    }
}

/// Judges a statement that has ended.
pub(crate) fn judge(statement: &StatementState) -> StatementClass {
    let mut keywords = TokenCursor { pieces: &statement.head };
    let mut class = keywords.statement(statement.select.as_deref());
    class.found.extend(&statement.found);
    class.found.sort_unstable();
    class.found.dedup();
    class
}

/// The pieces that have not been read yet.
struct TokenCursor<'a> {
    pieces: &'a [KeptToken],
}

impl TokenCursor<'_> {
    fn take(&mut self, keyword: &str) -> bool {
        let found = matches!(self.pieces.first(), Some(KeptToken::Word(first)) if first == keyword);
        if found {
            self.pieces = &self.pieces[1..];
        }
        found
    }

    fn take_any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.take(keyword))
    }

    fn skip(&mut self, keywords: &[&str]) {
        for keyword in keywords {
            self.take(keyword);
        }
    }

    fn symbol(&mut self, symbol: u8) -> bool {
        let found = self.pieces.first() == Some(&KeptToken::Other(symbol));
        if found {
            self.pieces = &self.pieces[1..];
        }
        found
    }

    fn name(&mut self) -> Option<String> {
        let (first, rest) = self.pieces.split_first()?;
        let name = match first {
            KeptToken::Word(name) | KeptToken::Name(name) | KeptToken::Text(name) => name.clone(),
            KeptToken::Other(_) => return None,
        };
        self.pieces = rest;
        Some(name)
    }

    /// Constants up to the parenthesis that closes them, with a cast to a plain type, and `pg_get_serial_sequence`, which
    /// pg_dump 8 wrote.
    fn constants(&mut self) -> bool {
        loop {
            match self.pieces.split_first() {
                Some((KeptToken::Other(b')'), rest)) => {
                    self.pieces = rest;
                    return true;
                }
                Some((KeptToken::Other(b',' | b'-' | b'0') | KeptToken::Text(_), rest)) => self.pieces = rest,
                Some((KeptToken::Other(b':'), rest)) => {
                    self.pieces = rest;
                    if !self.take_any(&["integer", "bigint", "real", "boolean", "text", "regclass"]) {
                        return false;
                    }
                    let _ = self.symbol(b'[') && self.symbol(b']');
                }
                Some((KeptToken::Word(keyword), rest))
                    if ["true", "false", "null"].contains(&keyword.as_str()) =>
                {
                    self.pieces = rest;
                }
                Some((KeptToken::Word(_), _)) => {
                    if self.take("pg_catalog") && !self.symbol(b'.') {
                        return false;
                    }
                    let serial = self.take("pg_get_serial_sequence") && self.symbol(b'(');
                    if !serial || !self.constants() {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    /// A name with its schema, as written.
    fn qualified(&mut self) -> Option<String> {
        let mut written = String::new();
        loop {
            match self.pieces.first()? {
                KeptToken::Word(name) => written.push_str(name),
                KeptToken::Name(name) => {
                    written.push('"');
                    written.push_str(&name.replace('"', "\"\""));
                    written.push('"');
                }
                _ => return None,
            }
            self.pieces = &self.pieces[1..];
            if !self.symbol(b'.') {
                return Some(written);
            }
            written.push('.');
        }
    }

    fn statement(&mut self, select: Option<&[KeptToken]>) -> StatementClass {
        let Some(KeptToken::Word(first)) = self.pieces.first() else {
            let query = self.pieces.first() == Some(&KeptToken::Other(b'('));
            return if query { StatementClass::of(FindingKind::Query) } else { StatementClass::default() };
        };
        let first = first.clone();
        self.pieces = &self.pieces[1..];
        match first.as_str() {
            "select" if !select.is_some_and(is_of_pg_dump) => StatementClass::of(FindingKind::Query),
            "with" | "table" | "values" | "explain" | "prepare" if !self.take("transaction") => {
                StatementClass::of(FindingKind::Query)
            }
            "execute" | "declare" | "merge" => StatementClass::of(FindingKind::Query),
            "do" | "call" => StatementClass::of(FindingKind::RunsCode),
            "grant" | "revoke" => self.grant(),
            "copy" => self.copy(),
            "create" => self.create(),
            "alter" => self.alter(),
            "drop" => self.drop(),
            "set" => self.set(),
            "reset" if self.take_any(&["role", "session"]) => StatementClass::of(FindingKind::ChangesRole),
            "discard" => StatementClass::of(FindingKind::ChangesRole),
            "load" => StatementClass::of(FindingKind::Load),
            "begin" | "start" | "commit" | "end" | "abort" | "rollback" => {
                StatementClass::of(FindingKind::Transaction)
            }
            "prepare" => StatementClass::of(FindingKind::Transaction),
            "insert" | "delete" | "update" | "truncate" => self.write(),
            _ => StatementClass::default(),
        }
    }

    fn copy(&mut self) -> StatementClass {
        let query = self.symbol(b'(');
        let table = if query { None } else { self.qualified() };
        if query {
            self.symbol(b')');
        } else if table.is_none() {
            return StatementClass::of(FindingKind::Ambiguous);
        } else if self.symbol(b'(') {
            self.symbol(b')');
        }
        let reads = self.take("from");
        if !reads && !self.take("to") {
            return StatementClass::of(FindingKind::Ambiguous);
        }
        if self.take("program") {
            return StatementClass::of(FindingKind::Program);
        }
        // The grammar takes either word in either direction.
        if !self.take_any(&["stdin", "stdout"]) {
            return StatementClass::of(FindingKind::ServerFile);
        }
        let mut found = Vec::new();
        let table = table.unwrap_or_default();
        if reads && !self.pieces.is_empty() {
            // CSV and binary data end by other rules.
            found.push(FindingKind::Ambiguous);
        }
        if reads && is_catalog(&table) {
            found.push(FindingKind::CatalogWrite);
        }
        StatementClass { copy: reads.then_some(table), found, ..StatementClass::default() }
    }

    fn create(&mut self) -> StatementClass {
        self.skip(&["or", "replace"]);
        if self.take("database") {
            return StatementClass::of(FindingKind::OtherDatabase);
        }
        if self.take("event") {
            return StatementClass::of(FindingKind::EventTrigger);
        }
        if self.take("subscription") {
            return StatementClass::of(FindingKind::Subscription);
        }
        if self.take("user") {
            return if self.take("mapping") {
                StatementClass::default()
            } else {
                StatementClass::of(FindingKind::ClusterWide)
            };
        }
        if self.take_any(&["role", "group", "tablespace"]) {
            return StatementClass::of(FindingKind::ClusterWide);
        }
        if self.take("extension") {
            self.skip(&["if", "not", "exists"]);
            return self.extension();
        }
        self.skip(&["trusted", "procedural"]);
        if self.take("language") {
            let trusted = self.name().is_some_and(|name| is_trusted_language(&name.to_lowercase()));
            return if trusted {
                StatementClass::default()
            } else {
                StatementClass::of(FindingKind::UntrustedLanguage)
            };
        }
        StatementClass::default()
    }

    fn extension(&mut self) -> StatementClass {
        let Some(name) = self.name() else { return StatementClass::of(FindingKind::Ambiguous) };
        let reaches_out = matches!(
            name.as_str(),
            "file_fdw"
                | "adminpack"
                | "dblink"
                | "postgres_fdw"
                | "pg_background"
                | "pg_cron"
                | "postgis_raster"
        );
        let language = matches!(name.as_str(), "plsh" | "plr" | "pljava" | "plpythonu" | "plpython2u")
            || (name.starts_with("pl") && name.ends_with('u'));
        self.take("with");
        let schema = if self.take("schema") { self.name() } else { None };
        let mut class = StatementClass { extension: Some(name), schema, ..StatementClass::default() };
        if reaches_out || language {
            class.found.push(FindingKind::UntrustedExtension);
        }
        class
    }

    fn alter(&mut self) -> StatementClass {
        if self.take("system") {
            StatementClass::of(FindingKind::AlterSystem)
        } else if self.take("database") {
            StatementClass::of(FindingKind::OtherDatabase)
        } else if self.take("subscription") {
            StatementClass::of(FindingKind::Subscription)
        } else if self.take_any(&["role", "group", "tablespace"])
            || (self.take("user") && !self.take("mapping"))
        {
            StatementClass::of(FindingKind::ClusterWide)
        } else {
            StatementClass::default()
        }
    }

    fn drop(&mut self) -> StatementClass {
        if self.take("database") {
            StatementClass::of(FindingKind::OtherDatabase)
        } else if self.take_any(&["role", "group", "tablespace"])
            || (self.take("user") && !self.take("mapping"))
        {
            StatementClass::of(FindingKind::ClusterWide)
        } else {
            StatementClass::default()
        }
    }

    fn set(&mut self) -> StatementClass {
        self.take_any(&["session", "local"]);
        if self.take_any(&["role", "authorization"]) {
            return StatementClass::of(FindingKind::ChangesRole);
        }
        let Some(setting) = self.name() else { return StatementClass::default() };
        if !self.symbol(b'=') && !self.take("to") {
            return StatementClass::default();
        }
        let value = self.name().unwrap_or_default();
        match setting.to_ascii_lowercase().as_str() {
            "role" | "session_authorization" => StatementClass::of(FindingKind::ChangesRole),
            "default_tablespace" if !value.is_empty() => {
                StatementClass { tablespace: Some(value), ..StatementClass::default() }
            }
            "client_encoding" => {
                let found = if is_safe_encoding(&value) { vec![] } else { vec![FindingKind::Ambiguous] };
                StatementClass { encoding: Some(value), found, ..StatementClass::default() }
            }
            "session_preload_libraries" | "local_preload_libraries" | "dynamic_library_path" => {
                StatementClass::of(FindingKind::Load)
            }
            _ => StatementClass::default(),
        }
    }

    /// Rights on objects are the database's own; membership in a role, and settings, are the whole server's.
    fn grant(&mut self) -> StatementClass {
        let on = self.pieces.iter().position(|piece| *piece == KeptToken::Word("on".to_owned()));
        let parameter = KeptToken::Word("parameter".to_owned());
        match on {
            Some(at) if self.pieces.get(at + 1) != Some(&parameter) => StatementClass::default(),
            _ => StatementClass::of(FindingKind::ClusterWide),
        }
    }

    fn write(&mut self) -> StatementClass {
        self.skip(&["into", "from", "table", "only"]);
        match self.qualified() {
            Some(table) if is_catalog(&table) => StatementClass::of(FindingKind::CatalogWrite),
            None => StatementClass::of(FindingKind::CatalogWrite),
            _ => StatementClass::default(),
        }
    }
}

/// Functions that pg_dump calls, with constants.
const CALLED_BY_PG_DUMP: &[&str] =
    &["setval", "set_config", "lo_creat", "lo_create", "lo_open", "lowrite", "lo_close", "lo_unlink"];

/// Reports whether a SELECT, behind its first word, is one that pg_dump writes: one call of one of its functions with constants,
/// or constants alone.
fn is_of_pg_dump(pieces: &[KeptToken]) -> bool {
    let named = |piece: &KeptToken| matches!(piece, KeptToken::Word(_) | KeptToken::Name(_));
    if !pieces.iter().any(named) {
        return true;
    }
    let mut keywords = TokenCursor { pieces };
    // Statistics, since PostgreSQL 18.
    let statistics = keywords.symbol(b'*') && keywords.take("from");
    if keywords.take("pg_catalog") && !keywords.symbol(b'.') {
        return false;
    }
    let function = if statistics {
        keywords.take_any(&["pg_restore_relation_stats", "pg_restore_attribute_stats"])
    } else {
        keywords.take_any(CALLED_BY_PG_DUMP)
    };
    function && keywords.symbol(b'(') && keywords.constants() && keywords.pieces.is_empty()
}

fn is_catalog(table: &str) -> bool {
    let table = table.replace('"', "");
    table.starts_with("pg_catalog.") || (table.starts_with("pg_") && !table.contains('.'))
}

/// Encodings whose second bytes can look like a quote or a backslash are not.
/// Source: the server's manual, "Supported character sets": the client-only ones.
fn is_safe_encoding(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    !matches!(
        plain.as_str(),
        "sjis"
            | "shiftjis"
            | "mskanji"
            | "win932"
            | "windows932"
            | "shiftjis2004"
            | "big5"
            | "win950"
            | "windows950"
            | "gbk"
            | "win936"
            | "windows936"
            | "uhc"
            | "win949"
            | "windows949"
            | "gb18030"
            | "johab"
    )
}
