//! Novelty detectors as nodes of ONNX: a matrix of features → a column of scores, or one for each
//! class.

use crate::export::onnx::graph::{OnnxGraph, int};
use crate::export::onnx::two_classes::{nearest, trees};
use crate::frame::labels::Classes;
use crate::model::novelty_model::NoveltyModel;
use crate::novelty::detector::NoveltyDetector;
use crate::novelty::directions::WeightedDirections;
use crate::novelty::distance::NeighbourDistance;
use crate::novelty::steps::{FeatureSteps, StepSum};

/// Adds a detector, and returns where the score of each row stands.
pub(crate) fn score(graph: &mut OnnxGraph, x: &str, model: &NoveltyModel) -> String {
    let distance = match &model.detector {
        NoveltyDetector::Isolation(forest) => trees(graph, x, forest).0,
        NoveltyDetector::Distance(rows) => neighbour_distance(graph, x, rows),
        NoveltyDetector::Directions(directions) => along_directions(graph, x, directions),
        NoveltyDetector::Steps(steps) => step_sum(graph, x, steps),
    };
    let (far, spread) = (graph.double(model.far), graph.double(model.spread));
    let (half, one) = (graph.double(0.5), graph.double(1.0));
    let beyond = graph.node("Sub", &[&distance, &far]);
    let z = graph.node("Div", &[&beyond, &spread]);
    let size = graph.node("Abs", &[&z]);
    let over = graph.node("Add", &[&size, &one]);
    let halved = graph.node("Mul", &[&z, &half]);
    let part = graph.node("Div", &[&halved, &over]);
    graph.node("Add", &[&part, &half])
}

/// Shares out the scores of rows among classes.
pub(crate) fn by_class(
    graph: &mut OnnxGraph,
    score: &str,
    model: &NoveltyModel,
    classes: &Classes,
) -> String {
    let sides = classes.attacks().iter().zip(&model.shares);
    // An attack has its share of the score, another class of one less the score.
    let signed = sides
        .clone()
        .map(|(is_attack, share)| if *is_attack { *share } else { -share });
    let start = sides.map(|(is_attack, share)| if *is_attack { 0.0 } else { *share });
    let (signed, start) = (graph.row(signed), graph.row(start));
    let parts = graph.node("MatMul", &[score, &signed]);
    graph.node("Add", &[&parts, &start])
}

fn neighbour_distance(graph: &mut OnnxGraph, x: &str, rows: &NeighbourDistance) -> String {
    let [squares, _] = nearest(graph, x, rows.x.t(), rows.k);
    let farthest = graph.columns(&squares, &[rows.k - 1]);
    graph.node("Sqrt", &[&farthest])
}

fn along_directions(graph: &mut OnnxGraph, x: &str, model: &WeightedDirections) -> String {
    let (width, count) = model.directions.dim();
    let means = graph.row(model.means.iter().copied());
    let scales = graph.row(model.scales.iter().copied());
    let directions = graph.doubles(&[width, count], model.directions.iter().copied());
    let weights = graph.doubles(&[count, 1], model.weights.iter().copied());
    let apart = graph.node("Sub", &[x, &means]);
    let scaled = graph.node("Div", &[&apart, &scales]);
    let along = graph.node("MatMul", &[&scaled, &directions]);
    let squares = graph.node("Mul", &[&along, &along]);
    graph.node("MatMul", &[&squares, &weights])
}

fn step_sum(graph: &mut OnnxGraph, x: &str, steps: &StepSum) -> String {
    let mut sum: Option<String> = None;
    for (feature, steps) in steps.features.iter().enumerate() {
        let cells = graph.columns(x, &[feature]);
        let added = looked_up(graph, &cells, steps);
        sum = Some(match sum {
            None => added,
            Some(sum) => graph.node("Add", &[&sum, &added]),
        });
    }
    sum.unwrap_or_default()
}

/// What cells add, by how many points are below them and how many not above: where both are as
/// many the cell lies between points.
fn looked_up(graph: &mut OnnxGraph, cells: &str, steps: &FeatureSteps) -> String {
    let points = graph.row(steps.at.iter().copied());
    let mut counts = Vec::new();
    for kind in ["Greater", "GreaterOrEqual"] {
        let is_past = graph.node(kind, &[cells, &points]);
        let is_past = graph.cast(&is_past);
        counts.push(graph.sum(&is_past));
    }
    let place = graph.node("Add", &[&counts[0], &counts[1]]);
    let place = graph.with("Cast", &[&place], vec![int("to", 7)]);
    let mut table = Vec::new();
    for (between, on) in steps.between.iter().zip(&steps.on) {
        table.extend([*between, *on]);
    }
    table.extend(steps.between.last());
    let table = graph.doubles(&[table.len()], table);
    graph.with("Gather", &[&table, &place], vec![int("axis", 0)])
}
