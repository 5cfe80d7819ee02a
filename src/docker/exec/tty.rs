//! Our own terminal while a container's terminal is on it: raw mode and size.
//!
//! Promise: whatever way the process ends short of SIGKILL, the terminal is as it was: on drop, in the
//! panic hook (release builds abort without unwinding), and before a second signal ends us.

use std::sync::Mutex;

use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The attributes to go back to; set while a [`RawMode`] lives.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Our terminal in raw mode, until dropped.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Puts the terminal on stdin into raw mode.
    ///
    /// # Errors
    /// stdin is no terminal, or refuses.
    pub(crate) fn enter() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        if let Ok(mut saved) = SAVED.lock() {
            *saved = Some(before);
        }
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. Safe to call at any time and twice.
pub(crate) fn restore() {
    // `try_lock`: a panic while the lock is held must not hang in the hook.
    if let Ok(mut saved) = SAVED.try_lock()
        && let Some(before) = saved.take()
    {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Rows and columns of our terminal, if it has a size.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}
