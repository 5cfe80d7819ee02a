//! What is printed without asking any engine: help, version, exit codes, completions, the manual.

use snapbox::str;

use crate::stage::{Ran, Stage};

#[test]
fn the_first_page() {
    Stage::with([]).run(["--help"]).is(str![[r#"
exit 0
Shells, backups and restores for stacks on Docker Compose and PostgreSQL.

envctl finds the containers of a stack by talking to the Docker daemon and does the daily work on
them, in development and production, one stack or many.

Usage: envctl [OPTIONS] <COMMAND>

Commands:
  status       Every stack: containers, health, database version and size, migrations, last backup
  shell        Interactive shell in a container, or one command [alias: ssh]
  exec         One command in a container, byte-clean, its exit code passed through
  psql         psql in the database container
  logs         A container's logs
  studio       Prisma Studio in the container, tunnelled to 127.0.0.1
  forward      A local port to a port in a container, published or not
  backup       Make a verified backup, or look at the ones there are [alias: db:dump]
  restore      Put a backup back, all or nothing; `restore undo` takes it back
  store        Look at a store of backups: s3://, gs://, az:// or file://
  migrate      Apply migrations, look at them, create, resolve, reset
  generate     Generate the schema tool's client
  push         Push the schema into the database without a migration: for prototypes
  pull         Read the schema out of the database
  seed         Fill the database as the project says
  doctor       Find what is wrong and what to type about it; remove orphans of killed runs
  init         Write a commented envctl.toml from what is running, and a Makefile with the old names
  config       Every setting and where it came from
  completions  Shell completions on stdout
  man          The manual page on stdout
  help         Print this message or the help of the given subcommand(s)

Options:
  -h, --help
          Print help (see a summary with '-h')

  -V, --version
          Print version

Target:
      --dev
          The development profile

      --prod
          The production profile

      --profile <NAME>
          A profile by its name, e.g. staging

  -s, --stack <GLOB>
          A stack by its name or a glob; repeatable

      --all-stacks
          Every stack that runs

  -d, --database <NAME>
          The database's name

  -C, --project-dir <DIR>
          The project's directory instead of this one

      --config <FILE>
          This configuration file instead of the envctl.toml found upwards

      --context <NAME>
          A Docker context

  -H, --host <URL>
          A Docker host: unix://, tcp:// or ssh://

      --container <NAME>
          A container by its name or the beginning of its id

      --index <N>
          The replica with this number

      --insecure
          Talk to a plain TCP daemon on another machine

Output:
      --json
          The answer as JSON on stdout

  -q, --quiet
          Say nothing but the answer and warnings

  -v, --verbose...
          Say more; twice for even more

      --no-progress
          No progress lines

      --color <WHEN>
          Colours: auto, always or never

Safety:
  -y, --yes
          Agree to what asks y/N

      --confirm <STACK>
          Agree to what asks for the stack's name; once for each stack

      --dry-run
          Show the plan and change nothing

      --lock-timeout <TIME>
          How long to wait for a lock: 10s, 2m

      --stall-timeout <TIME>
          How long a stream may stand still

      --timeout <TIME>
          How long the whole command may take; with several stacks, each of them

Start with `envctl status`. Exit codes: `envctl help exit-codes`.

"#]]);
}

#[test]
fn nothing_typed_is_the_first_page_and_an_error() {
    let ran = Stage::with([]).run::<&str>([]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err().contains("Usage: envctl"), "{}", ran.err());
}

/// What a verb's page says before the options that every verb has.
fn page(stage: &Stage, verb: &[&str]) -> Ran {
    stage.run(verb.iter().chain(&["--help"])).up_to("\nTarget:\n")
}

#[test]
fn every_verb_has_a_page_of_its_own() {
    let stage = Stage::with([]);
    page(&stage, &["shell"]).is(str![[r#"
exit 0
Interactive shell in a container, or one command

Usage: envctl shell [OPTIONS] [ROLE|SERVICE] [-- <CMD>...]

Arguments:
  [ROLE|SERVICE]  backend, db, a service or a container [default: backend]
  [CMD]...        One command instead of a shell

Options:
      --psql                psql instead of a shell, for db
  -u, --user <USER>         User in the container
  -w, --workdir <DIR>       Working directory in the container
  -e, --env <NAME[=VALUE]>  A variable for the command: NAME=VALUE, or NAME to pass ours on;
                            repeatable
  -T, --no-tty              No terminal in the container, even when this is one
  -i, --interactive         Hand our stdin on, even when it is a terminal
  -h, --help                Print help
  -V, --version             Print version

"#]]);
    page(&stage, &["exec"]).is(str![[r#"
exit 0
One command in a container, byte-clean, its exit code passed through

Usage: envctl exec [OPTIONS] <ROLE|SERVICE> -- <CMD>...

Arguments:
  <ROLE|SERVICE>  backend, db, a service or a container
  <CMD>...        The command and its arguments

Options:
  -u, --user <USER>         User in the container
  -w, --workdir <DIR>       Working directory in the container
  -e, --env <NAME[=VALUE]>  A variable for the command: NAME=VALUE, or NAME to pass ours on;
                            repeatable
  -T, --no-tty              No terminal in the container, even when this is one
  -i, --interactive         Hand our stdin on, even when it is a terminal
  -h, --help                Print help
  -V, --version             Print version

"#]]);
    page(&stage, &["psql"]).is(str![[r#"
exit 0
psql in the database container

Usage: envctl psql [OPTIONS] [-- <PSQL OPTION>...]

Arguments:
  [PSQL OPTION]...  Arguments for psql itself, after `--`: e.g. `-- -At`

Options:
  -c, --command <SQL>  One command, then leave; repeatable
  -f, --file <FILE>    SQL from a file here, then leave (`-` is stdin)
  -h, --help           Print help
  -V, --version        Print version

"#]]);
    page(&stage, &["logs"]).is(str![[r#"
exit 0
A container's logs

Usage: envctl logs [OPTIONS] [ROLE|SERVICE]

Arguments:
  [ROLE|SERVICE]  backend, db, a service or a container [default: backend]

Options:
  -f, --follow        Go on as lines come
  -n, --tail <N>      Only the last N lines
      --since <TIME>  Only what came since: 10m, 2h, or a time like 2026-01-31T12:00:00Z
  -t, --timestamps    The time in front of each line
  -h, --help          Print help
  -V, --version       Print version

"#]]);
    page(&stage, &["status"]).is(str![[r#"
exit 0
Every stack: containers, health, database version and size, migrations, last backup

Usage: envctl status [OPTIONS]

Options:
      --store <URL>  The last backups are those in this store: s3://BUCKET/PREFIX, gs://…, az://…,
                     file:///DIRECTORY
  -h, --help         Print help
  -V, --version      Print version

"#]]);
    page(&stage, &["backup"]).is(str![[r#"
exit 0
Make a verified backup, or look at the ones there are

Usage: envctl backup [OPTIONS]
       envctl backup <COMMAND>

Commands:
  create    Make a backup (the default)
  list      List the backups of a stack: age, size, trend, verification [alias: ls]
  show      Show the manifest of one backup
  check     Check that the newest backup of each database is recent, present and large enough
  verify    Check backups: their bytes, their structure, or by restoring them into a throwaway
            server
  prune     Remove the backups that no rule keeps; shows the plan, `--apply` removes
  schedule  Print a systemd timer, a cron line or a compose service; `schedule run` is the service's
            main process
  pin       Protect a backup from `backup prune`
  unpin     Remove the pin of a backup
  help      Print this message or the help of the given subcommand(s)

Options:
  -o, --output <FILE>                 The file, or `-` for stdout
      --store <URL>                   Only into this store, without a file here: s3://BUCKET/PREFIX,
                                      gs://…, az://…, file:///DIRECTORY
      --plain                         Do not encrypt, although there are recipients or the store is
                                      a remote one
      --force                         Replace FILE if it exists, once the new one is verified
      --format <FORMAT>               plain (SQL for psql), custom or directory (archives for
                                      pg_restore; a directory as one tar)
      --all-databases                 Every database and the roles, in one tar of plain dumps
      --compress <METHOD[:LEVEL]>     gzip, zstd or none, with a level: zstd:3
  -j, --jobs <N>                      Dump so many tables at once (directory format)
      --schema-only                   Definitions without rows
      --data-only                     Rows without definitions
      --exclude-table-data <PATTERN>  Leave out the rows of tables that match; repeatable
      --transport <WAY>               worker (a container beside the database), exec (through the
                                      daemon) or auto
      --worker-memory <SIZE>          The most memory a worker may use: 512m
      --worker-cpus <N>               How many processors a worker may use: 1.5
  -h, --help                          Print help
  -V, --version                       Print version

Several stacks:
      --parallel <N>       How many stacks are worked on at a time [default: 1]
      --canary <STACK>     This stack first and alone; the others only once it is done
      --on-failure <WHAT>  When one fails: stop, or continue with the others
      --resume             Only the stacks that the last run of this command has not done

"#]]);
    page(&stage, &["backup", "list"]).is(str![[r#"
exit 0
List the backups of a stack: age, size, trend, verification

Usage: envctl backup list [OPTIONS]

Options:
      --store <URL>  The backups in this store: s3://BUCKET/PREFIX, gs://…, az://…,
                     file:///DIRECTORY
  -h, --help         Print help
  -V, --version      Print version

"#]]);
    page(&stage, &["backup", "show"]).is(str![[r#"
exit 0
Show the manifest of one backup

Usage: envctl backup show [OPTIONS] [BACKUP]

Arguments:
  [BACKUP]  A file, a name from `backup list`, or `latest` [default: latest]

Options:
      --store <URL>      The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…,
                         file:///DIRECTORY
  -i, --identity <FILE>  Private keys that open an encrypted backup: a file of age-keygen, or a
                         private key of ssh
  -h, --help             Print help
  -V, --version          Print version

"#]]);
    page(&stage, &["backup", "prune"]).is(str![[r#"
exit 0
Remove the backups that no rule keeps; shows the plan, `--apply` removes

Usage: envctl backup prune [OPTIONS]

Options:
      --apply        Remove; without it the plan is shown
      --store <URL>  The backups in this store, by the rules of `[backup.keep_in_stores]`:
                     s3://BUCKET/PREFIX, gs://…, az://…
  -h, --help         Print help
  -V, --version      Print version

Keep:
      --keep-until-copied           Every backup that has no confirmed copy in each store of
                                    `backup.stores`
      --keep-last <N>               The N newest backups; `all` here and below keeps every one
      --keep-hourly <N>             The newest backup of each of the last N hours that have one
      --keep-daily <N>              The newest backup of each of the last N days that have one
      --keep-weekly <N>             The newest backup of each of the last N weeks that have one
      --keep-monthly <N>            The newest backup of each of the last N months that have one
      --keep-yearly <N>             The newest backup of each of the last N years that have one
      --keep-within <TIME>          Every backup that is not older than the newest by more than
                                    this: 12h, 14d, 8w, 6mo, 1y
      --keep-within-hourly <TIME>   The newest backup of each hour within this time
      --keep-within-daily <TIME>    The newest backup of each day within this time
      --keep-within-weekly <TIME>   The newest backup of each week within this time
      --keep-within-monthly <TIME>  The newest backup of each month within this time
      --keep-within-yearly <TIME>   The newest backup of each year within this time
      --keep-safety <TIME>          Safety backups that are not older than the newest backup by more
                                    than this
      --time-zone <NAME>            Time zone of hours, days and longer periods: Europe/Berlin

Several stacks:
      --parallel <N>       How many stacks are worked on at a time [default: 1]
      --canary <STACK>     This stack first and alone; the others only once it is done
      --on-failure <WHAT>  When one fails: stop, or continue with the others
      --resume             Only the stacks that the last run of this command has not done

"#]]);
    page(&stage, &["backup", "pin"]).is(str![[r#"
exit 0
Protect a backup from `backup prune`

Usage: envctl backup pin [OPTIONS] <BACKUP>

Arguments:
  <BACKUP>  A file, a name from `backup list`, or `latest`

Options:
      --reason <TEXT>  The reason, for `backup show`
      --accept-rows    Say that its rows are right, although more than half of those before are gone
      --store <URL>    The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…,
                       file:///DIRECTORY
  -h, --help           Print help
  -V, --version        Print version

"#]]);
    page(&stage, &["restore"]).is(str![[r#"
exit 0
Put a backup back, all or nothing; `restore undo` takes it back

Usage: envctl restore [OPTIONS] [FILE|latest|-]
       envctl restore <COMMAND>

Commands:
  undo      Swap the database that the last restore replaced back in
  previous  List the databases that restores have replaced, or drop them
  help      Print this message or the help of the given subcommand(s)

Arguments:
  [FILE|latest|-]  A file, a name from `backup list`, `latest`, or `-` for stdin

Options:
      --store <URL>            The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…,
                               file:///DIRECTORY
      --from <PROFILE>         The profile whose backups are meant
      --to <PROFILE>           The profile that is restored
      --into <DB>              Restore into this database instead, made if it is not there
  -i, --identity <FILE>        Private keys that open an encrypted backup: a file of age-keygen, or
                               a private key of ssh
      --trust                  Restore a file of unknown origin although it would run code on the
                               server
      --no-backup              Do not back up what is there now
      --no-analyze             Leave out ANALYZE: the first queries are planned without statistics
  -j, --jobs <N>               Load over so many sessions, usually 2 for a large backup: tables side
                               by side, and indexes behind theirs
      --no-owner               Leave out the owners: the role that restores owns everything
      --no-privileges          Leave out privileges: GRANT, REVOKE and default privileges
      --role-map <OLD=NEW>     Write role NEW in place of role OLD; repeatable
      --skip-extension <NAME>  Leave out an extension that the server has not and nothing needs;
                               repeatable
      --skip-event-triggers    Leave out event triggers
      --skip-leading-text      Leave out text in front of the dump, such as messages of pg_dump
      --sql-script             Load a script that does not end as pg_dump's output does; all of it
                               or nothing
      --search-path <SCHEMAS>  Let functions find names without a schema in these schemas while the
                               dump is loaded: `public,extensions`
      --defer-checks           Add CHECKs that call functions when all rows are in: such a function
                               may read another table
      --transport <WAY>        worker (a container beside the database), exec (through the daemon)
                               or auto
      --worker-memory <SIZE>   The most memory a worker may use: 512m
      --worker-cpus <N>        How many processors a worker may use: 1.5
  -h, --help                   Print help
  -V, --version                Print version

"#]]);
    page(&stage, &["restore", "undo"]).is(str![[r#"
exit 0
Swap the database that the last restore replaced back in

Usage: envctl restore undo [OPTIONS]

Options:
  -h, --help     Print help
  -V, --version  Print version

"#]]);
    page(&stage, &["init"]).is(str![[r#"
exit 0
Write a commented envctl.toml from what is running, and a Makefile with the old names

Usage: envctl init [OPTIONS]

Options:
      --makefile       Also a Makefile with the old names: db-migrate, db-backup, dev-shell …
  -o, --output <FILE>  Another name for the Makefile, or without `--makefile` for envctl.toml; `-`
                       is stdout
      --force          Replace what is there
  -h, --help           Print help
  -V, --version        Print version

"#]]);
    page(&stage, &["config"]).is(str![[r#"
exit 0
Every setting and where it came from

Usage: envctl config [OPTIONS]

Options:
  -h, --help     Print help
  -V, --version  Print version

"#]]);
    page(&stage, &["completions"]).is(str![[r#"
exit 0
Shell completions on stdout

Usage: envctl completions [OPTIONS] <SHELL>

Arguments:
  <SHELL>  The shell [possible values: bash, elvish, fish, powershell, zsh]

Options:
  -h, --help     Print help
  -V, --version  Print version

"#]]);
    page(&stage, &["man"]).is(str![[r#"
exit 0
The manual page on stdout

Usage: envctl man [OPTIONS]

Options:
  -h, --help     Print help
  -V, --version  Print version

"#]]);
    assert_eq!(stage.engine.connections(), 0);
}

#[test]
fn the_version() {
    Stage::with([]).run(["--version"]).replacing(env!("CARGO_PKG_VERSION"), "[VERSION]").is(str![[r#"
exit 0
envctl [VERSION]

"#]]);
}

#[test]
fn exit_codes_are_documented() {
    let stage = Stage::with([]);
    stage.run(["help", "exit-codes"]).is(str![[r#"
exit 0
CODE  MEANING
   0  done
   1  failed
   2  usage or configuration
   3  target not found or ambiguous
   4  Docker unreachable or refused
   5  busy: a lock is held elsewhere, try again
   6  refused by a guard, nothing changed
   7  a tool failed in the container
   8  integrity: truncated, checksum, verification
   9  outcome unknown or a decision needed
  10  some of several stacks failed
  11  pending or drift (--exit-code)
  12  a verification could not be made: neither passed nor failed
 124  timeout
 125  shell, exec, psql: envctl itself failed (the message names the kind)
 126  shell, exec, psql: the command cannot be invoked
 127  shell, exec, psql: the command was not found
 130  cancelled (143: terminated)

"#]]);
    for arguments in [&["help", "exit-codes", "--json"][..], &["--json", "help", "exit-codes"]] {
        let ran = stage.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err());
        let answer: serde_json::Value = serde_json::from_str(&ran.out()).expect("one JSON document");
        assert_eq!(answer["schema"], 1);
        assert_eq!(
            answer["exit_codes"][3],
            serde_json::json!({"code": 3, "meaning": "target not found or ambiguous"})
        );
    }
}

#[test]
fn completions_for_every_shell() {
    let stage = Stage::with([]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = stage.run(["completions", shell]);
        assert_eq!((ran.code, ran.err().as_str()), (Some(0), ""), "{shell}");
        assert!(ran.out().contains("envctl") && ran.out().contains("psql"), "{shell}");
    }
    stage.run(["completions", "tcsh"]).is(str![[r#"
exit 2
! error: invalid value 'tcsh' for '<SHELL>'
!   [possible values: bash, elvish, fish, powershell, zsh]
!
!   tip: a similar value exists: 'zsh'
!
! For more information, try '--help'.

"#]]);
}

#[test]
fn the_manual_is_a_manual() {
    let ran = Stage::with([]).run(["man"]);
    assert_eq!((ran.code, ran.err().as_str()), (Some(0), ""));
    assert!(ran.out().contains(".TH envctl 1"), "{}", ran.out());
    assert!(ran.out().contains(".SH SUBCOMMANDS"), "{}", ran.out());
}

#[test]
fn words_nobody_knows_are_usage_errors_with_a_suggestion() {
    let stage = Stage::with([]);
    stage.run(["sehll"]).is(str![[r#"
exit 2
! error: unrecognized subcommand 'sehll'
!
!   tip: a similar subcommand exists: 'shell'
!
! Usage: envctl [OPTIONS] <COMMAND>
!
! For more information, try '--help'.

"#]]);
    stage.run(["logs", "--tial", "3"]).is(str![[r#"
exit 2
! error: unexpected argument '--tial' found
!
!   tip: a similar argument exists: '--tail'
!
! Usage: envctl logs --tail <N> [ROLE|SERVICE]
!
! For more information, try '--help'.

"#]]);
    stage.run(["logs", "--timeout", "soon"]).is(str![[r#"
exit 2
! error: invalid value 'soon' for '--timeout <TIME>': `soon` is not a duration; write `10s`, `2m` or a number of seconds
!
! For more information, try '--help'.

"#]]);
    stage.run(["logs", "--color", "mauve"]).is(str![[r#"
exit 2
! error: invalid value 'mauve' for '--color <WHEN>': expected auto, always or never
!
! For more information, try '--help'.

"#]]);
}

#[test]
fn usage_errors_keep_to_json() {
    let ran = Stage::with([]).run(["logs", "--json", "--tial", "3"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    let answer: serde_json::Value = serde_json::from_str(&ran.out()).expect("one JSON document on stdout");
    assert_eq!((&answer["schema"], &answer["error"]["code"]), (&1.into(), &"usage".into()), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("--tial"), "{answer}");
}

#[test]
fn a_closed_stdout_is_no_success() {
    let stage = Stage::with([]);
    let mut full = std::process::Command::new("sh");
    full.args(["-c", "\"$0\" help exit-codes >/dev/full"]).arg(env!("CARGO_BIN_EXE_envctl"));
    let ran = stage.prepare(full).run();
    assert_eq!(ran.code, Some(1), "{}", ran.err());
}
