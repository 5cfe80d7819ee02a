//! One error of the PostgreSQL server, read from the report that psql's `\errverbose` prints.
//!
//! Promises: no field of the report is dropped that helps a person (position, DETAIL, HINT, QUERY, CONTEXT); the
//! SQLSTATE is read whatever language the server speaks; a report that cannot be read is kept as the message.

use std::fmt;

use crate::text::mask::mask;

/// Error report of the server, by the fields of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// SQLSTATE, five characters; empty where psql itself failed.
    pub(crate) state: String,
    /// Primary message.
    pub(crate) message: String,
    /// Line of the statement and a caret below the place.
    pub(crate) position: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// Internal query that failed, for example inside a function.
    pub(crate) query: Option<String>,
    /// CONTEXT: the call stack.
    pub(crate) context: Option<String>,
}

/// Lines shown of a query or a context; a recursive function can fill hundreds.
const LINES_SHOWN: usize = 12;

/// Labels that libpq writes behind the message, in its order. psql runs with `LC_ALL=C`, so they are in English.
const LABELS: [&str; 10] = [
    "DETAIL",
    "HINT",
    "QUERY",
    "CONTEXT",
    "SCHEMA NAME",
    "TABLE NAME",
    "COLUMN NAME",
    "DATATYPE NAME",
    "CONSTRAINT NAME",
    "LOCATION",
];

impl ServerError {
    /// Reads a report: `SEVERITY:  STATE: message`, then the labelled fields. Reports without the SQLSTATE, as psql
    /// prints them by default, are read too. `None`: the text is no report.
    pub(crate) fn parse(report: &str) -> Option<Self> {
        let (_, text) = report.trim().split_once(":  ")?;
        let mut error = Self::default();
        let text = match text.split_once(": ") {
            Some((state, rest)) if is_state(state) => {
                state.clone_into(&mut error.state);
                rest
            }
            _ => text,
        };
        let mut label = "";
        let mut fields: Vec<(&str, String)> = vec![(label, String::new())];
        for line in text.split_inclusive('\n') {
            let named =
                LABELS.iter().find_map(|name| Some((*name, line.strip_prefix(name)?.strip_prefix(":  ")?)));
            let rest = match named {
                Some((name, rest)) => {
                    label = name;
                    fields.push((name, String::new()));
                    rest
                }
                None if label.is_empty() && is_position(line) => {
                    label = "LINE";
                    fields.push((label, String::new()));
                    line
                }
                None => line,
            };
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(rest);
            }
        }
        for (name, value) in fields {
            let value = value.trim_end().to_owned();
            match name {
                "" => error.message = value,
                "LINE" => error.position = Some(value),
                "DETAIL" => error.detail = Some(value),
                "HINT" => error.hint = Some(value),
                "QUERY" => error.query = Some(value),
                "CONTEXT" => error.context = Some(value),
                _ => {}
            }
        }
        Some(error)
    }

    /// Everything behind the message and its SQLSTATE without secrets, each field on lines of its own; empty or begins with a line end.
    pub(crate) fn fields(&self) -> String {
        let mut text = String::new();
        if let Some(position) = &self.position {
            text = format!("\n{}", mask(position));
        }
        let labelled = [
            ("DETAIL", &self.detail),
            ("HINT", &self.hint),
            ("QUERY", &self.query),
            ("CONTEXT", &self.context),
        ];
        for (label, value) in labelled {
            if let Some(value) = value {
                text.push_str(&format!("\n{label}: {}", mask(&shortened(value))));
            }
        }
        text
    }

    /// The message with all fields and without the SQLSTATE, as a log keeps it.
    pub(crate) fn log(&self) -> String {
        format!("{}{}", mask(&self.message), self.fields())
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.message))?;
        if !self.state.is_empty() {
            write!(f, " ({})", self.state)?;
        }
        f.write_str(&self.fields())
    }
}

