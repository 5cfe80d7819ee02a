//! Sessions over the scripted engine: answers belong to their questions, and every way not to get one.

use crate::docker::ContainerInfo;
use crate::docker::fake_engine::{ExecPeer, Scripted, ScriptedExec, container};
use crate::error::{Error, ErrorKind, Result};

use super::access::{Access, ConnectionOverrides};
use super::session::{Refusal, Session};

async fn access(script: &std::sync::Arc<Scripted>, db: &ContainerInfo) -> Access {
    Access::discover(&script.container(db.clone()), &ConnectionOverrides::default()).await.unwrap()
}

async fn open(script: &std::sync::Arc<Scripted>, db: &ContainerInfo) -> Result<Session> {
    Session::open(&script.container(db.clone()), &access(script, db).await, "envctl test").await
}

/// A psql that has answered the first question: whether the server listens.
async fn greeted(mut peer: ExecPeer) -> ExecPeer {
    let (sql, token) = peer.question().await.expect("a first question");
    assert!(sql.starts_with("select pg_catalog.current_setting('listen_addresses') <> ''"), "{sql}");
    peer.rows(&token, "t,UTF8,idle_session_timeout tcp_user_timeout,\n").await;
    peer
}

/// A psql that fails with these words.
fn failing(text: &'static str) -> ScriptedExec {
    ScriptedExec::new("psql", move |mut peer| async move {
        peer.err(format!("psql: error: connection to server failed: {text}\n")).await;
        Some(2)
    })
}

fn told(error: &Error) -> String {
    format!("{}\n{}", error.full_message(), [error.notes(), error.hints()].concat().join("\n"))
}

