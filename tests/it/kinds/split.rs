//! Splits that do not move and do not leak.

use std::collections::BTreeSet;

use proptest::prelude::*;

use netsec::frame::rows::{digests, place};
use netsec::frame::table::Table;
use netsec::model::data::TrainingSet;
use netsec::tuning::folds::{FoldPlacement, Folds};

fn table(rows: &[(i8, i8)]) -> Table {
    let column = |name: &str, of: fn(&(i8, i8)) -> i8| {
        (
            name.to_owned(),
            rows.iter().map(|row| f64::from(of(row))).collect(),
        )
    };
    Table::of_numbers(vec![column("a", |row| row.0), column("b", |row| row.1)]).unwrap()
}

/// Which rows belong to the part that gets this share of them.
fn in_part(digests: &[[u8; 32]], share: f64) -> Vec<bool> {
    digests
        .iter()
        .map(|digest| place(netsec::profile::leakage::head(digest)) < share)
        .collect()
}

proptest! {
    #[test]
    fn a_row_stays_on_its_side_whatever_is_added(rows in prop::collection::vec((0_i8..9, 0_i8..9), 1..60), more in prop::collection::vec((0_i8..9, 0_i8..9), 0..60)) {
        let sides = |rows: &[(i8, i8)]| in_part(&digests(&table(rows), &[]).unwrap(), 0.3);
        let before = sides(&rows);
        let after = sides(&[rows.clone(), more].concat());
        prop_assert_eq!(&before[..], &after[..rows.len()]);
        let side = |wanted: bool| rows.iter().zip(&before).filter(|(_, test)| **test == wanted).map(|(row, _)| *row).collect::<BTreeSet<_>>();
        prop_assert!(side(true).is_disjoint(&side(false)), "equal rows are on one side");
    }

    #[test]
    fn equal_rows_are_in_one_fold(rows in prop::collection::vec((0_i8..5, 0_i8..5), 1..80), seed in any::<u64>()) {
        let cells: Vec<f64> = rows.iter().flat_map(|(a, b)| [f64::from(*a), f64::from(*b)]).collect();
        let x = ndarray::Array2::from_shape_vec((rows.len(), 2), cells).unwrap();
        let y: Vec<f64> = (0..rows.len()).map(|row| (row % 2) as f64).collect();
        let data = TrainingSet::new(x, super::labels(&y), &[]).unwrap();
        for by in [FoldPlacement::Content, FoldPlacement::Stratified] {
            let folds = Folds::new(&data, 3, &by, seed);
            for fold in 0..3 {
                let of = |rows_of: Vec<u32>| rows_of.into_iter().map(|row| rows[row as usize]).collect::<BTreeSet<_>>();
                prop_assert!(of(folds.held(fold)).is_disjoint(&of(folds.fitted(fold))));
                prop_assert_eq!(folds.held(fold).len() + folds.fitted(fold).len(), rows.len());
            }
        }
        let groups: Vec<String> = rows.iter().map(|(a, _)| a.to_string()).collect();
        let folds = Folds::new(&data, 3, &FoldPlacement::Group(groups), seed);
        for fold in 0..3 {
            let of = |rows_of: Vec<u32>| rows_of.into_iter().map(|row| rows[row as usize].0).collect::<BTreeSet<_>>();
            prop_assert!(of(folds.held(fold)).is_disjoint(&of(folds.fitted(fold))));
        }
        let times: Vec<f64> = rows.iter().map(|(a, _)| f64::from(*a)).collect();
        let folds = Folds::new(&data, 3, &FoldPlacement::Time(times.clone()), seed);
        for fold in 0..3 {
            let of = |rows_of: Vec<u32>| rows_of.into_iter().map(|row| times[row as usize]).collect::<Vec<_>>();
            let (before, held) = (of(folds.fitted(fold)), of(folds.held(fold)));
            prop_assert!(before.iter().all(|before| held.iter().all(|time| before < time)));
        }
    }
}

#[test]
fn stratified_folds_have_as_many_of_each_class_as_can_be() {
    let x = ndarray::Array2::from_shape_fn((200, 1), |(row, _)| row as f64);
    let y: Vec<f64> = (0..200).map(|row| f64::from(u8::from(row < 11))).collect();
    let data = TrainingSet::new(x, super::labels(&y), &[]).unwrap();
    for seed in 0..20 {
        let folds = Folds::new(&data, 3, &FoldPlacement::Stratified, seed);
        for fold in 0..3 {
            let attacks = folds.held(fold).iter().filter(|row| **row < 11).count();
            assert!(
                (3..=4).contains(&attacks) && (66..=68).contains(&folds.held(fold).len()),
                "{attacks}"
            );
        }
    }
}

#[test]
fn the_share_is_about_what_was_asked_for() {
    let rows: Vec<(i8, i8)> = (0..100)
        .flat_map(|a| (0..100).map(move |b| (a, b)))
        .collect();
    let test = in_part(&digests(&table(&rows), &[]).unwrap(), 0.2)
        .into_iter()
        .filter(|test| *test)
        .count();
    assert!((1800..2200).contains(&test), "{test} of 10,000");
}
