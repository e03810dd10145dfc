//! Every learner against scikit-learn's on the same arrays; the guard in front of them.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, array};
use serde_json::Value;

use crate::world::{World, package, shared};
use netsec::base::cancel::Cancel;
use netsec::frame::labels::{Classes, Labels};
use netsec::frame::npy;
use netsec::model::calibrate::Calibrator;
use netsec::model::class_metrics::ClassMetrics;
use netsec::model::data::TrainingSet;
use netsec::model::error::ModelError;
use netsec::model::fitted::Model;
use netsec::model::learner::FitTask;
use netsec::model::learners::{LEARNERS, Learner, find};
use netsec::model::metrics::{CHOICES, Metrics};
use netsec::model::scores::Scores;

/// How far below scikit-learn's AUC a learner may be: forests of other random draws differ by about
/// half of this.
const MARGIN: f64 = 0.01;

fn split(array: &Array2<f64>) -> (ArrayView2<'_, f64>, ArrayView1<'_, f64>) {
    let (x, y) = array.view().split_at(Axis(1), array.ncols() - 1);
    (x, y.index_axis_move(Axis(1), 0))
}

fn fit(
    learner: &Learner,
    x: &Array2<f64>,
    y: &[f64],
    setting: &[f64],
) -> Result<Model, ModelError> {
    let data = TrainingSet::new(x.clone(), super::labels(y), &[])?;
    learner.fit(&FitTask {
        data: &data,
        rows: &data.rows(),
        setting,
        seed: 42,
        cancel: &Cancel::new(),
    })
}

fn compare(name: &str, world: &World) {
    let oracle: Value = serde_json::from_slice(
        &std::fs::read(package().join("tests/oracle/learners.json")).unwrap(),
    )
    .unwrap();
    let load = |side: &str| {
        let path = format!("{side}.npy");
        world.ok(&["cat", &format!("transform.{side}"), "-o", &path]);
        npy::decode(&std::fs::read(world.root().join(path)).unwrap()).unwrap()
    };
    let (train, test) = (load("train"), load("test"));
    assert_eq!(
        oracle[name]["rows"],
        serde_json::json!([train.nrows(), test.nrows()]),
        "the same rows"
    );
    let ((x, y), (held_x, held_y)) = (split(&train), split(&test));
    for learner in LEARNERS.iter().filter(|learner| !learner.is_novelty) {
        let of = |hyper: &netsec::model::hyper::Hyperparameter| match (learner.name, hyper.name) {
            ("decision_tree", "max_depth") => 6.0,
            _ => hyper.default,
        };
        let setting: Vec<f64> = learner.hypers.iter().map(of).collect();
        let model = fit(learner, &x.to_owned(), &y.to_vec(), &setting).unwrap();
        let scores = model.scores(held_x, &Classes::binary()).unwrap();
        let auc = Metrics::of(&super::labels(&held_y.to_vec()), &scores).roc_auc;
        let theirs = oracle[name]["roc_auc"][learner.name].as_f64().unwrap();
        assert!(
            auc > theirs - MARGIN,
            "{name}, {}: AUC {auc}, scikit-learn {theirs}",
            learner.name
        );
        if let Model::Svm(_) = &model {
            for (word, kernel) in [(0.0, "rbf"), (1.0, "linear")] {
                let setting: Vec<f64> = setting
                    .iter()
                    .enumerate()
                    .map(|(at, value)| if at == 1 { word } else { *value })
                    .collect();
                let model = fit(learner, &x.to_owned(), &y.to_vec(), &setting).unwrap();
                let Model::Svm(svm) = &model else {
                    unreachable!("it is of support vectors")
                };
                let theirs = oracle[name]["svm"][kernel].as_array().unwrap();
                for (ours, theirs) in svm.distances(held_x).iter().zip(theirs) {
                    assert!(
                        (ours - theirs.as_f64().unwrap()).abs() < 0.02,
                        "{name}, {kernel}: {ours}, scikit-learn {theirs}"
                    );
                }
            }
        }
        if let Model::Linear(linear) = &model {
            // The loss that scikit-learn's lbfgs minimises too.
            let scores = model.scores(x, &Classes::binary()).unwrap();
            let losses = scores
                .attack()
                .iter()
                .zip(y)
                .map(|(p, y)| -(if *y == 1.0 { *p } else { 1.0 - *p }).ln());
            let loss = losses.sum::<f64>()
                + linear
                    .weights
                    .iter()
                    .map(|weight| weight * weight)
                    .sum::<f64>()
                    / 2.0;
            let theirs = oracle[name]["logistic_loss"].as_f64().unwrap();
            assert!(
                loss < theirs * (1.0 + 1e-6),
                "{name}: loss {loss}, scikit-learn {theirs}"
            );
        }
    }
}