#[tokio::test]
async fn rows_belong_to_their_question() {
    let script = Scripted::new([ScriptedExec::new("psql", |peer| async move {
        let mut peer = greeted(peer).await;
        let (sql, token) = peer.question().await.unwrap();
        assert_eq!(sql, "select name, note from users -- all of them");
        peer.rows(&token, "ada,\"two\nlines, and a comma\"\nbob,\n").await;
        let (_, token) = peer.question().await.unwrap();
        peer.rows(&token, "").await;
        let (_, token) = peer.question().await.unwrap();
        peer.rows(&token, "42\n").await;
        assert!(peer.question().await.is_none(), "no farewell");
        Some(0)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    let rows = session.query("select name, note from users -- all of them").await.unwrap();
    assert_eq!(rows, [["ada", "two\nlines, and a comma"], ["bob", ""]]);
    assert_eq!(session.value("select 1 where false").await.unwrap(), None);
    assert_eq!(session.value("select 42").await.unwrap().as_deref(), Some("42"));
    session.close().await;
    script.is_over().await;
}

#[tokio::test]
async fn an_sql_error_carries_its_state_and_the_session_goes_on() {
    let script = Scripted::new([ScriptedExec::new("psql", |peer| async move {
        let mut peer = greeted(peer).await;
        let (_, token) = peer.question().await.unwrap();
        peer.sql_error(&token, "42P01", "relation \"nosuch\" does not exist").await;
        let (_, token) = peer.question().await.unwrap();
        peer.rows(&token, "fine\n").await;
        peer.wait().await;
        Some(0)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    let refusal = session.query("select * from nosuch").await.unwrap_err();
    assert_eq!(refusal.state(), Some("42P01"));
    let error = Error::from(refusal);
    assert_eq!(error.kind(), ErrorKind::Tool);
    assert!(error.message().contains("relation \"nosuch\" does not exist (42P01)"), "{error}");
    assert_eq!(session.value("select 'fine'").await.unwrap().as_deref(), Some("fine"));
}

#[tokio::test]
async fn the_report_of_an_error_is_waited_for_and_an_older_one_is_not_taken() {
    let script = Scripted::new([ScriptedExec::new("psql", |peer| async move {
        let mut peer = greeted(peer).await;
        // stdout is quicker than stderr, and notices stand before the error.
        let (_, token) = peer.question().await.unwrap();
        peer.out(format!("{token} true  \n{token}.\n")).await;
        peer.err("WARNING:  one\nFEHLER:  nein\nHINT:  ja\n").await;
        peer.err(format!("{token}-report\nFEHLER:  P0001: nein\nHINT:  ja\nLOCATION:  f, x.c:1\n")).await;
        peer.err(format!("{token}-end\n")).await;
        // An error of psql's own, which `\errverbose` does not know.
        let (_, token) = peer.question().await.unwrap();
        peer.err(format!("out of memory\n{token}-report\nFEHLER:  P0001: nein\n{token}-end\n")).await;
        peer.out(format!("{token} true  \n{token}.\n")).await;
        // psql 12.
        let (_, token) = peer.question().await.unwrap();
        let warn = "invalid command \\warn\n";
        peer.err(format!(
            "{warn}{warn}ERROR:  no\n{warn}ERROR:  42P01: no\nCONTEXT:  f()\n{warn}{warn}{warn}"
        ))
        .await;
        peer.out(format!("{token} true 42P01 no\n{token}.\n")).await;
        peer.wait().await;
        Some(0)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    for told in [
        "PostgreSQL refused: nein (P0001)\nHINT: ja",
        "PostgreSQL refused: out of memory",
        "PostgreSQL refused: no (42P01)\nCONTEXT: f()",
    ] {
        let refusal = session.query("select f()").await.unwrap_err();
        assert_eq!(Error::from(refusal).message(), told);
    }
}

#[tokio::test]
async fn an_answer_in_single_bytes_is_an_answer() {
    let script = Scripted::new([ScriptedExec::new("psql", |peer| async move {
        let mut peer = greeted(peer).await;
        let (_, token) = peer.question().await.unwrap();
        for byte in format!("a,b\n{token} false 00000 \n{token}.\n").bytes() {
            peer.out([byte]).await;
        }
        peer.wait().await;
        Some(0)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    assert_eq!(session.query("select 'a', 'b'").await.unwrap(), [["a", "b"]]);
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_of_an_answer_is_lost() {
    let script = Scripted::new([ScriptedExec::new("psql", |peer| async move {
        let mut peer = greeted(peer).await;
        peer.question().await.unwrap();
        peer.out("1\n2\n").await;
        peer.err("FATAL:  terminating connection due to administrator command\n").await;
        Some(2)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    let Err(Refusal::Lost(error)) = session.query("select n from numbers").await else {
        panic!("half an answer passed for one");
    };
    assert!(error.message().contains("administrator command"), "{error}");
}

#[tokio::test]
async fn the_password_goes_only_where_it_was_asked_for_and_never_into_the_argv() {
    let db = ContainerInfo { env: vec!["POSTGRES_PASSWORD=hunter2".to_owned()], ..container("db") };
    let script = Scripted::new([
        failing("fe_sendauth: no password supplied"),
        ScriptedExec::new("psql", |peer| async move {
            let mut peer = greeted(peer).await;
            peer.wait().await;
            Some(0)
        }),
    ]);
    let session = open(&script, &db).await.unwrap();
    assert_eq!(session.access().spec(Vec::new(), "").env.last().unwrap().0, "PGPASSWORD");
    let asked = script.asked();
    let passwords: Vec<_> = asked
        .iter()
        .map(|spec| spec.env.iter().any(|(name, value)| name == "PGPASSWORD" && value == "hunter2"))
        .collect();
    assert_eq!(passwords, [false, true]);
    assert!(asked.iter().flat_map(|spec| &spec.argv).all(|token| !token.contains("hunter2")));
    assert!(!format!("{asked:?} {:?}", session.access()).contains("hunter2"));
}

#[tokio::test]
async fn a_password_that_nobody_knows_is_asked_for() {
    let script = Scripted::new([failing("fe_sendauth: no password supplied")]);
    let error = open(&script, &container("db")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Tool);
    assert!(told(&error).contains("password_file"), "{}", told(&error));
}

#[tokio::test]
async fn a_server_that_is_starting_is_waited_for() {
    let script = Scripted::new([
        failing("FATAL:  the database system is starting up"),
        failing(
            "FATAL:  database \"shop\" does not exist\nDETAIL:  It seems to have just been dropped or renamed.",
        ),
        ScriptedExec::new("psql", |peer| async move {
            let mut peer = greeted(peer).await;
            peer.wait().await;
            Some(0)
        }),
    ]);
    assert!(open(&script, &container("db")).await.is_ok());
    script.is_over().await;
}

#[tokio::test]
async fn a_first_start_is_waited_out_and_its_temporary_server_is_not_taken() {
    let at_work = || ScriptedExec::prints("sh", "bash\n", 0);
    let script = Scripted::new([
        failing("No such file or directory"),
        at_work(),
        failing("FATAL:  database \"shop\" does not exist"),
        at_work(),
        ScriptedExec::new("psql", |mut peer| async move {
            let (_, token) = peer.question().await?;
            peer.rows(&token, "f\n").await;
            assert!(peer.question().await.is_none(), "nothing is asked of the temporary server");
            Some(0)
        }),
        at_work(),
        failing("FATAL:  the database system is shutting down"),
        // Over between the complaint and the look; the real server is about to be there.
        ScriptedExec::prints("sh", "", 1),
        failing("No such file or directory"),
        ScriptedExec::prints("sh", "", 1),
        ScriptedExec::new("psql", |peer| async move {
            greeted(peer).await.wait().await;
            Some(0)
        }),
    ]);
    assert!(open(&script, &container("db")).await.is_ok());
    script.is_over().await;
}

#[tokio::test]
async fn a_server_that_listens_on_its_socket_alone_by_choice_is_one() {
    let script = Scripted::new([
        ScriptedExec::new("psql", |mut peer| async move {
            let (_, token) = peer.question().await?;
            peer.rows(&token, "f\n").await;
            peer.wait().await;
            Some(0)
        }),
        ScriptedExec::prints("sh", "", 1),
    ]);
    assert!(open(&script, &container("db")).await.is_ok());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_with_the_names_that_are() {
    let script = Scripted::new([
        failing("FATAL:  database \"postgres\" does not exist"),
        ScriptedExec::prints("sh", "", 1),
        ScriptedExec::new("psql", |peer| async move {
            let mut peer = greeted(peer).await;
            let (sql, token) = peer.question().await?;
            assert!(sql.contains("pg_database"), "{sql}");
            peer.rows(&token, "app\nenvctl_new_01234567_app\ntemplate1\n").await;
            peer.wait().await;
            Some(0)
        }),
    ]);
    let error = open(&script, &container("db")).await.err().expect("nobody gets in");
    assert!(
        error.hints().iter().any(|hint| hint.ends_with("these exist: app, template1")),
        "{}",
        told(&error)
    );
}

#[tokio::test]
async fn each_way_not_to_get_in_has_its_kind_and_its_next_step() {
    for (turn, kind, text) in [
        (failing("FATAL:  database \"shop\" does not exist"), ErrorKind::Target, "-d NAME"),
        (failing("FATAL:  role \"me\" does not exist"), ErrorKind::Tool, "[database] user"),
        (failing("No such file or directory"), ErrorKind::Tool, "docker logs --tail 50 db"),
        (
            failing("Connection reset\n\tIs the server up?"),
            ErrorKind::Tool,
            "Connection reset Is the server up?",
        ),
        (
            ScriptedExec::prints("psql", "OCI runtime exec failed: exec: \"psql\": not found\r\n", 126),
            ErrorKind::Tool,
            "has no psql",
        ),
        (
            ScriptedExec::refused("psql", crate::error::target("Container db is paused")),
            ErrorKind::Target,
            "in container db",
        ),
    ] {
        // No first start is the reason.
        // Who cannot say which databases there are does not make the answer worse.
        let elsewhere = failing("FATAL:  database \"template1\" does not exist");
        let script = Scripted::new([turn, ScriptedExec::prints("sh", "", 1), elsewhere]);
        let error = open(&script, &container("db")).await.err().expect("nobody gets in");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(told(&error).contains(text), "no {text:?} in: {}", told(&error));
    }
}

#[tokio::test]
async fn limits_that_the_server_knows_are_lifted_for_what_comes_after() {
    let greeting = |rows: &'static str| {
        ScriptedExec::new("psql", move |mut peer| async move {
            let (_, token) = peer.question().await?;
            peer.rows(&token, rows).await;
            peer.wait().await;
            Some(0)
        })
    };
    for (rows, options, encoding) in [
        (
            "t,UTF8,idle_session_timeout tcp_user_timeout evil,\n",
            " -c idle_session_timeout=0 -c tcp_user_timeout=0",
            "UTF8",
        ),
        ("t,SQL_ASCII,,SQL_ASCII\n", "datestyle=ISO", "SQL_ASCII"),
        ("t,EUC_JP,transaction_timeout,\n", " -c transaction_timeout=0", "UTF8"),
    ] {
        let script = Scripted::new([greeting(rows)]);
        let session = open(&script, &container("db")).await.unwrap();
        let spec = session.access().spec(vec!["psql".to_owned()], "x");
        let value = |wanted: &str| spec.env.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
        assert!(value("PGOPTIONS").ends_with(options), "{}", value("PGOPTIONS"));
        assert_eq!(value("PGCLIENTENCODING"), encoding);
        // Another database may have another encoding; the server is the same.
        let other = session.access().to("other");
        assert_eq!((other.encoding(), other.spec(Vec::new(), "x").env.len()), (None, spec.env.len()));
    }
}

#[tokio::test]
async fn a_psql_that_answers_without_a_status_or_without_end_is_an_error() {
    let script = Scripted::new([
        ScriptedExec::new("psql", |peer| async move {
            let mut peer = greeted(peer).await;
            let (_, token) = peer.question().await.unwrap();
            peer.out(format!("\n{token}.\n")).await;
            peer.wait().await;
            Some(0)
        }),
        ScriptedExec::new("psql", |peer| async move {
            let mut peer = greeted(peer).await;
            peer.question().await.unwrap();
            let block = vec![b'x'; 1 << 20];
            for _ in 0..66 {
                peer.out(&block).await;
            }
            peer.wait().await;
            Some(0)
        }),
    ]);
    for told in ["closed its answer without a status", "gave an answer of more than 64 MiB"] {
        let mut session = open(&script, &container("db")).await.unwrap();
        let Err(Refusal::Lost(error)) = session.query("select 1").await else { panic!("an answer") };
        assert!(
            error.message().contains("psql in container db") && error.message().contains(told),
            "{error}"
        );
        drop(session);
    }
    script.is_over().await;
}

#[tokio::test]
async fn rows_that_a_program_prints_are_not_kept() {
    let script = Scripted::new([ScriptedExec::new("psql", |peer| async move {
        let mut peer = greeted(peer).await;
        let block = vec![b'x'; 1 << 20];
        let (_, token) = peer.question().await.unwrap();
        for _ in 0..70 {
            peer.out(&block).await;
        }
        peer.out(format!("\n{token} done 7\n")).await;
        peer.out(format!("{token}.\n")).await;
        peer.wait().await;
        Some(0)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    let status =
        session.program(|token| format!("select 1;\n\\echo {token} done\n\\echo {token}.\n")).await.unwrap();
    assert_eq!(status.trim(), "done 7");
}

#[tokio::test]
async fn a_recovery_is_waited_for_and_a_standby_that_admits_nobody_is_not() {
    let script = Scripted::new([
        failing("FATAL:  the database system is in recovery mode"),
        failing(
            "FATAL:  the database system is not yet accepting connections\nDETAIL:  Consistent recovery state has not been yet reached.",
        ),
        ScriptedExec::new("psql", |peer| async move {
            greeted(peer).await.wait().await;
            Some(0)
        }),
        failing(
            "FATAL:  the database system is not accepting connections\nDETAIL:  Hot standby mode is disabled.",
        ),
    ]);
    assert!(open(&script, &container("db")).await.is_ok());
    let error = open(&script, &container("db")).await.err().expect("nobody is admitted");
    assert!(error.message().contains("Hot standby mode is disabled"), "{error}");
    script.is_over().await;
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_lost_and_says_what_the_server_says_now() {
    let closed = "WARNING:  terminating connection because of crash of another server process\n\
                  server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n";
    let idle = |state: &'static str, text: &'static str| {
        ScriptedExec::new("psql", move |peer| async move {
            let mut peer = greeted(peer).await;
            let (_, token) = peer.question().await.unwrap();
            peer.err(format!(
                "{text}{token}-report\nserver closed the connection unexpectedly\n{token}-end\n"
            ))
            .await;
            peer.out(format!("{token} true {state} \n{token}.\n")).await;
            peer.wait().await;
            Some(0)
        })
    };
    let script = Scripted::new([
        idle("", closed),
        failing("FATAL:  the database system is in recovery mode"),
        idle("57P01", "FATAL:  terminating connection due to administrator command\n"),
        // In the midst of a statement psql goes.
        ScriptedExec::new("psql", |peer| async move {
            let mut peer = greeted(peer).await;
            peer.question().await.unwrap();
            peer.err("server closed the connection unexpectedly\nconnection to server was lost\n").await;
            Some(2)
        }),
        failing("FATAL:  the database system is starting up"),
    ]);
    for (text, now) in [
        (
            "because of crash of another server process",
            "PostgreSQL says now: the database system is in recovery mode",
        ),
        ("due to administrator command", ""),
        ("connection to server was lost", "PostgreSQL says now: the database system is starting up"),
    ] {
        let mut session = open(&script, &container("db")).await.unwrap();
        let Err(Refusal::Lost(error)) = session.query("select 1").await else { panic!("not lost: {text}") };
        let message = error.message();
        assert!(message.starts_with("the session with PostgreSQL in db ended: "), "{message}");
        assert!(message.contains(text) && message.contains(now), "{message}");
        assert!(!message.contains("-report"), "{message}");
        drop(session);
    }
    script.is_over().await;
}
