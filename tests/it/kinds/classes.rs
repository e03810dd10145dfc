//! Several classes: every learner against scikit-learn's and LightGBM's on the same rows, the
//! figures, and what always holds.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use serde_json::Value;

use crate::kinds::{fitted, matrix, numbers, oracle};
use netsec::base::cancel::Cancel;
use netsec::frame::labels::{Classes, Labels};
use netsec::model::data::TrainingSet;
use netsec::model::fitted::Model;
use netsec::model::learner::FitTask;
use netsec::model::learners::{LEARNERS, find};
use netsec::model::metrics::Metrics;
use netsec::model::scores::Scores;

/// Four classes of which all but the first are attacks.
fn four() -> Classes {
    Classes::new(&[
        ("benign", false),
        ("dos", true),
        ("probe", true),
        ("u2r", true),
    ])
}

fn labels(value: &Value) -> Labels {
    Labels::of_numbers(four(), numbers(value)).unwrap()
}

struct Fitted {
    data: TrainingSet,
    held: Array2<f64>,
    truth: Labels,
}

impl Fitted {
    fn of(oracle: &Value) -> Self {
        let data = TrainingSet::new(matrix(&oracle["x"]), labels(&oracle["y"]), &[]).unwrap();
        Self {
            data,
            held: matrix(&oracle["held"]),
            truth: labels(&oracle["truth"]),
        }
    }

    fn model(&self, learner: &str, set: &[(&str, f64)]) -> Model {
        fitted(&self.data, &self.data.rows(), learner, set)
    }

    fn scores(&self, learner: &str, set: &[(&str, f64)]) -> Scores {
        let model = self.model(learner, set);
        model.scores(self.held.view(), &four()).unwrap()
    }
}

#[test]
fn probabilities_of_classes_are_those_of_scikit_learn() {
    let oracle = oracle("classes.json");
    let fitted = Fitted::of(&oracle);
    for (learner, set, most) in [
        ("naive_bayes", [].as_slice(), 1e-9),
        ("knn", [("k", 7.0)].as_slice(), 1e-12),
        ("logistic_regression", [].as_slice(), 1e-6),
    ] {
        let scores = fitted.scores(learner, set);
        let theirs = matrix(&oracle["exact"][learner]);
        let apart = (scores.by_class().unwrap() - &theirs).mapv(f64::abs);
        let worst = apart.iter().copied().fold(0.0, f64::max);
        assert!(worst < most, "{learner}: {worst:e}");
    }
    let Model::OneVsRest(machines) = fitted.model("svm", &[]) else {
        unreachable!("it is of a machine for each class")
    };
    for ((_, machine), theirs) in machines
        .models
        .iter()
        .zip(oracle["svm"].as_array().unwrap())
    {
        for (ours, theirs) in machine
            .distances(fitted.held.view())
            .iter()
            .zip(numbers(theirs))
        {
            assert!(
                (ours - theirs).abs() < 0.02,
                "{ours}, scikit-learn {theirs}"
            );
        }
    }
}

#[test]
fn logistic_regression_of_classes_is_at_the_optimum() {
    let oracle = oracle("classes.json");
    let fitted = Fitted::of(&oracle);
    let model = fitted.model("logistic_regression", &[]);
    let scores = model.scores(fitted.data.x.view(), &four()).unwrap();
    let Model::SoftmaxLinear(linear) = &model else {
        unreachable!("it is of weights")
    };
    let p = scores.by_class().unwrap();
    let of_row = |row: usize| -p[[row, usize::from(fitted.data.labels.class(row))]].ln();
    let squares: f64 = linear.weights.iter().map(|weight| weight * weight).sum();
    let loss = (0..p.nrows()).map(of_row).sum::<f64>() + squares / 2.0;
    let theirs = oracle["logistic_loss"].as_f64().unwrap();
    assert!(
        loss < theirs * (1.0 + 1e-9),
        "{loss}, scikit-learn {theirs}"
    );
}

#[test]
fn trees_of_classes_are_as_good_as_those_of_scikit_learn_and_lightgbm() {
    let oracle = oracle("classes.json");
    let fitted = Fitted::of(&oracle);
    for (learner, set, most) in [
        ("decision_tree", [("max_depth", 6.0)].as_slice(), 1.25),
        ("random_forest", [].as_slice(), 1.1),
        ("extra_trees", [].as_slice(), 1.1),
        (
            "adaboost",
            [("max_depth", 2.0), ("trees", 50.0)].as_slice(),
            1.001,
        ),
        ("gradient_boosting", [("trees", 30.0)].as_slice(), 1.005),
    ] {
        let scores = fitted.scores(learner, set);
        let p = scores.by_class().unwrap();
        let of_row = |row: usize| {
            -p[[row, usize::from(fitted.truth.class(row))]]
                .max(1e-3)
                .ln()
        };
        let loss = (0..p.nrows()).map(of_row).sum::<f64>() / p.nrows() as f64;
        let theirs = &oracle["told"][learner];
        let their_loss = theirs["log_loss"].as_f64().unwrap();
        let likeliest = p.axis_iter(Axis(0)).map(|row| {
            let by_p = |a: &usize, b: &usize| row[*a].total_cmp(&row[*b]).then(b.cmp(a));
            (0..row.len()).max_by(by_p).unwrap()
        });
        let rows = fitted.truth.rows().iter();
        let right = likeliest
            .zip(rows)
            .filter(|(told, is)| *told == usize::from(**is));
        let accuracy = right.count() as f64 / fitted.truth.len() as f64;
        let their_accuracy = theirs["accuracy"].as_f64().unwrap();
        assert!(
            loss < their_loss * most && accuracy > their_accuracy - 0.015,
            "{learner}: log loss {loss} ({their_loss}), accuracy {accuracy} ({their_accuracy})"
        );
    }
}

