//! Why no worker serves on another machine: the daemon there refuses, or the server does.

use crate::place::{Place, ROWS};
use crate::support::Server;
use crate::support::rig::Wanted;
use crate::worker::falls_back;
use crate::worker_far::{NEVER, Wire};

#[test]
fn where_a_daemon_elsewhere_makes_no_worker_an_exec_serves_and_says_why() {
    let place = Place::new(Server::shared(15), "farno", ROWS);
    for (path, status, words) in [
        ("/containers/create", 403, "no containers for you"),
        ("/containers/create", 404, "No such image: sha256:0"),
        ("/attach?", 500, "no streams left"),
        ("/start", 404, "No such image: sha256:1"),
    ] {
        let wire = Wire::refusing(path, status, words);
        falls_back(&place, words, |args| wire.run(&place, args));
    }
}

#[test]
fn where_a_server_elsewhere_takes_no_worker_in_an_exec_serves_and_says_why() {
    let wire = Wire::open(NEVER);
    let mut deaf = Wanted::postgres(15, "fardeaf");
    deaf.command.extend(["-c", "listen_addresses="].map(str::to_owned));
    let place = Place::new(&deaf.start().ready(), "fardeaf", ROWS);
    falls_back(&place, "listens on no TCP port", |args| wire.run(&place, args));

    // A password would have to pass the daemon.
    let wary = Wanted::postgres(15, "farwary").start().ready();
    wary.sh(
        r#"cd "$PGDATA" && printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' >pg_hba.conf"#,
    );
    wary.sql("postgres", "select pg_reload_conf()");
    let place = Place::new(&wary, "farwary", ROWS);
    falls_back(&place, "no password supplied", |args| wire.run(&place, args));
}
