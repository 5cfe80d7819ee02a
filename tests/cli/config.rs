//! `envctl config`: every setting and where it came from; and files that cannot be understood.

use snapbox::str;

use crate::stage::Stage;

#[test]
fn without_any_file() {
    Stage::with([]).run(["config"]).is(str![[r#"
exit 0
SETTING                               VALUE                                               FROM
project_dir                           -                                                   default
config                                -                                                   default
stacks                                -                                                   default
all_stacks                            false                                               default
profile                               -                                                   default
container                             -                                                   default
index                                 -                                                   default
stack                                 -                                                   default
database.name                         -                                                   default
database.user                         -                                                   default
database.host                         -                                                   default
database.port                         -                                                   default
database.os_user                      -                                                   default
database.password_file                -                                                   default
docker.context                        -                                                   default
docker.host                           -                                                   default
docker.transport                      auto                                                default
docker.worker_min_size                20m                                                 default
docker.worker_memory                  -                                                   default
docker.worker_cpus                    -                                                   default
backup.dir                            [DIR]/.local/share/envctl/backups  default
backup.format                         plain                                               default
backup.compress                       gzip                                                default
backup.jobs                           1                                                   default
backup.exclude_table_data             -                                                   default
backup.keep.last                      -                                                   default
backup.keep.hourly                    -                                                   default
backup.keep.daily                     -                                                   default
backup.keep.weekly                    -                                                   default
backup.keep.monthly                   -                                                   default
backup.keep.yearly                    -                                                   default
backup.keep.within                    -                                                   default
backup.keep.within_hourly             -                                                   default
backup.keep.within_daily              -                                                   default
backup.keep.within_weekly             -                                                   default
backup.keep.within_monthly            -                                                   default
backup.keep.within_yearly             -                                                   default
backup.keep.safety                    30d                                                 default
backup.keep.time_zone                 -                                                   default
backup.keep_in_stores.last            -                                                   default
backup.keep_in_stores.hourly          -                                                   default
backup.keep_in_stores.daily           -                                                   default
backup.keep_in_stores.weekly          -                                                   default
backup.keep_in_stores.monthly         -                                                   default
backup.keep_in_stores.yearly          -                                                   default
backup.keep_in_stores.within          -                                                   default
backup.keep_in_stores.within_hourly   -                                                   default
backup.keep_in_stores.within_daily    -                                                   default
backup.keep_in_stores.within_weekly   -                                                   default
backup.keep_in_stores.within_monthly  -                                                   default
backup.keep_in_stores.within_yearly   -                                                   default
backup.keep_in_stores.safety          30d                                                 default
backup.keep.until_copied              false                                               default
backup.schedule.cron                  30 1 * * *                                          default
backup.schedule.time_zone             -                                                   default
backup.schedule.jitter                0s                                                  default
backup.schedule.verify                structure                                           default
backup.schedule.prune                 false                                               default
backup.manifest_key_file              -                                                   default
backup.ping                           -                                                   default
backup.stores                         -                                                   default
backup.s3_endpoint                    -                                                   default
backup.s3_region                      -                                                   default
backup.s3_path_style                  -                                                   default
backup.encryption.encrypt             auto                                                default
backup.encryption.recipients          -                                                   default
backup.encryption.recipients_file     -                                                   default
backup.encryption.identity_file       -                                                   default
hooks.on_success                      -                                                   default
hooks.on_failure                      -                                                   default
restore.jobs                          auto                                                default
verify.checks                         -                                                   default
verify.rto                            -                                                   default
migrations.driver                     auto                                                default
migrations.dir                        -                                                   default
migrations.layout                     -                                                   default
migrations.schema                     -                                                   default
migrations.studio                     -                                                   default
migrations.studio_image               -                                                   default
migrations.preset                     -                                                   default
migrations.commands.status            -                                                   default
migrations.commands.apply             -                                                   default
migrations.commands.create            -                                                   default
migrations.commands.reset             -                                                   default
migrations.commands.seed              -                                                   default
migrations.backup_age                 24h                                                 default
lock_timeout                          10s                                                 default
stall_timeout                         2m                                                  default
timeout                               0s                                                  default
output.color                          auto                                                default

"#]]);
}

#[test]
fn every_origin_is_told() {
    let stage = Stage::with([]);
    stage.write("envctl.toml", "stack = \"acme\"\nlock_timeout = \"1m\"\n[profiles.prod]\ndb = \"pg\"\n");
    stage.write(".config/envctl/config.toml", "[backup]\ncompress = \"zstd\"\n");
    stage.envctl(["config", "-d", "shop"]).env("ENVCTL_PROFILE", "prod").run().is(str![[r#"
exit 0
SETTING                               VALUE                               FROM
project_dir                           [DIR]              default
config                                [DIR]/envctl.toml  default
stacks                                -                                   default
all_stacks                            false                               default
profile                               prod                                ENVCTL_PROFILE
container                             -                                   default
index                                 -                                   default
stack                                 acme                                [DIR]/envctl.toml:1
profiles.prod.db                      pg                                  [DIR]/envctl.toml:4
database.name                         shop                                --database
database.user                         -                                   default
database.host                         -                                   default
database.port                         -                                   default
database.os_user                      -                                   default
database.password_file                -                                   default
docker.context                        -                                   default
docker.host                           -                                   default
docker.transport                      auto                                default
docker.worker_min_size                20m                                 default
docker.worker_memory                  -                                   default
docker.worker_cpus                    -                                   default
backup.dir                            [DIR]/backups      default
backup.format                         plain                               default
backup.compress                       zstd                                [DIR]/.config/envctl/config.toml:2
backup.jobs                           1                                   default
backup.exclude_table_data             -                                   default
backup.keep.last                      -                                   default
backup.keep.hourly                    -                                   default
backup.keep.daily                     -                                   default
backup.keep.weekly                    -                                   default
backup.keep.monthly                   -                                   default
backup.keep.yearly                    -                                   default
backup.keep.within                    -                                   default
backup.keep.within_hourly             -                                   default
backup.keep.within_daily              -                                   default
backup.keep.within_weekly             -                                   default
backup.keep.within_monthly            -                                   default
backup.keep.within_yearly             -                                   default
backup.keep.safety                    30d                                 default
backup.keep.time_zone                 -                                   default
backup.keep_in_stores.last            -                                   default
backup.keep_in_stores.hourly          -                                   default
backup.keep_in_stores.daily           -                                   default
backup.keep_in_stores.weekly          -                                   default
backup.keep_in_stores.monthly         -                                   default
backup.keep_in_stores.yearly          -                                   default
backup.keep_in_stores.within          -                                   default
backup.keep_in_stores.within_hourly   -                                   default
backup.keep_in_stores.within_daily    -                                   default
backup.keep_in_stores.within_weekly   -                                   default
backup.keep_in_stores.within_monthly  -                                   default
backup.keep_in_stores.within_yearly   -                                   default
backup.keep_in_stores.safety          30d                                 default
backup.keep.until_copied              false                               default
backup.schedule.cron                  30 1 * * *                          default
backup.schedule.time_zone             -                                   default
backup.schedule.jitter                0s                                  default
backup.schedule.verify                structure                           default
backup.schedule.prune                 false                               default
backup.manifest_key_file              -                                   default
backup.ping                           -                                   default
backup.stores                         -                                   default
backup.s3_endpoint                    -                                   default
backup.s3_region                      -                                   default
backup.s3_path_style                  -                                   default
backup.encryption.encrypt             auto                                default
backup.encryption.recipients          -                                   default
backup.encryption.recipients_file     -                                   default
backup.encryption.identity_file       -                                   default
hooks.on_success                      -                                   default
hooks.on_failure                      -                                   default
restore.jobs                          auto                                default
verify.checks                         -                                   default
verify.rto                            -                                   default
migrations.driver                     auto                                default
migrations.dir                        -                                   default
migrations.layout                     -                                   default
migrations.schema                     -                                   default
migrations.studio                     -                                   default
migrations.studio_image               -                                   default
migrations.preset                     -                                   default
migrations.commands.status            -                                   default
migrations.commands.apply             -                                   default
migrations.commands.create            -                                   default
migrations.commands.reset             -                                   default
migrations.commands.seed              -                                   default
migrations.backup_age                 24h                                 default
lock_timeout                          1m                                  [DIR]/envctl.toml:2
stall_timeout                         2m                                  default
timeout                               0s                                  default
output.color                          auto                                default

"#]]);
    stage.envctl(["config", "-d", "shop", "--json"]).env("ENVCTL_PROFILE", "prod").run().is(str![[r#"
exit 0
{"schema":1,"settings":[{"key":"project_dir","value":"[DIR]","origin":{"from":"default"}},{"key":"config","value":"[DIR]/envctl.toml","origin":{"from":"default"}},{"key":"stacks","value":null,"origin":{"from":"default"}},{"key":"all_stacks","value":"false","origin":{"from":"default"}},{"key":"profile","value":"prod","origin":{"from":"env","name":"ENVCTL_PROFILE"}},{"key":"container","value":null,"origin":{"from":"default"}},{"key":"index","value":null,"origin":{"from":"default"}},{"key":"stack","value":"acme","origin":{"from":"file","path":"[DIR]/envctl.toml","line":1}},{"key":"profiles.prod.db","value":"pg","origin":{"from":"file","path":"[DIR]/envctl.toml","line":4}},{"key":"database.name","value":"shop","origin":{"from":"flag","name":"--database"}},{"key":"database.user","value":null,"origin":{"from":"default"}},{"key":"database.host","value":null,"origin":{"from":"default"}},{"key":"database.port","value":null,"origin":{"from":"default"}},{"key":"database.os_user","value":null,"origin":{"from":"default"}},{"key":"database.password_file","value":null,"origin":{"from":"default"}},{"key":"docker.context","value":null,"origin":{"from":"default"}},{"key":"docker.host","value":null,"origin":{"from":"default"}},{"key":"docker.transport","value":"auto","origin":{"from":"default"}},{"key":"docker.worker_min_size","value":"20m","origin":{"from":"default"}},{"key":"docker.worker_memory","value":null,"origin":{"from":"default"}},{"key":"docker.worker_cpus","value":null,"origin":{"from":"default"}},{"key":"backup.dir","value":"[DIR]/backups","origin":{"from":"default"}},{"key":"backup.format","value":"plain","origin":{"from":"default"}},{"key":"backup.compress","value":"zstd","origin":{"from":"file","path":"[DIR]/.config/envctl/config.toml","line":2}},{"key":"backup.jobs","value":"1","origin":{"from":"default"}},{"key":"backup.exclude_table_data","value":"","origin":{"from":"default"}},{"key":"backup.keep.last","value":null,"origin":{"from":"default"}},{"key":"backup.keep.hourly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.daily","value":null,"origin":{"from":"default"}},{"key":"backup.keep.weekly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.monthly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.yearly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.within","value":null,"origin":{"from":"default"}},{"key":"backup.keep.within_hourly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.within_daily","value":null,"origin":{"from":"default"}},{"key":"backup.keep.within_weekly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.within_monthly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.within_yearly","value":null,"origin":{"from":"default"}},{"key":"backup.keep.safety","value":"30d","origin":{"from":"default"}},{"key":"backup.keep.time_zone","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.last","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.hourly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.daily","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.weekly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.monthly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.yearly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.within","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.within_hourly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.within_daily","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.within_weekly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.within_monthly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.within_yearly","value":null,"origin":{"from":"default"}},{"key":"backup.keep_in_stores.safety","value":"30d","origin":{"from":"default"}},{"key":"backup.keep.until_copied","value":"false","origin":{"from":"default"}},{"key":"backup.schedule.cron","value":"30 1 * * *","origin":{"from":"default"}},{"key":"backup.schedule.time_zone","value":null,"origin":{"from":"default"}},{"key":"backup.schedule.jitter","value":"0s","origin":{"from":"default"}},{"key":"backup.schedule.verify","value":"structure","origin":{"from":"default"}},{"key":"backup.schedule.prune","value":"false","origin":{"from":"default"}},{"key":"backup.manifest_key_file","value":null,"origin":{"from":"default"}},{"key":"backup.ping","value":null,"origin":{"from":"default"}},{"key":"backup.stores","value":"","origin":{"from":"default"}},{"key":"backup.s3_endpoint","value":null,"origin":{"from":"default"}},{"key":"backup.s3_region","value":null,"origin":{"from":"default"}},{"key":"backup.s3_path_style","value":null,"origin":{"from":"default"}},{"key":"backup.encryption.encrypt","value":"auto","origin":{"from":"default"}},{"key":"backup.encryption.recipients","value":"","origin":{"from":"default"}},{"key":"backup.encryption.recipients_file","value":null,"origin":{"from":"default"}},{"key":"backup.encryption.identity_file","value":null,"origin":{"from":"default"}},{"key":"hooks.on_success","value":null,"origin":{"from":"default"}},{"key":"hooks.on_failure","value":null,"origin":{"from":"default"}},{"key":"restore.jobs","value":"auto","origin":{"from":"default"}},{"key":"verify.checks","value":"","origin":{"from":"default"}},{"key":"verify.rto","value":null,"origin":{"from":"default"}},{"key":"migrations.driver","value":"auto","origin":{"from":"default"}},{"key":"migrations.dir","value":null,"origin":{"from":"default"}},{"key":"migrations.layout","value":null,"origin":{"from":"default"}},{"key":"migrations.schema","value":null,"origin":{"from":"default"}},{"key":"migrations.studio","value":null,"origin":{"from":"default"}},{"key":"migrations.studio_image","value":null,"origin":{"from":"default"}},{"key":"migrations.preset","value":null,"origin":{"from":"default"}},{"key":"migrations.commands.status","value":null,"origin":{"from":"default"}},{"key":"migrations.commands.apply","value":null,"origin":{"from":"default"}},{"key":"migrations.commands.create","value":null,"origin":{"from":"default"}},{"key":"migrations.commands.reset","value":null,"origin":{"from":"default"}},{"key":"migrations.commands.seed","value":null,"origin":{"from":"default"}},{"key":"migrations.backup_age","value":"24h","origin":{"from":"default"}},{"key":"lock_timeout","value":"1m","origin":{"from":"file","path":"[DIR]/envctl.toml","line":2}},{"key":"stall_timeout","value":"2m","origin":{"from":"default"}},{"key":"timeout","value":"0s","origin":{"from":"default"}},{"key":"output.color","value":"auto","origin":{"from":"default"}}]}

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

#[test]
fn what_a_file_says_of_colours_and_sessions_is_followed() {
    let stage = Stage::with(crate::container::stack("acme-dev"));
    stage.engine.install("*", "psql", crate::postgres::Server::new().psql());
    stage.write("envctl.toml", "stack = \"acme\"\n[output]\ncolor = \"always\"\n[restore]\njobs = 9\n");
    assert!(stage.run(["status"]).out().contains('\x1b'), "no colour");
    assert!(!stage.run(["status", "--color", "never"]).out().contains('\x1b'), "the option is stronger");
    let row = |ran: crate::stage::Ran| {
        ran.out().lines().find(|l| l.starts_with("output.color")).unwrap().to_owned()
    };
    assert!(row(stage.run(["config", "--color", "never"])).ends_with("--color"));

    stage.write("dump.sql", crate::dumps::DUMP);
    let server = crate::postgres::Server::new().answer("rolcreatedb", "150018,15.18,t,16384,12345678,f,\n");
    stage.engine.install("*", "psql", server.psql());
    let many = stage.run(["restore", "dump.sql", "-s", "acme", "--dry-run", "--color", "never"]);
    assert_eq!(many.code, Some(2), "{}", many.err());
    assert!(many.err().contains("envctl.toml:5: at most 6 sessions load"), "{}", many.err());
    let two = stage
        .envctl(["restore", "dump.sql", "-s", "acme", "--dry-run"])
        .env("ENVCTL_RESTORE_JOBS", "2")
        .run();
    assert_eq!(two.code, Some(0), "{}", two.err());
}
