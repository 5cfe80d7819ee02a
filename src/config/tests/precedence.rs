//! Which word holds, where things lie, and what is never read.

use std::time::Duration;

use super::super::keys::GUARDS;
use super::super::project::is_compose_file;
use super::super::settings::{Database, EndpointSettings, Timeouts};
use super::*;
use crate::config::color::Color;
use crate::config::secret::SecretSource;

#[test]
fn flag_over_variable_over_project_over_user_over_default() {
    let machine = Machine::new();
    assert_eq!(told(&machine.settings(), "lock_timeout"), "10s [default]");
    let machine = machine.user("\nlock_timeout = 2");
    assert_eq!(told(&machine.settings(), "lock_timeout"), "2s [config.toml:2]");
    let machine = machine.project("lock_timeout = 3");
    assert_eq!(told(&machine.settings(), "lock_timeout"), "3s [envctl.toml:1]");
    let machine = machine.env("ENVCTL_LOCK_TIMEOUT", "");
    assert_eq!(told(&machine.settings(), "lock_timeout"), "3s [envctl.toml:1]");
    let machine = machine.env("ENVCTL_LOCK_TIMEOUT", "4s");
    assert_eq!(told(&machine.settings(), "lock_timeout"), "4s [ENVCTL_LOCK_TIMEOUT]");
    let machine =
        machine.flags(|f| f.lock_timeout = Some(Sourced::flag("--lock-timeout", Duration::from_secs(5))));
    assert_eq!(told(&machine.settings(), "lock_timeout"), "5s [--lock-timeout]");
    assert_eq!(machine.settings().timeouts.lock, Duration::from_secs(5));
}

#[test]
fn nothing_said_is_decided_all_the_same() {
    let machine = Machine::new();
    let settings = machine.settings();
    let expected =
        Timeouts { lock: Duration::from_secs(10), stall: Some(Duration::from_mins(2)), overall: None };
    assert_eq!(settings.timeouts, expected);
    assert_eq!(settings.backup.root, machine.path("home/.local/share/envctl/backups"));
    assert_eq!(settings.target, crate::environment::selector::TargetRequest::default());
    assert_eq!((settings.color, settings.project_file.as_ref()), (Color::Auto, None));
    assert_eq!(
        (settings.daemon(None), settings.database(Some("dev"))),
        (&EndpointSettings::default(), &Database::default())
    );
}

#[test]
fn zero_is_without_limit() {
    let machine = Machine::new().env("ENVCTL_STALL_TIMEOUT", "0").env("ENVCTL_LOCK_TIMEOUT", "0");
    assert_eq!(machine.settings().timeouts, Timeouts { lock: Duration::ZERO, stall: None, overall: None });
}

#[test]
fn the_target_is_what_flags_and_variables_say() {
    let machine = Machine::new()
        .project("stack = 'acme'\n[profiles.prod]\nproject = 'acme-live'\nprotected = true")
        .env("ENVCTL_STACK", "a*, b")
        .env("ENVCTL_INDEX", "2")
        .flags(|f| f.profile = Some(Sourced::flag("--prod", "prod".into())))
        .flags(|f| f.container = Some(Sourced::env("ENVCTL_CONTAINER", "acme-db".into())));
    let settings = machine.settings();
    let target = &settings.target;
    assert_eq!(target.stacks, ["a*", "b"]);
    assert_eq!((target.profile.as_deref(), target.index), (Some("prod"), Some(2)));
    assert_eq!(
        (target.project_dir.clone(), target.rules.stack.as_deref()),
        (Some(machine.path("project")), Some("acme"))
    );
    let rule = &target.rules.profiles["prod"];
    assert_eq!((rule.project.as_deref(), rule.protected), (Some("acme-live"), Some(true)));
    assert_eq!(told(&settings, "stacks"), "a*, b [ENVCTL_STACK]");
    assert_eq!(told(&settings, "profile"), "prod [--prod]");
    assert_eq!(told(&settings, "container"), "acme-db [ENVCTL_CONTAINER]");
    assert_eq!(told(&settings, "profiles.prod.protected"), "true [envctl.toml:4]");
}

