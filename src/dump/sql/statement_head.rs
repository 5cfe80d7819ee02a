//! First tokens of a statement, by which it is told what it does.

use crate::dump::sql::statement_state::KeptToken;

/// First tokens of a statement, outside parentheses.
pub(crate) struct Head<'a>(pub(crate) &'a [KeptToken]);

impl Head<'_> {
    /// `SET name = …` of a setting without a prefix.
    pub(crate) fn plain_setting(&self) -> Option<String> {
        let name = self.keyword(1).filter(|_| self.are(0, &["set"]))?;
        let assigned = self.0.get(2) == Some(&KeptToken::Other(b'=')) || self.are(2, &["to"]);
        // Another table access method than the usual one is more than a matter of form.
        let usual = name != "default_table_access_method" || self.name(3).as_deref() == Some("heap");
        (assigned && usual).then(|| name.to_owned())
    }

    /// CREATE, ALTER or DROP of a database, a role or a tablespace, and what is said of them.
    pub(crate) fn is_of_server(&self) -> bool {
        let of = |at: usize| ["database", "role", "tablespace"].iter().any(|kind| self.are(at, &[kind]));
        match self.keyword(0) {
            Some("create" | "alter" | "drop") => of(1),
            Some("comment") => self.are(1, &["on"]) && of(2),
            Some("security") => self
                .0
                .iter()
                .position(|piece| *piece == KeptToken::Word("on".to_owned()))
                .is_some_and(|at| of(at + 1)),
            Some("grant" | "revoke") => {
                let on = self.0.iter().position(|piece| *piece == KeptToken::Word("on".to_owned()));
                on.is_none_or(|at| of(at + 1) || self.are(at + 1, &["parameter"]))
            }
            _ => false,
        }
    }

    /// Statements of `pg_dumpall` that make a role.
    pub(crate) fn is_of_roles(&self) -> bool {
        match self.keyword(0) {
            Some("create" | "alter") => self.are(1, &["role"]),
            Some("comment") => self.are(1, &["on", "role"]),
            Some("grant") => !self.0.contains(&KeptToken::Word("on".to_owned())),
            _ => false,
        }
    }

    /// `SET standard_conforming_strings`: whether it is on then.
    pub(crate) fn conforming_strings(&self) -> Option<bool> {
        let at = if self.are(1, &["session"]) || self.are(1, &["local"]) { 2 } else { 1 };
        let named = self.are(0, &["set"])
            && self.name(at).is_some_and(|name| name.eq_ignore_ascii_case("standard_conforming_strings"));
        named.then(|| self.name(at + 2).is_some_and(|value| value.eq_ignore_ascii_case("on")))
    }

    pub(crate) fn is_drop_of_public(&self) -> bool {
        self.are(0, &["drop", "schema"])
            && (self.are(2, &["public"]) || self.are(2, &["if", "exists", "public"]))
    }

    /// DROP, and the kinds of ALTER that `--clean` writes for the same.
    pub(crate) fn drops(&self) -> bool {
        self.are(0, &["drop"])
            || (self.are(0, &["alter"]) && self.0.contains(&KeptToken::Word("drop".to_owned())))
    }

    /// ALTER TABLE … DISABLE TRIGGER and ENABLE TRIGGER.
    pub(crate) fn switches_triggers(&self) -> bool {
        let at = self.0.iter().rposition(|piece| *piece == KeptToken::Word("trigger".to_owned()));
        let Some(at) = at.filter(|at| *at >= 3 && self.are(0, &["alter", "table"])) else { return false };
        (self.are(at - 1, &["disable"]) || self.are(at - 1, &["enable"])) && self.0.len() == at + 2
    }

    pub(crate) fn has_if_exists(&self) -> bool {
        self.0.windows(2).any(|two| Head(two).are(0, &["if", "exists"]))
    }

    pub(super) fn keyword(&self, at: usize) -> Option<&str> {
        match self.0.get(at)? {
            KeptToken::Word(keyword) => Some(keyword),
            _ => None,
        }
    }

    pub(crate) fn are(&self, at: usize, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(i, keyword)| self.keyword(at + i) == Some(keyword))
    }

    pub(super) fn name(&self, at: usize) -> Option<String> {
        match self.0.get(at)? {
            KeptToken::Word(name) | KeptToken::Name(name) | KeptToken::Text(name) => Some(name.clone()),
            KeptToken::Other(_) => None,
        }
    }

    /// `ALTER … OWNER TO role`.
    pub(super) fn sets_owner(&self) -> bool {
        let end = self.0.len();
        self.are(0, &["alter"]) && end >= 5 && self.are(end - 3, &["owner", "to"])
    }

    /// `SET SESSION AUTHORIZATION`, `RESET SESSION AUTHORIZATION`, which old dumps write for owners.
    pub(super) fn sets_session_role(&self) -> bool {
        self.are(0, &["set", "session", "authorization"])
            || self.are(0, &["reset", "session", "authorization"])
    }

    pub(super) fn sets_privileges(&self) -> bool {
        self.are(0, &["grant"])
            || self.are(0, &["revoke"])
            || self.are(0, &["alter", "default", "privileges"])
    }

    /// Finds the name behind `CREATE kind`, `ALTER kind`, `DROP kind` or `COMMENT ON kind`.
    pub(super) fn is_about(&self, kind: &[&str]) -> Option<usize> {
        let at = match self.keyword(0)? {
            "create" | "alter" | "drop" => 1,
            "comment" if self.are(1, &["on"]) => 2,
            _ => return None,
        };
        if !self.are(at, kind) {
            return None;
        }
        let mut at = at + kind.len();
        for optional in [&["if", "not", "exists"][..], &["if", "exists"]] {
            if self.are(at, optional) {
                at += optional.len();
            }
        }
        Some(at)
    }
}
