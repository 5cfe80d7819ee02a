//! A tool that was chosen: a preset's row and what the configuration says instead, as command lines that can be run.
//!
//! Promises: every word of an argv stays one word, whatever stands in it; a verb that the tool does not have is an error
//! that says what to type.

use super::presets::{OWN, OWN_WRITES, PRESETS, Preset, StatusFormat};
use crate::error::{self, Error, Result};
use crate::migrations::MigrationName;
use crate::migrations::command::detect::{Found, ToolFiles};

/// Settings of a tool, from `[migrations.commands]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commands {
    /// `migrations.commands.status`.
    pub(crate) status: Option<Vec<String>>,
    /// `migrations.commands.apply`.
    pub(crate) apply: Option<Vec<String>>,
    /// `migrations.commands.create`.
    pub(crate) create: Option<Vec<String>>,
    /// `migrations.commands.reset`.
    pub(crate) reset: Option<Vec<String>>,
    /// `migrations.commands.seed`.
    pub(crate) seed: Option<Vec<String>>,
}

/// Which tool, before its files are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToolChoice {
    /// A row.
    Preset(&'static Preset),
    /// One of the project's own, all of it in `migrations.commands`.
    Own,
}

impl PartialEq for ToolChoice {
    fn eq(&self, other: &Self) -> bool {
        self.keyword() == other.keyword()
    }
}

impl Eq for ToolChoice {}

impl ToolChoice {
    /// Returns the preset's name, or `migrations.commands`.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Preset(preset) => preset.name,
            Self::Own => "migrations.commands",
        }
    }
}

/// Command lines, ready but for the name of a new migration.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedTool {
    pub(crate) name: &'static str,
    /// Directory in which the tool runs, absolute.
    pub(crate) dir: String,
    /// Lists.
    pub(crate) status: Option<Vec<String>>,
    /// Applies.
    pub(crate) apply: Vec<String>,
    create: Option<Vec<String>>,
    create_empty: Option<Vec<String>>,
    /// Drops and applies everything.
    pub(crate) reset: Option<Vec<String>>,
    /// Fills in.
    pub(crate) seed: Option<Vec<String>>,
    pub(crate) reading: StatusFormat,
    pub(crate) fresh: &'static [&'static str],
    pub(crate) none: &'static [&'static str],
    pub(crate) writes: &'static [&'static str],
    resolve: &'static str,
}

/// The row that a word in the settings means.
///
/// # Errors
/// Kind `Usage`, with the one that was probably meant.
pub(crate) fn preset(argument: &str) -> Result<&'static Preset> {
    Preset::named(argument).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        let error = error::usage(format!("`{}` is no preset of migrations", argument.escape_debug()));
        let likeness = |name: &&&str| strsim::normalized_damerau_levenshtein(argument, name);
        let alike = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let error = match alike.filter(|name| likeness(name) >= 0.5) {
            Some(alike) => error.hint(format!("did you mean `{alike}`?")),
            None => error,
        };
        error.hint(format!(
            "write one of {}; or a tool of your own: `[migrations.commands]` in envctl.toml",
            names.join(", ")
        ))
    })
}

impl ResolvedTool {
    /// The picked tool on its ground.
    ///
    /// # Errors
    /// Kind `Usage`: a file that its command lines need is not there; an own tool without `apply`.
    pub(crate) fn new(pick: ToolChoice, commands: &Commands, tool_files: &ToolFiles) -> Result<Self> {
        let file = tool_files.found.iter().find(|found| found.preset.name == pick.keyword());
        let row = match pick {
            ToolChoice::Preset(preset) => Some(preset),
            ToolChoice::Own => None,
        };
        let place = Placeholders { row, file, dir: &tool_files.dir };
        let line = |own: &Option<Vec<String>>, known: Option<&[&str]>| -> Result<Option<Vec<String>>> {
            let known = || known.map(|argv| argv.iter().map(|argument| (*argument).to_owned()).collect());
            own.clone().or_else(known).map(|argv| place.fill(argv)).transpose()
        };
        let apply = line(&commands.apply, row.map(|row| row.apply))?.ok_or_else(|| {
            error::usage("`migrations.commands` says nothing of how to apply").hint(
                "write `[migrations.commands] apply = [\"program\", \"argument\"]` into envctl.toml, or a `preset`",
            )
        })?;
        if commands
            .create
            .as_ref()
            .is_some_and(|argv| !argv.iter().any(|argument| argument.contains("{name}")))
        {
            return Err(error::usage("`migrations.commands.create` has no place for the name")
                .hint("write `{name}` where it belongs: create = [\"tool\", \"new\", \"{name}\"]"));
        }
        let create_empty = match commands.create {
            Some(_) => line(&commands.create, None)?,
            None => line(&None, row.and_then(|row| row.create_empty))?,
        };
        Ok(Self {
            name: pick.keyword(),
            dir: tool_files.dir.clone(),
            status: line(&commands.status, row.and_then(|row| row.status))?,
            apply,
            create: line(&commands.create, row.and_then(|row| row.create))?,
            create_empty,
            reset: line(&commands.reset, row.and_then(|row| row.reset))?,
            seed: line(&commands.seed, row.and_then(|row| row.seed))?,
            reading: row.map_or(OWN, |row| row.reading),
            fresh: row.map_or(&[], |row| row.fresh),
            none: row.map_or(&[], |row| row.none),
            writes: row.map_or(OWN_WRITES, |row| row.writes),
            resolve: row.map_or("", |row| row.resolve),
        })
    }