/// Reports whether a text has the form of an SQLSTATE.
fn is_state(text: &str) -> bool {
    text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// `LINE 3: select …`, which libpq writes above the caret.
fn is_position(line: &str) -> bool {
    line.strip_prefix("LINE ")
        .and_then(|rest| rest.split_once(": "))
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    match lines.len().saturating_sub(LINES_SHOWN) {
        0 => text.to_owned(),
        1 => format!("{}\n… 1 more line", lines[..LINES_SHOWN].join("\n")),
        more => format!("{}\n… {more} more lines", lines[..LINES_SHOWN].join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_of_a_report_shows_a_secret() {
        let report = "ERROR:  42601: syntax error at or near \"x\"\n\
                      LINE 1: ALTER ROLE a PASSWORD 'hunter2' x\n                ^\n\
                      QUERY:  ALTER ROLE a PASSWORD 'hunter2' x\n\
                      CONTEXT:  SQL statement \"CREATE SUBSCRIPTION s CONNECTION 'password=hunter2' PUBLICATION p\"\n";
        let error = ServerError::parse(report).unwrap();
        for shown in [error.to_string(), error.log()] {
            assert!(!shown.contains("hunter2") && shown.contains("PASSWORD '***'"), "{shown}");
        }
    }

    #[test]
    fn every_field_of_a_report_is_read() {
        let report = "ERROR:  22012: division by zero\n\
                      LINE 1: select 1/0\n                ^\n\
                      DETAIL:  first\nsecond\n\
                      HINT:  Divide by something else.\n\
                      QUERY:  SELECT 1/0\n\
                      CONTEXT:  SQL statement \"SELECT 1/0\"\nPL/pgSQL function f() line 1 at PERFORM\n\
                      SCHEMA NAME:  public\n\
                      LOCATION:  int4div, int.c:869\n";
        let error = ServerError::parse(report).unwrap();
        assert_eq!((error.state.as_str(), error.message.as_str()), ("22012", "division by zero"));
        assert_eq!(error.position.as_deref(), Some("LINE 1: select 1/0\n                ^"));
        assert_eq!(error.detail.as_deref(), Some("first\nsecond"));
        assert_eq!(
            error.to_string(),
            "division by zero (22012)\nLINE 1: select 1/0\n                ^\nDETAIL: first\nsecond\n\
             HINT: Divide by something else.\nQUERY: SELECT 1/0\n\
             CONTEXT: SQL statement \"SELECT 1/0\"\nPL/pgSQL function f() line 1 at PERFORM"
        );
    }

    #[test]
    fn the_sqlstate_is_read_in_every_language_of_the_server() {
        let german = ServerError::parse("FEHLER:  42P01: Relation »nosuch« existiert nicht\n").unwrap();
        assert_eq!(
            (german.state.as_str(), german.message.as_str()),
            ("42P01", "Relation »nosuch« existiert nicht")
        );
        let loaded = ServerError::parse("psql:<stdin>:12: ERROR:  role \"x\": no\nHINT:  create it").unwrap();
        assert_eq!((loaded.state.as_str(), loaded.message.as_str()), ("", "role \"x\": no"));
        assert_eq!(loaded.hint.as_deref(), Some("create it"));
        assert_eq!(ServerError::parse("There is no previous error."), None);
    }

    #[test]
    fn a_long_call_stack_is_shortened_and_says_so() {
        let context = (0..40).map(|n| format!("PL/pgSQL function f{n}()")).collect::<Vec<_>>().join("\n");
        let error = ServerError {
            message: "stack depth limit exceeded".into(),
            context: Some(context),
            ..ServerError::default()
        };
        assert!(error.fields().ends_with("PL/pgSQL function f11()\n… 28 more lines"), "{}", error.fields());
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,60}|(ERROR:  |[0-9A-Z]{5}: |HINT:  |LINE 1: |\n|x){0,12}") {
            let _ = ServerError::parse(&text).map(|error| error.to_string());
        }
    }
}
