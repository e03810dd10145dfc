//! Laws of trees: what may change about the rows without a change of the model.

use ndarray::Array2;
use proptest::prelude::*;

use crate::world::package;
use netsec::base::cancel::Cancel;
use netsec::frame::labels::{Classes, Labels};
use netsec::model::data::{HeldOutRows, TrainingSet};
use netsec::model::fitted::Model;
use netsec::model::learner::FitTask;
use netsec::model::learners::{LEARNERS, Learner, find};
use netsec::trees::ensemble::TreeEnsemble;

const TREES: [&str; 5] = [
    "decision_tree",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "adaboost",
];

/// Small enough to be quick, and with leaves small enough to split a few rows.
fn setting(learner: &Learner) -> Vec<f64> {
    let of = |hyper: &netsec::model::hyper::Hyperparameter| match hyper.name {
        "trees" => 7.0,
        "min_leaf" => 1.0,
        "subsample" => 0.7,
        "patience" => 0.0,
        "max_features" => 0.0,
        _ => hyper.default,
    };
    learner.hypers.iter().map(of).collect()
}

fn fitted(learner: &Learner, x: &Array2<f64>, y: &[f64], rows: &[u32]) -> Model {
    let data = TrainingSet::new(x.clone(), super::labels(y), &[]).unwrap();
    learner
        .fit(&FitTask {
            data: &data,
            rows,
            setting: &setting(learner),
            seed: 3,
            cancel: &Cancel::new(),
        })
        .unwrap()
}

/// Rows of three features with few values each, and classes that depend on them and on chance.
fn table() -> impl Strategy<Value = (Array2<f64>, Vec<f64>)> {
    let row = (0_i32..6, -3_i32..4, 0_i32..2, any::<bool>());
    prop::collection::vec(row, 4..60).prop_map(|rows| {
        let cells = rows
            .iter()
            .flat_map(|(a, b, c, _)| [*a, *b, *c].map(f64::from))
            .collect();
        let x = Array2::from_shape_vec((rows.len(), 3), cells).unwrap();
        let mut y: Vec<f64> = rows
            .iter()
            .map(|(a, b, _, noise)| f64::from(u8::from((a + b > 2) ^ (*noise && *a == 0))))
            .collect();
        (y[0], y[1]) = (0.0, 1.0);
        (x, y)
    })
}

