//! Time that each test takes, for `scripts/test`: the stable test harness does not tell.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Instant;

thread_local! {
    // The harness gives each test a thread with the test's name; the thread's end is the test's.
    static TIMER: Timer = const { Timer { started: std::cell::OnceCell::new() } };
}

struct Timer {
    started: std::cell::OnceCell<Instant>,
}

/// Notes the beginning of the running test, at its first call.
pub fn begin() {
    TIMER.with(|timer| {
        timer.started.get_or_init(Instant::now);
    });
}

impl Drop for Timer {
    fn drop(&mut self) {
        let thread = std::thread::current();
        let (Some(started), Some(name)) = (self.started.get(), thread.name()) else { return };
        if let (Some(file), true) = (std::env::var_os("TEST_TIMES"), name.contains("::")) {
            let line = format!("{:.1} {name}\n", started.elapsed().as_secs_f64());
            let file = OpenOptions::new().create(true).append(true).open(file);
            let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
        }
    }
}

/// Tells whether this run may take long: `scripts/test --long`.
pub fn is_long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}
