//! Every learner against scikit-learn's on the same arrays; the guard in front of them.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, array};
use netsec::frame::npy;
use netsec::model::learner::{LEARNERS, find};
use netsec::model::metrics::roc_auc;
use serde_json::Value;

use crate::world::{World, package, shared};

/// How far below scikit-learn's AUC a learner may be: forests of other random draws differ by about half of this.
const MARGIN: f64 = 0.01;

fn split(array: &Array2<f64>) -> (ArrayView2<'_, f64>, ArrayView1<'_, f64>) {
    let (x, y) = array.view().split_at(Axis(1), array.ncols() - 1);
    (x, y.index_axis_move(Axis(1), 0))
}

fn compare(name: &str, world: &World) {
    let oracle: Value =
        serde_json::from_slice(&std::fs::read(package().join("tests/oracle/learners.json")).unwrap()).unwrap();
    let load = |side: &str| {
        let path = format!("{side}.npy");
        world.ok(&["cat", &format!("transform.{side}"), "-o", &path]);
        npy::decode(&std::fs::read(world.root().join(path)).unwrap()).unwrap()
    };
    let (train, test) = (load("train"), load("test"));
    assert_eq!(oracle[name]["rows"], serde_json::json!([train.nrows(), test.nrows()]), "the same rows");
    let ((x, y), (held_x, held_y)) = (split(&train), split(&test));
    for learner in &LEARNERS {
        let of = |hyper: &netsec::model::learner::Hyper| match (learner.name, hyper.name) {
            ("decision_tree", "max_depth") => 6.0,
            _ => hyper.default,
        };
        let setting: Vec<f64> = learner.hypers.iter().map(of).collect();
        let model = learner.fit(x, y, &setting, 42).unwrap();
        let p = model.probabilities(held_x).unwrap();
        let auc = roc_auc(&held_y.to_vec(), &p);
        let theirs = oracle[name]["roc_auc"][learner.name].as_f64().unwrap();
        assert!(auc > theirs - MARGIN, "{name}, {}: AUC {auc}, scikit-learn {theirs}", learner.name);
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
    let Some(path) = shared("phishing.csv") else { return };
    let world = World::shipped();
    let set = format!("data={}", path.display());
    world.ok(&["run", "pipelines/phishing.yaml", "--until", "transform", "--set", &set]);
    compare("phishing", &world);
}

#[test]
fn odd_input_is_refused_and_never_panics() {
    let x = array![[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.2, 0.9]];
    let y = array![0.0, 1.0, 1.0, 0.0];
    for learner in &LEARNERS {
        let setting: Vec<f64> = learner.hypers.iter().map(|hyper| hyper.default).collect();
        let fit = |x: &Array2<f64>, y: &Array1<f64>| learner.fit(x.view(), y.view(), &setting, 1).map(|_| ());
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut broken = x.clone();
            broken[[2, 1]] = bad;
            let error = fit(&broken, &y).unwrap_err().0;
            assert!(error.contains("the feature 2 in row 3"), "{}: {error}", learner.name);
        }
        assert!(fit(&x, &array![1.0, 1.0, 1.0, 1.0]).unwrap_err().0.contains("one class"));
        assert!(fit(&x, &array![0.0, 1.0, 2.0, 0.0]).unwrap_err().0.contains("row 3 is 2"));
        assert!(fit(&x, &array![0.0, 1.0]).is_err());
        assert!(fit(&Array2::zeros((0, 2)), &array![]).is_err());
        let model = learner.fit(x.view(), y.view(), &setting, 1).unwrap();
        assert!(model.probabilities(array![[f64::NAN, 0.0]].view()).is_err());
        // Fewer columns than in training: an error or an answer, never a panic.
        let _ = model.probabilities(array![[0.0]].view());
        let p = model.probabilities(x.view()).unwrap();
        assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{}: {p:?}", learner.name);
    }
    assert!(find("random_forest").is_some());
}

#[test]
fn a_tree_of_depth_n_has_at_most_two_to_the_n_leaves() {
    let x = Array2::from_shape_fn((64, 1), |(row, _)| row as f64);
    let y = Array1::from_shape_fn(64, |row| f64::from(u8::from((row * 7919) % 11 < 5)));
    let tree = find("decision_tree").unwrap();
    for depth in 1..5_u32 {
        let model = tree.fit(x.view(), y.view(), &[f64::from(depth), 1.0], 1).unwrap();
        let mut p = model.probabilities(x.view()).unwrap();
        p.sort_by(f64::total_cmp);
        p.dedup();
        assert!((2..=2_usize.pow(depth)).contains(&p.len()), "depth {depth}: {} different leaves", p.len());
    }
    let stump = tree.fit(x.view(), y.view(), &[1.0, 1.0], 1).unwrap();
    assert_ne!(
        stump.probabilities(x.view()).unwrap()[0],
        stump.probabilities(x.view()).unwrap()[63],
        "depth 1 splits once"
    );
}
