//! Every key of `envctl.toml`, once: what it means, its default, its variable, and where it may stand.
//!
//! Promise: the checks of a file, the suggestions, `envctl.example.toml` and the table in
//! `docs/configuration.md` all follow this list; tests hold each of them to it.

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The path, with `*` for a name of the user's: `profiles.*.project`.
    pub path: &'static str,
    /// Effect of the key, one sentence for the manual.
    pub what: &'static str,
    /// Value without any setting, for the manual.
    pub default: &'static str,
    /// The environment variable that overrides it.
    pub variable: Option<&'static str>,
    /// True where the user's own file may have the key; otherwise the key describes one project.
    pub user_wide: bool,
}

const fn key(path: &'static str, what: &'static str, default: &'static str) -> Key {
    Key { path, what, default, variable: None, user_wide: false }
}

impl Key {
    const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    const fn user_wide(mut self) -> Self {
        self.user_wide = true;
        self
    }

    /// Reports whether `path` (`profiles.dev.project`) is this key.
    pub(crate) fn matches(&self, path: &[&str]) -> bool {
        let mut own = self.path.split('.');
        path.iter().all(|word| own.next().is_some_and(|own| own == "*" || own == *word))
            && own.next().is_none()
    }
}

/// All keys, in the order of the manual.
pub const KEYS: &[Key] = &[
    key(
        "stack",
        "The name of this project's stack.",
        "the compose project's name without its profile suffix",
    ),
    key("timeout", "How long a command may take in all; 0 is without limit.", "0s")
        .variable("ENVCTL_TIMEOUT")
        .user_wide(),
    key("lock_timeout", "How long to wait for a lock of another session; 0 does not wait.", "10s")
        .variable("ENVCTL_LOCK_TIMEOUT")
        .user_wide(),
    key(
        "stall_timeout",
        "How long a stream may stand still before it counts as broken; 0 is no limit.",
        "2m",
    )
    .variable("ENVCTL_STALL_TIMEOUT")
    .user_wide(),
    key("profiles.*.project", "The compose project that is this profile.", "by labels and names"),
    key("profiles.*.backend", "The service or container that is the backend.", "by labels and names"),
    key("profiles.*.db", "The service or container that is the database.", "by labels and images"),
    key("profiles.*.protected", "Refuse to destroy anything here, whatever the flags.", "false"),
    key("profiles.*.context", "The Docker context in which this profile runs.", "that of `docker.context`"),
    key(
        "profiles.*.host",
        "The Docker host on which this profile runs, instead of a context.",
        "that of `docker.host`",
    ),
    key("profiles.*.database.name", "As `database.name`, for this profile.", "`database.name`"),
    key("profiles.*.database.user", "As `database.user`, for this profile.", "`database.user`"),
    key("profiles.*.database.host", "As `database.host`, for this profile.", "`database.host`"),
    key("profiles.*.database.port", "As `database.port`, for this profile.", "`database.port`"),
    key("profiles.*.database.os_user", "As `database.os_user`, for this profile.", "`database.os_user`"),
    key(
        "profiles.*.database.password_file",
        "As `database.password_file`, for this profile.",
        "`database.password_file`",
    ),
    key(
        "profiles.*.database.password_command",
        "As `database.password_command`, for this profile.",
        "`database.password_command`",
    ),
    key("database.name", "The database.", "what the container was set up with")
        .variable("ENVCTL_DATABASE"),
    key("database.user", "The role to connect as.", "what the container was set up with"),
    key(
        "database.host",
        "Where the server listens, seen from its own container: a name, an address, or the directory of its socket.",
        "the socket, else 127.0.0.1",
    ),
    key(
        "database.port",
        "The port on which the server listens in its container.",
        "the container's variables and command, else 5432",
    ),
    key("database.os_user", "The user in the database container that runs its tools.", "the container's own"),
    key("database.password_file", "A file that holds the password.", "none"),
    key(
        "database.password_command",
        "A command that prints the password: program and arguments, no shell.",
        "none",
    ),
    key("docker.context", "The Docker context to use.", "what the docker CLI would use")
        .variable("ENVCTL_CONTEXT")
        .user_wide(),
    key("docker.host", "The Docker host to use, instead of a context.", "what the docker CLI would use")
        .variable("ENVCTL_HOST")
        .user_wide(),
    key(
        "docker.transport",
        "How the bytes of a dump leave the container: `worker` (a container beside the database), `exec` (through the daemon) or `auto`.",
        "auto",
    )
    .variable("ENVCTL_TRANSPORT")
    .user_wide(),
    key(
        "docker.worker_min_size",
        "The smallest database for which `auto` uses a worker: `20m`, `0` for every database.",
        "20m",
    )
    .variable("ENVCTL_WORKER_MIN_SIZE")
    .user_wide(),
    key("docker.worker_memory", "The most memory a worker may use: `512m`, `2g`.", "no limit")
        .variable("ENVCTL_WORKER_MEMORY")
        .user_wide(),
    key("docker.worker_cpus", "How many processors a worker may use: `1.5`.", "no limit")
        .variable("ENVCTL_WORKER_CPUS")
        .user_wide(),
    key(
        "backup.dir",
        "The directory of backups.",
        "`backups` in the directory of the stack's project, else `$XDG_DATA_HOME/envctl/backups`",
    )
    .variable("ENVCTL_BACKUP_DIR")
    .user_wide(),
    key("backup.format", "`plain` (SQL), `custom` or `directory` (archives for `pg_restore`).", "plain").variable("ENVCTL_FORMAT").user_wide(),
    key("backup.compress", "`gzip`, `zstd` or `none`, with a level after a colon: `zstd:9`.", "gzip")
        .variable("ENVCTL_COMPRESS")
        .user_wide(),
    key("backup.jobs", "How many tables a dump in directory format dumps at a time.", "1")
        .variable("ENVCTL_BACKUP_JOBS")
        .user_wide(),
    key("backup.exclude_table_data", "Tables whose rows are omitted, as patterns of `pg_dump`.", "none"),
    key(
        "backup.manifest_key_file",
        "A file with the key that authenticates manifests, shared by a team; of several lines the first one signs and all verify.",
        "a key of this user in `$XDG_STATE_HOME/envctl`",
    )
    .variable("ENVCTL_MANIFEST_KEY_FILE")
    .user_wide(),
    key(
        "backup.manifest_key_command",
        "A command that prints that key: program and arguments, no shell.",
        "none",
    )
    .user_wide(),
    key("restore.jobs", "The number of sessions that load a restore, 1 to 6; `auto` is 2 for a plain dump of envctl's of 64 MiB of SQL and more, else 1.", "auto")
        .variable("ENVCTL_RESTORE_JOBS")
        .user_wide(),
    key(
        "migrations.driver",
        "`auto`, `prisma` (the CLI in the backend), `sql` (files of this machine) or `command` (any other tool in the backend).",
        "auto",
    )
    .variable("ENVCTL_MIGRATIONS_DRIVER"),
    key(
        "migrations.dir",
        "The folder of migrations: relative to the file that says it, from the variable to the project; with `prisma`, to the CLI's directory in the container; with `command`, the directory there in which the tool runs.",
        "found by looking",
    )
    .variable("ENVCTL_MIGRATIONS_DIR"),
    key(
        "migrations.layout",
        "How `sql` reads the folder: `prisma`, `flat`, `dbmate`, `sqlx` or `golang-migrate`.",
        "found by looking",
    ),
    key("migrations.schema", "The path of schema.prisma in the container, where there are several.", "found by looking"),
    key("migrations.studio", "The Prisma CLI that starts Studio, in the backend's container or in `studio_image`.", "the newest one found"),
    key(
        "migrations.studio_image",
        "An image with Node and Prisma 7 or later, for `studio` beside the database where the backend has no Prisma CLI.",
        "none",
    ),
    key(
        "migrations.preset",
        "The tool that `command` calls: `django`, `alembic`, `rails`, `laravel`, `flyway`, `knex`, `typeorm`, `typeorm-ts`, `drizzle`, `diesel` or `goose`.",
        "found by looking",
    )
    .variable("ENVCTL_MIGRATIONS_PRESET"),
    key(
        "migrations.commands.status",
        "The command line that lists migrations, a list of arguments; of a tool without preset, `[X] NAME` is applied and `[ ] NAME` is pending.",
        "the preset's",
    ),
    key("migrations.commands.apply", "The command line that applies what is pending.", "the preset's"),
    key("migrations.commands.create", "The command line that writes a migration; `{name}` is its name.", "the preset's"),
    key(
        "migrations.commands.reset",
        "The command line that drops everything and applies all migrations.",
        "the preset's, else envctl drops and `apply` applies",
    ),
    key("migrations.commands.seed", "The command line of `envctl seed`, and of the seed after a reset.", "the preset's"),
    key(
        "migrations.backup_age",
        "A migration of production offers a backup when the last one is older, and `doctor` warns; 0 does neither.",
        "24h",
    ),
    key("output.color", "`auto`, `always` or `never`.", "auto").variable("ENVCTL_COLOR").user_wide(),
];

/// Words that lift a guard: given by hand each time, never written down.
pub(crate) const GUARDS: &[&str] =
    &["yes", "confirm", "force", "allow_prod", "untested", "no_backup", "trust"];

/// The words that may follow a path; `*` stands for any name.
pub(crate) fn words_after(prefix: &[&str]) -> Vec<&'static str> {
    let mut words: Vec<&'static str> = KEYS
        .iter()
        .filter_map(|key| {
            let mut own = key.path.split('.');
            let below = prefix.iter().all(|word| own.next().is_some_and(|own| own == "*" || own == *word));
            if below { own.next() } else { None }
        })
        .collect();
    words.dedup();
    words
}
