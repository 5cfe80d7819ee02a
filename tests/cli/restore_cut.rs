//! A dump that is cut, wherever: refused before the server hears of it (reliability F29).

use crate::container::stack;
use crate::dumps::DUMP;
use crate::stage::Stage;

/// Offsets of the cuts. The scanner's own tests cut at every byte.
fn cuts() -> [usize; 6] {
    // Without its last empty line a dump is still whole.
    let whole = DUMP.trim_end().len() + 1;
    let rows = DUMP.find("\\.\n").expect("rows");
    [0, 1, rows, rows + 3, whole / 2, whole - 1]
}

#[test]
fn a_dump_cut_anywhere_is_incomplete_and_never_meets_the_server() {
    let stage = Stage::with(stack("acme-dev"));
    for cut in cuts() {
        stage.write("cut.sql", &DUMP[..cut]);
        let ran = stage.run(["restore", "cut.sql", "--yes"]);
        assert_eq!(ran.code, Some(8), "cut at {cut}: {}", ran.err());
        assert!(ran.err().contains("\nhint: "), "cut at {cut}: nothing to do next: {}", ran.err());
    }
    assert!(stage.engine.commands().is_empty(), "{:?}", stage.engine.commands());
}
