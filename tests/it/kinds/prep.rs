//! The steps of preprocessing against scikit-learn, and their laws.

use proptest::prelude::*;
use serde_json::Value;

use crate::world::package;
use netsec::frame::table::Table;
use netsec::model::data::TrainingSet;
use netsec::prep::cells::ColumnCells;
use netsec::prep::clip::ClipBound;
use netsec::prep::columns::{ColumnPick, Columns};
use netsec::prep::derive::PairOp;
use netsec::prep::encode::UnknownCategory;
use netsec::prep::impute::ImputeStrategy;
use netsec::prep::knn::DonorWeights;
use netsec::prep::labels::TargetRule;
use netsec::prep::preprocessor::{Preprocessor, PreprocessorSettings};
use netsec::prep::reduce::DropRule;
use netsec::prep::scale::ScaleMethod;
use netsec::prep::step::{PrepStep, StepAction};
use netsec::tuning::folds::{FoldPlacement, Folds};

fn rows(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| {
        row.as_array()
            .unwrap()
            .iter()
            .map(|cell| cell.as_f64().unwrap_or(f64::NAN))
            .collect()
    };
    value.as_array().unwrap().iter().map(row).collect()
}

/// Columns a, b, c… of rows.
fn columns(rows: &[Vec<f64>]) -> Columns {
    let mut columns = Columns::new(rows.len());
    for (at, name) in ('a'..='z').enumerate().take(rows[0].len()) {
        columns
            .push(
                || name.to_string(),
                ColumnCells::Numbers(rows.iter().map(|row| row[at]).collect()),
            )
            .unwrap();
    }
    columns
}

fn words(cells: &[Option<String>]) -> Columns {
    let mut columns = Columns::new(cells.len());
    columns
        .push(|| "word".to_owned(), ColumnCells::Texts(cells.to_vec()))
        .unwrap();
    columns
}

fn step(action: StepAction) -> PrepStep {
    PrepStep {
        pick: ColumnPick::default(),
        action,
    }
}

/// Carries a step out that was fitted to the first rows.
fn carried_out(
    action: StepAction,
    fit: &mut Columns,
    all: &mut Columns,
    y: &[f64],
) -> Vec<Vec<f64>> {
    step(action)
        .fit(
            fit,
            &super::labels(y),
            &(0..y.len() as u64).collect::<Vec<u64>>(),
        )
        .unwrap()
        .apply(all)
        .unwrap();
    all.matrix(&all.names())
        .unwrap()
        .rows()
        .into_iter()
        .map(|row| row.to_vec())
        .collect()
}

fn same(name: &str, ours: &[Vec<f64>], theirs: &[Vec<f64>]) {
    assert_eq!(ours[0].len(), theirs[0].len(), "{name}");
    for (row, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        for (at, (x, y)) in ours.iter().zip(theirs).enumerate() {
            let is_same = x.is_nan() && y.is_nan() || (x - y).abs() <= 1e-9 * 1.0_f64.max(y.abs());
            assert!(
                is_same,
                "{name}, row {row}, column {at}: {x}, scikit-learn {y}"
            );
        }
    }
}

