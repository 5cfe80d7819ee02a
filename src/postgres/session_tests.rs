//! Sessions over the scripted engine: answers belong to their questions, and every way not to get one.

use crate::docker::ContainerInfo;
use crate::docker::fake_engine::{Far, Scripted, ScriptedExec, container};
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
async fn greeted(mut far: Far) -> Far {
    let (sql, word) = far.question().await.expect("a first question");
    assert!(sql.starts_with("select pg_catalog.current_setting('listen_addresses') <> ''"), "{sql}");
    far.rows(&word, "t,UTF8,idle_session_timeout tcp_user_timeout,\n").await;
    far
}

/// A psql that fails with these words.
fn failing(words: &'static str) -> ScriptedExec {
    ScriptedExec::new("psql", move |mut far| async move {
        far.err(format!("psql: error: connection to server failed: {words}\n")).await;
        Some(2)
    })
}

fn told(error: &Error) -> String {
    format!("{}\n{}", error.full_message(), [error.notes(), error.hints()].concat().join("\n"))
}

#[tokio::test]
async fn rows_belong_to_their_question() {
    let script = Scripted::new([ScriptedExec::new("psql", |far| async move {
        let mut far = greeted(far).await;
        let (sql, word) = far.question().await.unwrap();
        assert_eq!(sql, "select name, note from users -- all of them");
        far.rows(&word, "ada,\"two\nlines, and a comma\"\nbob,\n").await;
        let (_, word) = far.question().await.unwrap();
        far.rows(&word, "").await;
        let (_, word) = far.question().await.unwrap();
        far.rows(&word, "42\n").await;
        assert!(far.question().await.is_none(), "no farewell");
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
    let script = Scripted::new([ScriptedExec::new("psql", |far| async move {
        let mut far = greeted(far).await;
        let (_, word) = far.question().await.unwrap();
        far.sql_error(&word, "42P01", "relation \"nosuch\" does not exist").await;
        let (_, word) = far.question().await.unwrap();
        far.rows(&word, "fine\n").await;
        far.wait().await;
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
    let script = Scripted::new([ScriptedExec::new("psql", |far| async move {
        let mut far = greeted(far).await;
        // stdout is quicker than stderr, and notices stand before the error.
        let (_, word) = far.question().await.unwrap();
        far.out(format!("{word} true  \n{word}.\n")).await;
        far.err("WARNING:  one\nFEHLER:  nein\nHINT:  ja\n").await;
        far.err(format!("{word}-report\nFEHLER:  P0001: nein\nHINT:  ja\nLOCATION:  f, x.c:1\n")).await;
        far.err(format!("{word}-end\n")).await;
        // An error of psql's own, which `\errverbose` does not know.
        let (_, word) = far.question().await.unwrap();
        far.err(format!("out of memory\n{word}-report\nFEHLER:  P0001: nein\n{word}-end\n")).await;
        far.out(format!("{word} true  \n{word}.\n")).await;
        // psql 12.
        let (_, word) = far.question().await.unwrap();
        let warn = "invalid command \\warn\n";
        far.err(format!(
            "{warn}{warn}ERROR:  no\n{warn}ERROR:  42P01: no\nCONTEXT:  f()\n{warn}{warn}{warn}"
        ))
        .await;
        far.out(format!("{word} true 42P01 no\n{word}.\n")).await;
        far.wait().await;
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
    let script = Scripted::new([ScriptedExec::new("psql", |far| async move {
        let mut far = greeted(far).await;
        let (_, word) = far.question().await.unwrap();
        for byte in format!("a,b\n{word} false 00000 \n{word}.\n").bytes() {
            far.out([byte]).await;
        }
        far.wait().await;
        Some(0)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    assert_eq!(session.query("select 'a', 'b'").await.unwrap(), [["a", "b"]]);
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_of_an_answer_is_lost() {
    let script = Scripted::new([ScriptedExec::new("psql", |far| async move {
        let mut far = greeted(far).await;
        far.question().await.unwrap();
        far.out("1\n2\n").await;
        far.err("FATAL:  terminating connection due to administrator command\n").await;
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
        ScriptedExec::new("psql", |far| async move {
            let mut far = greeted(far).await;
            far.wait().await;
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
    assert!(asked.iter().flat_map(|spec| &spec.argv).all(|word| !word.contains("hunter2")));
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
        ScriptedExec::new("psql", |far| async move {
            let mut far = greeted(far).await;
            far.wait().await;
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
        ScriptedExec::new("psql", |mut far| async move {
            let (_, word) = far.question().await?;
            far.rows(&word, "f\n").await;
            assert!(far.question().await.is_none(), "nothing is asked of the temporary server");
            Some(0)
        }),
        at_work(),
        failing("FATAL:  the database system is shutting down"),
        // Over between the complaint and the look; the real server is about to be there.
        ScriptedExec::prints("sh", "", 1),
        failing("No such file or directory"),
        ScriptedExec::prints("sh", "", 1),
        ScriptedExec::new("psql", |far| async move {
            greeted(far).await.wait().await;
            Some(0)
        }),
    ]);
    assert!(open(&script, &container("db")).await.is_ok());
    script.is_over().await;
}

#[tokio::test]
async fn a_server_that_listens_on_its_socket_alone_by_choice_is_one() {
    let script = Scripted::new([
        ScriptedExec::new("psql", |mut far| async move {
            let (_, word) = far.question().await?;
            far.rows(&word, "f\n").await;
            far.wait().await;
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
        ScriptedExec::new("psql", |far| async move {
            let mut far = greeted(far).await;
            let (sql, word) = far.question().await?;
            assert!(sql.contains("pg_database"), "{sql}");
            far.rows(&word, "app\nenvctl_new_01234567_app\ntemplate1\n").await;
            far.wait().await;
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
    for (turn, kind, words) in [
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
        assert!(told(&error).contains(words), "no {words:?} in: {}", told(&error));
    }
}

#[tokio::test]
async fn limits_that_the_server_knows_are_lifted_for_what_comes_after() {
    let greeting = |rows: &'static str| {
        ScriptedExec::new("psql", move |mut far| async move {
            let (_, word) = far.question().await?;
            far.rows(&word, rows).await;
            far.wait().await;
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
        ScriptedExec::new("psql", |far| async move {
            let mut far = greeted(far).await;
            let (_, word) = far.question().await.unwrap();
            far.out(format!("\n{word}.\n")).await;
            far.wait().await;
            Some(0)
        }),
        ScriptedExec::new("psql", |far| async move {
            let mut far = greeted(far).await;
            far.question().await.unwrap();
            let block = vec![b'x'; 1 << 20];
            for _ in 0..66 {
                far.out(&block).await;
            }
            far.wait().await;
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
    let script = Scripted::new([ScriptedExec::new("psql", |far| async move {
        let mut far = greeted(far).await;
        let block = vec![b'x'; 1 << 20];
        let (_, word) = far.question().await.unwrap();
        for _ in 0..70 {
            far.out(&block).await;
        }
        far.out(format!("\n{word} done 7\n")).await;
        far.out(format!("{word}.\n")).await;
        far.wait().await;
        Some(0)
    })]);
    let mut session = open(&script, &container("db")).await.unwrap();
    let status =
        session.program(|word| format!("select 1;\n\\echo {word} done\n\\echo {word}.\n")).await.unwrap();
    assert_eq!(status.trim(), "done 7");
}

#[tokio::test]
async fn a_recovery_is_waited_for_and_a_standby_that_admits_nobody_is_not() {
    let script = Scripted::new([
        failing("FATAL:  the database system is in recovery mode"),
        failing(
            "FATAL:  the database system is not yet accepting connections\nDETAIL:  Consistent recovery state has not been yet reached.",
        ),
        ScriptedExec::new("psql", |far| async move {
            greeted(far).await.wait().await;
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
    let idle = |state: &'static str, words: &'static str| {
        ScriptedExec::new("psql", move |far| async move {
            let mut far = greeted(far).await;
            let (_, word) = far.question().await.unwrap();
            far.err(format!("{words}{word}-report\nserver closed the connection unexpectedly\n{word}-end\n"))
                .await;
            far.out(format!("{word} true {state} \n{word}.\n")).await;
            far.wait().await;
            Some(0)
        })
    };
    let script = Scripted::new([
        idle("", closed),
        failing("FATAL:  the database system is in recovery mode"),
        idle("57P01", "FATAL:  terminating connection due to administrator command\n"),
        // In the midst of a statement psql goes.
        ScriptedExec::new("psql", |far| async move {
            let mut far = greeted(far).await;
            far.question().await.unwrap();
            far.err("server closed the connection unexpectedly\nconnection to server was lost\n").await;
            Some(2)
        }),
        failing("FATAL:  the database system is starting up"),
    ]);
    for (words, now) in [
        (
            "because of crash of another server process",
            "PostgreSQL says now: the database system is in recovery mode",
        ),
        ("due to administrator command", ""),
        ("connection to server was lost", "PostgreSQL says now: the database system is starting up"),
    ] {
        let mut session = open(&script, &container("db")).await.unwrap();
        let Err(Refusal::Lost(error)) = session.query("select 1").await else { panic!("not lost: {words}") };
        let message = error.message();
        assert!(message.starts_with("the session with PostgreSQL in db ended: "), "{message}");
        assert!(message.contains(words) && message.contains(now), "{message}");
        assert!(!message.contains("-report"), "{message}");
        drop(session);
    }
    script.is_over().await;
}
