//! `envctl config`: every setting and where it came from; and files that cannot be understood.

use snapbox::str;

use crate::stage::Stage;

#[test]
fn without_any_file() {
    Stage::with([]).run(["config"]).is(str![[r#"
exit 0
SETTING                    VALUE                                               FROM
project_dir                -                                                   default
config                     -                                                   default
stacks                     -                                                   default
all_stacks                 false                                               default
profile                    -                                                   default
container                  -                                                   default
index                      -                                                   default
stack                      -                                                   default
database.name              -                                                   default
database.user              -                                                   default
database.os_user           -                                                   default
database.password_file     -                                                   default
docker.context             -                                                   default
docker.host                -                                                   default
backup.dir                 [DIR]/.local/share/envctl/backups  default
backup.format              plain                                               default
backup.compress            gzip                                                default
backup.jobs                1                                                   default
backup.exclude_table_data  -                                                   default
backup.keep_last           0                                                   default
backup.keep_daily          0                                                   default
backup.keep_weekly         0                                                   default
backup.keep_monthly        0                                                   default
backup.keep_yearly         0                                                   default
restore.jobs               1                                                   default
lock_timeout               10s                                                 default
stall_timeout              2m                                                  default
timeout                    0s                                                  default
output.color               auto                                                default

"#]]);
}

#[test]
fn every_origin_is_told() {
    let stage = Stage::with([]);
    stage.write("envctl.toml", "stack = \"acme\"\n[timeouts]\nlock = \"1m\"\n[profiles.prod]\ndb = \"pg\"\n");
    stage.write(".config/envctl/config.toml", "[backup]\ncompress = \"zstd\"\n");
    stage.envctl(["config", "-d", "shop"]).env("ENVCTL_PROFILE", "prod").run().is(str![[r#"
exit 2
! error: [DIR]/envctl.toml:2: unknown key `timeouts`
! hint: did you mean `timeout`?

"#]]);
    stage.envctl(["config", "-d", "shop", "--json"]).env("ENVCTL_PROFILE", "prod").run().is(str![[r#"
exit 2
{"schema":1,"error":{"code":"usage","message":"[DIR]/envctl.toml:2: unknown key `timeouts`","hint":"did you mean `timeout`?"}}

"#]]);
}

#[test]
fn a_key_nobody_knows_is_an_error_with_a_suggestion() {
    let stage = Stage::with([]);
    stage.write("envctl.toml", "stak = \"acme\"\n");
    stage.run(["config"]).is(str![[r#"
exit 2
! error: [DIR]/envctl.toml:1: unknown key `stak`
! hint: did you mean `stack`?

"#]]);
    stage.run(["config", "--json"]).is(str![[r#"
exit 2
{"schema":1,"error":{"code":"usage","message":"[DIR]/envctl.toml:1: unknown key `stak`","hint":"did you mean `stack`?"}}

"#]]);
}

#[test]
fn a_file_that_is_no_toml() {
    let stage = Stage::with([]);
    stage.write("envctl.toml", "stack = acme\n");
    stage.run(["logs"]).is(str![[r#"
exit 2
! error: [DIR]/envctl.toml:1: string values must be quoted, expected literal string

"#]]);
    assert_eq!(stage.engine.connections(), 0);
}

#[test]
fn a_file_that_does_not_exist() {
    Stage::with([]).run(["config", "--config", "nosuch.toml"]).is(str![[r#"
exit 2
! error: --config: cannot read [DIR]/nosuch.toml: No such file or directory (os error 2)

"#]]);
    Stage::with([]).run(["config", "-C", "nosuch"]).is(str![[r#"
exit 2
! error: --project-dir: [DIR]/nosuch is not a directory

"#]]);
}

#[test]
fn secrets_are_not_shown() {
    let stage = Stage::with([]);
    stage.write("pw", "hunter2\n");
    stage.write("envctl.toml", "[database]\npassword_file = \"pw\"\n");
    for arguments in [&["config"][..], &["config", "--json"], &["config", "-vv"]] {
        let ran = stage.run(arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.err());
        assert!(!ran.out().contains("hunter2") && !ran.err().contains("hunter2"));
    }
    let ran = stage.run(["config", "--host", "tcp://me:hunter2@example.org:2376"]);
    assert!(!ran.out().contains("hunter2") && !ran.err().contains("hunter2"), "{}", ran.out());
}
