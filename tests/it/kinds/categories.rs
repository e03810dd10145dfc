//! Columns that stay categories: what they become, what steps and learners may do with them, and
//! trees that split them, against LightGBM and against the same rows as numbers.

use ndarray::Array2;
use proptest::prelude::*;
use serde_json::Value;

use crate::kinds::{fitted, labels, numbers, oracle, tried};
use netsec::base::cancel::Cancel;
use netsec::frame::labels::{Classes, Labels};
use netsec::frame::table::Table;
use netsec::model::data::TrainingSet;
use netsec::model::learner::FitTask;
use netsec::model::learners::{LEARNERS, find};
use netsec::prep::columns::ColumnPick;
use netsec::prep::derive::PairOp;
use netsec::prep::labels::TargetRule;
use netsec::prep::preprocessor::{Preprocessor, PreprocessorSettings};
use netsec::prep::reduce::DropRule;
use netsec::prep::scale::ScaleMethod;
use netsec::prep::step::{PrepStep, StepAction};

fn table(words: &[Option<&str>]) -> Table {
    let numbers = vec![
        (
            "a".to_owned(),
            (0..words.len()).map(|row| (row % 5) as f64).collect(),
        ),
        (
            "y".to_owned(),
            (0..words.len()).map(|row| (row % 2) as f64).collect(),
        ),
    ];
    let words = words.iter().map(|word| word.map(str::to_owned)).collect();
    let table = Table::of_texts("w", words).unwrap();
    table.beside(&Table::of_numbers(numbers).unwrap()).unwrap()
}

fn step(names: &[&str], action: StepAction) -> PrepStep {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let pick = ColumnPick {
        names,
        ..ColumnPick::default()
    };
    PrepStep { pick, action }
}

fn prepared(table: &Table, steps: Vec<PrepStep>) -> Result<(Preprocessor, Array2<f64>), String> {
    let settings = PreprocessorSettings {
        target: "y".to_owned(),
        labels: TargetRule::binary(&["0"], &["1"]),
        weight: None,
        steps,
    };
    Preprocessor::fit(table, &settings).map_err(|error| error.to_string())
}

