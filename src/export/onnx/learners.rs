//! Fitted models as nodes of ONNX: a matrix of features → a column of probabilities of attack.
//! Those of several classes stand in `classes`.

use crate::export::onnx::graph::OnnxGraph;
use crate::export::onnx::{classes, novelty, two_classes};
use crate::frame::labels::Classes;
use crate::model::calibrate::{Calibrator, EDGE};
use crate::model::fitted::{CombinedModel, Model};
use crate::model::score_combiner::ScoreCombiner;

/// Where what a model tells stands: a column of the probabilities of attack and, of one that tells
/// more than two classes apart, a column for each.
pub struct OnnxScores {
    /// The probabilities of attack.
    pub attack: String,
    /// Those of each class.
    pub by_class: Option<String>,
}

/// Adds a model with its calibration, and returns where what it tells stands.
pub fn add(
    graph: &mut OnnxGraph,
    x: &str,
    model: &Model,
    classes: &Classes,
    calibrator: Option<&Calibrator>,
) -> OnnxScores {
    let (attack, by_class) = match told(graph, x, model, classes) {
        ModelOutput::Probability(p) => (p, None),
        ModelOutput::Raw(raw) => (graph.node("Sigmoid", &[&raw]), None),
        ModelOutput::Classes(p) => (classes::attack(graph, &p, classes), Some(p)),
    };
    let Some(calibrator) = calibrator else {
        return OnnxScores { attack, by_class };
    };
    let corrected = calibrated(graph, &attack, calibrator);
    let by_class = by_class.map(|p| classes::shared_out(graph, &p, (&attack, &corrected), classes));
    OnnxScores {
        attack: corrected,
        by_class,
    }
}

/// What a model tells: a probability, what the logistic function makes one, or those of classes.
enum ModelOutput {
    Probability(String),
    Raw(String),
    Classes(String),
}

/// Adds a model.
fn told(graph: &mut OnnxGraph, x: &str, model: &Model, named: &Classes) -> ModelOutput {
    use ModelOutput::{Classes, Probability, Raw};
    match model {
        Model::Linear(model) => Raw(two_classes::linear(graph, x, model)),
        Model::Bayes(model) if model.classes.len() > 2 => Classes(classes::bayes(graph, x, model)),
        Model::Bayes(model) => Raw(two_classes::bayes(graph, x, model)),
        Model::Svm(model) => Raw(two_classes::svm(graph, x, model)),
        Model::Neighbours(model) if model.classes > 2 => {
            Classes(classes::neighbours(graph, x, model))
        }
        Model::Neighbours(model) => Probability(two_classes::neighbours(graph, x, model)),
        Model::Trees(model) => match two_classes::trees(graph, x, model) {
            (raw, true) => Raw(raw),
            (p, false) => Probability(p),
        },
        Model::Novelty(model) => {
            let score = novelty::score(graph, x, model);
            match model.classes() {
                2 => Probability(score),
                _ => Classes(novelty::by_class(graph, &score, model, named)),
            }
        }
        Model::Combined(model) => combined(graph, x, model, named),
        Model::ClassTrees(model) => Classes(classes::trees(graph, x, model)),
        Model::SoftmaxLinear(model) => Classes(classes::linear(graph, x, model)),
        Model::OneVsRest(model) => Classes(classes::one_vs_rest(graph, x, model)),
    }
}

/// Adds several models, and how what they tell becomes one.
fn combined(
    graph: &mut OnnxGraph,
    x: &str,
    model: &CombinedModel,
    classes: &Classes,
) -> ModelOutput {
    let each = model.members.iter();
    let each: Vec<OnnxScores> = each
        .map(|member| add(graph, x, member, classes, None))
        .collect();
    let attacks: Vec<String> = each.iter().map(|scores| scores.attack.clone()).collect();
    let attack = match &model.combiner {
        ScoreCombiner::Mean => mean(graph, &attacks),
        ScoreCombiner::Stacked(linear) => {
            let odds: Vec<String> = attacks.iter().map(|p| log_odds(graph, p)).collect();
            let odds = graph.beside(&odds);
            let raw = two_classes::linear(graph, &odds, linear);
            graph.node("Sigmoid", &[&raw])
        }
        ScoreCombiner::Greatest(curves) => {
            let told = attacks.iter().zip(curves);
            let told: Vec<String> = told.map(|(p, curve)| calibrated(graph, p, curve)).collect();
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            graph.node("Max", &told)
        }
    };
    let by_class: Option<Vec<String>> = each.into_iter().map(|scores| scores.by_class).collect();
    match by_class {
        None => ModelOutput::Probability(attack),
        Some(parts) => {
            let p = mean(graph, &parts);
            let before = classes::attack(graph, &p, classes);
            ModelOutput::Classes(classes::shared_out(graph, &p, (&before, &attack), classes))
        }
    }
}

/// Adds the mean of matrices.
fn mean(graph: &mut OnnxGraph, parts: &[String]) -> String {
    let named: Vec<&str> = parts.iter().map(String::as_str).collect();
    let sum = graph.node("Sum", &named);
    let over = graph.double(1.0 / parts.len() as f64);
    graph.node("Mul", &[&sum, &over])
}

/// Adds the logarithms of the odds of probabilities, kept finite.
fn log_odds(graph: &mut OnnxGraph, p: &str) -> String {
    let (low, high, one) = (
        graph.double(EDGE),
        graph.double(1.0 - EDGE),
        graph.double(1.0),
    );
    let p = graph.node("Max", &[p, &low]);
    let p = graph.node("Min", &[&p, &high]);
    let other = graph.node("Sub", &[&one, &p]);
    let odds = graph.node("Div", &[&p, &other]);
    graph.node("Log", &[&odds])
}

fn calibrated(graph: &mut OnnxGraph, p: &str, calibrator: &Calibrator) -> String {
    match calibrator {
        Calibrator::Platt { slope, start } => {
            let odds = log_odds(graph, p);
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
