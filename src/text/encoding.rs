//! Encodings of databases and dumps: text that is not UTF-8 as a string and back, and which dump fits which database.
//!
//! Promises: [`to_bytes`] is the exact inverse of [`of_bytes`], for any bytes; what the server would convert, or keep
//! without knowing what it is, is told apart before anything is loaded.

use encoding_rs::Encoding;

/// The encoding whose text the server neither checks nor converts.
pub(crate) const SQL_ASCII: &str = "SQL_ASCII";

/// Stands for the byte 0x80 where it is part of no UTF-8 character; the others follow. A private use character.
const FIRST: u32 = 0xF780;

/// Decodes bytes that are UTF-8 for the most part; each byte that is not becomes one private use character.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // A real one is taken for three bytes, so that the way back is the only one.
            if is_byte(c) {
                text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(escaped));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(escaped));
    }
    text
}

/// Encodes what [`of_bytes`] has decoded.
pub(crate) fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn escaped(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte) - 0x80).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn byte(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(FIRST)?.checked_add(0x80)?).ok()
}

fn is_byte(c: char) -> bool {
    byte(c).is_some()
}

/// Reports whether a text holds a byte that is of no known encoding.
pub(crate) fn has_bytes(text: &str) -> bool {
    text.chars().any(is_byte)
}

/// Decodes a name of a dump in `encoding`, a name of PostgreSQL's, that [`of_bytes`] has taken in; where the encoding is not
/// known here, the name stays as it is.
pub(crate) fn decode(text: &str, encoding: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let bytes = to_bytes(text);
    let name = plain(encoding);
    match name.as_str() {
        "latin1" | "iso88591" => bytes.into_iter().map(char::from).collect(),
        _ => label(&name)
            .and_then(|label| Encoding::for_label(label.as_bytes()))
            .and_then(|known| known.decode_without_bom_handling_and_without_replacement(&bytes))
            .map_or_else(|| text.to_owned(), std::borrow::Cow::into_owned),
    }
}

/// Lower case without punctuation, as PostgreSQL compares the names of encodings.
fn plain(encoding: &str) -> String {
    encoding.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The name of an encoding of PostgreSQL's in the encoding standard of the web.
fn label(plain: &str) -> Option<&'static str> {
    Some(match plain {
        "latin2" | "iso88592" => "iso-8859-2",
        "latin3" | "iso88593" => "iso-8859-3",
        "latin4" | "iso88594" => "iso-8859-4",
        "latin6" | "iso885910" => "iso-8859-10",
        "latin7" | "iso885913" => "iso-8859-13",
        "latin8" | "iso885914" => "iso-8859-14",
        "latin9" | "iso885915" => "iso-8859-15",
        "latin10" | "iso885916" => "iso-8859-16",
        "iso88595" => "iso-8859-5",
        "iso88596" => "iso-8859-6",
        "iso88597" => "iso-8859-7",
        "iso88598" => "iso-8859-8",
        "win" | "win1251" | "windows1251" => "windows-1251",
        "win1250" | "windows1250" => "windows-1250",
        "win1252" | "windows1252" => "windows-1252",
        "win1253" | "windows1253" => "windows-1253",
        "latin5" | "iso88599" | "win1254" | "windows1254" => "windows-1254",
        "win1255" | "windows1255" => "windows-1255",
        "win1256" | "windows1256" => "windows-1256",
        "win1257" | "windows1257" => "windows-1257",
        "abc" | "tcvn" | "tcvn5712" | "vscii" | "win1258" | "windows1258" => "windows-1258",
        "alt" | "win866" | "windows866" => "ibm866",
        "win874" | "windows874" => "windows-874",
        "koi8" | "koi8r" => "koi8-r",
        "koi8u" => "koi8-u",
        "eucjp" | "eucjis2004" => "euc-jp",
        "euckr" => "euc-kr",
        "euccn" => "gbk",
        _ => return None,
    })
}

/// Kind of a text, as far as its bytes tell.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Text {
    /// ASCII alone, which is the same in every encoding of a database.
    #[default]
    Ascii,
    /// Valid UTF-8.
    Utf8,
    /// Anything else, or not looked at.
    Bytes,
}

/// Looks at a text chunk by chunk.
#[derive(Debug, Default)]
pub(crate) struct TextCheck {
    text: Text,
    /// A character that the last chunk has cut.
    cut: Vec<u8>,
}

impl TextCheck {
    /// Looks at the next chunk, of any size.
    pub(crate) fn feed(&mut self, mut chunk: &[u8]) {
        if self.text == Text::Bytes {
            return;
        }
        while !self.cut.is_empty() && !chunk.is_empty() {
            self.cut.push(chunk[0]);
            chunk = &chunk[1..];
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(wrong) if wrong.error_len().is_none() => {}
                Err(_) => return self.text = Text::Bytes,
            }
        }
        if chunk.is_ascii() {
            return;
        }
        self.text = Text::Utf8;
        if let Err(wrong) = std::str::from_utf8(chunk) {
            match wrong.error_len() {
                None => self.cut = chunk[wrong.valid_up_to()..].to_vec(),
                Some(_) => self.text = Text::Bytes,
            }
        }
    }

    /// Returns the kind of the whole text.
    pub(crate) fn finish(&self) -> Text {
        if self.cut.is_empty() { self.text } else { Text::Bytes }
    }
}

