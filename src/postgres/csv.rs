//! psql's `--csv` output, record by record.
//!
//! Promise: what [`Reader`] gives is what the server sent; a line end inside a quoted field does not
//! end a record. NULL and the empty string look the same in this form: queries use `coalesce` where it
//! matters.

/// Splits a text of complete records.
pub(crate) fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(records: &[Vec<String>]) -> String {
        let field = |f: &String| format!("\"{}\"", f.replace('"', "\"\""));
        records.iter().map(|r| r.iter().map(field).collect::<Vec<_>>().join(",") + "\n").collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(rows in prop::collection::vec(prop::collection::vec("[a\",\n é]{0,6}", 1..4), 0..6)) {
            prop_assert_eq!(records(&written(&rows)), rows);
        }
    }

    #[test]
    fn plain_fields_need_no_quotes() {
        assert_eq!(records("1,a b\n2,\n"), [["1", "a b"], ["2", ""]]);
    }
}
