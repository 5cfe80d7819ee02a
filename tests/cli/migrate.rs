//! `migrate` over the fake engine: what production is told of its other profiles.

use crate::container::db;
use crate::postgres::Server;
use crate::stage::Stage;

/// A stack in production and development with one migration that waits.
fn stage() -> Stage {
    let stage = Stage::with([db("acme-prod"), db("acme-dev")]);
    stage.engine.install("*", "psql", Server::new().psql());
    stage
        .write("migrations/20250101000000_users/migration.sql", "create table users (id int primary key);\n");
    stage.write("envctl.toml", "stack = \"acme\"\n[migrations]\ndriver = \"sql\"\ndir = \"migrations\"\n");
    stage
}

#[test]
fn a_development_database_that_refuses_the_connection_is_told_with_its_reason() {
    let stage = stage();
    let words = "connection to server on socket \"/run/.s.PGSQL.5432\" failed: FATAL:  sorry, too many clients already";
    stage.engine.install("acme-dev-db-1", "psql", Server::refusing(words).psql());
    let ran = stage.run(["migrate", "--prod", "--no-backup"]);
    assert_eq!(ran.code, Some(6), "{}", ran.err());
    assert!(ran.err().contains("dev could not be asked: "), "{}", ran.err());
    assert!(ran.err().contains("sorry, too many clients already"), "{}", ran.err());
    assert!(!ran.err().contains("no other profile"), "{}", ran.err());
}
