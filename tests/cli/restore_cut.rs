//! A dump that is cut, wherever: refused before the server hears of it (reliability F29).

use crate::container::stack;
use crate::dumps::DUMP;
use crate::stage::Stage;

/// Where it is cut: at every end of a line, and at two hundred other places.
fn cuts() -> Vec<usize> {
    let lines = DUMP.match_indices('\n').map(|(at, _)| at + 1);
    // Without its last empty line a dump is still whole.
    let whole = DUMP.trim_end().len() + 1;
    let mut cuts: Vec<usize> = lines.chain((1..=200).map(|n| n * 7919 % DUMP.len())).collect();
    cuts.retain(|cut| *cut < whole);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[test]
fn a_dump_cut_anywhere_is_incomplete_and_never_meets_the_server() {
    let stage = Stage::with(stack("acme-dev"));
    assert!(cuts().len() > 200, "{} places", cuts().len());
    for cut in cuts() {
        stage.write("cut.sql", &DUMP[..cut]);
        let ran = stage.run(["restore", "cut.sql", "--yes"]);
        assert_eq!(ran.code, Some(8), "cut at {cut}: {}", ran.err());
        assert!(ran.err().contains("\nhint: "), "cut at {cut}: nothing to do next: {}", ran.err());
    }
    assert!(stage.engine.commands().is_empty(), "{:?}", stage.engine.commands());
}
