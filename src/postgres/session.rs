//! One `psql` in the container, kept open: a statement costs 0.2 ms instead of the 45 ms of an exec.
//!
//! Promises: an answer belongs to its question (a random word closes each one); an SQL error carries its
//! SQLSTATE; a lost connection is not an answer. The session ends with its input, so a killed envctl
//! leaves none behind: psql reads an end of file and goes, and its locks with it.

use std::time::Duration;

use memchr::memmem;

use super::access::{Access, LIMITS, OWN_PATH};
use super::csv;
use super::server_error::ServerError;
use crate::docker::exec::demux::Output;
use crate::docker::exec::start_failure::start_failure;
use crate::docker::exec::stderr_tail::StderrTail;
use crate::docker::exec::verified_stream::silent;
use crate::docker::exec::{ExecHandle, ExecInput, ExecOutput};
use crate::docker::{Container, ContainerInfo};
use crate::error::{self, Error, Result};
use crate::postgres::initdb_wait;
use crate::random::nonce;
use crate::text::encoding::{SQL_ASCII, of_bytes, to_bytes};

/// Cause of a statement without an answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server reported an error.
    Sql(Box<ServerError>),
    /// The session is gone.
    Lost(Error),
}

impl Refusal {
    /// The SQLSTATE, where the server answered.
    pub(crate) fn state(&self) -> Option<&str> {
        match self {
            Self::Sql(error) => Some(&error.state),
            Self::Lost(_) => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Sql(error) => error::tool(format!("PostgreSQL refused: {error}")),
            Refusal::Lost(error) => error,
        }
    }
}

/// An open session.
pub(crate) struct Session {
    output: ExecOutput,
    input: ExecInput,
    handle: ExecHandle,
    token: String,
    stdout: Vec<u8>,
    stderr: StderrTail,
    container: Container,
    access: Access,
    /// A lost session asks what the server says; the one that asks does not.
    asks: bool,
}

/// Longest answer to a statement. Catalogs of a hundred thousand tables are smaller.
const ANSWER_LIMIT: usize = 64 << 20;
/// Bytes kept of a program's output before the end marker.
const PRINTED_KEPT: usize = 1 << 20;
/// Time in which a statement of envctl's own has to be answered. Waits have shorter limits of their own.
const QUERY_LIMIT: Duration = Duration::from_hours(1);
/// Silence after which the container is looked at.
const SILENCE: Duration = Duration::from_mins(1);
/// Time in which a server has to say how it is, after it has ended a session.
const ASKING_LIMIT: Duration = Duration::from_secs(5);

/// Time limit for the end of an error report, which a psql older than 13 does not print.
const REPORT_LIMIT: Duration = Duration::from_secs(2);
/// Time limit for a server that is starting up or recovering.
const STARTUP_LIMIT: Duration = Duration::from_mins(1);
/// Time limit for the image's first start, which makes the cluster and runs the project's own scripts.
const FIRST_START_LIMIT: Duration = Duration::from_mins(5);
/// Time limit for the real server to accept sessions once the first start is over.
const HANDOVER_LIMIT: Duration = Duration::from_secs(15);
/// Builds the first question: whether the server listens (the temporary server of a first start has its socket alone), the
/// database's encoding, and which of [`LIMITS`] the server knows. It lifts those for this session, and has SQL_ASCII text
/// sent as it is. With [`OWN_PATH`] no function or operator of the database takes the place of PostgreSQL's own.
fn greeting() -> String {
    let limits = LIMITS.map(|name| format!("'{name}'")).join(", ");
    format!(
        "select pg_catalog.current_setting('listen_addresses') <> '', pg_catalog.getdatabaseencoding(), \
                coalesce((select pg_catalog.string_agg(s.name, ' ') from pg_catalog.pg_settings s \
                          where case when s.name in ({limits}) then pg_catalog.set_config(s.name, '0', false) end = '0'), ''), \
                case pg_catalog.getdatabaseencoding() when '{SQL_ASCII}' \
                     then pg_catalog.set_config('client_encoding', '{SQL_ASCII}', false) end, \
                pg_catalog.set_config('search_path', '{OWN_PATH}', false)"
    )
}