#[test]
fn steps_equal_scikit_learns_to_1e_9() {
    let oracle: Value =
        serde_json::from_slice(&std::fs::read(package().join("tests/oracle/prep.json")).unwrap())
            .unwrap();
    let count = oracle["fit_rows"].as_u64().unwrap() as usize;
    let numbers: [(&str, &str, StepAction); 15] = [
        (
            "table",
            "knn_1",
            StepAction::Impute(ImputeStrategy::Knn(1, DonorWeights::Uniform), false),
        ),
        (
            "table",
            "knn_3",
            StepAction::Impute(ImputeStrategy::Knn(3, DonorWeights::Uniform), false),
        ),
        (
            "table",
            "knn_7",
            StepAction::Impute(ImputeStrategy::Knn(7, DonorWeights::Uniform), false),
        ),
        (
            "table",
            "knn_distance",
            StepAction::Impute(ImputeStrategy::Knn(4, DonorWeights::Distance), false),
        ),
        (
            "table",
            "mean",
            StepAction::Impute(ImputeStrategy::Mean, false),
        ),
        (
            "table",
            "median",
            StepAction::Impute(ImputeStrategy::Median, false),
        ),
        (
            "table",
            "indicator",
            StepAction::Impute(ImputeStrategy::Median, true),
        ),
        (
            "rough",
            "most_frequent",
            StepAction::Impute(ImputeStrategy::MostFrequent, false),
        ),
        ("knn_3", "scaled", StepAction::Scale(ScaleMethod::Standard)),
        ("knn_3", "pca", StepAction::Pca(4)),
        ("table", "min_max", StepAction::Scale(ScaleMethod::MinMax)),
        ("table", "robust", StepAction::Scale(ScaleMethod::Robust)),
        ("table", "max_abs", StepAction::Scale(ScaleMethod::MaxAbs)),
        ("table", "uniform", StepAction::Quantile(17, false)),
        ("table", "normal", StepAction::Quantile(17, true)),
    ];
    for (from, name, action) in numbers {
        let table = rows(&oracle[from]);
        let told = carried_out(
            action,
            &mut columns(&table[..count]),
            &mut columns(&table),
            &[],
        );
        same(name, &told, &rows(&oracle[name]));
    }
    let rough = rows(&oracle["rough"]);
    let told = carried_out(
        StepAction::Quantile(17, false),
        &mut columns(&rough[..count]),
        &mut columns(&rough),
        &[],
    );
    same("uniform_rough", &told, &rows(&oracle["uniform_rough"]));
    let text = |value: &Value| {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| cell.as_str().map(str::to_owned))
            .collect()
    };
    let (cells, y): (Vec<Option<String>>, Vec<f64>) = (
        text(&oracle["words"]),
        oracle["y"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_f64)
            .collect(),
    );
    let texts = [
        ("onehot", StepAction::OneHot(UnknownCategory::Zero, 1, 100)),
        (
            "onehot_rare",
            StepAction::OneHot(UnknownCategory::Rare, 5, 100),
        ),
        ("ordinal", StepAction::Ordinal),
        ("target_auto", StepAction::Target(None, 5)),
        ("target_3", StepAction::Target(Some(3.0), 5)),
    ];
    for (name, action) in texts {
        let told = carried_out(
            action,
            &mut words(&cells[..count]),
            &mut words(&cells),
            &y[..count],
        );
        same(name, &told, &rows(&oracle[name]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_row_is_told_its_own_class(cells in prop::collection::vec(0_u8..4, 10..60), flip in any::<prop::sample::Index>()) {
        let text: Vec<Option<String>> = cells.iter().map(|cell| Some(cell.to_string())).collect();
        let mut y: Vec<f64> = cells.iter().enumerate().map(|(row, cell)| f64::from(u8::from((row + usize::from(*cell)) % 3 == 0))).collect();
        let told = |y: &[f64]| {
            let mut columns = words(&text);
            let rows: Vec<u64> = (0..y.len() as u64).map(|row| row * 7).collect();
            step(StepAction::Target(None, 5)).fit(&mut columns, &super::labels(y), &rows).unwrap();
            columns.numbers("word").unwrap().to_vec()
        };
        let before = told(&y);
        let at = flip.index(y.len());
        y[at] = 1.0 - y[at];
        prop_assert_eq!(before[at], told(&y)[at]);
    }

    #[test]
    fn what_is_read_back_does_the_same(cells in prop::collection::vec((0_u8..5, -5_i32..5, prop::option::of(0_i32..9)), 12..40)) {
        let numbers = |of: fn(&(u8, i32, Option<i32>)) -> f64| cells.iter().map(of).collect::<Vec<f64>>();
        let table = Table::of_numbers(vec![
            ("a".to_owned(), numbers(|(_, b, _)| f64::from(*b))),
            ("b".to_owned(), numbers(|(_, _, c)| c.map_or(f64::NAN, f64::from))),
            ("y".to_owned(), (0..cells.len()).map(|row| (row % 2) as f64).collect()),
        ]).unwrap();
        prop_assume!(cells.iter().any(|cell| cell.2.is_some_and(|b| b != 0)));
        let table = Table::of_texts("w", cells.iter().map(|(a, ..)| (*a > 0).then(|| a.to_string())).collect()).unwrap().beside(&table).unwrap();
        prop_assume!(cells.iter().any(|cell| cell.0 > 0));
        let steps = [
            StepAction::Derive(PairOp::Ratio, "a".to_owned(), "b".to_owned(), "c".to_owned()),
            StepAction::Impute(ImputeStrategy::Knn(2, DonorWeights::Distance), true),
            StepAction::Impute(ImputeStrategy::Constant(0.0, "none".to_owned()), false),
            StepAction::Clip(ClipBound::Share(0.05), ClipBound::Value(40.0)),
            StepAction::Quantile(9, true),
            StepAction::OneHot(UnknownCategory::Rare, 2, 10),
            StepAction::Drop(DropRule { constant: true, duplicate: true, correlated: Some(0.99) }),
            StepAction::Scale(ScaleMethod::Standard),
        ];
        let labels = TargetRule::binary(&["0"], &["1"]);
        let settings = PreprocessorSettings { target: "y".to_owned(), labels, weight: None, steps: steps.into_iter().map(step).collect() };
        let (fitted, features) = Preprocessor::fit(&table, &settings).unwrap();
        let read = Preprocessor::decode(&fitted.encode()).unwrap();
        prop_assert_eq!(read.encode(), fitted.encode());
        prop_assert_eq!(read.features().len(), features.ncols());
        prop_assert_eq!(read.apply(&table).unwrap(), features);
    }
}

#[test]
fn useless_columns_go_and_the_first_of_equals_stays() {
    let table = [
        [1.0, 1.0, 5.0, 2.0, 1.0],
        [2.0, 2.0, 5.0, 4.0, 7.0],
        [3.0, 3.0, 5.0, 6.1, 2.0],
        [4.0, 4.0, 5.0, 8.0, 9.0],
    ];
    let left = |useless: DropRule| {
        let mut columns = columns(&table.map(|row| row.to_vec()));
        step(StepAction::Drop(useless))
            .fit(&mut columns, &super::labels(&[]), &[])
            .unwrap();
        columns.names().concat()
    };
    assert_eq!(
        left(DropRule {
            constant: true,
            ..DropRule::default()
        }),
        "abde"
    );
    assert_eq!(
        left(DropRule {
            duplicate: true,
            ..DropRule::default()
        }),
        "acde"
    );
    assert_eq!(
        left(DropRule {
            correlated: Some(0.95),
            ..DropRule::default()
        }),
        "ace"
    );
}

#[test]
fn odd_columns_are_named() {
    let table = [vec![0.0, -1.0], vec![1.0, 2.0]];
    let fit = |step: PrepStep| {
        step.fit(&mut columns(&table), &super::labels(&[]), &[])
            .unwrap_err()
    };
    insta::assert_snapshot!(fit(step(StepAction::Log1p)), @"the column `b` is -1 in row 1: only numbers above -1 have a logarithm of 1 + x");
    let pick = ColumnPick {
        names: vec!["aa".to_owned()],
        ..ColumnPick::default()
    };
    insta::assert_snapshot!(fit(PrepStep { pick, action: StepAction::Scale(ScaleMethod::Standard) }), @"there is no column `aa`: did you mean `a`?");
    let pick = ColumnPick {
        matching: Some(ColumnPick::whole("x.*").unwrap()),
        ..ColumnPick::default()
    };
    insta::assert_snapshot!(fit(PrepStep { pick, action: StepAction::Log1p }), @"no column that this step has use for matches `^(?:x.*)$`");
    let text = [Some("a".to_owned()), Some("b".to_owned())];
    let error = step(StepAction::OneHot(UnknownCategory::Error, 1, 1))
        .fit(&mut words(&text), &super::labels(&[]), &[])
        .unwrap_err();
    insta::assert_snapshot!(error, @"the text column `word` has 2 categories, at most 1 become columns: drop it, raise `max` or `min_count` of `onehot`, or use `target` or `hash`");
    let fitted = step(StepAction::OneHot(UnknownCategory::Error, 1, 9))
        .fit(&mut words(&text), &super::labels(&[]), &[])
        .unwrap();
    let mut other = words(&[Some("a".to_owned()), Some("c".to_owned())]);
    fitted.apply(&mut other).unwrap();
    assert_eq!(other.faults.keys().collect::<Vec<_>>(), [&1]);
    insta::assert_snapshot!(other.faults[&1], @"the column `word` is `c`, which training did not have");
}

#[test]
fn a_row_that_comes_moves_no_other_to_another_fold() {
    let cells =
        |count: usize| -> Vec<f64> { (0..count).map(|row| (row * row % 97) as f64).collect() };
    let prepared = |count: usize| {
        // The last row changes what all others are scaled by.
        let mut cells = cells(count);
        *cells.last_mut().unwrap() *= 1.5;
        let y = (0..count).map(|row| (row % 2) as f64).collect();
        let table = Table::of_numbers(vec![("a".to_owned(), cells), ("y".to_owned(), y)]).unwrap();
        let settings = PreprocessorSettings {
            weight: None,
            target: "y".to_owned(),
            labels: TargetRule::binary(&["0"], &["1"]),
            steps: vec![step(StepAction::Scale(ScaleMethod::Standard))],
        };
        let (preprocessor, x) = Preprocessor::fit(&table, &settings).unwrap();
        let labels = preprocessor.labels(&table).unwrap();
        let mut data = TrainingSet::new(x, labels, &[]).unwrap();
        data.origins = preprocessor.training_rows().to_vec();
        data
    };
    let (before, after) = (prepared(400), prepared(401));
    assert_ne!(before.x[[0, 0]], after.x[[0, 0]], "all cells are others");
    let folds = |data: &TrainingSet| Folds::new(data, 5, &FoldPlacement::Content, 42);
    let (before, after) = (folds(&before), folds(&after));
    for fold in 0..5 {
        let held: Vec<u32> = before
            .held(fold)
            .into_iter()
            .filter(|row| *row < 399)
            .collect();
        let later: Vec<u32> = after
            .held(fold)
            .into_iter()
            .filter(|row| *row < 399)
            .collect();
        assert_eq!(held, later);
        assert!(held.len() > 20, "{}", held.len());
    }
}
