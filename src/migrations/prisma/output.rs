//! Translates the output of the Prisma CLI into envctl's kinds of failure and hints.
//!
//! Recognised by Prisma's own codes (prisma-engines `user-facing-errors`), which it prints as `P3018` alone on a
//! line or as `Error: P3018`; the words around them change from version to version.

use crate::docker::exec::CommandOutput;
use crate::error::{self, Error, ErrorKind};
use crate::text::terminal::without_escape_sequences;

/// Returns both output streams of the CLI as text, without colours and box drawing.
pub(crate) fn said(captured: &CommandOutput) -> String {
    let both = [&captured.stdout[..], b"\n", &captured.stderr[..]].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    without_escape_sequences(&text)
}

/// Prisma's code in a text: `P` and four digits, standing alone.
pub(crate) fn code(text: &str) -> Option<&str> {
    text.match_indices('P').find_map(|(at, _)| {
        let argument = text.get(at..at + 5)?;
        let digits = argument[1..].bytes().all(|byte| byte.is_ascii_digit());
        let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        (digits && alone(text[..at].chars().next_back()) && alone(text[at + 5..].chars().next()))
            .then_some(argument)
    })
}

/// The JavaScript engine prints the words of a state without its code.
fn code_of_words(text: &str) -> Option<&'static str> {
    const WORDS: &[(&str, &str)] = &[
        ("Timed out trying to acquire a postgres advisory lock", "P1002"),
        ("Can't reach database server", "P1001"),
        ("Authentication failed against", "P1000"),
        ("The database schema is not empty", "P3005"),
    ];
    WORDS.iter().find(|(arguments, _)| text.contains(arguments)).map(|(_, code)| *code)
}

/// The lines that say what went wrong: what follows `Error`, without hints of Prisma's own and empty lines.
fn gist(text: &str) -> String {
    let from = text.find("Error").unwrap_or(0);
    let noise = ["https://pris.ly", "Prisma CLI Version", "Loaded Prisma config", "Prisma schema loaded"];
    let lines = text[from..].lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines
        .filter(|line| !noise.iter().any(|noise| line.contains(noise)))
        .map(|line| line.trim_start_matches("Error:").trim())
        .filter(|line| !line.is_empty() && code(line) != Some(*line))
        .take(6)
        .collect();
    lines.join("; ")
}

/// The failure of `prisma WORDS` as one of ours.
pub(crate) fn failure(arguments: &str, captured: &CommandOutput, container: &str) -> Error {
    let text = said(captured);
    let gist = gist(&text);
    let code = code(&text).or_else(|| code_of_words(&text));
    let name = migration_name(&text);
    let named = name.as_deref().unwrap_or("NAME");
    let told = |kind: ErrorKind, message: String| Error::new(kind, message);
    let suffix = code.map_or_else(String::new, |code| format!(" ({code})"));
    match code {
        Some("P1002") if text.contains("advisory lock") => {
            told(ErrorKind::Busy, format!("another migration runs on this database{suffix}"))
                .note("Prisma waited for 10 s").hint("try again when the other one has ended")
        }
        Some("P1000" | "P1001" | "P1002" | "P1003" | "P1010" | "P1011" | "P1017") => {
            error::tool(format!("Prisma in {container} does not reach the database: {gist}{suffix}"))
                .hint(format!("check DATABASE_URL there: `envctl exec backend -- printenv`; the database: `envctl status`; logs: `docker logs --tail 50 {container}`"))
        }
        Some("P3005") => {
            error::refused(format!("the database schema is not empty, and nothing says which migrations are in it{suffix}"))
                .hint("say so for each of the first ones that are there already: `envctl migrate resolve NAME --applied`")
        }
        Some("P3009") => told(ErrorKind::Unknown, format!("{named} failed before{suffix}"))
            .hint(format!("say so where nothing of it is in the database: `envctl migrate resolve {named} --rolled-back`"))
            .hint(format!("say so where all of it is there: `envctl migrate resolve {named} --applied`")),
        Some("P3015") => error::refused(format!("a folder of migrations has no migration.sql{suffix}: {gist}"))
            .hint("put the file back from version control, or remove the folder"),
        Some("P3018") => error::tool(format!("{named} failed{suffix}: {gist}")).hint(format!(
            "repair the file, then `envctl migrate resolve {named} --rolled-back` and `envctl migrate`"
        )),
        Some("P3006" | "P3014") => error::tool(format!("Prisma's shadow database cannot be made or used{suffix}: {gist}"))
            .hint("give its role CREATEDB, or the schema a `shadowDatabaseUrl`"),
        Some("P1012") => error::usage(format!("the schema has an error{suffix}: {gist}")),
        Some("P3008" | "P3011" | "P3012" | "P3017") => error::refused(format!("{gist}{suffix}"))
            .hint("see where each migration stands: `envctl migrate status`"),
        Some(code) => error::tool(format!("`prisma {arguments}` failed: {gist} ({code})")),
        None if text.to_lowercase().contains("drift detected") => {
            error::refused(format!("the database is not what its migrations make: {gist}"))
                .hint("look at the difference, then write a migration that says it: `envctl migrate create NAME`")
        }
        None if text.contains("PRISMA_USER_CONSENT") || text.contains("AI agent") => {
            error::refused(format!("Prisma refuses: {gist}"))
        }
        None => error::tool(format!(
            "`prisma {arguments}` in {container} ended with {}: {}",
            captured.exit_code,
            if gist.is_empty() { "there was no output" } else { &gist }
        ))
        .hint(format!("see for yourself: `envctl exec backend -- npx prisma {arguments}`")),
    }
}