impl Session {
    /// Opens a session; with the password if the server asks for one. Waits for a server that is just
    /// starting, or recovering.
    ///
    /// # Errors
    /// Kind `Tool`: no psql, no such role or database, wrong password. `Target`, `Docker`: no exec.
    pub(crate) async fn open(container: &Container, access: &Access, application: &str) -> Result<Self> {
        let mut access = access.clone();
        let started = tokio::time::Instant::now();
        // When the first start was last seen: between a complaint and the look for its reason it may have ended.
        let mut setting_up: Option<tokio::time::Instant> = None;
        loop {
            match Box::pin(Self::try_open(container, &access, application)).await {
                Ok(session) => return Ok(Self { asks: true, ..session }),
                Err(complaint) if complaint.wants_password() => {
                    access = access.with_password(container).await?;
                }
                Err(complaint) if complaint.is_starting() && started.elapsed() < STARTUP_LIMIT => {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                Err(complaint) if complaint.may_be_first_start() => {
                    if complaint.is_first_start() || initdb_wait::runs(container).await {
                        setting_up = Some(tokio::time::Instant::now());
                    }
                    if setting_up.is_none_or(|seen| seen.elapsed() >= HANDOVER_LIMIT) {
                        if complaint.wants_tcp()
                            && let Some(tcp) = access.by_loopback()
                            && let Some(session) =
                                Box::pin(Self::over_tcp(container, tcp, application)).await?
                        {
                            return Ok(session);
                        }
                        let missing = complaint.is_missing_database();
                        let error = complaint.into_error(container, &access);
                        if !missing {
                            return Err(error);
                        }
                        return Err(Box::pin(Self::with_names(container, &access, error)).await);
                    }
                    if started.elapsed() >= FIRST_START_LIMIT {
                        return Err(initdb_wait::too_long(container));
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                Err(complaint) => {
                    if complaint.wants_tcp()
                        && let Some(tcp) = access.by_loopback()
                        && let Some(session) = Box::pin(Self::over_tcp(container, tcp, application)).await?
                    {
                        return Ok(session);
                    }
                    return Err(complaint.into_error(container, &access));
                }
            }
        }
    }

    /// Tries the container's own address where its socket is not there or refuses; `None` where that does not help.
    async fn over_tcp(container: &Container, access: Access, application: &str) -> Result<Option<Self>> {
        match Self::try_open(container, &access, application).await {
            Ok(session) => Ok(Some(session)),
            Err(complaint) if complaint.wants_password() => {
                let access = access.with_password(container).await?;
                match Self::try_open(container, &access, application).await {
                    Ok(session) => Ok(Some(session)),
                    Err(complaint) => Err(complaint.into_error(container, &access)),
                }
            }
            Err(_) => Ok(None),
        }
    }

    /// Adds the names that there are to the error of a database that is not there.
    async fn with_names(container: &Container, access: &Access, error: Error) -> Error {
        for name in crate::postgres::session::USUAL.into_iter().filter(|name| *name != access.database) {
            let Ok(mut session) = Self::try_open(container, &access.to(name), "envctl").await else {
                continue;
            };
            let names = session.column(crate::postgres::session::CONNECTABLE).await.unwrap_or_default();
            session.close().await;
            let names: Vec<String> = names.into_iter().filter(|name| !name.starts_with("envctl_")).collect();
            if !names.is_empty() {
                return error.hint(format!("name another with `-d NAME`; these exist: {}", names.join(", ")));
            }
        }
        error.hint("name another with `-d NAME`")
    }

    async fn try_open(
        container: &Container,
        access: &Access,
        application: &str,
    ) -> std::result::Result<Self, ConnectError> {
        let argv =
            ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--csv", "--no-password"];
        let mut argv: Vec<String> = argv.map(str::to_owned).into();
        argv.push(access.dbname());
        // libpq's own words, by which answers are read, are translated into the language of the container.
        let spec = access.spec(argv, application).env("LC_ALL", "C").with_stdin();
        let exec = container.exec(&spec).await.map_err(ConnectError::Docker)?;
        let mut session = Self {
            output: exec.output,
            input: exec.input,
            handle: exec.handle,
            token: nonce(),
            stdout: Vec::new(),
            stderr: StderrTail::default(),
            container: container.clone(),
            access: access.clone(),
            asks: false,
        };
        let answer = session.query(&greeting()).await.map(|rows| rows.into_iter().next().unwrap_or_default());
        if let Ok(row) = &answer {
            let text = |at: usize| row.get(at).map(String::as_str).unwrap_or_default();
            session.access.learn(text(1), text(2));
        }
        match answer {
            // It will be shut down, and whatever runs in it then is cut off.
            Ok(row)
                if row.first().is_some_and(|listens| listens == "f")
                    && initdb_wait::runs(container).await =>
            {
                session.close().await;
                Err(ConnectError::Words(initdb_wait::WORDS.to_owned()))
            }
            Ok(_) => Ok(session),
            Err(Refusal::Sql(error)) => Err(ConnectError::Words(error.to_string())),
            Err(Refusal::Lost(lost)) => {
                let code = session.handle.exit_code().await.unwrap_or(None).unwrap_or(0);
                match start_failure(&session.stdout, code) {
                    Some(_) => Err(ConnectError::NoPsql),
                    None if session.stderr.bytes().is_empty() => Err(ConnectError::Docker(lost)),
                    None => Err(ConnectError::Words(session.stderr.text())),
                }
            }
        }
    }

    /// Opens a further session in the same database.
    pub(crate) async fn open_another(&self, application: &str) -> Result<Self> {
        Self::open(&self.container, &self.access, application).await
    }

    /// Returns the database's container.
    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    /// The access that worked, with the password if that was what it took.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Asks one statement and gives the first field of each row.
    ///
    /// # Errors
    /// Errors of [`Self::query`].
    pub(crate) async fn column(&mut self, sql: &str) -> std::result::Result<Vec<String>, Refusal> {
        let rows = self.query(sql).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    /// Asks one statement (without its semicolon) and gives the rows, every field as text.
    ///
    /// # Errors
    /// The server refused, or the session is lost.
    pub(crate) async fn query(&mut self, sql: &str) -> std::result::Result<Vec<Vec<String>>, Refusal> {
        // The newline before the semicolon keeps a trailing line comment from swallowing it.
        let token = &self.token;
        let question = format!(
            "{sql}\n;\n\\echo {token} :ERROR :SQLSTATE :LAST_ERROR_MESSAGE\n\\if :ERROR\n{}\n\\endif\n\\echo {token}.\n",
            report_lines(token)
        );
        let asked = tokio::time::timeout(QUERY_LIMIT, Box::pin(self.ask(&question, false))).await;
        let (rows, status) = match asked {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(self.unusable(&format!("gave no answer within {} s", QUERY_LIMIT.as_secs())));
            }
        };
        let mut text = status.trim_start().splitn(3, ' ');
        if text.next() == Some("false") {
            self.stderr.clear();
            return Ok(csv::records(&rows));
        }
        let (state, message) = (text.next().unwrap_or_default(), text.next().unwrap_or_default().trim());
        let told =
            ServerError { state: state.to_owned(), message: message.to_owned(), ..ServerError::default() };
        Err(Refusal::Sql(Box::new(self.server_error(told).await?)))
    }

    /// Reads the report of the last error, which [`report_lines`] made psql print. `told` is what psql's variables
    /// say of it; they are empty behind `\gexec` (seen with psql 17).
    ///
    /// # Errors
    /// [`Refusal::Lost`]: the session ended meanwhile.
    pub(crate) async fn server_error(
        &mut self,
        told: ServerError,
    ) -> std::result::Result<ServerError, Refusal> {
        let marks = MARKS.map(|mark| format!("{}{mark}", self.token));
        let arriving = async {
            // stderr is a stream of its own, which may lag behind stdout.
            while memmem::find(self.stderr.bytes(), marks[1].as_bytes()).is_none() {
                self.more().await?;
            }
            Ok(())
        };
        match tokio::time::timeout(REPORT_LIMIT, arriving).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(lost)) => return Err(lost),
        }
        if has_lost_connection(&self.stderr.text(), &told.state) {
            return Err(Box::pin(self.lost(None)).await);
        }
        let text = std::mem::take(&mut self.stderr).text();
        Ok(read_report(&text, &marks, told))
    }

    /// Hands psql lines of its own language, which `lines` makes around this session's closing word: they have
    /// to echo `WORD …` once and `WORD.` as their last line. Gives what stands between.
    ///
    /// # Errors
    /// [`Refusal::Lost`]: the session ended meanwhile.
    pub(crate) async fn program(
        &mut self,
        lines: impl FnOnce(&str) -> String,
    ) -> std::result::Result<String, Refusal> {
        let question = lines(&self.token);
        self.stderr.clear();
        Ok(self.ask(&question, true).await?.1)
    }

    async fn ask(
        &mut self,
        question: &str,
        is_program: bool,
    ) -> std::result::Result<(String, String), Refusal> {
        let sent = match self.access.encoding() {
            Some(SQL_ASCII) => self.input.write(&to_bytes(question)).await,
            _ => self.input.write(question.as_bytes()).await,
        };
        let answer = self.answer(is_program).await?;
        if let Err(cause) = sent {
            let cause = error::tool("writing to psql failed").because(cause);
            return Err(Box::pin(self.lost(Some(cause))).await);
        }
        Ok(answer)
    }

    /// The first field of the first row, if there is one.
    pub(crate) async fn value(&mut self, sql: &str) -> std::result::Result<Option<String>, Refusal> {
        Ok(self.query(sql).await?.into_iter().next().and_then(|row| row.into_iter().next()))
    }

    /// Ends the session and waits until psql has gone.
    pub(crate) async fn close(mut self) {
        let _ = self.input.write(b"\\q\n").await;
        let wait = async { while let Ok(true) = self.output.read(&mut |_, _| ()).await {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), wait).await;
    }

    /// Reads up to the closing word: the rows' text and the status behind the word. Of a program, whose rows nobody
    /// reads, the end is kept.
    async fn answer(&mut self, is_program: bool) -> std::result::Result<(String, String), Refusal> {
        let opening = format!("{} ", self.token).into_bytes();
        let closing = format!("\n{}.\n", self.token).into_bytes();
        let mut looked = 0;
        loop {
            if let Some(at) = memmem::find(&self.stdout[looked..], &closing) {
                let end = looked + at;
                let Some(start) = memmem::find(&self.stdout[..end], &opening) else {
                    return Err(self.unusable("closed its answer without a status, which psql never does"));
                };
                let rows = &self.stdout[..start];
                let rows = match self.access.encoding() {
                    Some(SQL_ASCII) => of_bytes(rows),
                    _ => String::from_utf8_lossy(rows).into_owned(),
                };
                let status = String::from_utf8_lossy(&self.stdout[start + opening.len()..end]).into_owned();
                self.stdout.drain(..end + closing.len());
                return Ok((rows, status));
            }
            if is_program && self.stdout.len() > PRINTED_KEPT {
                let opened = memmem::find(&self.stdout, &opening);
                let gone = opened.unwrap_or_else(|| self.stdout.len().saturating_sub(opening.len()));
                self.stdout.drain(..gone);
            }
            if self.stdout.len() > ANSWER_LIMIT {
                self.stdout = Vec::new();
                return Err(self.unusable(&format!("gave an answer of more than {} MiB", ANSWER_LIMIT >> 20)));
            }
            looked = self.stdout.len().saturating_sub(closing.len());
            self.more().await?;
        }
    }

    /// Reads what has arrived next of either stream. Of stderr the end is kept.
    async fn more(&mut self) -> std::result::Result<(), Refusal> {
        loop {
            let (stdout, stderr) = (&mut self.stdout, &mut self.stderr);
            let mut sink = |which, bytes: &[u8]| match which {
                Output::Stdout => stdout.extend_from_slice(bytes),
                Output::Stderr => stderr.push(bytes),
            };
            match tokio::time::timeout(SILENCE, self.output.read(&mut sink)).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => return Err(Box::pin(self.lost(None)).await),
                Ok(Err(cause)) => return Err(Box::pin(self.lost(Some(cause))).await),
                Err(_) => {
                    self.look().await?;
                }
            }
        }
    }

