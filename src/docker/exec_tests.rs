//! Short commands over the scripted engine.

use super::exec::{CAPTURE_LIMIT, CommandOutput};
use crate::docker::exec::spec::ExecSpec;
use crate::docker::fake_engine::{Scripted, ScriptedExec, container};
use crate::error::{self, ErrorKind};

async fn run(turn: ScriptedExec, stdin: Option<&[u8]>) -> error::Result<CommandOutput> {
    let script = Scripted::new([turn]);
    let result = script.container(container("db")).capture(&ExecSpec::new(["tool", "-x"]), stdin).await;
    script.is_over().await;
    result
}

#[tokio::test]
async fn both_outputs_and_the_exit_code_come_back() {
    let turn = ScriptedExec::new("tool", |mut peer| async move {
        peer.out("an ans").await;
        peer.err("a word\n").await;
        peer.out("wer\n").await;
        Some(3)
    });
    let captured = run(turn, None).await.unwrap();
    assert_eq!(
        (captured.text().as_str(), captured.complaint().as_str(), captured.exit_code),
        ("an answer", "a word", 3)
    );
}

#[tokio::test]
async fn stdin_is_handed_over_and_ended() {
    let turn = ScriptedExec::new("tool", |mut peer| async move {
        let received = peer.all().await;
        peer.out(received).await;
        Some(0)
    });
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    assert_eq!(run(turn, Some(&bytes)).await.unwrap().stdout, bytes);
}

#[tokio::test]
async fn a_command_that_reads_nothing_still_answers() {
    let turn = ScriptedExec::prints("tool", "no thanks\n", 1);
    let captured = run(turn, Some(&vec![b'x'; 1 << 20])).await.unwrap();
    assert_eq!((captured.text().as_str(), captured.exit_code), ("no thanks", 1));
}

#[tokio::test]
async fn stdin_is_attached_only_where_there_is_some() {
    let script = Scripted::new([ScriptedExec::prints("tool", "", 0), ScriptedExec::prints("tool", "", 0)]);
    let (db, spec) = (script.container(container("db")), ExecSpec::new(["tool"]));
    db.capture(&spec, None).await.unwrap();
    db.capture(&spec, Some(b"")).await.unwrap();
    assert_eq!(script.asked().iter().map(|spec| spec.stdin).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn more_than_the_bound_is_read_and_not_kept() {
    let turn = ScriptedExec::new("tool", |mut peer| async move {
        for _ in 0..(CAPTURE_LIMIT >> 20) + 2 {
            peer.out(vec![b'x'; 1 << 20]).await;
        }
        Some(0)
    });
    let captured = run(turn, None).await.unwrap();
    assert_eq!((captured.stdout.len(), captured.exit_code), (CAPTURE_LIMIT, 0));
}

#[tokio::test]
async fn an_exit_code_that_nobody_knows_is_an_unknown_outcome() {
    let turn = ScriptedExec::new("tool", |mut peer| async move {
        peer.out("done, I think").await;
        None
    });
    let error = run(turn, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert!(error.message().contains("`tool`"), "{error}");
}

#[tokio::test]
async fn a_refusal_names_the_container() {
    let turn = ScriptedExec::refused("tool", error::target("running `tool`: Container db is paused"));
    let error = run(turn, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.message().starts_with("in container db: "), "{error}");
}

#[tokio::test]
async fn a_cut_stream_is_damage_and_no_answer() {
    for bytes in [&[1, 0, 0, 0, 0, 0, 0, 9, b'h', b'a'][..], &[1, 0, 0], b"HTTP/1.1 500 no"] {
        let turn = ScriptedExec::new("tool", move |mut peer| async move {
            peer.raw(bytes).await;
            Some(0)
        });
        assert_eq!(run(turn, None).await.unwrap_err().kind(), ErrorKind::Integrity, "{bytes:?}");
    }
}
