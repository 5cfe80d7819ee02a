//! Verified streams over the scripted engine: what is a good end, and what is said about each bad one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::container_info::{ContainerInfo, ContainerState};
use crate::docker::exec::end_marker::EndMarkerParser;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::exec::verified_stream::{BLOCK, VerifiedExit, run};
use crate::docker::fake_engine::{ExecPeer, Scripted, ScriptedExec, container};
use crate::error::{Error, ErrorKind, Result};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `pg_dump` by this play, and gives the bytes that were handed on with the end.
async fn dump<F>(play: impl FnOnce(ExecPeer) -> F + Send + 'static) -> (Vec<u8>, Result<VerifiedExit>)
where
    F: Future<Output = Option<i64>> + Send + 'static,
{
    let script = Scripted::new([ScriptedExec::new("pg_dump", play)]);
    script.knows(container("db"));
    dump_by(&script, PATIENCE).await
}

async fn dump_by(script: &Arc<Scripted>, stall_limit: Duration) -> (Vec<u8>, Result<VerifiedExit>) {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(2);
    let (db, spec) = (script.container(container("db")), ExecSpec::new(["pg_dump", "-d", "acme"]));
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(block) = receiver.recv().await {
            assert!(block.len() <= BLOCK);
            bytes.extend(block);
        }
        bytes
    };
    let (end, bytes) = tokio::join!(run(&db, &spec, sender, stall_limit), collect);
    script.is_over().await;
    (bytes, end)
}

/// The kind, and everything that is said.
fn told(result: Result<VerifiedExit>) -> (ErrorKind, String) {
    let error: Error = result.expect_err("it must not pass for a good end");
    (
        error.kind(),
        format!("{}\n{}", error.full_message(), [error.notes(), error.hints()].concat().join("\n")),
    )
}

#[tokio::test]
async fn every_byte_arrives_and_the_tool_is_let_go_after_that() {
    let body: Vec<u8> = (0..3 * BLOCK + 17).map(|n| (n % 251) as u8).collect();
    let sent = body.clone();
    let (bytes, end) = dump(move |mut peer| async move {
        assert_eq!(peer.argv, ["pg_dump", "-d", "acme"]);
        for chunk in sent.chunks(32 << 10) {
            peer.out(chunk).await;
        }
        peer.err("pg_dump: warning: circular\n").await;
        peer.trailer(0).await;
        assert_eq!(peer.line().await.as_deref(), Some("ok"), "no acknowledgement");
        Some(0)
    })
    .await;
    let stderr = "pg_dump: warning: circular".to_owned();
    assert_eq!(end.unwrap(), VerifiedExit { exit_code: 0, stderr, begun: true });
    assert!(bytes == body, "{} bytes of {}", bytes.len(), body.len());
}

#[tokio::test]
async fn a_trailer_in_pieces_is_a_trailer() {
    let (bytes, end) = dump(|mut peer| async move {
        let trailer = format!("tail\nENVCTL-EOF {} rc=001\n", peer.nonce);
        for byte in trailer.bytes() {
            peer.out([byte]).await;
        }
        peer.line().await;
        Some(1)
    })
    .await;
    let end = end.unwrap();
    assert_eq!((bytes.as_slice(), end.exit_code, end.begun), (&b"tail"[..], 1, true));
}

#[tokio::test]
async fn the_reason_of_a_failure_may_come_behind_the_end_mark() {
    let (_, end) = dump(|mut peer| async move {
        peer.trailer(1).await;
        peer.line().await;
        peer.err("pg_dump: error: no password supplied\n").await;
        Some(1)
    })
    .await;
    assert_eq!(end.unwrap().stderr, "pg_dump: error: no password supplied");
}

#[tokio::test]
async fn a_tool_that_failed_before_its_first_byte_had_not_begun() {
    let (bytes, end) = dump(|mut peer| async move {
        peer.err("pg_dump: error: connection to server at \"127.0.0.1\" failed\n").await;
        peer.trailer(1).await;
        Some(1)
    })
    .await;
    let end = end.unwrap();
    assert!(bytes.is_empty() && end.exit_code == 1 && !end.begun, "{end:?}");
}

#[test]
fn a_trailer_in_single_bytes_behind_data_is_a_trailer() {
    for len in 0..120 {
        let (mut splitter, mut out) = (EndMarkerParser::new("0123456789abcdef"), 0);
        let mut feed = |bytes: &[u8]| splitter.feed(bytes, &mut |data| out += data.len());
        feed(&vec![b'\n'; len]).unwrap();
        for byte in b"\nENVCTL-EOF 0123456789abcdef rc=000\n" {
            feed(&[*byte]).unwrap();
        }
        assert_eq!((splitter.exit_code(), out), (Some(0), len));
    }
}

#[tokio::test]
async fn the_code_of_the_trailer_counts_even_when_the_engine_forgets() {
    let (_, end) = dump(|mut peer| async move {
        peer.trailer(3).await;
        None
    })
    .await;
    assert_eq!(end.unwrap().exit_code, 3);
}

#[tokio::test]
async fn without_a_trailer_nothing_is_whole_whatever_the_exit_code_says() {
    for code in [Some(0), Some(137), None] {
        let (_, end) = dump(move |mut peer| async move {
            peer.out("-- half a dump").await;
            peer.err("pg_dump: error: lost\n").await;
            code
        })
        .await;
        let (kind, text) = told(end);
        assert_eq!(kind, ErrorKind::Integrity, "{text}");
        assert!(text.contains("pg_dump") && text.contains("lost"), "{text}");
        assert_eq!(text.contains("137"), code == Some(137), "{text}");
    }
}

