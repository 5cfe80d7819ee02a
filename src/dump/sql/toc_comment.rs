//! Parses the comments that `pg_dump` writes about its own output: header lines and entry markers.

use serde::{Deserialize, Serialize};

use crate::dump::fingerprint::Fingerprint;

/// One `-- Name: …; Type: …; Schema: …; Owner: …` marker. The names in JSON are those of the manifest, which leaves out
/// schema and owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The object's name, as in the marker (names with line breaks are flattened by `pg_dump`).
    pub(crate) name: String,
    /// `TABLE`, `FUNCTION`, `TABLE DATA`, …
    pub(crate) kind: String,
    /// The plain byte at which the entry's comment begins; 0 in an archive.
    pub(crate) offset: u64,
    /// The schema; none where the marker says `-`.
    #[serde(skip)]
    pub(crate) schema: Option<String>,
    /// The owner; none where the marker says `-` or nothing.
    #[serde(skip)]
    pub(crate) owner: Option<String>,
    /// True for the data of the object, false for its definition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) data: bool,
    /// Fingerprint of its statements, settings apart; of an entry without any there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contents: Option<Fingerprint>,
}

/// Reads a marker out of a comment line.
pub(crate) fn parse(line: &str, offset: u64) -> Option<Entry> {
    let (data, rest) = match line.strip_prefix("-- Name: ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("-- Data for Name: ")?),
    };
    // From the right: only the name can contain these words itself.
    let (rest, owner) =
        rest.rsplit_once("; Owner: ").or_else(|| Some((rest.strip_suffix("; Owner:")?, "")))?;
    let owner = owner.split_once("; Tablespace: ").map_or(owner, |(owner, _)| owner);
    let (rest, schema) = rest.rsplit_once("; Schema: ")?;
    let (name, kind) = rest.rsplit_once("; Type: ")?;
    let given = |text: &str| (!matches!(text.trim(), "" | "-")).then(|| text.to_owned());
    Some(Entry {
        offset,
        name: name.to_owned(),
        kind: kind.to_owned(),
        schema: given(schema),
        owner: given(owner),
        data,
        contents: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_read_from_the_right() {
        let entry =
            parse("-- Name: a; Type: x; Schema: y; Type: TABLE; Schema: public; Owner: me", 7).unwrap();
        assert_eq!((entry.name.as_str(), entry.kind.as_str()), ("a; Type: x; Schema: y", "TABLE"));
        assert_eq!((entry.schema.as_deref(), entry.owner.as_deref()), (Some("public"), Some("me")));
        let entry =
            parse("-- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: o; Tablespace: fast", 0).unwrap();
        assert!(entry.data && entry.owner.as_deref() == Some("o"));
        let entry = parse("-- Name: EXTENSION x; Type: COMMENT; Schema: -; Owner: ", 0).unwrap();
        assert_eq!((entry.schema, entry.owner), (None, None));
        assert_eq!(parse("-- Name: nothing more", 0), None);
    }
}