#[test]
fn figures_of_classes_are_those_of_scikit_learn() {
    for case in oracle("classes.json")["metrics"].as_array().unwrap() {
        let labels = labels(&case["y"]);
        let scores = Scores::of_classes(&four(), matrix(&case["p"]));
        let threshold = case["threshold"].as_f64().unwrap();
        let told: Vec<f64> = scores
            .told_classes(threshold)
            .iter()
            .map(|c| f64::from(*c))
            .collect();
        assert_eq!(told, numbers(&case["told"]));
        let found = Metrics::at(&labels, &scores, threshold);
        for name in netsec::model::class_metrics::ClassMetrics::NAMES {
            let (ours, theirs) = (found.figure(name).unwrap(), case[name].as_f64().unwrap());
            assert!(
                (ours - theirs).abs() < 1e-12,
                "{name}: {ours}, scikit-learn {theirs}"
            );
        }
    }
}

/// Rows of a few values, and classes that depend on them; one class may have no rows at all.
fn table() -> impl Strategy<Value = (Array2<f64>, Vec<f64>)> {
    let row = (0_i32..5, -3_i32..4, 0_i32..2, 0_i32..3);
    prop::collection::vec(row, 8..60).prop_map(|rows| {
        let cells = rows
            .iter()
            .flat_map(|(a, b, c, _)| [*a, *b, *c].map(f64::from));
        let x = Array2::from_shape_vec((rows.len(), 3), cells.collect()).unwrap();
        let class = |(a, b, c, noise): &(i32, i32, i32, i32)| match (a + b, c) {
            (sum, _) if sum + noise > 5 => 2.0,
            (sum, 1) if sum > 0 => 1.0,
            _ => 0.0,
        };
        let mut y: Vec<f64> = rows.iter().map(class).collect();
        (y[0], y[1]) = (0.0, 1.0);
        (x, y)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_learner_tells_probabilities_of_all_classes((x, y) in table()) {
        let labels = Labels::of_numbers(four(), y).unwrap();
        let counts = labels.counts();
        let data = TrainingSet::new(x.clone(), labels, &[]).unwrap();
        for learner in &LEARNERS {
            let mut setting = learner.usual();
            if let Some(at) = learner.size {
                setting[at] = 5.0;
            }
            let rows = data.rows();
            let task = FitTask { data: &data, rows: &rows, setting: &setting, seed: 1, cancel: &Cancel::new() };
            let model = learner.fit(&task).unwrap();
            prop_assert!(model.fault().is_none(), "{}", learner.name);
            prop_assert_eq!(model.classes(), 4);
            let scores = model.scores(x.view(), &four()).unwrap();
            let p = scores.by_class().unwrap();
            for (row, attack) in p.rows().into_iter().zip(scores.attack()) {
                prop_assert!((row.sum() - 1.0).abs() < 1e-9, "{}: {}", learner.name, row);
                prop_assert!(row.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)));
                prop_assert!((row[0] + attack - 1.0).abs() < 1e-9);
                // Of a class that training had no row of nothing is told.
                let told = row.iter().zip(&counts).filter(|(_, rows)| **rows == 0);
                prop_assert!(told.map(|(p, _)| *p).sum::<f64>() < 1e-12, "{}: {}", learner.name, row);
            }
            // What is kept of a model tells the same.
            let read: Model = rmp_serde::from_slice(&rmp_serde::to_vec_named(&model).unwrap()).unwrap();
            prop_assert_eq!(read.scores(x.view(), &four()).unwrap(), scores.clone());
            // Binned rows are told the same as rows as they come, by a model of each size.
            let staged = model.staged(&data, &rows, &[2, 5]).unwrap();
            let apart = staged[1].by_class().unwrap() - p;
            prop_assert!(apart.iter().all(|apart| apart.abs() < 1e-12), "{}", learner.name);
        }
    }

    #[test]
    fn what_features_add_is_what_is_told((x, y) in table()) {
        let data = TrainingSet::new(x.clone(), Labels::of_numbers(four(), y).unwrap(), &[]).unwrap();
        for name in ["decision_tree", "random_forest", "extra_trees", "gradient_boosting"] {
            let learner = find(name).unwrap();
            let mut setting = learner.usual();
            if let Some(at) = learner.size {
                setting[at] = 4.0;
            }
            let task = FitTask { data: &data, rows: &data.rows(), setting: &setting, seed: 1, cancel: &Cancel::new() };
            let Model::ClassTrees(trees) = learner.fit(&task).unwrap() else {
                unreachable!("it is of trees")
            };
            let p = trees.of_rows(x.view());
            for class in trees.told.clone() {
                let shap = trees.shap(x.view(), &vec![class; x.nrows()]);
                for (row, shap) in shap.iter().enumerate() {
                    let sum = shap.base + shap.values.iter().sum::<f64>();
                    let told = p[[row, usize::from(class)]];
                    let is_told = match trees.unit() {
                        // Raw scores are logarithms of probabilities up to what a row's classes
                        // share.
                        "raw score" => {
                            let first = trees.shap(x.slice(ndarray::s![row..=row, ..]), &[trees.told[0]]);
                            let other = first[0].base + first[0].values.iter().sum::<f64>();
                            let odds = told / p[[row, usize::from(trees.told[0])]];
                            (sum - other - odds.ln()).abs() < 1e-6
                        }
                        _ => (sum - told).abs() < 1e-9,
                    };
                    prop_assert!(is_told, "{name}, class {class}: {sum} {told}");
                }
            }
        }
    }
}