#[test]
fn on_synthetic_rows_no_learner_is_worse_than_scikit_learns() {
    let world = World::shipped();
    world.ok(&["run", "pipelines/default.yaml", "--until", "transform"]);
    compare("default", &world);
}

#[test]
fn on_the_phishing_table_no_learner_is_worse_than_scikit_learns() {
    let Some(path) = shared("phishing.csv") else {
        return;
    };
    let world = World::shipped();
    let set = format!("data={}", path.display());
    world.ok(&[
        "run",
        "pipelines/phishing.yaml",
        "--until",
        "transform",
        "--set",
        &set,
    ]);
    compare("phishing", &world);
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let cases: Value = serde_json::from_slice(
        &std::fs::read(package().join("tests/oracle/metrics.json")).unwrap(),
    )
    .unwrap();
    for case in cases.as_array().unwrap() {
        let list = |name: &str| -> Vec<f64> {
            case[name]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap())
                .collect()
        };
        let labels = super::labels(&list("y"));
        let scores = Scores::of_attack(list("p"));
        let found = Metrics::of(&labels, &scores);
        let turned = |name: &str| {
            found.score(name).unwrap()
                * if matches!(name, "log_loss" | "brier") {
                    -1.0
                } else {
                    1.0
                }
        };
        let of_classes = ClassMetrics::NAMES;
        for name in CHOICES
            .into_iter()
            .filter(|name| !of_classes.contains(name))
        {
            let (ours, theirs) = (turned(name), case[name].as_f64().unwrap());
            assert!(
                (ours - theirs).abs() < 1e-12,
                "{name} of {} rows: {ours}, scikit-learn {theirs}",
                case["n"]
            );
        }
        let isotonic = Calibrator::isotonic(&labels, &scores);
        let platt = Calibrator::platt(&labels, &scores);
        for (name, calibrator, from, most) in [
            ("isotonic", isotonic, 0.0, 1e-9),
            ("platt", platt, 0.025, 1e-6),
        ] {
            for (at, theirs) in list(name).into_iter().enumerate() {
                let told = from + at as f64 * 0.025;
                let ours = calibrator.apply(told);
                assert!(
                    (ours - theirs).abs() < most,
                    "{name} of {} rows at {told}: {ours}, theirs {theirs}",
                    case["n"]
                );
            }
        }
    }
}

#[test]
fn odd_input_is_refused_and_never_panics() {
    let x = array![[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.2, 0.9]];
    let labels = super::labels(&[0.0, 1.0, 1.0, 0.0]);
    let names = ["a".to_owned(), "b".to_owned()];
    for bad in [f64::INFINITY, f64::NEG_INFINITY] {
        let mut broken = x.clone();
        broken[[2, 1]] = bad;
        let error = TrainingSet::new(broken, labels.clone(), &names)
            .unwrap_err()
            .to_string();
        assert!(error.contains("the feature `b` in row 3"), "{error}");
    }
    let two = labels.select(&[0, 1]);
    assert!(TrainingSet::new(x.clone(), two, &names).is_err());
    let none = labels.select(&[]);
    assert!(TrainingSet::new(Array2::zeros((0, 2)), none, &names).is_err());
    let data = TrainingSet::new(x.clone(), labels, &names).unwrap();
    for learner in &LEARNERS {
        let setting = learner.usual();
        let fit = |rows: &[u32]| {
            learner.fit(&FitTask {
                data: &data,
                rows,
                setting: &setting,
                seed: 1,
                cancel: &Cancel::new(),
            })
        };
        let why = match learner.is_novelty {
            true => "no benign rows",
            false => "one class",
        };
        assert!(fit(&[1, 2]).unwrap_err().to_string().contains(why));
        assert!(fit(&[]).unwrap_err().to_string().contains("no rows"));
        let model = fit(&data.rows()).unwrap();
        assert!(
            model
                .scores(array![[f64::INFINITY, 0.0]].view(), &Classes::binary())
                .is_err()
        );
        assert_eq!(
            model
                .scores(array![[f64::NAN, 0.0]].view(), &Classes::binary())
                .is_ok(),
            learner.missing,
            "{}",
            learner.name
        );
        // Fewer columns than in training: an error or an answer, never a panic.
        let _ = model.scores(array![[0.0]].view(), &Classes::binary());
        let scores = model.scores(x.view(), &Classes::binary()).unwrap();
        let p = scores.attack();
        assert!(
            p.iter().all(|p| (0.0..=1.0).contains(p)),
            "{}: {p:?}",
            learner.name
        );
    }
    assert!(find("random_forest").is_some());
}