#[tokio::test]
async fn a_trailer_of_somebody_else_is_data() {
    let (_, end) = dump(|mut peer| async move {
        peer.out("\nENVCTL-EOF 00000000000000000000000000000000 rc=000\n").await;
        Some(0)
    })
    .await;
    assert_eq!(told(end).0, ErrorKind::Integrity);
}

#[tokio::test]
async fn bytes_behind_the_trailer_are_damage() {
    let (_, end) = dump(|mut peer| async move {
        let trailer = format!("\nENVCTL-EOF {} rc=000\nmore", peer.nonce);
        peer.out(trailer).await;
        Some(0)
    })
    .await;
    let (kind, text) = told(end);
    assert_eq!(kind, ErrorKind::Integrity);
    assert!(text.contains("4 bytes follow"), "{text}");
}

#[tokio::test]
async fn a_cut_frame_is_damage_with_the_end_of_stderr() {
    let (_, end) = dump(|mut peer| async move {
        peer.err("pg_dump: dumping contents of table \"users\"\n").await;
        peer.raw(&[1, 0, 0, 0, 0, 0, 4, 0, b'x']).await;
        Some(0)
    })
    .await;
    let (kind, text) = told(end);
    assert_eq!(kind, ErrorKind::Integrity);
    assert!(text.contains("1023 bytes before the end of a frame"), "{text}");
    assert!(text.contains("table \"users\""), "{text}");
}

#[tokio::test]
async fn a_tool_that_cannot_be_started_is_the_images_fault() {
    let (bytes, end) = dump(|mut peer| async move {
        peer.out(
            "OCI runtime exec failed: exec failed: exec: \"sh\": executable file not found in $PATH\r\n",
        )
        .await;
        Some(126)
    })
    .await;
    let (kind, text) = told(end);
    assert_eq!(kind, ErrorKind::Tool, "{text}");
    assert!(text.contains("`pg_dump` cannot be started in container db"), "{text}");
    assert!(bytes.is_empty(), "the engine's words went into the dump");
}

#[tokio::test]
async fn what_became_of_the_container_is_told() {
    let restarted = ContainerInfo { started: "2026-01-01T09:00:00Z".to_owned(), ..container("db") };
    let exited = ContainerInfo { state: ContainerState::Exited(137), ..container("db") };
    for (now, expected) in [
        (Some(restarted), "container db was restarted meanwhile"),
        (Some(exited), "container db is exited (137) now"),
        (None, "container db was removed meanwhile"),
    ] {
        let script = Scripted::new([ScriptedExec::new("pg_dump", |_| async { Some(137) })]);
        if let Some(now) = now {
            script.knows(now);
        }
        let (kind, text) = told(dump_by(&script, PATIENCE).await.1);
        assert_eq!(kind, ErrorKind::Integrity);
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn silence_of_a_running_container_is_waited_out() {
    let script = Scripted::new([ScriptedExec::new("pg_dump", |mut peer| async move {
        peer.out("slow").await;
        tokio::time::sleep(Duration::from_millis(120)).await;
        peer.out(" query").await;
        peer.trailer(0).await;
        Some(0)
    })]);
    script.knows(container("db"));
    let (bytes, end) = dump_by(&script, Duration::from_millis(20)).await;
    assert_eq!((bytes.as_slice(), end.unwrap().exit_code), (&b"slow query"[..], 0));
}

#[tokio::test]
async fn silence_of_a_paused_or_vanished_container_ends_it() {
    let paused = ContainerInfo { state: ContainerState::Paused, ..container("db") };
    for (now, expected) in [(Some(paused), "docker unpause db"), (None, "was removed meanwhile")] {
        let script = Scripted::new([ScriptedExec::new("pg_dump", |mut peer| async move {
            peer.out("and then").await;
            peer.wait().await;
            None
        })]);
        if let Some(now) = now {
            script.knows(now);
        }
        let (kind, text) = told(dump_by(&script, Duration::from_millis(20)).await.1);
        assert_eq!(kind, ErrorKind::Integrity);
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_receiver_that_went_away_ends_it() {
    let script = Scripted::new([ScriptedExec::new("pg_dump", |mut peer| async move {
        peer.out(vec![b'x'; 2 * BLOCK]).await;
        peer.wait().await;
        None
    })]);
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let spec = ExecSpec::new(["pg_dump"]);
    let end = run(&script.container(container("db")), &spec, sender, PATIENCE).await;
    assert_eq!(told(end).0, ErrorKind::Failed);
}

#[tokio::test]
async fn a_slow_receiver_holds_the_tool_back() {
    let said = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&said);
    let script = Scripted::new([ScriptedExec::new("pg_dump", move |mut peer| async move {
        for _ in 0..32 {
            peer.out(vec![b'x'; BLOCK]).await;
            counter.fetch_add(1, Ordering::SeqCst);
        }
        peer.trailer(0).await;
        Some(0)
    })]);
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(2);
    let db = script.container(container("db"));
    let task = tokio::spawn(async move { run(&db, &ExecSpec::new(["pg_dump"]), sender, PATIENCE).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ahead = said.load(Ordering::SeqCst);
    assert!((1..8).contains(&ahead), "the tool is {ahead} blocks ahead");
    let mut len = 0;
    while let Some(block) = receiver.recv().await {
        len += block.len();
    }
    assert_eq!(len, 32 * BLOCK);
    assert_eq!(task.await.unwrap().unwrap().exit_code, 0);
}
