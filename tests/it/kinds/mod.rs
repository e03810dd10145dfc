//! Every stage kind: a small table in, figures and digests out, against outside oracles.

use ndarray::Array2;
use serde_json::Value;

use crate::world::package;
use netsec::base::cancel::Cancel;
use netsec::frame::labels::{Classes, Labels};
use netsec::model::data::TrainingSet;
use netsec::model::error::ModelError;
use netsec::model::fitted::Model;
use netsec::model::learner::FitTask;
use netsec::model::learners::find;

mod bounds;
mod categories;
mod cells;
mod classes;
mod data;
mod drift;
mod gate;
mod honest;
mod image;
mod learners;
mod malformed;
mod mongodb;
mod novelty;
mod parquet;
mod prep;
mod quality;
mod rolling;
mod search;
mod split;
mod trees;
mod weights;

/// The labels of rows of which 1 is an attack.
fn labels(y: &[f64]) -> Labels {
    Labels::of_numbers(Classes::binary(), y.iter().copied()).unwrap()
}

/// What an outside program made of the same rows: a file of `tests/oracle/`.
fn oracle(name: &str) -> Value {
    let path = package().join("tests/oracle").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A list of numbers.
fn numbers(value: &Value) -> Vec<f64> {
    let cells = value.as_array().unwrap().iter();
    cells.map(|cell| cell.as_f64().unwrap()).collect()
}

/// A list of rows of numbers.
fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    let shape = (rows.len(), rows[0].len());
    Array2::from_shape_vec(shape, rows.concat()).unwrap()
}

/// A model fitted to some rows, with these hyperparameters and the usual others.
fn fitted(data: &TrainingSet, rows: &[u32], learner: &str, set: &[(&str, f64)]) -> Model {
    tried(data, rows, learner, set).unwrap()
}

/// The same, if it can be fitted.
fn tried(
    data: &TrainingSet,
    rows: &[u32],
    learner: &str,
    set: &[(&str, f64)],
) -> Result<Model, ModelError> {
    let learner = find(learner).unwrap();
    let mut setting = learner.usual();
    for (name, value) in set {
        let at = learner.hypers.iter().position(|hyper| hyper.name == *name);
        setting[at.unwrap()] = *value;
    }
    learner.fit(&FitTask {
        data,
        rows,
        setting: &setting,
        seed: 42,
        cancel: &Cancel::new(),
    })
}