    /// The command line that writes a new migration.
    ///
    /// # Errors
    /// Kind `Usage`: it has none.
    pub(crate) fn creating(&self, name: &MigrationName, empty: bool) -> Result<Vec<String>> {
        let line = if empty { &self.create_empty } else { &self.create };
        let Some(argv) = line else {
            let verb = if empty { "migrate create --empty" } else { "migrate create" };
            return Err(self.has_no(verb, "create"));
        };
        Ok(argv.iter().map(|argument| argument.replace("{name}", name.as_str())).collect())
    }

    /// Returns the command line of `envctl VERB`, for verbs that envctl only passes on.
    ///
    /// # Errors
    /// Kind `Usage`: it has no such verb.
    pub(crate) fn verb(&self, verb: &str) -> Result<&[String]> {
        match (verb, &self.seed) {
            ("seed", Some(argv)) => Ok(argv),
            ("seed", None) => Err(self.has_no("seed", "seed")),
            (other, _) => Err(error::usage(format!("{} has no command for `{other}`", self.name))
                .hint("call the tool itself: `envctl exec backend -- PROGRAM ARGUMENTS`")),
        }
    }

    fn has_no(&self, verb: &str, key: &str) -> Error {
        error::usage(format!("{} has no command for `{verb}`", self.name)).hint(format!(
            "say what runs then: `[migrations.commands] {key} = [\"program\", \"argument\"]` in envctl.toml"
        ))
    }

    /// Returns the error for `migrate resolve`, with what to type instead.
    pub(crate) fn resolves_nothing(&self) -> Error {
        let error = error::usage(format!(
            "{} has no command for `migrate resolve`: its own table decides",
            self.name
        ));
        match self.resolve {
            "" => error
                .hint("see where each migration stands: `envctl migrate status`; the table: `envctl psql`"),
            arguments => error.hint(format!("use the tool itself: `envctl exec backend -- {arguments}`")),
        }
    }
}

/// Values for the placeholders `{file}` and `{dir}`.
struct Placeholders<'a> {
    row: Option<&'static Preset>,
    file: Option<&'a Found>,
    dir: &'a str,
}

impl Placeholders<'_> {
    fn fill(&self, argv: Vec<String>) -> Result<Vec<String>> {
        argv.into_iter()
            .map(|argument| {
                if !argument.contains("{file}") && !argument.contains("{dir}") {
                    return Ok(argument);
                }
                let file = self.file.map(|found| found.file.as_str()).ok_or_else(|| self.missing())?;
                let dir = file.rsplit_once('/').map_or(".", |(dir, _)| dir);
                Ok(argument.replace("{file}", file).replace("{dir}", dir))
            })
            .collect()
    }

    fn missing(&self) -> Error {
        let names: Vec<&str> = self.row.iter().flat_map(|row| row.signs).map(|sign| sign.file).collect();
        let looked = if names.is_empty() { "nothing to look for".to_owned() } else { names.join(", ") };
        error::usage(format!("the file that this tool is called with is not in {}: {looked}", self.dir)).hint(
            "name the directory in the container: `[migrations] dir`; or the whole command line: `[migrations.commands]`",
        )
    }
}