#[test]
fn some_stacks_or_all_of_them() {
    let all = |f: &mut Flags| f.all_stacks = Some(Sourced::flag("--all-stacks", true));
    let some = |f: &mut Flags| f.stacks = Some(Sourced::flag("--stack", vec!["a".into()]));
    let read = |machine: Machine| {
        let target = machine.settings().target;
        (target.stacks, target.all_stacks)
    };
    assert_eq!(read(Machine::new().env("ENVCTL_STACK", "x").flags(all)), (vec![], true));
    assert_eq!(read(Machine::new().env("ENVCTL_ALL_STACKS", "1").flags(some)), (vec!["a".to_owned()], false));
    assert_eq!(read(Machine::new().env("ENVCTL_ALL_STACKS", "false")), (vec![], false));
    let both = Machine::new().flags(all).flags(some).refusal();
    assert_eq!(both.message(), "--stack and --all-stacks exclude each other");
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value) in [
        ("ENVCTL_LOCK_TIMEOUT", "soon"),
        ("ENVCTL_INDEX", "-1"),
        ("ENVCTL_RESTORE_JOBS", "0"),
        ("ENVCTL_ALL_STACKS", "maybe"),
        ("ENVCTL_COLOR", "blue"),
        ("ENVCTL_COMPRESS", "lzma:3"),
        ("ENVCTL_FORMAT", "plain:3"),
        ("ENVCTL_PROFILE", "../etc"),
        ("ENVCTL_CONFIG", "none.toml"),
        ("ENVCTL_PROJECT_DIR", "nowhere"),
    ] {
        let error = Machine::new().env(name, value).refusal();
        assert!(error.message().starts_with(&format!("{name}: ")), "{error}");
    }
    let error = Machine::new().project("\n[backup]\ncompress = 'lzma'").refusal();
    assert!(error.message().contains("envctl.toml:3: `backup.compress`"), "{error}");
}

#[test]
fn what_lifts_a_guard_is_never_read_from_a_variable() {
    let plain = Machine::new().project("stack = 'acme'");
    let before = format!("{:?}", plain.settings());
    let mut machine = plain;
    for guard in GUARDS {
        machine = machine.env(&format!("ENVCTL_{}", guard.to_uppercase()), "1");
    }
    assert!(machine.inputs.env.contains_key("ENVCTL_YES"));
    assert_eq!(format!("{:?}", machine.settings()), before);
    for guard in GUARDS {
        let error = Machine::new().project(&format!("{guard} = true")).refusal();
        assert!(error.message().contains("lifts a guard"), "{error}");
    }
}

#[test]
fn the_project_is_found_upwards() {
    let mut machine = Machine::new();
    let folder = |machine: &Machine| machine.settings().target.project_dir;
    machine.inputs.cwd = machine.path("project/deep/er");
    assert_eq!(folder(&machine), None);
    machine.write("project/docker-compose.dev.yml", "");
    assert_eq!(folder(&machine), Some(machine.path("project")));
    machine.write("project/deep/compose.yaml", "");
    assert_eq!(folder(&machine), Some(machine.path("project/deep")));
    // Written to say where the project is, so it wins over a nearer compose file.
    let machine = machine.project("stack = 'acme'");
    let settings = machine.settings();
    assert_eq!(settings.target.project_dir, Some(machine.path("project")));
    assert_eq!(settings.project_file, Some(machine.path("project/envctl.toml")));
    assert_eq!(settings.backup.root, machine.path("project/backups"));
}

#[test]
fn a_project_may_be_named() {
    let mut machine = Machine::new().project("stack = 'acme'");
    let file = machine.write("elsewhere/other.toml", "stack = 'other'");
    machine.inputs.cwd = machine.path("home");
    let dir = |folder: &str| {
        let folder = PathBuf::from(folder);
        move |f: &mut Flags| f.project_dir = Some(Sourced::flag("--project-dir", folder))
    };
    let machine = machine.flags(dir("../project/deep"));
    let settings = machine.settings();
    assert_eq!(settings.target.rules.stack.as_deref(), Some("acme"));
    assert_eq!(settings.target.project_dir, Some(machine.path("project")));
    // Nothing marks this folder, but it was named.
    let machine = machine.flags(dir("../elsewhere"));
    assert_eq!(machine.settings().target.project_dir, Some(machine.path("elsewhere")));

    let machine = machine.flags(|f| f.project_dir = None);
    let machine = machine.flags(|f| f.config = Some(Sourced::flag("--config", file.clone())));
    let settings = machine.settings();
    assert_eq!(settings.target.rules.stack.as_deref(), Some("other"));
    assert_eq!(settings.target.project_dir, Some(machine.path("elsewhere")));
    let machine = machine.flags(|f| f.config = Some(Sourced::flag("--config", "gone.toml".into())));
    assert!(machine.refusal().message().starts_with("--config: cannot read "));
}

