//! A server for the fake engine: `psql` as envctl's sessions speak to it, and as a person's one-liners do.

use crate::daemon::Process;

/// What the database answers.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// What psql says instead of connecting.
    pub(crate) refuses: Option<String>,
    answers: Vec<(String, Answer)>,
}

#[derive(Clone, Debug)]
enum Answer {
    Rows(String),
    Error(&'static str, String),
}

impl Server {
    /// PostgreSQL 15.18 with the database `acme`, idle.
    pub(crate) fn new() -> Self {
        let mut server = Self { refuses: None, answers: Vec::new() };
        let listens = "current_setting('listen_addresses') <> ''";
        server.answers.push((listens.to_owned(), Answer::Rows("t\n".to_owned())));
        let port = "current_setting('port')";
        server.answers.push((port.to_owned(), Answer::Rows("*,5432\n".to_owned())));
        server.answer("pg_try_advisory_lock", "t\n").answer("pg_is_in_recovery", "f\n").answer(
            "current_setting('server_version_num')",
            "acme,150018,15.18 (Debian 15.18-0+deb12u1),12345678,4096,\"\"\n",
        )
    }

    /// Refuses every connection with these words, as psql prints them.
    pub(crate) fn refusing(words: &str) -> Self {
        Self { refuses: Some(words.to_owned()), ..Self::new() }
    }

    /// Answers statements that hold `part` with these rows in CSV; the last one that fits counts.
    pub(crate) fn answer(mut self, part: &str, rows: &str) -> Self {
        self.answers.push((part.to_owned(), Answer::Rows(rows.to_owned())));
        self
    }

    /// Refuses statements that hold `part`.
    pub(crate) fn error(mut self, part: &str, state: &'static str, message: &str) -> Self {
        self.answers.push((part.to_owned(), Answer::Error(state, message.to_owned())));
        self
    }

    /// The program `psql`.
    pub(crate) fn psql(self) -> impl Fn(&mut Process<'_>) -> i64 + Send + Sync + 'static {
        move |process| {
            if let Some(words) = &self.refuses {
                process.err(format!("psql: error: {words}\n"));
                return 2;
            }
            if process.has("--csv") { self.session(process) } else { self.one_liner(process) }
        }
    }

    fn find(&self, sql: &str) -> Option<&Answer> {
        self.answers.iter().rev().find(|(part, _)| sql.contains(part.as_str())).map(|(_, answer)| answer)
    }

    /// Statements, each closed by `\echo WORD :ERROR …` and `\echo WORD.`.
    fn session(&self, process: &mut Process<'_>) -> i64 {
        let mut sql = String::new();
        while let Some(line) = process.line() {
            let Some(word) = line.strip_prefix("\\echo ") else {
                if line == "\\q" {
                    return 0;
                }
                sql.push_str(&line);
                sql.push('\n');
                continue;
            };
            if let Some((word, _)) = word.split_once(' ') {
                let status = match self.find(&sql) {
                    Some(Answer::Error(state, message)) => {
                        let report = format!("ERROR:  {state}: {message}\n{word}-end\n");
                        process.err(format!("ERROR:  {message}\n{word}-report\n{report}"));
                        format!("true {state} {message}")
                    }
                    Some(Answer::Rows(rows)) => {
                        process.out(rows);
                        "false 00000 ".to_owned()
                    }
                    None => "false 00000 ".to_owned(),
                };
                process.out(format!("{word} {status}\n"));
                sql.clear();
            } else {
                process.out(format!("{word}\n"));
            }
        }
        0
    }

    /// `psql -c SQL` and `psql -f -`.
    fn one_liner(&self, process: &mut Process<'_>) -> i64 {
        let at = process.argv.iter().position(|word| word == "-c");
        let sql = match at.and_then(|at| process.argv.get(at + 1)) {
            Some(sql) => sql.clone(),
            None => String::from_utf8_lossy(&process.all()).into_owned(),
        };
        match self.find(&sql) {
            Some(Answer::Rows(rows)) => process.out(rows),
            Some(Answer::Error(_, message)) => {
                process.err(format!("psql:<stdin>:1: ERROR:  {message}\n"));
                return 3;
            }
            None => process.out(format!("psql was asked: {sql}\n")),
        }
        0
    }
}
