//! Fitted models that tell attacks from benign rows as nodes of ONNX: a matrix of features → a
//! column of probabilities, or of what the logistic function makes them.

use ndarray::ArrayView2;

use crate::export::onnx::graph::{ML, OnnxGraph, bytes, doubles, int, ints, tensor};
use crate::export::onnx::neighbours::weights;
use crate::export::onnx::proto::AttributeProto;
use crate::model::bayes::NaiveBayes;
use crate::model::linear::LinearModel;
use crate::model::neighbours::NearestNeighbours;
use crate::model::svm::SupportVectors;
use crate::trees::ensemble::{LinkFunction, TreeEnsemble};
use crate::trees::tree::{DecisionTree, SplitTest};

/// What a node of trees asks, by number: whether a value is at most one, or one of some.
const UP_TO: u8 = 0;
const MEMBER: u8 = 6;

/// The number of a missing category, after all others. ONNX Runtime 1.32 sends some of what is not a
/// number the wrong way where it asks for members.
pub(crate) const MISSING_CATEGORY: f64 = 255.0;

pub(crate) fn linear(graph: &mut OnnxGraph, x: &str, model: &LinearModel) -> String {
    let weights = graph.doubles(&[model.weights.len(), 1], model.weights.iter().copied());
    let (sum, intercept) = (
        graph.node("MatMul", &[x, &weights]),
        graph.double(model.intercept),
    );
    graph.node("Add", &[&sum, &intercept])
}

pub(crate) fn bayes(graph: &mut OnnxGraph, x: &str, model: &NaiveBayes) -> String {
    let each = model.classes.iter();
    let densities: Vec<String> = each.map(|class| density(graph, x, class)).collect();
    graph.node("Sub", &[&densities[1], &densities[0]])
}

/// Adds the logarithm of how likely a class of naive Bayes is, up to what all share.
pub(crate) fn density(
    graph: &mut OnnxGraph,
    x: &str,
    (share, means, variances): &(f64, Vec<f64>, Vec<f64>),
) -> String {
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
    graph.node("Sub", &[&start, &exponent])
}

