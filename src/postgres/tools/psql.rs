//! `psql` for a person and `psql` for a restore, as values.

use crate::docker::ExecSpec;
use crate::postgres::access::Access;
use crate::postgres::tools::load_settings::LoadSettings;
use crate::text::sql_quote::conninfo;

/// Request of `envctl psql`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PsqlRequest {
    /// `-c`, in order.
    pub(crate) commands: Vec<String>,
    /// Words after `--`, handed to psql as they are.
    pub(crate) extra: Vec<String>,
    /// The prompt's words: `techmage[prod]`.
    pub(crate) prompt: String,
    /// True where a person types.
    pub(crate) interactive: bool,
}

/// psql for a person or a script. `script_on_stdin` reads SQL from stdin with `-f -`, which names line
/// numbers in errors.
pub(crate) fn for_user(access: &Access, request: &PsqlRequest, script_on_stdin: bool) -> ExecSpec {
    let mut argv = vec!["psql".to_owned()];
    // A person's own psqlrc inside the container may stay; a script wants no surprises and no
    // "success" after an error.
    if !request.interactive {
        argv.extend(["--no-psqlrc", "-v", "ON_ERROR_STOP=1"].map(str::to_owned));
    }
    if request.interactive {
        let prompt = request.prompt.replace('%', "%%");
        argv.extend(["-v".to_owned(), format!("PROMPT1={prompt} %/%R%x%# ")]);
        argv.extend(["-v".to_owned(), format!("PROMPT2={prompt} %/%R%x%# ")]);
    }
    argv.push(access.dbname());
    for command in &request.commands {
        argv.extend(["-c".to_owned(), command.clone()]);
    }
    if script_on_stdin && request.commands.is_empty() {
        argv.extend(["-f", "-"].map(str::to_owned));
    }
    argv.extend(request.extra.iter().cloned());
    let mut spec = ExecSpec::new(argv).user(access.os_user.as_deref()).env("PGAPPNAME", "envctl psql");
    // What a person types is theirs: none of the settings that envctl forces on its own sessions.
    let ours = ["PGPASSWORD", "PGHOST", "PGPORT"];
    spec.env.extend(
        access.spec(Vec::new(), "").env.into_iter().filter(|(name, _)| ours.contains(&name.as_str())),
    );
    spec
}

/// psql that loads a dump from `file` (`-` is its stdin) into `access.database`; `sessions` do so at once.
pub(crate) fn for_restore(
    access: &Access,
    application: &str,
    file: &str,
    loading: LoadSettings,
    sessions: usize,
) -> ExecSpec {
    let argv = ["psql", "--no-psqlrc", "--no-password", "-v", "ON_ERROR_STOP=1", "-f", file];
    let mut argv: Vec<String> = argv.map(str::to_owned).into();
    argv.insert(1, format!("--dbname={}", conninfo(&[("dbname", &access.database), ("user", &access.user)])));
    access.spec(argv, application).options(&loading.options(sessions)).with_stdin()
}