/// A dump and the database it is loaded into, as the server names their encodings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// Encoding that the dump says its text is in.
    pub(crate) dump: &'a str,
    /// Kind of the dump's text, by its bytes.
    pub(crate) text: Text,
    /// Encoding of the database.
    pub(crate) database: &'a str,
    /// The server has a conversion from one to the other.
    pub(crate) converts: bool,
}

/// Effect of the load on the dump's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Bytes stay unchanged.
    Same,
    /// The server converts, and refuses a character that the database's encoding has not.
    Converted,
    /// Nobody can tell; why not.
    Unfit(String),
}

impl Pair<'_> {
    /// Decides. The server neither converts nor checks rows where either side is SQL_ASCII.
    pub(crate) fn fit(&self) -> Fit {
        let Self { dump, text, database, converts } = *self;
        if dump == database {
            return Fit::Same;
        }
        match (dump == SQL_ASCII, database == SQL_ASCII) {
            (true, _) if text == Text::Ascii || (text == Text::Utf8 && database == "UTF8") => Fit::Same,
            (true, _) => Fit::Unfit(format!(
                "the dump is in {SQL_ASCII} and holds bytes that are no {database} for certain, and the database is in {database}"
            )),
            (_, true) if text == Text::Ascii => Fit::Same,
            (_, true) => Fit::Unfit(format!(
                "the dump is in {dump} and the database in {SQL_ASCII}, which keeps bytes without knowing what they are"
            )),
            _ if converts => Fit::Converted,
            _ => Fit::Unfit(format!(
                "the dump is in {dump} and the database in {database}, and PostgreSQL has no conversion from one to the other"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_encoding_are_read() {
        for (bytes, encoding, name) in [
            (&b"caf\xe9"[..], "LATIN1", "café"),
            (b"\xf2\xe0\xe1\xeb", "WIN1251", "табл"),
            (b"\xc9\xbd", "EUC_JP", "表"),
            ("表".as_bytes(), "UTF8", "表"),
            (b"caf\xe9", "SQL_ASCII", "caf\u{f7e9}"),
        ] {
            assert_eq!(decode(&of_bytes(bytes), encoding), name, "{encoding}");
        }
        assert!(has_bytes(&of_bytes(b"\xff")) && !has_bytes("表"));
    }

    #[test]
    fn bytes_are_looked_at_where_the_server_does_not() {
        let look = |chunks: &[&[u8]]| {
            let mut check = TextCheck::default();
            for chunk in chunks {
                check.feed(chunk);
            }
            check.finish()
        };
        assert_eq!(look(&[b"plain", b"text"]), Text::Ascii);
        assert_eq!(look(&[b"caf\xc3", b"\xa9 \xe8", b"\xa1", b"\xa8"]), Text::Utf8);
        assert_eq!(look(&[b"caf\xc3", b"\xa9 \xe8\xa1"]), Text::Bytes, "it ends inside a character");
        assert_eq!(look(&[b"caf\xe9", b" late"]), Text::Bytes);
        assert_eq!(look(&[b"caf\xc3", b"x"]), Text::Bytes);
    }

    #[test]
    fn what_cannot_be_told_is_refused_and_the_rest_is_not() {
        let fit = |dump, text, database, converts| Pair { dump, text, database, converts }.fit();
        for encoding in ["UTF8", "LATIN1", "SQL_ASCII"] {
            assert_eq!(fit(encoding, Text::Bytes, encoding, false), Fit::Same);
        }
        assert_eq!(fit("LATIN1", Text::Bytes, "UTF8", true), Fit::Converted);
        assert_eq!(fit("SQL_ASCII", Text::Utf8, "UTF8", false), Fit::Same);
        assert_eq!(fit("SQL_ASCII", Text::Ascii, "LATIN1", false), Fit::Same);
        assert_eq!(fit("UTF8", Text::Ascii, "SQL_ASCII", false), Fit::Same);
        for (dump, text, database) in [
            ("SQL_ASCII", Text::Bytes, "UTF8"),
            ("SQL_ASCII", Text::Utf8, "LATIN1"),
            ("UTF8", Text::Utf8, "SQL_ASCII"),
            ("EUC_JP", Text::Bytes, "LATIN1"),
        ] {
            assert!(matches!(fit(dump, text, database, false), Fit::Unfit(_)), "{dump} into {database}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            proptest::prop_assert_eq!(to_bytes(&of_bytes(&bytes)), bytes);
        }

        #[test]
        fn the_look_does_not_depend_on_the_cuts(text in "\\PC{0,20}", at in 0usize..20) {
            let bytes = text.as_bytes();
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            let mut check = TextCheck::default();
            check.feed(left);
            check.feed(right);
            let whole = if text.is_ascii() { Text::Ascii } else { Text::Utf8 };
            proptest::prop_assert_eq!(check.finish(), whole);
        }
    }
}
