//! Every key of `envctl.toml`, one row each: form, default, meaning, variable, and where it may stand.
//!
//! Promise: the checks of a file, the layers of a setting, the suggestions, `envctl.example.toml` and the table in
//! `docs/configuration.md` follow these rows; tests hold the two documents to them.

use std::marker::PhantomData;

use super::value_type::{
    CalendarAge, CommandLine, Count, Cpus, CronText, FilePath, HttpUrl, Jobs, KeepCount, Memory, Name,
    NameList, Number, Patterns, PingAddress, Port, RawValue, RecipientKeys, Size, StoreUrls, Switch, Text,
    Time, ValueType, WithLevel, ZoneName,
};
use crate::config::color::Color;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The path, with `*` for a name of the user's: `profiles.*.project`.
    pub path: &'static str,
    /// Value without any setting: in the form of the key, or in words for the manual.
    pub default: &'static str,
    /// Effect of the key, one sentence for the manual.
    pub what: &'static str,
    /// The environment variable that overrides it.
    pub variable: Option<&'static str>,
    /// True where the user's own file may have the key; otherwise the key describes one project.
    pub user_wide: bool,
    /// Value for `envctl.example.toml`, as TOML.
    pub example: &'static str,
    /// Values that are allowed; none: all that the form reads.
    pub(crate) allowed: &'static [&'static str],
    /// Name of the other form of the same question: a table holds one of the two.
    pub(crate) excludes: Option<&'static str>,
    /// Tells the fault of a value.
    pub(crate) check: fn(&RawValue<'_>, &[&str]) -> Result<(), String>,
}

/// A key whose values have the form `F`.
pub(crate) struct Setting<F> {
    pub(crate) key: Key,
    form: PhantomData<F>,
}

impl<F: ValueType> Setting<F> {
    const fn new(key: Key) -> Self {
        Self { key: Key { check: check::<F>, ..key }, form: PhantomData }
    }
}

fn check<F: ValueType>(written: &RawValue<'_>, allowed: &[&str]) -> Result<(), String> {
    F::read(written, allowed).map(drop)
}

const fn key(path: &'static str, default: &'static str) -> Key {
    Key {
        path,
        default,
        what: "",
        variable: None,
        user_wide: false,
        example: "",
        allowed: &[],
        excludes: None,
        check: check::<Text>,
    }
}

impl Key {
    const fn what(self, what: &'static str) -> Self {
        Self { what, ..self }
    }

    const fn variable(self, name: &'static str) -> Self {
        Self { variable: Some(name), ..self }
    }

    const fn user_wide(self) -> Self {
        Self { user_wide: true, ..self }
    }