    /// Looks at the container of a psql that is silent.
    async fn look(&self) -> std::result::Result<(), Refusal> {
        Box::pin(silent(&self.container, "psql", SILENCE)).await.map_err(Refusal::Lost)
    }

    /// The error of a psql that does not behave as one.
    fn unusable(&self, what: &str) -> Refusal {
        Refusal::Lost(error::tool(format!("psql in container {} {what}", self.container.name)))
    }

    async fn lost(&self, cause: Option<Error>) -> Refusal {
        let text = without_marks(&self.stderr.text(), &self.token);
        let mut message = format!("the session with PostgreSQL in {} ended", self.container.name);
        if !text.is_empty() {
            message.push_str(&format!(": {text}"));
        }
        // Who ends one session on purpose leaves the server as it is; a swap would make the question wait.
        let on_purpose = text.contains("due to administrator command");
        if self.asks && !on_purpose && LOST.iter().any(|lost| text.contains(lost)) {
            let asking = Self::try_open(&self.container, &self.access, "envctl");
            match tokio::time::timeout(ASKING_LIMIT, Box::pin(asking)).await {
                Ok(Ok(session)) => {
                    session.close().await;
                    message.push_str("; PostgreSQL accepts sessions again");
                }
                Ok(Err(ConnectError::Words(said))) => {
                    let said = said.rsplit("FATAL:  ").next().unwrap_or(&said);
                    message.push_str(&format!("; PostgreSQL says now: {said}"));
                }
                Ok(Err(_)) | Err(_) => message.push_str("; PostgreSQL gives no answer now"),
            }
        }
        let error = error::tool(message);
        Refusal::Lost(match cause {
            Some(cause) => error.because(cause),
            None => error,
        })
    }
}

