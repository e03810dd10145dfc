//! Novelty detectors: every one against PyOD's or scikit-learn's on the same rows, and what always
//! holds.

use crate::kinds::{matrix, numbers, oracle, tried};
use ndarray::{Array2, Axis};
use netsec::frame::labels::{Classes, Labels};
use netsec::model::data::TrainingSet;
use netsec::model::error::ModelError;
use netsec::model::fitted::Model;
use netsec::model::learners::LEARNERS;
use netsec::model::novelty_model::NoveltyModel;
use proptest::prelude::*;

/// Fits a detector, with what is set otherwise than usual.
fn fitted(data: &TrainingSet, learner: &str, set: &[(&str, f64)]) -> Result<Model, ModelError> {
    tried(data, &data.rows(), learner, set)
}

fn detector(data: &TrainingSet, learner: &str, set: &[(&str, f64)]) -> NoveltyModel {
    let Model::Novelty(model) = fitted(data, learner, set).unwrap() else {
        unreachable!("it is a novelty detector")
    };
    model
}

fn benign(x: Array2<f64>) -> TrainingSet {
    let rows = x.nrows();
    TrainingSet::new(x, Labels::of_attacks(vec![false; rows]), &[]).unwrap()
}

fn worst(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let apart = ours.iter().zip(theirs);
    let apart = apart.map(|(ours, theirs)| (ours - theirs).abs() / theirs.abs().max(1.0));
    apart.fold(0.0, f64::max)
}

#[test]
fn distances_are_those_of_pyod_and_scikit_learn() {
    let oracle = oracle("novelty.json");
    let (data, held) = (benign(matrix(&oracle["x"])), matrix(&oracle["held"]));
    for name in [
        "knn_distance",
        "hbos",
        "ecod",
        "copod",
        "mahalanobis",
        "pca_reconstruction",
    ] {
        let ours = detector(&data, name, &[]).detector.of_rows(held.view());
        let theirs = oracle[name].as_array().unwrap().iter();
        let both = ours.iter().zip(theirs);
        let both = both.filter_map(|(ours, theirs)| Some((*ours, theirs.as_f64()?)));
        let (ours, theirs): (Vec<f64>, Vec<f64>) = both.unzip();
        assert!(ours.len() >= held.nrows() - 2, "{name}: {}", ours.len());
        let apart = worst(&ours, &theirs);
        assert!(apart < 1e-9, "{name}: {apart:e}");
    }
    let all: Vec<usize> = (0..data.labels.len()).collect();
    let ours = detector(&data, "knn_distance", &[])
        .detector
        .of_fitted(data.x.view(), &all);
    let apart = worst(&ours, &numbers(&oracle["knn_distance_fitted"]));
    assert!(apart < 1e-12, "{apart:e}");
}

#[test]
fn isolation_forests_tell_what_those_of_scikit_learn_tell() {
    let oracle = oracle("novelty.json");
    let (data, held) = (benign(matrix(&oracle["x"])), matrix(&oracle["held"]));
    let forest = detector(&data, "isolation_forest", &[("trees", 2000.0)]).detector;
    let theirs = numbers(&oracle["isolation_forest"]);
    // Both are means over thousands of random trees.
    let apart = worst(&forest.of_rows(held.view()), &theirs);
    assert!(apart < 0.02, "{apart}");
}

/// The learners that tell novelty.
fn detectors() -> impl Iterator<Item = &'static str> {
    LEARNERS
        .iter()
        .filter(|learner| learner.is_novelty)
        .map(|learner| learner.name)
}

#[test]
fn attacks_are_not_looked_at_unless_all_rows_are() {
    let oracle = oracle("novelty.json");
    let (x, held) = (matrix(&oracle["x"]), matrix(&oracle["held"]));
    let both = ndarray::concatenate(Axis(0), &[x.view(), held.view()]).unwrap();
    let is_attack = (0..both.nrows()).map(|row| row >= x.nrows());
    let mixed = TrainingSet::new(both.clone(), Labels::of_attacks(is_attack), &[]).unwrap();
    for name in detectors() {
        let known = detector(&benign(x.clone()), name, &[])
            .scores(held.view())
            .unwrap();
        let told = detector(&mixed, name, &[]).scores(held.view()).unwrap();
        assert_eq!(told, known, "{name}");
        let all = detector(&mixed, name, &[("fit_on", 1.0)])
            .scores(held.view())
            .unwrap();
        let blind = detector(&benign(both.clone()), name, &[])
            .scores(held.view())
            .unwrap();
        assert_eq!(all, blind, "{name}");
    }
    let attacks = TrainingSet::new(x, Labels::of_attacks(vec![true; 400]), &[]).unwrap();
    let refused = fitted(&attacks, "ecod", &[]).unwrap_err().to_string();
    assert_eq!(
        refused,
        "there are no benign rows to know: set `fit_on: [all]`"
    );
}

#[test]
fn families_have_their_share_of_a_score() {
    let four = Classes::new(&[("benign", false), ("dos", true), ("probe", true)]);
    let x = Array2::from_shape_fn((8, 2), |(row, feature)| (row * (feature + 1)) as f64);
    let y = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0];
    let data =
        TrainingSet::new(x.clone(), Labels::of_numbers(four.clone(), y).unwrap(), &[]).unwrap();
    for name in detectors() {
        let scores = fitted(&data, name, &[])
            .unwrap()
            .scores(x.view(), &four)
            .unwrap();
        let p = scores.by_class().unwrap();
        for (row, attack) in p.rows().into_iter().zip(scores.attack()) {
            assert!((row[1] - 0.75 * attack).abs() < 1e-15, "{name}");
            assert!((row.sum() - 1.0).abs() < 1e-15, "{name}");
        }
    }
}

/// Rows of few values, huge ones among them.
fn table() -> impl Strategy<Value = Array2<f64>> {
    let cell = prop_oneof![8 => -3.0..3.0_f64, 4 => (0_i32..3).prop_map(f64::from), 1 => Just(1e150), 1 => Just(-1e-300)];
    prop::collection::vec(prop::array::uniform3(cell), 1..80)
        .prop_map(|rows| Array2::from_shape_vec((rows.len(), 3), rows.concat()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn detectors_tell_scores_that_their_parts_add_up_to(x in table(), asked in table()) {
        let data = benign(x.clone());
        for name in detectors() {
            let Ok(model) = fitted(&data, name, &[]) else {
                // Directions of what overflows are refused.
                prop_assert!(x.iter().any(|cell| cell.abs() > 1e100), "{name}");
                continue;
            };
            let Model::Novelty(model) = model else { unreachable!("it is a novelty detector") };
            prop_assert!(model.fault().is_none(), "{name}");
            let scores = model.scores(asked.view()).unwrap();
            prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{name}: {scores:?}");
            let read: NoveltyModel = rmp_serde::from_slice(&rmp_serde::to_vec_named(&model).unwrap()).unwrap();
            prop_assert_eq!(read.scores(asked.view()).unwrap(), scores, "{}", name);
            let whole = model.detector.of_rows(asked.view());
            let (base, parts) = model.detector.parts(asked.view());
            for (row, whole) in parts.rows().into_iter().zip(whole) {
                let told = if name == "isolation_forest" { whole.log2() } else { whole };
                let size: f64 = row.iter().map(|part| part.abs()).sum::<f64>().max(1.0);
                prop_assert!((base + row.sum() - told).abs() <= 1e-9 * size || !told.is_finite(), "{name}: {row} {told}");
            }
        }
    }
}
