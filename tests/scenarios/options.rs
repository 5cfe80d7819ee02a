//! The options of `shell` and `exec`: a terminal in the container or none, whose the keys are, which shell it is.

use std::process::Command;

use crate::support::project::ENVCTL;
use crate::support::pty::Pty;
use crate::support::rig::Wanted;
use crate::support::{Project, Proxy, Server};

fn project() -> Project {
    Project::of(Server::shared(15), "postgres")
}

#[test]
fn at_a_terminal_capital_t_leaves_the_containers_own_out() {
    let project = project();
    for (option, words, tty) in [(None, "on a terminal", true), (Some("-T"), "on none", false)] {
        let proxy = Proxy::start(Vec::new());
        let mut args = vec!["exec", "db"];
        args.extend(option);
        args.extend(["--", "sh", "-c", "test -t 1 && echo on a terminal || echo on none"]);
        let mut terminal = Pty::start(&project.command_through(&proxy, &args));
        terminal.expect(words);
        assert_eq!(terminal.finish(), 0);
        let asked = format!("\"Tty\":{tty}");
        let requests = proxy.requests();
        let of_exec: Vec<&String> = requests.iter().filter(|request| request.contains("Tty")).collect();
        // Its creation and its start.
        assert_eq!(of_exec.len(), 2, "{of_exec:#?}");
        assert!(of_exec.iter().all(|request| request.contains(&asked)), "{of_exec:#?}");
    }
}

/// `envctl exec db OPTIONS -- …` in a terminal, its output in a pipe; the command reads a line.
fn into_a_pipe(project: &Project, options: &str) -> Pty {
    let envctl = project.command(&[]);
    let script = format!("\"$0\" exec db {options} -- sh -c 'read -r line; echo \"got <$line>\"' | cat");
    let mut command = Command::new("sh");
    command.args(["-c", &script, ENVCTL]).env_clear().current_dir(project.path());
    for (name, value) in envctl.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Pty::start(&command)
}

#[test]
fn into_a_pipe_the_keys_are_the_commands_only_with_i() {
    let project = project();
    let mut terminal = into_a_pipe(&project, "-i");
    terminal.type_in("hello\n");
    terminal.expect("got <hello>");
    assert_eq!(terminal.finish(), 0);
    // Else they are the reader's at the end of the pipe, `less`.
    let mut terminal = into_a_pipe(&project, "");
    terminal.expect("got <>");
    assert_eq!(terminal.finish(), 0);
}

#[test]
fn a_shell_for_psql_is_psql() {
    let project = project();
    for args in [&["shell", "db", "--psql"][..], &["ssh", "--psql"]] {
        let mut terminal = Pty::start(&project.command(args));
        terminal.expect(&format!("{}[dev] postgres=# ", project.server.stack));
        terminal.type_in("\\q\n");
        assert_eq!(terminal.finish(), 0);
    }
}

#[test]
fn the_shell_is_bash_where_there_is_one_and_else_sh() {
    let mut wanted = Wanted::postgres(15, "shells").arg("--entrypoint=sleep");
    wanted.command = vec!["infinity".to_owned()];
    let server = wanted.start();
    let project = Project::of(&server, "postgres");
    let which = || project.run_with(b"readlink /proc/$$/exe\nexit 3\n", &["shell", "db"]).code(3).out();
    assert!(which().ends_with("/bash\n"), "{}", which());
    server.sh("mv \"$(readlink -f \"$(command -v bash)\")\" /hidden");
    assert!(which().ends_with("sh\n") && !which().contains("bash"), "{}", which());
    let mut terminal = Pty::start(&project.command(&["shell", "db"]));
    terminal.expect("# ");
    terminal.type_in("readlink /proc/$$/exe; exit 4\n");
    terminal.expect("/usr/bin/dash");
    assert_eq!(terminal.finish(), 4);
}