    const fn one_of(self, allowed: &'static [&'static str]) -> Self {
        Self { allowed, ..self }
    }

    const fn excludes(self, other: &'static str) -> Self {
        Self { excludes: Some(other), ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// Reports whether `path` (`profiles.dev.project`) is this key.
    pub(crate) fn matches(&self, path: &[&str]) -> bool {
        let mut own = self.path.split('.');
        path.iter().all(|name| own.next().is_some_and(|own| own == "*" || own == *name))
            && own.next().is_none()
    }
}

/// Declares a list of keys, and a constant for each that has a name. A row without a name (`_`) is read by its path:
/// tables of profiles have those of the general table.
macro_rules! keys {
    ($(#[$doc:meta])* $list:ident: $($name:tt: $form:ty = $key:expr;)*) => {
        $(pub(crate) const $name: Setting<$form> = Setting::new($key);)*
        $(#[$doc])*
        pub const $list: &[Key] = &[$(Setting::<$form>::new($key).key),*];
    };
}

keys! {
    /// All keys, in the order of the manual.
    KEYS:
    _: Name = key("stack", "the compose project's name without its profile suffix")
        .what("The name of this project's stack.")
        .example(r#""techmage""#);
    TIMEOUT: Time = key("timeout", "0s")
        .what("How long a command may take in all; 0 is without limit.")
        .variable("ENVCTL_TIMEOUT").user_wide()
        .example(r#""2h""#);
    LOCK_TIMEOUT: Time = key("lock_timeout", "10s")
        .what("How long to wait for a lock of another session; 0 does not wait.")
        .variable("ENVCTL_LOCK_TIMEOUT").user_wide()
        .example(r#""10s""#);
    STALL_TIMEOUT: Time = key("stall_timeout", "2m")
        .what("How long a stream may stand still before it counts as broken; 0 is no limit.")
        .variable("ENVCTL_STALL_TIMEOUT").user_wide()
        .example(r#""2m""#);
    _: Text = key("profiles.*.project", "by labels and names")
        .what("The compose project that is this profile.")
        .example(r#""techmage-prod""#);
    _: Text = key("profiles.*.backend", "by labels and names")
        .what("The service or container that is the backend.")
        .example(r#""api""#);
    _: Text = key("profiles.*.db", "by labels and images")
        .what("The service or container that is the database.")
        .example(r#""postgres""#);
    _: Switch = key("profiles.*.protected", "false")
        .what("Refuse to destroy anything here, whatever the flags.")
        .example("true");
    _: Text = key("profiles.*.context", "that of `docker.context`")
        .what("The Docker context in which this profile runs.")
        .example(r#""techmage-server""#);
    _: Text = key("profiles.*.host", "that of `docker.host`")
        .what("The Docker host on which this profile runs, instead of a context.")
        .excludes("context")
        .example(r#""ssh://deploy@techmage.example""#);
    _: Text = key("profiles.*.database.name", "`database.name`")
        .what("As `database.name`, for this profile.")
        .example(r#""techmage""#);
    _: Text = key("profiles.*.database.user", "`database.user`")
        .what("As `database.user`, for this profile.")
        .example(r#""techmage_admin""#);
    _: Text = key("profiles.*.database.host", "`database.host`")
        .what("As `database.host`, for this profile.")
        .example(r#""127.0.0.1""#);
    _: Port = key("profiles.*.database.port", "`database.port`")
        .what("As `database.port`, for this profile.")
        .example("5433");
    _: Text = key("profiles.*.database.os_user", "`database.os_user`")
        .what("As `database.os_user`, for this profile.")
        .example(r#""postgres""#);
    _: FilePath = key("profiles.*.database.password_file", "`database.password_file`")
        .what("As `database.password_file`, for this profile.")
        .example(r#""~/.config/techmage/prod-password""#);
    _: CommandLine = key("profiles.*.database.password_command", "`database.password_command`")
        .what("As `database.password_command`, for this profile.")
        .excludes("password_file")
        .example(r#"["pass", "show", "techmage/prod"]"#);
    DATABASE_NAME: Text = key("database.name", "what the container was set up with")
        .what("The database.")
        .variable("ENVCTL_DATABASE")
        .example(r#""techmage""#);
    _: Text = key("database.user", "what the container was set up with")
        .what("The role to connect as.")
        .example(r#""techmage""#);
    _: Text = key("database.host", "the socket, else 127.0.0.1")
        .what("Where the server listens, seen from its own container: a name, an address, or the directory \
            of its socket.")
        .example(r#""/var/run/postgresql""#);
    _: Port = key("database.port", "the container's variables and command, else 5432")
        .what("The port on which the server listens in its container.")
        .example("5432");
    _: Text = key("database.os_user", "the container's own")
        .what("The user in the database container that runs its tools.")
        .example(r#""postgres""#);
    _: FilePath = key("database.password_file", "none")
        .what("A file that holds the password.")
        .example(r#""secrets/database""#);
    _: CommandLine = key("database.password_command", "none")
        .what("A command that prints the password: program and arguments, no shell.")
        .excludes("password_file")
        .example(r#"["pass", "show", "techmage/dev"]"#);
    DOCKER_CONTEXT: Text = key("docker.context", "what the docker CLI would use")
        .what("The Docker context to use.")
        .variable("ENVCTL_CONTEXT").user_wide()
        .example(r#""default""#);
    DOCKER_HOST: Text = key("docker.host", "what the docker CLI would use")
        .what("The Docker host to use, instead of a context.")
        .variable("ENVCTL_HOST").user_wide().excludes("context")
        .example(r#""unix:///var/run/docker.sock""#);
    DOCKER_TRANSPORT: Text = key("docker.transport", "auto")
        .what("How the bytes of a dump leave the container: `worker` (a container beside the database), \
            `exec` (through the daemon) or `auto`.")
        .one_of(&["auto", "worker", "exec"]).variable("ENVCTL_TRANSPORT").user_wide()
        .example(r#""auto""#);
    DOCKER_WORKER_MIN_SIZE: Size = key("docker.worker_min_size", "20m")
        .what("The smallest database for which `auto` uses a worker: `20m`, `0` for every database.")
        .variable("ENVCTL_WORKER_MIN_SIZE").user_wide()
        .example(r#""20m""#);
    DOCKER_WORKER_MEMORY: Memory = key("docker.worker_memory", "no limit")
        .what("The most memory a worker may use: `512m`, `2g`.")
        .variable("ENVCTL_WORKER_MEMORY").user_wide()
        .example(r#""512m""#);
    DOCKER_WORKER_CPUS: Cpus = key("docker.worker_cpus", "no limit")
        .what("How many processors a worker may use: `1.5`.")
        .variable("ENVCTL_WORKER_CPUS").user_wide()
        .example("1.5");
    BACKUP_DIR: FilePath = key("backup.dir",
        "`backups` in the directory of the stack's project, else `$XDG_DATA_HOME/envctl/backups`")
        .what("The directory of backups.")
        .variable("ENVCTL_BACKUP_DIR").user_wide()
        .example(r#""backups""#);
    BACKUP_FORMAT: Text = key("backup.format", "plain")
        .what("`plain` (SQL), `custom` or `directory` (archives for `pg_restore`).")
        .one_of(&["plain", "custom", "directory"]).variable("ENVCTL_FORMAT").user_wide()
        .example(r#""plain""#);
    BACKUP_COMPRESS: WithLevel = key("backup.compress", "gzip")
        .what("`gzip`, `zstd` or `none`, with a level after a colon: `zstd:9`.")
        .one_of(&["gzip", "zstd", "none"]).variable("ENVCTL_COMPRESS").user_wide()
        .example(r#""zstd:9""#);
    BACKUP_JOBS: Count = key("backup.jobs", "1")
        .what("How many tables a dump in directory format dumps at a time.")
        .variable("ENVCTL_BACKUP_JOBS").user_wide()
        .example("2");
    BACKUP_EXCLUDE_TABLE_DATA: Patterns = key("backup.exclude_table_data", "none")
        .what("Tables whose rows are omitted, as patterns of `pg_dump`.")
        .example(r#"["public.sessions", "audit.*"]"#);
    BACKUP_MANIFEST_KEY_FILE: FilePath = key("backup.manifest_key_file",
        "a key of this user in `$XDG_STATE_HOME/envctl`")
        .what("A file with the key that authenticates manifests, shared by a team; of several lines the \
            first one signs and all verify.")
        .variable("ENVCTL_MANIFEST_KEY_FILE").user_wide()
        .example(r#""~/.config/techmage/manifest.key""#);
    _: CommandLine = key("backup.manifest_key_command", "none")
        .what("A command that prints that key: program and arguments, no shell.")
        .user_wide().excludes("manifest_key_file")
        .example(r#"["pass", "show", "techmage/manifest-key"]"#);
    BACKUP_STORES: StoreUrls = key("backup.stores", "none")
        .what("Stores that get a copy of every backup in the directory of backups: `s3://bucket/prefix`, \
            `gs://…`, `az://container/…`, `file:///directory`.")
        .variable("ENVCTL_BACKUP_STORES").user_wide()
        .example(r#"["s3://techmage-backups/db"]"#);
    BACKUP_S3_ENDPOINT: HttpUrl = key("backup.s3_endpoint", "`AWS_ENDPOINT_URL`, else Amazon's")
        .what("The server behind `s3://`, where it is not Amazon's.")
        .variable("ENVCTL_STORE_ENDPOINT").user_wide()
        .example(r#""https://s3.techmage.example""#);
    BACKUP_S3_REGION: Text = key("backup.s3_region", "`AWS_REGION`, else that of the AWS profile, else `us-east-1`")
        .what("The region of the buckets behind `s3://`.")
        .variable("ENVCTL_STORE_REGION").user_wide()
        .example(r#""eu-central-1""#);
    BACKUP_S3_PATH_STYLE: Switch = key("backup.s3_path_style", "true with an endpoint of your own, else false")
        .what("The bucket stands in the path of an address and not in its host name.")
        .variable("ENVCTL_STORE_PATH_STYLE").user_wide()
        .example("true");
    BACKUP_PING: PingAddress = key("backup.ping", "none")
        .what("The address that is asked before a backup (with `/start` behind it), after a success, and after a \
            failure (with `/fail`); a secret.")
        .variable("ENVCTL_BACKUP_PING").user_wide()
        .example(r#""https://hc.example/uuid""#);
    ENCRYPT: Text = key("backup.encryption.encrypt", "auto")
        .what("`auto` encrypts backups where there are recipients; `required` makes none without.")
        .one_of(&["auto", "required"]).variable("ENVCTL_ENCRYPT").user_wide()
        .example(r#""required""#);
    RECIPIENTS: RecipientKeys = key("backup.encryption.recipients", "none")
        .what("Public keys of those who can open the backups: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`.")
        .variable("ENVCTL_RECIPIENTS").user_wide()
        .example(r#"["age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"]"#);
    RECIPIENTS_FILE: FilePath = key("backup.encryption.recipients_file", "none")
        .what("A file with more public keys, one a line.")
        .variable("ENVCTL_RECIPIENTS_FILE").user_wide()
        .example(r#""backup-recipients.txt""#);
    IDENTITY_FILE: FilePath = key("backup.encryption.identity_file", "none")
        .what("A file with the private keys that open backups: of `age-keygen`, or a private key of ssh.")
        .variable("ENVCTL_IDENTITY_FILE").user_wide()
        .example(r#""~/.config/techmage/backup.key""#);
    _: CommandLine = key("backup.encryption.identity_command", "none")
        .what("A command that prints those private keys: program and arguments, no shell.")
        .user_wide().excludes("identity_file")
        .example(r#"["pass", "show", "techmage/backup-key"]"#);
    KEEP_LAST: KeepCount = key("backup.keep.last", "no rule")
        .what("How many of the newest backups `backup prune` keeps; `all` keeps every one.")
        .variable("ENVCTL_KEEP_LAST").user_wide()
        .example("3");
    KEEP_HOURLY: KeepCount = key("backup.keep.hourly", "no rule")
        .what("How many hours with a backup `backup prune` keeps the newest of; `all` keeps every one.")
        .variable("ENVCTL_KEEP_HOURLY").user_wide()
        .example("24");
    KEEP_DAILY: KeepCount = key("backup.keep.daily", "no rule")
        .what("How many days with a backup `backup prune` keeps the newest of; `all` keeps every one.")
        .variable("ENVCTL_KEEP_DAILY").user_wide()
        .example("7");
    KEEP_WEEKLY: KeepCount = key("backup.keep.weekly", "no rule")
        .what("How many weeks with a backup `backup prune` keeps the newest of; `all` keeps every one.")
        .variable("ENVCTL_KEEP_WEEKLY").user_wide()
        .example("4");
    KEEP_MONTHLY: KeepCount = key("backup.keep.monthly", "no rule")
        .what("How many months with a backup `backup prune` keeps the newest of; `all` keeps every one.")
        .variable("ENVCTL_KEEP_MONTHLY").user_wide()
        .example("12");
    KEEP_YEARLY: KeepCount = key("backup.keep.yearly", "no rule")
        .what("How many years with a backup `backup prune` keeps the newest of; `all` keeps every one.")
        .variable("ENVCTL_KEEP_YEARLY").user_wide()
        .example(r#""all""#);
    KEEP_WITHIN: CalendarAge = key("backup.keep.within", "no rule")
        .what("The age up to which `backup prune` keeps every backup, counted back from \
            the newest: `12h`, `14d`, `6mo`, `1y`.")
        .variable("ENVCTL_KEEP_WITHIN").user_wide()
        .example(r#""2d""#);
    KEEP_WITHIN_HOURLY: CalendarAge = key("backup.keep.within_hourly", "no rule")
        .what("The age up to which `backup prune` keeps the newest backup of each hour.")
        .variable("ENVCTL_KEEP_WITHIN_HOURLY").user_wide()
        .example(r#""2d""#);
    KEEP_WITHIN_DAILY: CalendarAge = key("backup.keep.within_daily", "no rule")
        .what("The age up to which `backup prune` keeps the newest backup of each day.")
        .variable("ENVCTL_KEEP_WITHIN_DAILY").user_wide()
        .example(r#""14d""#);
    KEEP_WITHIN_WEEKLY: CalendarAge = key("backup.keep.within_weekly", "no rule")
        .what("The age up to which `backup prune` keeps the newest backup of each week.")
        .variable("ENVCTL_KEEP_WITHIN_WEEKLY").user_wide()
        .example(r#""2mo""#);
    KEEP_WITHIN_MONTHLY: CalendarAge = key("backup.keep.within_monthly", "no rule")
        .what("The age up to which `backup prune` keeps the newest backup of each month.")
        .variable("ENVCTL_KEEP_WITHIN_MONTHLY").user_wide()
        .example(r#""1y""#);
    KEEP_WITHIN_YEARLY: CalendarAge = key("backup.keep.within_yearly", "no rule")
        .what("The age up to which `backup prune` keeps the newest backup of each year.")
        .variable("ENVCTL_KEEP_WITHIN_YEARLY").user_wide()
        .example(r#""10y""#);
    KEEP_SAFETY: CalendarAge = key("backup.keep.safety", "30d")
        .what("The age up to which `backup prune` keeps safety backups; the newest one always stays.")
        .variable("ENVCTL_KEEP_SAFETY").user_wide()
        .example(r#""30d""#);
    KEEP_TIME_ZONE: ZoneName = key("backup.keep.time_zone", "the machine's")
        .what("The time zone of the hours, days, weeks, months and years of `backup prune`.")
        .variable("ENVCTL_KEEP_TIME_ZONE").user_wide()
        .example(r#""Europe/Berlin""#);
    KEEP_UNTIL_COPIED: Switch = key("backup.keep.until_copied", "false")
        .what("`backup prune` keeps every backup that has no confirmed copy in each store of `backup.stores`.")
        .variable("ENVCTL_KEEP_UNTIL_COPIED").user_wide()
        .example("true");
    STORE_KEEP_LAST: KeepCount = key("backup.keep_in_stores.last", "no rule")
        .what("How many of the newest backups `backup prune --store` keeps.")
        .variable("ENVCTL_STORE_KEEP_LAST").user_wide()
        .example("3");
    STORE_KEEP_HOURLY: KeepCount = key("backup.keep_in_stores.hourly", "no rule")
        .what("How many hours with a backup `backup prune --store` keeps the newest of.")
        .variable("ENVCTL_STORE_KEEP_HOURLY").user_wide()
        .example("24");
    STORE_KEEP_DAILY: KeepCount = key("backup.keep_in_stores.daily", "no rule")
        .what("How many days with a backup `backup prune --store` keeps the newest of.")
        .variable("ENVCTL_STORE_KEEP_DAILY").user_wide()
        .example("30");
    STORE_KEEP_WEEKLY: KeepCount = key("backup.keep_in_stores.weekly", "no rule")
        .what("How many weeks with a backup `backup prune --store` keeps the newest of.")
        .variable("ENVCTL_STORE_KEEP_WEEKLY").user_wide()
        .example("12");
    STORE_KEEP_MONTHLY: KeepCount = key("backup.keep_in_stores.monthly", "no rule")
        .what("How many months with a backup `backup prune --store` keeps the newest of.")
        .variable("ENVCTL_STORE_KEEP_MONTHLY").user_wide()
        .example("24");
    STORE_KEEP_YEARLY: KeepCount = key("backup.keep_in_stores.yearly", "no rule")
        .what("How many years with a backup `backup prune --store` keeps the newest of.")
        .variable("ENVCTL_STORE_KEEP_YEARLY").user_wide()
        .example(r#""all""#);
    STORE_KEEP_WITHIN: CalendarAge = key("backup.keep_in_stores.within", "no rule")
        .what("The age up to which `backup prune --store` keeps every backup.")
        .variable("ENVCTL_STORE_KEEP_WITHIN").user_wide()
        .example(r#""7d""#);
    STORE_KEEP_WITHIN_HOURLY: CalendarAge = key("backup.keep_in_stores.within_hourly", "no rule")
        .what("The age up to which `backup prune --store` keeps the newest backup of each hour.")
        .variable("ENVCTL_STORE_KEEP_WITHIN_HOURLY").user_wide()
        .example(r#""2d""#);
    STORE_KEEP_WITHIN_DAILY: CalendarAge = key("backup.keep_in_stores.within_daily", "no rule")
        .what("The age up to which `backup prune --store` keeps the newest backup of each day.")
        .variable("ENVCTL_STORE_KEEP_WITHIN_DAILY").user_wide()
        .example(r#""1mo""#);
    STORE_KEEP_WITHIN_WEEKLY: CalendarAge = key("backup.keep_in_stores.within_weekly", "no rule")
        .what("The age up to which `backup prune --store` keeps the newest backup of each week.")
        .variable("ENVCTL_STORE_KEEP_WITHIN_WEEKLY").user_wide()
        .example(r#""6mo""#);
    STORE_KEEP_WITHIN_MONTHLY: CalendarAge = key("backup.keep_in_stores.within_monthly", "no rule")
        .what("The age up to which `backup prune --store` keeps the newest backup of each month.")
        .variable("ENVCTL_STORE_KEEP_WITHIN_MONTHLY").user_wide()
        .example(r#""2y""#);
    STORE_KEEP_WITHIN_YEARLY: CalendarAge = key("backup.keep_in_stores.within_yearly", "no rule")
        .what("The age up to which `backup prune --store` keeps the newest backup of each year.")
        .variable("ENVCTL_STORE_KEEP_WITHIN_YEARLY").user_wide()
        .example(r#""10y""#);
    STORE_KEEP_SAFETY: CalendarAge = key("backup.keep_in_stores.safety", "30d")
        .what("The age up to which `backup prune --store` keeps safety backups; the newest one always stays.")
        .variable("ENVCTL_STORE_KEEP_SAFETY").user_wide()
        .example(r#""30d""#);
    SCHEDULE_CRON: CronText = key("backup.schedule.cron", "30 1 * * *")
        .what("When `backup schedule` makes backups: minute, hour, day, month and weekday, as in a crontab.")
        .variable("ENVCTL_SCHEDULE_CRON").user_wide()
        .example(r#""30 1 * * *""#);
    SCHEDULE_TIME_ZONE: ZoneName = key("backup.schedule.time_zone", "the machine's")
        .what("The time zone of `backup.schedule.cron`.")
        .variable("ENVCTL_SCHEDULE_TIME_ZONE").user_wide()
        .example(r#""Europe/Berlin""#);
    SCHEDULE_JITTER: Time = key("backup.schedule.jitter", "0s")
        .what("The longest time by which a scheduled run begins later, each time another.")
        .variable("ENVCTL_SCHEDULE_JITTER").user_wide()
        .example(r#""10m""#);
    SCHEDULE_VERIFY: Text = key("backup.schedule.verify", "structure")
        .what("The verification of each scheduled backup: `off`, `quick`, `structure` or `restore`, as \
            `backup verify` does them.")
        .one_of(&["off", "quick", "structure", "restore"]).variable("ENVCTL_SCHEDULE_VERIFY").user_wide()
        .example(r#""structure""#);
    SCHEDULE_PRUNE: Switch = key("backup.schedule.prune", "false")
        .what("Remove backups by the rules of `[backup.keep]` after each scheduled backup that is verified; nobody \
            is asked then.")
        .user_wide()
        .example("true");
    _: CommandLine = key("hooks.on_success", "none")
        .what("A command that gets the result of a backup as JSON on stdin: program and arguments, no shell.")
        .user_wide()
        .example(r#"["notify", "backup"]"#);
    _: CommandLine = key("hooks.on_failure", "none")
        .what("As `hooks.on_success`, for a backup that failed.")
        .user_wide()
        .example(r#"["notify", "backup-failed"]"#);
    RESTORE_JOBS: Jobs = key("restore.jobs", "auto")
        .what("The number of sessions that load a restore, 1 to 6; `auto` is 2 for a plain dump of envctl's \
            of 64 MiB of SQL and more, else 1.")
        .variable("ENVCTL_RESTORE_JOBS").user_wide()
        .example("2");
    VERIFY_CHECKS: Patterns = key("verify.checks", "none")
        .what("Queries on a restored backup, for `envctl backup verify --restore`: each has to answer true.")
        .example(r#"["select count(*) > 0 from users"]"#);
    VERIFY_RTO: Time = key("verify.rto", "no limit")
        .what("The longest time that a restore may take, for `envctl backup verify --restore`.")
        .variable("ENVCTL_VERIFY_RTO").user_wide()
        .example(r#""15m""#);
    MIGRATIONS_DRIVER: Text = key("migrations.driver", "auto")
        .what("`auto`, `prisma` (the CLI in the backend), `sql` (files of this machine) or `command` (any \
            other tool in the backend).")
        .one_of(&["auto", "prisma", "sql", "command"]).variable("ENVCTL_MIGRATIONS_DRIVER")
        .example(r#""auto""#);
    MIGRATIONS_DIR: Text = key("migrations.dir", "found by looking")
        .what("The folder of migrations: relative to the file that says it, from the variable to the \
            project; with `prisma`, to the CLI's directory in the container; with `command`, the directory there \
            in which the tool runs.")
        .variable("ENVCTL_MIGRATIONS_DIR")
        .example(r#""src/database/prisma/migrations""#);
    MIGRATIONS_LAYOUT: Text = key("migrations.layout", "found by looking")
        .what("How `sql` reads the folder: `prisma`, `flat`, `dbmate`, `sqlx` or `golang-migrate`.")
        .example(r#""prisma""#);
    MIGRATIONS_SCHEMA: Text = key("migrations.schema", "found by looking")
        .what("The path of schema.prisma in the container, where there are several.")
        .example(r#""src/database/prisma/schema.prisma""#);
    MIGRATIONS_STUDIO: Text = key("migrations.studio", "the newest one found")
        .what("The Prisma CLI that starts Studio, in the backend's container or in `studio_image`.")
        .example(r#""/app/studio/node_modules/.bin/prisma""#);
    MIGRATIONS_STUDIO_IMAGE: Text = key("migrations.studio_image", "none")
        .what("An image with Node and Prisma 7 or later, for `studio` beside the database where the backend \
            has no Prisma CLI.")
        .example(r#""prisma-studio:7""#);
    MIGRATIONS_PRESET: Text = key("migrations.preset", "found by looking")
        .what("The tool that `command` calls: `django`, `alembic`, `rails`, `laravel`, `flyway`, `knex`, \
            `typeorm`, `typeorm-ts`, `drizzle`, `diesel` or `goose`.")
        .variable("ENVCTL_MIGRATIONS_PRESET")
        .example(r#""django""#);
    MIGRATIONS_COMMANDS_STATUS: CommandLine = key("migrations.commands.status", "the preset's")
        .what("The command line that lists migrations, a list of arguments; of a tool without preset, `[X] \
            NAME` is applied and `[ ] NAME` is pending.")
        .example(r#"["python", "manage.py", "showmigrations", "--plan"]"#);
    MIGRATIONS_COMMANDS_APPLY: CommandLine = key("migrations.commands.apply", "the preset's")
        .what("The command line that applies what is pending.")
        .example(r#"["python", "manage.py", "migrate", "--no-input"]"#);
    MIGRATIONS_COMMANDS_CREATE: CommandLine = key("migrations.commands.create", "the preset's")
        .what("The command line that writes a migration; `{name}` is its name.")
        .example(r#"["python", "manage.py", "makemigrations", "--name", "{name}"]"#);
    MIGRATIONS_COMMANDS_RESET: CommandLine = key("migrations.commands.reset",
        "the preset's, else envctl drops and `apply` applies")
        .what("The command line that drops everything and applies all migrations.")
        .example(r#"["python", "manage.py", "reset_db_and_migrate"]"#);
    MIGRATIONS_COMMANDS_SEED: CommandLine = key("migrations.commands.seed", "the preset's")
        .what("The command line of `envctl seed`, and of the seed after a reset.")
        .example(r#"["python", "manage.py", "loaddata", "demo"]"#);
    MIGRATIONS_BACKUP_AGE: Time = key("migrations.backup_age", "24h")
        .what("A migration of production offers a backup when the last one is older, and `doctor` warns; 0 \
            does neither.")
        .example(r#""24h""#);
    OUTPUT_COLOR: Color = key("output.color", "auto")
        .what("`auto`, `always` or `never`.")
        .variable("ENVCTL_COLOR").user_wide()
        .example(r#""auto""#);
}

keys! {
    /// Settings that have an option and a variable, and no key in a file.
    OPTIONS:
    PROJECT_DIR: FilePath = key("project_dir", "").variable("ENVCTL_PROJECT_DIR");
    CONFIG: FilePath = key("config", "").variable("ENVCTL_CONFIG");
    STACKS: NameList = key("stacks", "").variable("ENVCTL_STACK");
    ALL_STACKS: Switch = key("all_stacks", "").variable("ENVCTL_ALL_STACKS");
    PROFILE: Name = key("profile", "").variable("ENVCTL_PROFILE");
    CONTAINER: Text = key("container", "").variable("ENVCTL_CONTAINER");
    INDEX: Number = key("index", "").variable("ENVCTL_INDEX");
}

/// Names of options that lift a guard: given by hand each time, never written down.
pub(crate) const GUARDS: &[&str] =
    &["yes", "confirm", "force", "allow_prod", "untested", "no_backup", "plain", "trust"];

/// Returns the names that may follow a path; `*` stands for any.
pub(crate) fn names_below(prefix: &[&str]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = KEYS
        .iter()
        .filter_map(|key| {
            let mut own = key.path.split('.');
            let below = prefix.iter().all(|name| own.next().is_some_and(|own| own == "*" || own == *name));
            if below { own.next() } else { None }
        })
        .collect();
    names.dedup();
    names
}