/// Rows of numbers of which some are missing.
fn holed(value: &Value) -> Array2<f64> {
    let row = |row: &Value| -> Vec<f64> {
        let cells = row.as_array().unwrap().iter();
        cells
            .map(|cell| cell.as_f64().unwrap_or(f64::NAN))
            .collect()
    };
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(row).collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

fn told(cells: impl IntoIterator<Item = f64>) -> Vec<Option<f64>> {
    let cell = |cell: f64| (!cell.is_nan()).then_some(cell);
    cells.into_iter().map(cell).collect()
}

const WORDS: [Option<&str>; 8] = [
    Some("udp"),
    Some("tcp"),
    Some("tcp"),
    None,
    Some("icmp"),
    Some("gre"),
    Some("tcp"),
    Some("udp"),
];

#[test]
fn a_category_is_its_place_among_those_that_are_told_apart() {
    let kept = |least, most| vec![step(&["w"], StepAction::Category(least, most))];
    let strange = table(&[Some("tcp"), Some("sctp"), None]);
    let of = |steps| {
        let (fitted, features) = prepared(&table(&WORDS), steps).unwrap();
        assert_eq!(fitted.categories(), [false, true]);
        let of_strange = fitted.apply(&strange).unwrap();
        let read = Preprocessor::decode(&fitted.encode()).unwrap();
        assert_eq!(read.categories(), fitted.categories());
        (
            told(features.column(1).to_vec()),
            told(of_strange.column(1).to_vec()),
        )
    };
    // gre, icmp, tcp, udp; what training did not have is missing.
    let (trained, strange_told) = of(kept(1, 254));
    let by_place = [3.0, 2.0, 2.0, f64::NAN, 1.0, 0.0, 2.0, 3.0];
    assert_eq!(trained, told(by_place));
    assert_eq!(strange_told, [Some(2.0), None, None]);
    // tcp, udp, and the others together: one that training did not have is one of them.
    let (trained, strange_told) = of(kept(2, 254));
    let with_rare = [1.0, 0.0, 0.0, f64::NAN, 2.0, 2.0, 0.0, 1.0];
    assert_eq!(trained, told(with_rare));
    assert_eq!(strange_told, [Some(0.0), Some(2.0), None]);
    // The most frequent.
    let (trained, _) = of(kept(1, 2));
    assert_eq!(trained, told(with_rare));
}

#[test]
fn no_step_computes_with_categories() {
    let keep = || step(&["w"], StepAction::Category(1, 254));
    let after = |second| prepared(&table(&WORDS), vec![keep(), second]);
    // All numbers are scaled, and they are none.
    let (fitted, features) = after(step(&[], StepAction::Scale(ScaleMethod::Standard))).unwrap();
    assert_eq!(fitted.categories(), [false, true]);
    assert_eq!(features[[0, 1]], 3.0);
    let ratio = StepAction::Derive(
        PairOp::Ratio,
        "a".to_owned(),
        "w".to_owned(),
        "r".to_owned(),
    );
    for refused in [
        step(&["w"], StepAction::Scale(ScaleMethod::Standard)),
        step(&[], ratio),
    ] {
        let why = after(refused).unwrap_err();
        assert!(why.contains("the column `w` holds categories"), "{why}");
    }
    let (fitted, features) = after(step(&["w"], StepAction::Drop(DropRule::default()))).unwrap();
    assert_eq!((features.ncols(), fitted.categories().len()), (1, 0));
}

#[test]
fn boosting_of_categories_is_as_good_as_that_of_lightgbm() {
    let oracle = oracle("categories.json");
    let (mut of_numbers, mut of_categories) = (0.0, 0.0);
    for case in oracle.as_array().unwrap() {
        let marks = numbers(&case["categories"]);
        let loss = |categories: Vec<bool>| {
            let labels = labels(&numbers(&case["y"]));
            let mut data = TrainingSet::new(holed(&case["x"]), labels, &[]).unwrap();
            data.categories = categories;
            let model = fitted(&data, &data.rows(), "gradient_boosting", &[("trees", 60.0)]);
            let held = holed(&case["held"]);
            let scores = model.scores(held.view(), data.labels.classes()).unwrap();
            let truth = numbers(&case["truth"]);
            let of_row =
                |(p, y): (&f64, &f64)| -(if *y > 0.5 { *p } else { 1.0 - p }).max(1e-9).ln();
            scores.attack().iter().zip(&truth).map(of_row).sum::<f64>() / truth.len() as f64
        };
        of_numbers += loss(Vec::new());
        let ours = loss(marks.iter().map(|mark| *mark > 0.5).collect());
        let theirs = case["loss"].as_f64().unwrap();
        assert!(ours < theirs * 1.01, "{ours}, {theirs}");
        of_categories += ours;
    }
    assert!(of_categories < of_numbers, "{of_categories}, {of_numbers}");
}

#[test]
fn learners_that_compute_with_numbers_refuse_categories() {
    let x = Array2::from_shape_fn((40, 2), |(row, _)| (row % 4) as f64);
    let y: Vec<f64> = (0..40).map(|row| (row % 2) as f64).collect();
    let mut data = TrainingSet::new(x, labels(&y), &[]).unwrap();
    data.categories = vec![true, false];
    for learner in LEARNERS.iter().filter(|learner| !learner.categories) {
        let refused = tried(&data, &data.rows(), learner.name, &[]);
        let why = refused.unwrap_err().to_string();
        let begins = format!("`{}` cannot do with the categories", learner.name);
        assert!(why.starts_with(&begins), "{why}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn two_categories_are_split_as_two_numbers_are(
        cells in prop::collection::vec((0_u8..2, -9_i32..9, 0_u16..3), 60..140),
    ) {
        let classes = Classes::new(&[("benign", false), ("dos", true), ("probe", true)]);
        let x = Array2::from_shape_fn((cells.len(), 2), |(row, column)| match column {
            0 => f64::from(cells[row].0),
            _ => f64::from(cells[row].1),
        });
        for (classes, most) in [(Classes::binary(), 1), (classes, 2)] {
            let told = cells.iter().map(|cell| f64::from(cell.2.min(most)));
            let labels = Labels::of_numbers(classes, told).unwrap();
            prop_assume!(labels.attacks() > 5 && labels.benign() > 5);
            let of_tree = |categories: Vec<bool>| {
                let mut data = TrainingSet::new(x.clone(), labels.clone(), &[]).unwrap();
                data.categories = categories;
                let model = fitted(&data, &data.rows(), "decision_tree", &[("max_depth", 4.0)]);
                model.scores(x.view(), labels.classes()).unwrap()
            };
            let (ours, theirs) = (of_tree(vec![true, false]), of_tree(Vec::new()));
            prop_assert_eq!(ours.attack(), theirs.attack());
        }
    }

    #[test]
    fn rows_and_their_bins_go_the_same_way(
        cells in prop::collection::vec((0_u8..30, -9_i32..9, 0_u16..3), 80..160),
        seed in 0_u64..100,
    ) {
        let classes = Classes::new(&[("benign", false), ("dos", true), ("probe", true)]);
        // One category in ten is missing.
        let x = Array2::from_shape_fn((cells.len(), 2), |(row, column)| match column {
            0 if cells[row].0 >= 27 => f64::NAN,
            0 => f64::from(cells[row].0),
            _ => f64::from(cells[row].1),
        });
        let labels = Labels::of_numbers(classes, cells.iter().map(|cell| f64::from(cell.2))).unwrap();
        prop_assume!(labels.attacks() > 5 && labels.benign() > 5);
        let mut data = TrainingSet::new(x.clone(), labels, &[]).unwrap();
        data.categories = vec![true, false];
        // A tree that is grown to the end tells every training row that is unlike all others its class.
        let cancel = Cancel::new();
        for learner in ["decision_tree", "extra_trees"].map(|name| find(name).unwrap()) {
            let task = FitTask { data: &data, rows: &data.rows(), setting: &learner.usual(), seed, cancel: &cancel };
            let model = learner.fit(&task).unwrap();
            let scores = model.scores(x.view(), data.labels.classes()).unwrap();
            let told = scores.by_class().unwrap();
            for row in 0..cells.len() {
                let same = |other: &usize| cells[*other].1 == cells[row].1
                    && (cells[*other].0.min(27)) == (cells[row].0.min(27));
                let like: Vec<usize> = (0..cells.len()).filter(same).collect();
                let mine = like.iter().filter(|other| cells[**other].2 == cells[row].2).count();
                let share = mine as f64 / like.len() as f64;
                let p = told[[row, usize::from(cells[row].2)]];
                prop_assert!((p - share).abs() < 1e-9, "{}, row {row}: {p}, {share}", learner.name);
            }
        }
    }
}