pub(crate) fn svm(graph: &mut OnnxGraph, x: &str, model: &SupportVectors) -> String {
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

pub(crate) fn neighbours(graph: &mut OnnxGraph, x: &str, model: &NearestNeighbours) -> String {
    let (near, weights) = neighbour_votes(graph, x, model);
    let y = graph.doubles(&[model.y.len()], model.y.iter().copied());
    let votes = graph.with("Gather", &[&y, &near], vec![int("axis", 0)]);
    let votes = graph.node("Mul", &[&votes, &weights]);
    let (votes, whole) = (graph.sum(&votes), graph.sum(&weights));
    graph.node("Div", &[&votes, &whole])
}

/// Adds the places of the nearest neighbours, and what the vote of each weighs.
pub(crate) fn neighbour_votes(
    graph: &mut OnnxGraph,
    x: &str,
    model: &NearestNeighbours,
) -> (String, String) {
    let [squares, places] = nearest(graph, x, model.x.view(), model.k);
    let weights = weights(graph, &squares, model.by_distance);
    (places, weights)
}

/// Adds the squared distances and the places of the nearest of some rows, which stand feature by
/// feature. Squared differences are summed in that order, as the model sums them: rows at the same
/// distance stay there, and the earlier is nearer in both.
pub(crate) fn nearest(
    graph: &mut OnnxGraph,
    x: &str,
    rows: ArrayView2<'_, f64>,
    k: usize,
) -> [String; 2] {
    let count = rows.ncols();
    let mut sum: Option<String> = None;
    for (at, feature) in rows.rows().into_iter().enumerate() {
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
    let k = graph.ints(&[k.min(count) as i64]);
    let near = graph.many(
        ("", "TopK"),
        &[&sum.unwrap_or_default(), &k],
        vec![int("largest", 0)],
        2,
    );
    near.try_into().expect("two were asked for")
}

/// The trees of an ensemble as one node of `TreeEnsemble` (version 5 of the operators, which knows
/// double precision): what they tell, and whether the logistic function makes it a probability.
pub(crate) fn trees(graph: &mut OnnxGraph, x: &str, model: &TreeEnsemble) -> (String, bool) {
    let scale = model.scale();
    let attributes = tree_attributes(&model.trees, 1, &|_, value| (0, value * scale));
    let sum = graph
        .many((ML, "TreeEnsemble"), &[x], attributes, 1)
        .remove(0);
    match &model.link {
        LinkFunction::Mean => (sum, false),
        LinkFunction::Votes(_) => (sum, true),
        LinkFunction::Isolation => {
            let two = graph.double(2.0);
            (graph.node("Pow", &[&two, &sum]), false)
        }
        LinkFunction::Logistic(base) => {
            let base = graph.double(*base);
            (graph.node("Add", &[&sum, &base]), true)
        }
    }
}

/// The attributes of a node of trees that sums for so many targets; of each leaf, of which tree and
/// value are told, the target that it adds to, and what.
pub(crate) fn tree_attributes(
    trees: &[DecisionTree],
    targets: usize,
    leaf_adds: &dyn Fn(usize, f64) -> (usize, f64),
) -> Vec<AttributeProto> {
    let (mut roots, mut features, mut splits, mut tracks) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut modes, mut members) = (Vec::new(), Vec::new());
    let (mut to, mut is_leaf) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let (mut weights, mut target_of) = (Vec::new(), Vec::new());
    for (number, tree) in trees.iter().enumerate() {
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
        for node in tree.nodes.iter().filter(|node| node.is_leaf()) {
            let (target, adds) = leaf_adds(number, node.value);
            target_of.push(target as i64);
            weights.push(adds);
        }
        if tree.nodes.len() == 1 {
            // A leaf alone is asked by a question to which both answers are the same.
            features.push(0);
            modes.push(UP_TO);
            splits.push(0.0);
            tracks.push(0);
            for side in 0..2 {
                to[side].push(places[0]);
                is_leaf[side].push(1);
            }
        }
        for node in tree.nodes.iter().filter(|node| !node.is_leaf()) {
            features.push(i64::from(node.feature));
            match node.test {
                SplitTest::UpTo { threshold, .. } => {
                    modes.push(UP_TO);
                    splits.push(threshold);
                }
                SplitTest::Among(set) => {
                    modes.push(MEMBER);
                    splits.push(0.0);
                    let missing = node.missing_left.then_some(MISSING_CATEGORY);
                    let categories = tree.sets[set as usize].each().map(f64::from);
                    members.extend(categories.chain(missing));
                    members.push(f64::NAN);
                }
            }
            tracks.push(i64::from(node.missing_left));
            for (side, below) in [node.left, node.right].into_iter().enumerate() {
                to[side].push(places[below as usize]);
                is_leaf[side].push(i64::from(tree.nodes[below as usize].is_leaf()));
            }
        }
    }
    let ([left, right], [left_leaf, right_leaf]) = (to, is_leaf);
    let mut attributes = vec![
        int("aggregate_function", 1),
        ints("leaf_targetids", target_of),
        tensor("leaf_weights", doubles(&[weights.len()], weights)),
        int("n_targets", targets as i64),
        ints("nodes_falseleafs", right_leaf),
        ints("nodes_falsenodeids", right),
        ints("nodes_featureids", features.clone()),
        ints("nodes_missing_value_tracks_true", tracks),
        tensor("nodes_modes", bytes(modes)),
        tensor("nodes_splits", doubles(&[splits.len()], splits)),
        ints("nodes_trueleafs", left_leaf),
        ints("nodes_truenodeids", left),
        int("post_transform", 0),
        ints("tree_roots", roots),
    ];
    if !members.is_empty() {
        let members = doubles(&[members.len()], members);
        attributes.push(tensor("membership_values", members));
    }
    attributes
}