#[test]
fn a_tree_of_depth_n_has_at_most_two_to_the_n_leaves() {
    let x = Array2::from_shape_fn((64, 1), |(row, _)| row as f64);
    let y: Vec<f64> = (0..64)
        .map(|row| f64::from(u8::from((row * 7919) % 11 < 5)))
        .collect();
    let tree = find("decision_tree").unwrap();
    let depth = tree
        .hypers
        .iter()
        .position(|hyper| hyper.name == "max_depth")
        .unwrap();
    let told = |levels: u32| {
        let mut setting = tree.usual();
        setting[depth] = f64::from(levels);
        let mut p = fit(tree, &x, &y, &setting)
            .unwrap()
            .scores(x.view(), &Classes::binary())
            .unwrap()
            .attack()
            .to_vec();
        p.sort_by(f64::total_cmp);
        p.dedup();
        p.len()
    };
    for levels in 1..5 {
        assert!(
            (2..=2_usize.pow(levels)).contains(&told(levels)),
            "depth {levels}: {} different leaves",
            told(levels)
        );
    }
    assert_eq!(told(1), 2, "depth 1 splits once");
}

#[test]
fn a_fit_that_is_not_wanted_any_more_ends() {
    let x = Array2::from_shape_fn((400, 6), |(row, column)| {
        ((row * (7919 + 104_729 * column)) % 1009) as f64
    });
    let y: Vec<f64> = (0..400)
        .map(|row| f64::from(u8::from(row % 3 == 0)))
        .collect();
    let four = Classes::new(&[("benign", false), ("dos", true), ("probe", true)]);
    let of_classes = (0..400).map(|row| f64::from(row % 3));
    for labels in [
        super::labels(&y),
        Labels::of_numbers(four, of_classes).unwrap(),
    ] {
        let data = TrainingSet::new(x.clone(), labels, &[]).unwrap();
        let cancel = Cancel::new();
        cancel.cancel();
        for learner in &LEARNERS {
            let mut setting = learner.usual();
            if let Some(at) = learner.size {
                // The most there may be: more than a test could wait for.
                setting[at] = 10_000.0;
            }
            let wanted = learner.fit(&FitTask {
                data: &data,
                rows: &data.rows(),
                setting: &setting,
                seed: 1,
                cancel: &cancel,
            });
            assert_eq!(
                wanted.err(),
                Some(ModelError::Cancelled),
                "{}",
                learner.name
            );
        }
    }
}

#[test]
fn logistic_regression_ends_where_squares_are_beyond_all_numbers() {
    let cell = |row: usize, column: usize| match column {
        0 => 1e300 * (row as f64 - 20.0),
        _ => (row % 7) as f64,
    };
    let x = Array2::from_shape_fn((40, 2), |(row, column)| cell(row, column));
    let classes = Classes::new(&[("benign", false), ("dos", true), ("probe", true)]);
    let labels = [
        super::labels(&(0..40).map(|row| f64::from(row % 2)).collect::<Vec<f64>>()),
        Labels::of_numbers(classes, (0..40).map(|row| f64::from(row % 3))).unwrap(),
    ];
    for labels in labels {
        let data = TrainingSet::new(x.clone(), labels, &[]).unwrap();
        let learner = find("logistic_regression").unwrap();
        let fitted = learner.fit(&FitTask {
            data: &data,
            rows: &data.rows(),
            setting: &learner.usual(),
            seed: 1,
            cancel: &Cancel::new(),
        });
        let error = fitted.unwrap_err().to_string();
        assert!(error.contains("scale the features"), "{error}");
    }
}
