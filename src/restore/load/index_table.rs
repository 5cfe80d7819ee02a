//! Which table an index or a key is built on, read out of its statement.
//!
//! Promise: the answer is the name as the statement writes it, which is how the rows' COPY writes it too, or nothing:
//! what does not look exactly as pg_dump writes it names no table.

/// The table of an entry of kind `INDEX` or `CONSTRAINT`, given its text, marker included.
pub(crate) fn of(entry: &str) -> Option<&str> {
    let statement = statement(entry)?;
    if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
        // Without ONLY it is about the table's children too, whose rows may not be there.
        let (table, rest) = name(rest.strip_prefix("ONLY ")?)?;
        return rest.starts_with("\n    ADD CONSTRAINT ").then_some(table);
    }
    let rest = statement.strip_prefix("CREATE ")?;
    let rest = rest.strip_prefix("UNIQUE ").unwrap_or(rest).strip_prefix("INDEX ")?;
    let (_, rest) = name(rest)?;
    let rest = rest.strip_prefix(" ON ")?;
    let (table, rest) = name(rest.strip_prefix("ONLY ").unwrap_or(rest))?;
    rest.starts_with(" USING ").then_some(table)
}

/// Returns the statement behind the entry marker.
fn statement(entry: &str) -> Option<&str> {
    let mut rest = entry;
    while rest.starts_with("--") || rest.starts_with('\n') {
        rest = &rest[rest.find('\n')? + 1..];
    }
    Some(rest)
}

/// A name with or without its schema, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let first = identifier(text)?;
    let length = match text[first..].strip_prefix('.') {
        Some(rest) => first + 1 + identifier(rest)?,
        None => first,
    };
    Some(text.split_at(length))
}

/// The length of the identifier that `text` begins with.
fn identifier(text: &str) -> Option<usize> {
    let Some(quoted) = text.strip_prefix('"') else {
        let word =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$' || !c.is_ascii();
        let length = text.find(|c| !word(c)).unwrap_or(text.len());
        return (length > 0).then_some(length);
    };
    let mut from = 0;
    loop {
        let quote = from + quoted[from..].find('"')?;
        if !quoted[quote + 1..].starts_with('"') {
            return Some(quote + 2);
        }
        from = quote + 2;
    }
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
            assert_eq!(of(&format!("{marker}{statement}\n\n\n")), table, "{statement}");
        }
        assert_eq!(of("-- nothing"), None);
    }
}
