//! Fitted models as nodes of ONNX: a matrix of features → a column of probabilities.

use crate::export::onnx::graph::{ML, OnnxGraph, bytes, doubles, int, ints, tensor};
use crate::export::onnx::neighbours::weights;
use crate::model::bayes::NaiveBayes;
use crate::model::calibrate::{Calibrator, EDGE};
use crate::model::fitted::Model;
use crate::model::linear::LinearModel;
use crate::model::neighbours::NearestNeighbours;
use crate::model::svm::SupportVectors;
use crate::trees::ensemble::{LinkFunction, TreeEnsemble};

/// What a model tells: a probability, or what the logistic function makes one.
enum ModelOutput {
    Probability(String),
    Raw(String),
}

/// Adds a model with its calibration, and returns where its probabilities are: a column.
pub fn add(
    graph: &mut OnnxGraph,
    x: &str,
    model: &Model,
    calibrator: Option<&Calibrator>,
) -> String {
    let told = match model {
        Model::Linear(model) => ModelOutput::Raw(linear(graph, x, model)),
        Model::Bayes(model) => ModelOutput::Raw(bayes(graph, x, model)),
        Model::Svm(model) => ModelOutput::Raw(svm(graph, x, model)),
        Model::Neighbours(model) => ModelOutput::Probability(neighbours(graph, x, model)),
        Model::Trees(model) => trees(graph, x, model),
    };
    match (told, calibrator) {
        (ModelOutput::Probability(p), None) => p,
        (ModelOutput::Raw(raw), None) => graph.node("Sigmoid", &[&raw]),
        (told, Some(calibrator)) => {
            let p = match told {
                ModelOutput::Probability(p) => p,
                ModelOutput::Raw(raw) => graph.node("Sigmoid", &[&raw]),
            };
            calibrated(graph, &p, calibrator)
        }
    }
}

fn linear(graph: &mut OnnxGraph, x: &str, model: &LinearModel) -> String {
    let weights = graph.doubles(&[model.weights.len(), 1], model.weights.iter().copied());
    let (sum, intercept) = (
        graph.node("MatMul", &[x, &weights]),
        graph.double(model.intercept),
    );
    graph.node("Add", &[&sum, &intercept])
}

fn bayes(graph: &mut OnnxGraph, x: &str, model: &NaiveBayes) -> String {
    let mut densities = Vec::new();
    for (share, means, variances) in &model.classes {
        let width = means.len();
        let whole: f64 = variances
            .iter()
            .map(|variance| (2.0 * std::f64::consts::PI * variance).ln())
            .sum();
        let start = graph.double(share - whole / 2.0);
        let means = graph.doubles(&[1, width], means.iter().copied());
        let doubled = graph.doubles(&[1, width], variances.iter().map(|variance| 2.0 * variance));
        let apart = graph.node("Sub", &[x, &means]);
        let square = graph.node("Mul", &[&apart, &apart]);
        let parts = graph.node("Div", &[&square, &doubled]);
        let exponent = graph.sum(&parts);
        densities.push(graph.node("Sub", &[&start, &exponent]));
    }
    graph.node("Sub", &[&densities[1], &densities[0]])
}

fn svm(graph: &mut OnnxGraph, x: &str, model: &SupportVectors) -> String {
    let (count, width) = model.vectors.dim();
    let intercept = graph.double(model.intercept);
    let vectors = graph.doubles(&[width, count], model.vectors.t().iter().copied());
    let product = graph.node("MatMul", &[x, &vectors]);
    let likeness = match model.gamma {
        None => product,
        Some(gamma) => {
            let squared = graph.node("Mul", &[x, x]);
            let mine = graph.sum(&squared);
            let theirs = graph.doubles(
                &[1, count],
                model.vectors.rows().into_iter().map(|row| row.dot(&row)),
            );
            let (minus, zero, gamma) =
                (graph.double(-2.0), graph.double(0.0), graph.double(-gamma));
            let product = graph.node("Mul", &[&product, &minus]);
            let sum = graph.node("Add", &[&mine, &theirs]);
            let sum = graph.node("Add", &[&sum, &product]);
            let sum = graph.node("Max", &[&sum, &zero]);
            let sum = graph.node("Mul", &[&sum, &gamma]);
            graph.node("Exp", &[&sum])
        }
    };
    let weights = graph.doubles(&[count, 1], model.weights.iter().copied());
    let sum = graph.node("MatMul", &[&likeness, &weights]);
    graph.node("Add", &[&sum, &intercept])
}

/// Squared differences are summed feature by feature, in the order in which the model sums them:
/// rows at the same distance stay there, and the earlier is nearer in both.
fn neighbours(graph: &mut OnnxGraph, x: &str, model: &NearestNeighbours) -> String {
    let count = model.y.len();
    let mut sum: Option<String> = None;
    for (at, feature) in model.x.rows().into_iter().enumerate() {
        let (cell, theirs) = (
            graph.columns(x, &[at]),
            graph.doubles(&[1, count], feature.iter().copied()),
        );
        let apart = graph.node("Sub", &[&cell, &theirs]);
        let square = graph.node("Mul", &[&apart, &apart]);
        sum = Some(match sum {
            None => square,
            Some(sum) => graph.node("Add", &[&sum, &square]),
        });
    }
    let k = graph.ints(&[model.k.min(count) as i64]);
    let near = graph.many(
        ("", "TopK"),
        &[&sum.unwrap_or_default(), &k],
        vec![int("largest", 0)],
        2,
    );
    let y = graph.doubles(&[count], model.y.iter().copied());
    let votes = graph.with("Gather", &[&y, &near[1]], vec![int("axis", 0)]);
    let weights = weights(graph, &near[0], model.by_distance);
    let votes = graph.node("Mul", &[&votes, &weights]);
    let (votes, whole) = (graph.sum(&votes), graph.sum(&weights));
    graph.node("Div", &[&votes, &whole])
}