/// Messages of libpq and of psql about a connection that is gone.
const LOST: [&str; 4] = [
    "server closed the connection unexpectedly",
    "terminating connection",
    "no connection to the server",
    "connection to server was lost",
];

/// SQLSTATEs with which the server ends a session: by an administrator, by a crash, by a limit, while it cannot serve.
const ENDING: [&str; 7] = ["57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"];

/// Reports whether an error is about the connection. libpq gives its own errors no SQLSTATE.
fn has_lost_connection(stderr: &str, state: &str) -> bool {
    let is_told = || stderr.lines().any(|line| LOST.iter().any(|lost| line.starts_with(lost)));
    ENDING.contains(&state) || (state.is_empty() && is_told())
}

/// Returns psql's message without the report between two marks, which repeats the message.
fn without_marks(stderr: &str, token: &str) -> String {
    let told = stderr.split_once(&format!("{token}{}", MARKS[0])).map_or(stderr, |(before, _)| before);
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Ends of the lines that stand before and behind a report on stderr.
const MARKS: [&str; 2] = ["-report", "-end"];

/// Complaint of a psql older than 13 about `\warn`.
const UNKNOWN: &str = "invalid command \\warn";

/// Lines that make psql report its last error on stderr with all fields, between two marks.
pub(crate) fn report_lines(token: &str) -> String {
    format!("\\warn {token}{}\n\\errverbose\n\\warn {token}{}", MARKS[0], MARKS[1])
}

/// The error that a report is about. psql reports an older one where the newest error is psql's own.
fn read_report(stderr: &str, marks: &[String; 2], told: ServerError) -> ServerError {
    let between = || {
        let (before, rest) = stderr.split_once(&marks[0])?;
        Some((before, rest.split_once(&marks[1])?.0))
    };
    // psql 12 does not know `\warn`, and says so in both places, and of branches that are not taken.
    let unknown = || {
        let mut rest = stderr;
        while let Some((before, report)) = rest.rsplit_once(UNKNOWN) {
            if !report.trim().is_empty() {
                return Some((before, report));
            }
            rest = before;
        }
        None
    };
    let (before, report) = between().or_else(unknown).unwrap_or((stderr, ""));
    let fits = |error: &ServerError| {
        before.contains(error.message.lines().next().unwrap_or_default())
            && (told.state.is_empty() || told.state == error.state)
    };
    match ServerError::parse(report).filter(fits) {
        Some(error) => error,
        None if !told.message.is_empty() => told,
        None => {
            let last = before.lines().rev().find(|line| !line.trim().is_empty());
            ServerError { message: last.unwrap_or("psql gave no reason").trim().to_owned(), ..told }
        }
    }
}

/// Takes a row of exactly `N` fields. What a list leaves out for its shape would be missing without a word.
///
/// # Errors
/// Kind `Tool`: the row has another number of fields.
pub(crate) fn fields<const N: usize>(row: Vec<String>) -> Result<[String; N]> {
    <[String; N]>::try_from(row).map_err(|row| {
        error::tool(format!(
            "PostgreSQL answered with a row of {} fields where {N} were asked for",
            row.len()
        ))
    })
}

/// Cause of a session that could not be opened.
enum ConnectError {
    Docker(Error),
    NoPsql,
    /// Message of psql about a failed connection.
    Words(String),
}

impl ConnectError {
    fn wants_password(&self) -> bool {
        matches!(self, Self::Words(text) if text.contains("no password supplied"))
    }

    fn is_starting(&self) -> bool {
        let Self::Words(text) = self else { return false };
        let passes = [
            "starting up",
            "in recovery mode",
            "not yet accepting connections",
            "not accepting connections",
            // A swap renamed the database between the server's look and its lock (postinit.c): the next try knows.
            "just been dropped or renamed",
            // It ended between the connection and its first word: the next try knows whether it comes back.
            "server closed the connection unexpectedly",
        ];
        // A standby that admits nobody stays so, and a server that shuts down goes.
        passes.iter().any(|one| text.contains(one)) && !text.contains("Hot standby mode is disabled")
    }

    /// Reports whether the server is the temporary one of a first start.
    fn is_first_start(&self) -> bool {
        matches!(self, Self::Words(text) if text == initdb_wait::WORDS)
    }

    /// Reports whether a first start can cause the message: no socket, no database or role of the project yet, a
    /// shutdown. In a first start such failures end by themselves.
    fn may_be_first_start(&self) -> bool {
        let passing = [
            initdb_wait::WORDS,
            "No such file or directory",
            "Connection refused",
            "shutting down",
            "terminating connection",
            "does not exist",
        ];
        matches!(self, Self::Words(text) if passing.iter().any(|one| text.contains(one)))
    }

    /// Reports whether the server has no socket, or refuses sessions over its socket.
    fn wants_tcp(&self) -> bool {
        let local = ["No such file or directory", "host \"[local]\"", "Peer authentication failed"];
        matches!(self, Self::Words(text) if local.iter().any(|one| text.contains(one)))
    }

    fn is_missing_database(&self) -> bool {
        matches!(self, Self::Words(text) if text.contains("database") && text.contains("does not exist")
            && !text.contains("role"))
    }

    fn into_error(self, container: &ContainerInfo, access: &Access) -> Error {
        match self {
            Self::Docker(error) => error,
            Self::NoPsql => error::tool(format!("container {} has no psql", container.name)).hint(
                "name the database: `--container NAME`, or `[profiles.NAME] db = \"…\"` in envctl.toml",
            ),
            Self::Words(text) if text.contains("FATAL:  ") => {
                // psql repeats how it connected in front of what the server said.
                let said = text.rsplit("FATAL:  ").next().unwrap_or(&text).to_owned();
                said_no(&said, container, access)
            }
            Self::Words(text) => said_no(&text, container, access),
        }
    }
}

/// The server's no, with what to do about it.
fn said_no(text: &str, container: &ContainerInfo, access: &Access) -> Error {
    if text.contains("does not exist") && text.contains("database") {
        // The names that there are follow as a hint.
        return error::target(format!("{text} (container {}, tried {:?})", container.name, access.database));
    }
    if text.contains("does not exist") && text.contains("role") {
        return error::tool(format!("{text} (container {})", container.name))
            .hint("name the role in envctl.toml: `[database] user = \"…\"`");
    }
    // psql asks on a line of its own whether the server runs.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let error = error::tool(format!("cannot connect to PostgreSQL in {}: {text}", container.name));
    let elsewhere = ["No such file or directory", "Connection refused", "pg_hba.conf"];
    let error = if elsewhere.iter().any(|one| text.contains(one)) {
        error.hint("say in envctl.toml where it listens: `[database] port = 5433`, `host = \"127.0.0.1\"`")
    } else {
        error
    };
    error.hint(format!("read its logs: `docker logs --tail 50 {}`", container.name))
}

/// Databases that nearly every server has, in the order in which they are tried. A session in `template1` stops others
/// from copying it, so it comes second.
pub(crate) const USUAL: [&str; 2] = ["postgres", "template1"];

/// Databases that the role may connect to, those of restores last.
pub(crate) const CONNECTABLE: &str = "select datname from pg_catalog.pg_database \
     where datallowconn and datconnlimit <> 0 and datconnlimit <> -2 \
       and pg_catalog.has_database_privilege(oid, 'connect') \
     order by datname like 'envctl\\_%', datistemplate, datname";
