//! Signals: the first one cancels the command, the second one ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use tokio::signal::unix::{SignalKind, signal};

use crate::cancel::CancelSource;
use crate::docker::exec::tty;
use crate::error::{self, Error, Result};

/// Listens on a thread of its own: signals are handled while a question waits for its answer.
///
/// Returns once the signals are caught: one that came earlier would end the process, and leave what it has started.
pub(crate) fn watch_signals(source: Arc<CancelSource>, asking: Arc<AtomicBool>) {
    let (caught, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Without it the signals keep their own meaning: they end the process.
        runtime.map(|runtime| runtime.block_on(listen(source, asking, caught)))
    });
    // The sender is dropped where the signals cannot be caught.
    let _ = wait.recv();
}

/// Turns signals into a cancelled token. The second one ends the process: whoever asks twice means now.
async fn listen(
    source: Arc<CancelSource>,
    asking: Arc<AtomicBool>,
    caught: mpsc::Sender<()>,
) -> Result<(), Error> {
    let broken = |e| error::failed("signals cannot be handled").because(e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(broken)?;
    let _ = caught.send(());
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
            _ = hangup.recv() => 1,
        };
        let first = source.fire(number);
        if !first || asking.load(Ordering::SeqCst) {
            tty::restore();
            leave(number);
        }
    }
}

#[expect(clippy::exit, reason = "the main thread may be inside a read that nothing can interrupt")]
fn leave(signal: u8) -> ! {
    std::process::exit(128 + i32::from(signal))
}
