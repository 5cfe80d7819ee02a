//! Command for an exec: program, variables, user, terminal.

use std::fmt;

/// A command line and its surroundings.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ExecSpec {
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Words in front of `argv`: the interpreter and the script that run it below a [`reaper`].
    pub(crate) reaper: Vec<String>,
    /// Variables added to the container's own. Values may be secrets: not in `Debug`.
    pub(crate) env: Vec<(String, String)>,
    /// User (and group) inside the container; `None` is the container's own.
    pub(crate) user: Option<String>,
    /// Working directory inside the container.
    pub(crate) workdir: Option<String>,
    /// True where the command gets a terminal.
    pub(crate) tty: bool,
    /// True where envctl writes the command's stdin.
    pub(crate) stdin: bool,
}

impl ExecSpec {
    /// A plain command: no terminal, no stdin.
    pub(crate) fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Adds a variable.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Adds to the options that PostgreSQL's tools give their sessions; nothing where they have none.
    #[must_use]
    pub(crate) fn options(mut self, more: &str) -> Self {
        for (_, value) in self.env.iter_mut().filter(|(name, _)| name == "PGOPTIONS") {
            value.push_str(more);
        }
        self
    }

    /// Runs as this user; `None` leaves the container's own.
    #[must_use]
    pub(crate) fn user(mut self, user: Option<&str>) -> Self {
        self.user = user.map(str::to_owned);
        self
    }

    /// Attaches stdin.
    #[must_use]
    pub(crate) fn with_stdin(mut self) -> Self {
        self.stdin = true;
        self
    }

    /// The program's name, for messages.
    pub(crate) fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

impl fmt::Debug for ExecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ExecSpec")
            .field("argv", &self.argv)
            .field("reaper", &!self.reaper.is_empty())
            .field("env", &names)
            .field("user", &self.user)
            .field("workdir", &self.workdir)
            .field("tty", &self.tty)
            .field("stdin", &self.stdin)
            .finish()
    }
}