/// The trees of an ensemble as one node of `TreeEnsemble` (version 5 of the operators, which knows
/// double precision).
fn trees(graph: &mut OnnxGraph, x: &str, model: &TreeEnsemble) -> ModelOutput {
    let scale = model.scale();
    let (mut roots, mut features, mut splits, mut tracks) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut to, mut is_leaf) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut weights = Vec::new();
    for tree in &model.trees {
        roots.push(features.len() as i64);
        // Where each node stands: a leaf among the leaves, another among the others.
        let (mut leaf, mut inner) = (weights.len() as i64, features.len() as i64);
        let mut places = Vec::with_capacity(tree.nodes.len());
        for node in &tree.nodes {
            let place = if node.is_leaf() {
                &mut leaf
            } else {
                &mut inner
            };
            places.push(*place);
            *place += 1;
        }
        weights.extend(
            tree.nodes
                .iter()
                .filter(|node| node.is_leaf())
                .map(|node| node.value * scale),
        );
        if tree.nodes.len() == 1 {
            // A leaf alone is asked by a question to which both answers are the same.
            features.push(0);
            splits.push(0.0);
            tracks.push(0);
            for side in 0..2 {
                to[side].push(places[0]);
                is_leaf[side].push(1);
            }
        }
        for node in tree.nodes.iter().filter(|node| !node.is_leaf()) {
            features.push(i64::from(node.feature));
            splits.push(node.threshold);
            tracks.push(i64::from(node.missing_left));
            for (side, below) in [node.left, node.right].into_iter().enumerate() {
                to[side].push(places[below as usize]);
                is_leaf[side].push(i64::from(tree.nodes[below as usize].is_leaf()));
            }
        }
    }
    let ([left, right], [left_leaf, right_leaf]) = (to, is_leaf);
    let attributes = vec![
        int("aggregate_function", 1),
        ints("leaf_targetids", vec![0; weights.len()]),
        tensor("leaf_weights", doubles(&[weights.len()], weights)),
        int("n_targets", 1),
        ints("nodes_falseleafs", right_leaf),
        ints("nodes_falsenodeids", right),
        ints("nodes_featureids", features.clone()),
        ints("nodes_missing_value_tracks_true", tracks),
        tensor("nodes_modes", bytes(vec![0; features.len()])),
        tensor("nodes_splits", doubles(&[splits.len()], splits)),
        ints("nodes_trueleafs", left_leaf),
        ints("nodes_truenodeids", left),
        int("post_transform", 0),
        ints("tree_roots", roots),
    ];
    let sum = graph
        .many((ML, "TreeEnsemble"), &[x], attributes, 1)
        .remove(0);
    match &model.link {
        LinkFunction::Mean => ModelOutput::Probability(sum),
        LinkFunction::Votes(_) => ModelOutput::Raw(sum),
        LinkFunction::Logistic(base) => {
            let base = graph.double(*base);
            ModelOutput::Raw(graph.node("Add", &[&sum, &base]))
        }
    }
}

fn calibrated(graph: &mut OnnxGraph, p: &str, calibrator: &Calibrator) -> String {
    match calibrator {
        Calibrator::Platt { slope, start } => {
            let (low, high, one) = (
                graph.double(EDGE),
                graph.double(1.0 - EDGE),
                graph.double(1.0),
            );
            let p = graph.node("Max", &[p, &low]);
            let p = graph.node("Min", &[&p, &high]);
            let other = graph.node("Sub", &[&one, &p]);
            let odds = graph.node("Div", &[&p, &other]);
            let odds = graph.node("Log", &[&odds]);
            let (slope, start) = (graph.double(*slope), graph.double(*start));
            let line = graph.node("Mul", &[&odds, &slope]);
            let line = graph.node("Add", &[&line, &start]);
            graph.node("Sigmoid", &[&line])
        }
        Calibrator::Isotonic { told, meant } => {
            // By how many points are not above: the last of them, what it means, and how it goes
            // on.
            let mut table = vec![(0.0, meant.first().copied().unwrap_or_default(), 0.0)];
            for (at, (told_here, here)) in told.iter().zip(meant).enumerate() {
                let slope = match (told.get(at + 1), meant.get(at + 1)) {
                    (Some(next), Some(there)) => (there - here) / (next - told_here),
                    _ => 0.0,
                };
                table.push((*told_here, *here, slope));
            }
            let column =
                |of: fn(&(f64, f64, f64)) -> f64| table.iter().map(of).collect::<Vec<f64>>();
            let tables = [column(|t| t.0), column(|t| t.1), column(|t| t.2)];
            let [from, here, slope] = graph.looked_up(p, told, tables);
            let beyond = graph.node("Sub", &[p, &from]);
            let beyond = graph.node("Mul", &[&beyond, &slope]);
            graph.node("Add", &[&here, &beyond])
        }
    }
}