fn all(y: &[f64]) -> Vec<u32> {
    (0..y.len() as u32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_rows_does_not_matter((x, y) in table(), turn in 0_usize..60) {
        let order: Vec<usize> = (0..y.len()).map(|row| (row + turn) % y.len()).rev().collect();
        let (turned_x, turned_y) = (x.select(ndarray::Axis(0), &order), order.iter().map(|row| y[*row]).collect::<Vec<_>>());
        for name in TREES {
            let learner = find(name).unwrap();
            let p = fitted(learner, &x, &y, &all(&y)).scores(x.view(), &Classes::binary()).unwrap().attack().to_vec();
            let q = fitted(learner, &turned_x, &turned_y, &all(&y)).scores(x.view(), &Classes::binary()).unwrap().attack().to_vec();
            prop_assert_eq!(p, q, "{}", name);
        }
    }

    #[test]
    fn predictions_keep_to_the_directions_of_features((x, y) in table(), ways in prop::array::uniform3(-1_i8..=1)) {
        for name in TREES.iter().filter(|name| find(name).unwrap().monotone) {
            let learner = find(name).unwrap();
            let mut data = TrainingSet::new(x.clone(), super::labels(&y), &[]).unwrap();
            data.directions = ways.to_vec();
            for criterion in if *name == "gradient_boosting" { 0..1 } else { 0..2 } {
                let mut setting = setting(learner);
                if let Some(at) = learner.hypers.iter().position(|hyper| hyper.name == "criterion") {
                    setting[at] = f64::from(criterion);
                }
                let model = learner.fit(&FitTask { data: &data, rows: &all(&y), setting: &setting, seed: 3, cancel: &Cancel::new() }).unwrap();
                for (feature, way) in ways.iter().enumerate().filter(|(_, way)| **way != 0) {
                    let mut steps: Vec<Vec<f64>> = Vec::new();
                    for value in -4..7 {
                        let mut asked = x.clone();
                        asked.column_mut(feature).fill(f64::from(value) - 0.5);
                        steps.push(model.scores(asked.view(), &Classes::binary()).unwrap().attack().to_vec());
                    }
                    for pair in steps.windows(2) {
                        let keeps = pair[0].iter().zip(&pair[1]).all(|(a, b)| (b - a) * f64::from(*way) >= -1e-12);
                        prop_assert!(keeps, "{} by feature {}", name, feature);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_missing_is_a_value_of_its_own((x, y) in table(), gone in prop::collection::vec(any::<bool>(), 60)) {
        // Where what is missing tells the class, every learner of trees tells it too, in whatever
        // rows.
        let mut holes = x.clone();
        let mut labels: Vec<f64> = (0..y.len()).map(|row| f64::from(u8::from(gone[row]))).collect();
        (labels[0], labels[1]) = (0.0, 1.0);
        for (row, label) in labels.iter().enumerate().filter(|(_, label)| **label == 1.0) {
            holes[[row, 1]] = if *label == 1.0 { f64::NAN } else { holes[[row, 1]] };
        }
        // Of rows that are drawn some may be missing too often.
        for name in TREES.into_iter().filter(|name| *name != "random_forest") {
            let learner = find(name).unwrap();
            let told = fitted(learner, &holes, &labels, &all(&labels)).scores(holes.view(), &Classes::binary()).unwrap().attack().to_vec();
            let least = told.iter().zip(&labels).filter(|(_, y)| **y == 1.0).map(|(p, _)| *p).fold(1.0, f64::min);
            let most = told.iter().zip(&labels).filter(|(_, y)| **y == 0.0).map(|(p, _)| *p).fold(0.0, f64::max);
            prop_assert!(least > most, "{}: {} and {}", name, least, most);
        }
        let logistic = find("logistic_regression").unwrap();
        let data = TrainingSet::new(holes, super::labels(&labels), &["a".to_owned(), "b".to_owned()]).unwrap();
        let refused = logistic.fit(&FitTask { data: &data, rows: &all(&labels), setting: &logistic.usual(), seed: 1, cancel: &Cancel::new() });
        prop_assert!(refused.unwrap_err().to_string().contains("the feature `b` is missing in row"));
    }

    #[test]
    fn a_row_that_is_named_twice_counts_as_two((x, y) in table(), twice in prop::collection::vec(any::<prop::sample::Index>(), 1..10)) {
        let twice: Vec<usize> = twice.iter().map(|index| index.index(y.len())).collect();
        let longer: Vec<usize> = (0..y.len()).chain(twice.iter().copied()).collect();
        let (long_x, long_y) = (x.select(ndarray::Axis(0), &longer), longer.iter().map(|row| y[*row]).collect::<Vec<_>>());
        let named: Vec<u32> = longer.iter().map(|row| *row as u32).collect();
        for name in TREES {
            let learner = find(name).unwrap();
            let p = fitted(learner, &x, &y, &named).scores(x.view(), &Classes::binary()).unwrap().attack().to_vec();
            let q = fitted(learner, &long_x, &long_y, &all(&long_y)).scores(x.view(), &Classes::binary()).unwrap().attack().to_vec();
            prop_assert_eq!(p, q, "{}", name);
        }
    }

    #[test]
    fn a_rising_transformation_of_a_feature_changes_nothing((x, y) in table()) {
        let mut stretched = x.clone();
        stretched.column_mut(0).mapv_inplace(|cell| (cell / 2.0).exp() * 1000.0 - 7.0);
        for name in TREES {
            let learner = find(name).unwrap();
            let p = fitted(learner, &x, &y, &all(&y)).scores(x.view(), &Classes::binary()).unwrap().attack().to_vec();
            let q = fitted(learner, &stretched, &y, &all(&y)).scores(stretched.view(), &Classes::binary()).unwrap().attack().to_vec();
            prop_assert_eq!(p, q, "{}", name);
        }
    }

    #[test]
    fn a_larger_ensemble_holds_the_smaller_ones((x, y) in table()) {
        for name in TREES.into_iter().filter(|name| *name != "decision_tree") {
            let learner = find(name).unwrap();
            let at = learner.size.unwrap();
            let data = TrainingSet::new(x.clone(), super::labels(&y), &[]).unwrap();
            let model = |trees: f64| {
                let mut setting = setting(learner);
                setting[at] = trees;
                learner.fit(&FitTask { data: &data, rows: &all(&y), setting: &setting, seed: 3, cancel: &Cancel::new() }).unwrap()
            };
            let staged = model(9.0).staged(&data, &all(&y), &[2, 5, 9]).unwrap();
            for (told, trees) in staged.iter().zip([2.0, 5.0, 9.0]) {
                prop_assert_eq!(told, &model(trees).scores(x.view(), &Classes::binary()).unwrap(), "{} of {} trees", name, trees);
            }
        }
    }

    #[test]
    fn a_weight_of_attacks_is_as_many_rows((x, y) in table(), weight in 2_usize..5) {
        let learner = find("decision_tree").unwrap();
        let at = learner.hypers.iter().position(|hyper| hyper.name == "class_weight").unwrap();
        let hyper = &learner.hypers[at];
        let told = netsec::model::hyper::HyperparameterValue::Number(weight as f64);
        let mut weighted = learner.usual();
        weighted[at] = hyper.read(&told).unwrap();
        prop_assert_eq!(hyper.tell(weighted[at]), told);
        let data = TrainingSet::new(x.clone(), super::labels(&y), &[]).unwrap();
        let model = |rows: &[u32], setting: &[f64]| {
            learner.fit(&FitTask { data: &data, rows, setting, seed: 3, cancel: &Cancel::new() }).unwrap()
        };
        let times = |row: u32| if y[row as usize] == 1.0 { weight } else { 1 };
        let repeated: Vec<u32> = (0..y.len() as u32).flat_map(|row| vec![row; times(row)]).collect();
        let by_weight = model(&all(&y), &weighted).scores(x.view(), &Classes::binary()).unwrap();
        let by_rows = model(&repeated, &learner.usual()).scores(x.view(), &Classes::binary()).unwrap();
        for (by_weight, by_rows) in by_weight.attack().iter().zip(by_rows.attack()) {
            prop_assert!((by_weight - by_rows).abs() < 1e-9, "{} {}", by_weight, by_rows);
        }
    }

    #[test]
    fn what_is_read_back_tells_the_same((x, y) in table()) {
        for learner in &LEARNERS {
            let model = fitted(learner, &x, &y, &all(&y));
            let bytes = rmp_serde::to_vec_named(&model).unwrap();
            let read: Model = rmp_serde::from_slice(&bytes).unwrap();
            prop_assert_eq!(model.scores(x.view(), &Classes::binary()), read.scores(x.view(), &Classes::binary()), "{}", learner.name);
        }
    }
}

#[test]
fn boosting_ends_where_it_does_not_help_any_more() {
    // Of chance alone, so that trees soon help only on the rows that they are grown from.
    let x = Array2::from_shape_fn((600, 4), |(row, column)| {
        ((row * (7919 + 104_729 * column)) % 1009) as f64
    });
    let y: Vec<f64> = (0..600)
        .map(|row| f64::from(u8::from((row * row * 31 + row * 17) % 97 < 48)))
        .collect();
    let data = TrainingSet::new(x, super::labels(&y), &[]).unwrap();
    let learner = find("gradient_boosting").unwrap();
    let trees = |trees: f64, patience: f64| {
        let mut setting = learner.usual();
        setting[0] = trees;
        let at = learner
            .hypers
            .iter()
            .position(|hyper| hyper.name == "patience");
        setting[at.unwrap()] = patience;
        let fitted = learner
            .fit(&FitTask {
                data: &data,
                rows: &data.rows(),
                setting: &setting,
                seed: 1,
                cancel: &Cancel::new(),
            })
            .unwrap();
        let Model::Trees(fitted) = fitted else {
            unreachable!("it is made of trees")
        };
        fitted.trees
    };
    let patient = trees(200.0, 5.0);
    assert!(patient.len() < 100, "{} trees", patient.len());
    assert_eq!(trees(200.0, 0.0).len(), 200);
    assert_eq!(
        trees(4.0, 5.0),
        patient[..4],
        "those of a smaller model are the first of a larger one"
    );
}

#[test]
fn a_separable_table_is_learned_by_heart() {
    let x = Array2::from_shape_fn((40, 2), |(row, column)| ((row * (7 + column)) % 40) as f64);
    let y: Vec<f64> = (0..40).map(|row| (row % 2) as f64).collect();
    for name in ["decision_tree", "extra_trees"] {
        let p = fitted(find(name).unwrap(), &x, &y, &all(&y))
            .scores(x.view(), &Classes::binary())
            .unwrap()
            .attack()
            .to_vec();
        assert_eq!(p, y, "{name}");
    }
}

#[test]
fn shap_values_are_those_of_the_reference() {
    let oracle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(package().join("tests/oracle/shap.json")).unwrap())
            .unwrap();
    for case in oracle["cases"].as_array().unwrap() {
        let ensemble: TreeEnsemble = serde_json::from_value(case["model"].clone()).unwrap();
        let list = |value: &serde_json::Value| -> Vec<f64> {
            value
                .as_array()
                .unwrap()
                .iter()
                .map(|cell| cell.as_f64().unwrap())
                .collect()
        };
        let rows: Vec<Vec<f64>> = case["x"].as_array().unwrap().iter().map(list).collect();
        let x = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
        for (shap, theirs) in ensemble
            .shap(x.view())
            .iter()
            .zip(case["values"].as_array().unwrap())
        {
            assert!(
                (shap.base - case["base"].as_f64().unwrap()).abs() < 1e-9,
                "{}: base {}",
                case["learner"],
                shap.base
            );
            for (ours, theirs) in shap.values.iter().zip(list(theirs)) {
                assert!(
                    (ours - theirs).abs() < 1e-9,
                    "{}: {ours}, shap {theirs}",
                    case["learner"]
                );
            }
        }
    }
}

#[test]
fn boosting_stops_by_the_rows_that_are_to_judge_it() {
    // The latest tenth of the rows speaks against all others.
    let cell = |row: usize, column: usize| ((row * (7919 + 104_729 * column)) % 1009) as f64;
    let x = Array2::from_shape_fn((600, 3), |(row, column)| cell(row, column));
    let is_attack = |row: usize| (cell(row, 0) > 500.0) != (row >= 540);
    let two: Vec<f64> = (0..600)
        .map(|row| f64::from(u8::from(is_attack(row))))
        .collect();
    let classes = Classes::new(&[("benign", false), ("dos", true), ("probe", true)]);
    let three = (0..600).map(|row| match is_attack(row) {
        true => 1.0 + f64::from(u8::from(cell(row, 1) > 500.0)),
        false => 0.0,
    });
    let three = Labels::of_numbers(classes, three).unwrap();
    let learner = find("gradient_boosting").unwrap();
    let mut setting = learner.usual();
    let at = learner
        .hypers
        .iter()
        .position(|hyper| hyper.name == "patience");
    setting[at.unwrap()] = 3.0;
    let rounds = |data: &TrainingSet| {
        let task = FitTask {
            data,
            rows: &data.rows(),
            setting: &setting,
            seed: 1,
            cancel: &Cancel::new(),
        };
        match learner.fit(&task).unwrap() {
            Model::Trees(fitted) => fitted.trees.len(),
            Model::ClassTrees(fitted) => fitted.trees.len() / fitted.told.len(),
            _ => unreachable!("it is made of trees"),
        }
    };
    for labels in [super::labels(&two), three] {
        let mut data = TrainingSet::new(x.clone(), labels, &[]).unwrap();
        let like_others = rounds(&data);
        data.hold_out_last = (0..600).map(f64::from).collect();
        assert_eq!(
            rounds(&data),
            4,
            "by the latest, not after {like_others} rounds"
        );
        assert!(like_others > 10, "{like_others}");
        data.hold_out_last.clear();
        let last: Vec<u32> = (540..600).collect();
        data.validation = Some(HeldOutRows {
            weights: Vec::new(),
            x: data.select(&last),
            labels: data.labels.select(&last),
        });
        // Here they are learned from, too.
        let by_validation = rounds(&data);
        assert!(
            by_validation < like_others,
            "{by_validation} of {like_others}"
        );
    }
}