#[test]
fn compose_files_by_name() {
    for name in
        ["compose.yml", "compose.yaml", "docker-compose.yml", "docker-compose.dev.yaml", "compose.prod.yml"]
    {
        assert!(is_compose_file(name), "{name}");
    }
    for name in ["compose.toml", "composer.yml", "mycompose.yml", "compose", "compose.yml.bak"] {
        assert!(!is_compose_file(name), "{name}");
    }
}

#[test]
fn backups_lie_where_somebody_said() {
    let machine = Machine::new().env("XDG_DATA_HOME", "/data");
    assert_eq!(machine.settings().backup.root, Path::new("/data/envctl/backups"));
    let machine = machine.env("XDG_DATA_HOME", "relative");
    assert_eq!(machine.settings().backup.root, machine.path("home/.local/share/envctl/backups"));
    let machine = machine.user("backup.dir = '~/dumps'");
    assert_eq!(machine.settings().backup.root, machine.path("home/dumps"));
    let machine = machine.project("backup.dir = '../shared'");
    assert_eq!(machine.settings().backup.root, machine.path("project/../shared"));
    let machine = machine.env("ENVCTL_BACKUP_DIR", "here");
    assert_eq!(machine.settings().backup.root, machine.path("project/here"));
}

#[test]
fn a_profile_has_its_own_database() {
    let machine = Machine::new().project(
        "[database]\nname = 'app'\nuser = 'ana'\npassword_file = 'pw'\n\
         [profiles.prod.database]\nuser = 'root'\npassword_command = ['pass', 'hunter2']",
    );
    let settings = machine.settings();
    let dev = Database {
        name: Some("app".into()),
        user: Some("ana".into()),
        os_user: None,
        host: None,
        port: None,
        password: Some(SecretSource::File(machine.path("project/pw"))),
    };
    assert_eq!((settings.database(Some("dev")), settings.database(None)), (&dev, &dev));
    let prod = Database {
        user: Some("root".into()),
        password: Some(SecretSource::Command(vec!["pass".into(), "hunter2".into()])),
        ..dev.clone()
    };
    assert_eq!(settings.database(Some("prod")), &prod);
    let shown = serde_json::to_string(settings.table()).unwrap() + &format!("{settings:?}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let named = machine.flags(|f| f.database = Some(Sourced::flag("--database", "other".into()))).settings();
    let name = |profile| named.database(profile).name.as_deref();
    assert_eq!(
        (name(None), name(Some("prod")), name(Some("dev"))),
        (Some("other"), Some("other"), Some("other"))
    );
    assert_eq!(told(&named, "database.name"), "other [--database]");
}

#[cfg(unix)]
#[test]
fn somebody_else_s_file_runs_no_command() {
    use std::os::unix::fs::MetadataExt as _;
    let mut machine = Machine::new().project("[database]\npassword_command = ['id']");
    let file = machine.path("project/envctl.toml");
    let owner = std::fs::metadata(&file).unwrap().uid();
    machine.inputs.uid = Some(owner);
    assert!(machine.settings().database(None).password.is_some());
    // Root may give the file away; anybody else takes the role of a stranger.
    if owner == 0 {
        std::os::unix::fs::chown(&file, Some(54321), None).unwrap();
    } else {
        machine.inputs.uid = Some(owner + 1);
    }
    let error = machine.refusal();
    assert!(error.message().contains("envctl.toml:2: this file belongs to another user"), "{error}");
    let machine = machine.flags(|f| f.config = Some(Sourced::flag("--config", file)));
    assert!(machine.settings().database(None).password.is_some());
}

#[cfg(unix)]
#[test]
fn somebody_else_s_file_sends_no_backup_anywhere() {
    use std::os::unix::fs::MetadataExt as _;
    for key in ["stores = ['s3://theirs']", "s3_endpoint = 'https://theirs.example'"] {
        let mut machine = Machine::new().project(&format!("[backup]\n{key}"));
        let file = machine.path("project/envctl.toml");
        let owner = std::fs::metadata(&file).unwrap().uid();
        machine.inputs.uid = Some(owner);
        machine.settings();
        if owner == 0 {
            std::os::unix::fs::chown(&file, Some(54321), None).unwrap();
        } else {
            machine.inputs.uid = Some(owner + 1);
        }
        let error = machine.refusal();
        assert!(error.message().contains("envctl.toml:2: this file belongs to another user"), "{error}");
    }
}

#[test]
fn encryption_that_one_file_requires_no_other_one_lifts() {
    let auto = "[backup.encryption]\nencrypt = 'auto'";
    let required = "[backup.encryption]\nencrypt = 'required'";
    let user = Machine::new().user(required).project(auto).env("ENVCTL_ENCRYPT", "auto");
    let settings = user.settings();
    assert!(settings.backup.encryption.required);
    assert_eq!(told(&settings, "backup.encryption.encrypt"), "required [config.toml:2]");
    assert!(Machine::new().user(auto).project(required).settings().backup.encryption.required);
    assert!(
        Machine::new().user(auto).env("ENVCTL_ENCRYPT", "required").settings().backup.encryption.required
    );
    assert!(!Machine::new().user(auto).project(auto).settings().backup.encryption.required);
}

#[cfg(unix)]
#[test]
fn somebody_else_s_file_decides_nothing_about_encryption() {
    use std::os::unix::fs::MetadataExt as _;
    let recipient = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    for key in [
        "encrypt = 'auto'".to_owned(),
        format!("recipients = ['{recipient}']"),
        "recipients_file = 'theirs.txt'".to_owned(),
        "identity_file = 'theirs.key'".to_owned(),
        "identity_command = ['id']".to_owned(),
    ] {
        let mut machine = Machine::new().project(&format!("[backup.encryption]\n{key}"));
        let file = machine.path("project/envctl.toml");
        let owner = std::fs::metadata(&file).unwrap().uid();
        machine.inputs.uid = Some(owner);
        machine.settings();
        if owner == 0 {
            std::os::unix::fs::chown(&file, Some(54321), None).unwrap();
        } else {
            machine.inputs.uid = Some(owner + 1);
        }
        let error = machine.refusal();
        assert!(
            error.message().contains("envctl.toml:2: this file belongs to another user"),
            "{key}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn somebody_else_s_file_runs_no_hook_and_asks_no_address() {
    use std::os::unix::fs::MetadataExt as _;
    for text in ["[hooks]\non_failure = ['id']", "[backup]\nping = 'https://theirs.example/x'"] {
        let mut machine = Machine::new().project(text);
        let file = machine.path("project/envctl.toml");
        let owner = std::fs::metadata(&file).unwrap().uid();
        machine.inputs.uid = Some(owner);
        machine.settings();
        if owner == 0 {
            std::os::unix::fs::chown(&file, Some(54321), None).unwrap();
        } else {
            machine.inputs.uid = Some(owner + 1);
        }
        let error = machine.refusal();
        assert!(error.message().contains("envctl.toml:2: this file belongs to another user"), "{error}");
    }
}

#[test]
fn a_daemon_is_asked_for_by_one_layer() {
    let endpoint = |settings: &Settings, profile| {
        let endpoint = settings.daemon(profile).clone();
        let shown = |given: Sourced<String>| given.value;
        (endpoint.context.map(shown), endpoint.host.map(shown))
    };
    let some = |text: &str| Some(text.to_owned());
    let machine = Machine::new().user("docker.host = 'tcp://u'");
    assert_eq!(endpoint(&machine.settings(), None), (None, some("tcp://u")));
    let machine = machine.project("docker.context = 'p'\n[profiles.prod]\nhost = 'ssh://x'");
    assert_eq!(endpoint(&machine.settings(), Some("dev")), (some("p"), None));
    assert_eq!(endpoint(&machine.settings(), Some("prod")), (None, some("ssh://x")));
    let machine = machine.env("ENVCTL_CONTEXT", "e");
    assert_eq!(endpoint(&machine.settings(), Some("prod")), (some("e"), None));
    let machine = machine.flags(|f| f.host = Some(Sourced::flag("--host", "ssh://me:hunter2@f".into())));
    let settings = machine.settings();
    assert_eq!(endpoint(&settings, Some("prod")), (None, some("ssh://me:hunter2@f")));
    assert_eq!(told(&settings, "docker.host"), "ssh://[secret]@f [--host]");
    // Both on one command line is for docker::context to refuse, as the docker CLI does.
    let machine = machine.flags(|f| f.context = Some(Sourced::flag("--context", "c".into())));
    assert_eq!(endpoint(&machine.settings(), None), (some("c"), some("ssh://me:hunter2@f")));
    // Filled in by clap from a variable, it is a variable all the same.
    let machine = machine.flags(|f| f.context = Some(Sourced::env("ENVCTL_CONTEXT", "e".into())));
    assert_eq!(endpoint(&machine.settings(), None), (None, some("ssh://me:hunter2@f")));
}
