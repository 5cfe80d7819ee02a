//! Selections from a matrix: few rows that hold every pair of values of two dimensions.
//!
//! Most faults of a matrix come from one value or from two together. An ordinary run takes the selection, a long run
//! the whole matrix.

use std::collections::BTreeSet;

use super::timing::is_long;

/// Returns all rows in a long run, and else the rows of [`covering`].
pub fn rows<R, const D: usize>(all: Vec<R>, values: impl Fn(&R) -> [String; D]) -> Vec<R> {
    if is_long() { all } else { covering(all, values) }
}

/// Selects rows until every pair of values that a row of the matrix has is in a selected row; `values` gives a row's
/// value in each dimension. A matrix may lack combinations that make no sense. Keeps the order of the rows.
fn covering<R, const D: usize>(all: Vec<R>, values: impl Fn(&R) -> [String; D]) -> Vec<R> {
    let pairs: Vec<BTreeSet<Pair>> = all.iter().map(|row| pairs(&values(row))).collect();
    let mut open: BTreeSet<&Pair> = pairs.iter().flatten().collect();
    let mut selected = BTreeSet::new();
    while !open.is_empty() {
        let gain = |row: &usize| pairs[*row].iter().filter(|pair| open.contains(pair)).count();
        // The first of those that cover most: the selection is the same on every run.
        let best = (0..all.len()).rev().max_by_key(gain).expect("a row has the open pairs");
        for pair in &pairs[best] {
            open.remove(pair);
        }
        selected.insert(best);
    }
    let rows = all.into_iter().enumerate().filter(|(at, _)| selected.contains(at));
    rows.map(|(_, row)| row).collect()
}

/// Two values, each with its dimension; twice the same one, so that a matrix of one dimension is covered too.
type Pair = [(usize, String); 2];

fn pairs(values: &[String]) -> BTreeSet<Pair> {
    let values: Vec<(usize, String)> = values.iter().cloned().enumerate().collect();
    let with_later = |at: usize| values[at..].iter().map(move |other| (at, other));
    (0..values.len()).flat_map(with_later).map(|(at, other)| [values[at].clone(), other.clone()]).collect()
}

#[test]
fn a_selection_holds_every_pair_of_values() {
    // Without the combinations whose numbers add up to a multiple of seven.
    let mut all = Vec::new();
    for (a, b, c, d) in (0..5 * 4 * 3 * 2).map(|n| (n % 5, n / 5 % 4, n / 20 % 3, n / 60)) {
        if (a + b + c + d) % 7 != 6 {
            all.push([a, b, c, d]);
        }
    }
    let values = |row: &[u32; 4]| row.map(|value| value.to_string());
    let selected = covering(all.clone(), values);
    for row in &all {
        for (one, other) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
            let has = |selected: &[u32; 4]| selected[one] == row[one] && selected[other] == row[other];
            assert!(selected.iter().any(has), "{row:?}: {one} and {other}");
        }
    }
    // No selection is smaller than the product of the two largest dimensions.
    assert!((20..=28).contains(&selected.len()), "{} of {}", selected.len(), all.len());
    assert!(selected.iter().all(|row| all.contains(row)));
    assert_eq!(covering(all.clone(), values), selected, "the same on every run");
    assert_eq!(covering(vec!["a", "b", "a"], |row| [(*row).to_owned()]), ["a", "b"]);
}
