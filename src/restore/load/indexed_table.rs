//! Which table an index or a key is built on, read out of its statement.
//!
//! Promise: the answer is the name as the statement writes it, which is how the rows' COPY writes it too, or nothing:
//! what does not look exactly as pg_dump writes it names no table.

use crate::dump::sql::{SqlToken, SqlTokenKind, SqlTokens, begins_with, qualified_name};

/// The table of an entry of kind `INDEX` or `CONSTRAINT`, given its text, marker included.
pub(crate) fn indexed_table(entry: &str) -> Option<&str> {
    let tokens: Vec<_> = SqlTokens::of(entry).filter(|token| !token.is_comment()).collect();
    // Without ONLY it is about the table's children too, whose rows may not be there.
    if let Some(rest) = behind(&tokens, &["alter", "table", "only"]) {
        let (table, rest) = name(entry, rest)?;
        return begins_with(rest, &["add", "constraint"]).then_some(table);
    }
    let rest = behind(&tokens, &["create"])?;
    let rest = behind(behind(rest, &["unique"]).unwrap_or(rest), &["index"])?;
    let (_, rest) = name(entry, rest)?;
    let rest = behind(rest, &["on"])?;
    let (table, rest) = name(entry, behind(rest, &["only"]).unwrap_or(rest))?;
    begins_with(rest, &["using"]).then_some(table)
}

/// Returns the tokens behind these keywords.
fn behind<'t, 'a>(tokens: &'t [SqlToken<'a>], keywords: &[&str]) -> Option<&'t [SqlToken<'a>]> {
    begins_with(tokens, keywords).then(|| &tokens[keywords.len()..])
}

/// A name as `text` has it, with or without its schema, and what follows it.
fn name<'t, 'a>(text: &'a str, tokens: &'t [SqlToken<'a>]) -> Option<(&'a str, &'t [SqlToken<'a>])> {
    let (name, rest) = tokens.split_at(qualified_name(tokens)?);
    let text = &text[name.first()?.at..name.last()?.end()];
    let written: String = name.iter().map(|token| token.text).collect();
    // pg_dump quotes a name with a capital letter, and writes nothing around the dot.
    let upper = |token: &SqlToken<'_>| {
        token.kind == SqlTokenKind::Word && token.text.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    (written == text && !name.iter().any(upper)).then_some((text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_as_pg_dump_writes_it() {
        let marker = "--\n-- Name: x; Type: INDEX; Schema: public; Owner: -\n--\n\n";
        for (statement, table) in [
            ("CREATE INDEX i ON public.item USING btree (id);", Some("public.item")),
            ("CREATE UNIQUE INDEX i ON ONLY public.item USING btree (id);", Some("public.item")),
            ("CREATE INDEX \"i ON x\" ON s.\"a\"\"b.c\" USING gin (d);", Some("s.\"a\"\"b.c\"")),
            ("CREATE INDEX \"a\nb\" ON \"S\".t USING btree (id);", Some("\"S\".t")),
            (
                "ALTER TABLE ONLY public.item\n    ADD CONSTRAINT item_pkey PRIMARY KEY (id);",
                Some("public.item"),
            ),
            (
                "ALTER TABLE ONLY public.\"größe\"\n    ADD CONSTRAINT k UNIQUE (id);",
                Some("public.\"größe\""),
            ),
            ("ALTER TABLE public.item\n    ADD CONSTRAINT k UNIQUE (id);", None),
            ("ALTER TABLE ONLY public.item CLUSTER ON item_pkey;", None),
            ("CREATE INDEX i ON public.item (id);", None),
            ("CREATE INDEX i ON public.Item USING btree (id);", None),
            ("CREATE INDEX i ON \"public.item USING btree (id);", None),
            ("CREATE TABLE public.item (id integer);", None),
            ("", None),
        ] {
            assert_eq!(indexed_table(&format!("{marker}{statement}\n\n\n")), table, "{statement}");
        }
        assert_eq!(indexed_table("-- nothing"), None);
    }
}