/// Returns the server's message in a longer text, with the fields that Prisma's native engine writes behind it: DETAIL and
/// HINT on lines of their own, CONTEXT as `where_` of the error's debug form.
pub(crate) fn database_error(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| line.starts_with("ERROR: ") || line.starts_with("error: "))?;
    let mut told = line.split_once(": ")?.1.trim().to_owned();
    for line in lines {
        if line.starts_with("DETAIL: ") || line.starts_with("HINT: ") {
            told = format!("{told}\n{line}");
        }
    }
    let context = text.split_once("where_: Some(\"").and_then(|(_, rest)| rest.split_once("\"),"));
    if let Some((context, _)) = context {
        told = format!("{told}\nCONTEXT: {}", context.replace("\\n", "\n").replace("\\\"", "\""));
    }
    Some(told)
}

/// The migration that a message is about.
fn migration_name(text: &str) -> Option<String> {
    let after = |mark: &str| {
        let rest = &text[text.find(mark)? + mark.len()..];
        let rest = rest.trim_start_matches([' ', '\n', '`', '"']);
        let name: String =
            rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect();
        (!name.is_empty()).then_some(name)
    };
    ["Migration name:", "The `", "failed: `"].into_iter().find_map(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> Error {
        let captured = CommandOutput { stdout: Vec::new(), stderr: text.as_bytes().to_vec(), exit_code: 1 };
        failure("migrate deploy", &captured, "c")
    }

    #[test]
    fn prismas_states_are_distinct_codes_and_next_commands() {
        // As Prisma 6.19.3 printed them.
        let p3018 = failed(
            "Error: P3018\n\nA migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\n\
             Migration name: 20250101000000_bad\n\nDatabase error code: 22012\n\nDatabase error:\nERROR: division by zero\n",
        );
        assert_eq!(p3018.kind(), ErrorKind::Tool);
        assert!(p3018.message().starts_with("20250101000000_bad failed (P3018)"), "{p3018}");
        let p3009 = failed(
            "Error: P3009\n\nmigrate found failed migrations in the target database, new migrations will not be applied.\n\
             The `20250101000000_bad` migration started at 2026-01-01 00:00:00 UTC failed\n",
        );
        assert_eq!(p3009.kind(), ErrorKind::Unknown);
        assert!(p3009.hints()[0].contains("resolve 20250101000000_bad --rolled-back"), "{:?}", p3009.hints());
        let busy = failed(
            "Error: P1002\n\nTimed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock(72707369)). Timeout: 10000ms.",
        );
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert_eq!(failed("Error: P1001: Can't reach database server at `db:5432`").kind(), ErrorKind::Tool);
        assert_eq!(failed("Error: P3005\n\nThe database schema is not empty.").kind(), ErrorKind::Refused);
        assert_eq!(failed("Error: P1012\n\nerror: This line is invalid.").kind(), ErrorKind::Usage);
        assert_eq!(failed("Segmentation fault").kind(), ErrorKind::Tool);
        assert_eq!(failed("Error: P3015\n\nCould not find the migration file").kind(), ErrorKind::Refused);
        let drift = failed("Error: Drift detected: Your database schema is not in sync");
        assert_eq!(drift.kind(), ErrorKind::Refused);
        assert!(drift.hints()[0].contains("migrate create NAME"), "{:?}", drift.hints());
    }

    #[test]
    fn the_servers_hint_and_context_are_kept() {
        // As the native engine of Prisma 6 wrote them (prisma/orm#8424).
        let text = "A migration failed to apply.\n\nDatabase error code: 55P04\n\nDatabase error:\n\
                    ERROR: unsafe use of new value \"B\" of enum type e\n\
                    HINT: New enum values must be committed before they can be used.\n\nPosition:\n  1 ALTER TYPE\n\n\
                    DbError { severity: \"ERROR\", hint: Some(\"New enum values\"), position: None, \
                    where_: Some(\"PL/pgSQL function f()\\nSQL statement \\\"x\\\"\"), schema: None }";
        assert_eq!(
            database_error(text).unwrap(),
            "unsafe use of new value \"B\" of enum type e\nHINT: New enum values must be committed before they can be used.\n\
             CONTEXT: PL/pgSQL function f()\nSQL statement \"x\""
        );
        assert_eq!(database_error("ERROR: division by zero").as_deref(), Some("division by zero"));
    }

    #[test]
    fn a_state_is_known_by_its_words_and_a_name_is_no_state() {
        let unreached = failed("Error: Can't reach database server at `127.0.0.1:1`");
        assert!(
            unreached.message().ends_with("(P1001)") && unreached.hints()[0].contains("DATABASE_URL"),
            "{unreached}"
        );
        let busy = failed(
            "Timed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock(72707369))",
        );
        assert_eq!(busy.kind(), ErrorKind::Busy);
        for name in ["drift", "consent"] {
            let other = failed(&format!("Error: relation \"{name}\" does not exist"));
            assert_eq!(other.kind(), ErrorKind::Tool, "{other}");
        }
    }

    #[test]
    fn a_code_stands_alone() {
        assert_eq!(code("see XP3018 or P30185, it is P3015."), Some("P3015"));
        assert_eq!(code("P\u{e9}3018"), None);
    }
}
