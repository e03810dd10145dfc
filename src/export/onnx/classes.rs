//! Fitted models of several classes as nodes of ONNX: a matrix of features → a column of
//! probabilities for each class, and the class that a row is told to be.

use crate::export::onnx::graph::{ML, OnnxGraph, int};
use crate::export::onnx::two_classes::{density, neighbour_votes, svm, tree_attributes};
use crate::frame::labels::Classes;
use crate::model::bayes::NaiveBayes;
use crate::model::neighbours::NearestNeighbours;
use crate::model::one_vs_rest::OneVsRest;
use crate::model::softmax_linear::SoftmaxLinear;
use crate::trees::class_ensemble::{ClassEnsemble, ClassLink};

/// Makes raw scores probabilities, where they are not −∞.
fn softmax(graph: &mut OnnxGraph, raw: &str) -> String {
    graph.with("Softmax", &[raw], vec![int("axis", 1)])
}

/// A row with a cell for each class: those that are told have these, others `other`.
fn of_told(classes: usize, told: &[u16], cells: &[f64], other: f64) -> Vec<f64> {
    let mut row = vec![other; classes];
    for (class, cell) in told.iter().zip(cells) {
        row[usize::from(*class)] = *cell;
    }
    row
}

/// Adds weights of the features for each class.
pub(crate) fn linear(graph: &mut OnnxGraph, x: &str, model: &SoftmaxLinear) -> String {
    let features = model.weights.nrows();
    let rows = model.weights.rows().into_iter();
    let cells = rows.flat_map(|row| of_told(model.classes, &model.told, &row.to_vec(), 0.0));
    let weights = graph.doubles(&[features, model.classes], cells.collect::<Vec<f64>>());
    let intercepts = of_told(
        model.classes,
        &model.told,
        &model.intercepts,
        f64::NEG_INFINITY,
    );
    let sum = graph.node("MatMul", &[x, &weights]);
    let intercepts = graph.row(intercepts);
    let raw = graph.node("Add", &[&sum, &intercepts]);
    softmax(graph, &raw)
}

/// Adds naive Bayes.
pub(crate) fn bayes(graph: &mut OnnxGraph, x: &str, model: &NaiveBayes) -> String {
    let each = model.classes.iter();
    let densities: Vec<String> = each.map(|class| density(graph, x, class)).collect();
    let raw = graph.beside(&densities);
    softmax(graph, &raw)
}

/// Adds nearest neighbours: the share of the votes for each class.
pub(crate) fn neighbours(graph: &mut OnnxGraph, x: &str, model: &NearestNeighbours) -> String {
    let (near, weights) = neighbour_votes(graph, x, model);
    let y = graph.doubles(&[model.y.len()], model.y.iter().copied());
    let theirs = graph.with("Gather", &[&y, &near], vec![int("axis", 0)]);
    let whole = graph.sum(&weights);
    let mut shares = Vec::new();
    for class in 0..model.classes {
        let class = graph.double(class as f64);
        let votes = graph.node("Equal", &[&theirs, &class]);
        let votes = graph.cast(&votes);
        let votes = graph.node("Mul", &[&votes, &weights]);
        let votes = graph.sum(&votes);
        shares.push(graph.node("Div", &[&votes, &whole]));
    }
    graph.beside(&shares)
}

/// Adds support vectors of each class against the rest.
pub(crate) fn one_vs_rest(graph: &mut OnnxGraph, x: &str, model: &OneVsRest) -> String {
    let zero = graph.double(0.0);
    let none = {
        let column = graph.columns(x, &[0]);
        graph.node("Mul", &[&column, &zero])
    };
    let mut columns = vec![none; model.classes];
    let mut is_told = vec![0.0; model.classes];
    for (class, machine) in &model.models {
        let raw = svm(graph, x, machine);
        columns[usize::from(*class)] = graph.node("Sigmoid", &[&raw]);
        is_told[usize::from(*class)] = 1.0 / model.models.len() as f64;
    }
    let told = graph.beside(&columns);
    let whole = graph.sum(&told);
    let even = graph.row(is_told);
    let shares = graph.node("Div", &[&told, &whole]);
    let is_some = graph.node("Greater", &[&whole, &zero]);
    graph.node("Where", &[&is_some, &shares, &even])
}

/// Adds trees as one node of `TreeEnsemble`.
pub(crate) fn trees(graph: &mut OnnxGraph, x: &str, model: &ClassEnsemble) -> String {
    let classes = model.classes;
    let told = model.told.len();
    let mut ask = |targets: usize, leaf: &dyn Fn(usize, f64) -> (usize, f64)| {
        let attributes = tree_attributes(&model.trees, targets, leaf);
        let mut out = graph.many((ML, "TreeEnsemble"), &[x], attributes, 1);
        out.remove(0)
    };
    match &model.link {
        ClassLink::Softmax(bases) => {
            let of_class = |tree: usize, value: f64| (usize::from(model.told[tree % told]), value);
            let sum = ask(classes, &of_class);
            let bases = graph.row(of_told(classes, &model.told, bases, f64::NEG_INFINITY));
            let raw = graph.node("Add", &[&sum, &bases]);
            softmax(graph, &raw)
        }
        ClassLink::Votes(weights) => {
            let whole: f64 = weights.iter().sum();
            let others = (told.max(2) - 1) as f64;
            let votes = ask(classes, &|tree, class| (class as usize, weights[tree]));
            // (votes − (whole − votes) / others) / whole / others, where there are votes at all.
            let (slope, start) = match whole > 0.0 {
                true => (
                    (1.0 + 1.0 / others) / whole / others,
                    -1.0 / others / others,
                ),
                false => (0.0, 0.0),
            };
            let slope = graph.double(slope);
            let starts = of_told(classes, &model.told, &vec![start; told], f64::NEG_INFINITY);
            let starts = graph.row(starts);
            let raw = graph.node("Mul", &[&votes, &slope]);
            let raw = graph.node("Add", &[&raw, &starts]);
            softmax(graph, &raw)
        }
        ClassLink::Mean(shares) => {
            // Each tree tells the place of its leaf, by which the shares are looked up.
            let places = ask(model.trees.len(), &|tree, place| (tree, place));
            let mut before = 0;
            let begin = shares.iter().map(|shares| {
                let here = before;
                before += shares.len() / classes;
                here as f64
            });
            let begin: Vec<f64> = begin.collect();
            let begin = graph.row(begin);
            let places = graph.node("Add", &[&places, &begin]);
            let places = graph.with("Cast", &[&places], vec![int("to", 7)]);
            let table = graph.doubles(&[before, classes], shares.iter().flatten().copied());
            let told = graph.with("Gather", &[&table, &places], vec![int("axis", 0)]);
            let axes = graph.ints(&[1]);
            graph.with("ReduceMean", &[&told, &axes], vec![int("keepdims", 0)])
        }
    }
}

/// Returns the probability of an attack: the sum over the classes that are.
pub(crate) fn attack(graph: &mut OnnxGraph, p: &str, classes: &Classes) -> String {
    let marks = marks(classes, true);
    let marks = graph.doubles(&[classes.count(), 1], marks);
    let sum = graph.node("MatMul", &[p, &marks]);
    let one = graph.double(1.0);
    graph.node("Min", &[&sum, &one])
}

/// One for each class that is an attack, or for each that is not; others are zero.
fn marks(classes: &Classes, of_attacks: bool) -> Vec<f64> {
    let mark = |is_attack: &bool| f64::from(u8::from(*is_attack == of_attacks));
    classes.attacks().iter().map(mark).collect()
}

/// Shares out a corrected probability of attack among the attacks, and the rest among the other
/// classes, as they were shared out before; evenly where they had nothing.
pub(crate) fn shared_out(
    graph: &mut OnnxGraph,
    p: &str,
    (before, after): (&str, &str),
    classes: &Classes,
) -> String {
    let (zero, one) = (graph.double(0.0), graph.double(1.0));
    let mut sides = Vec::new();
    for of_attacks in [true, false] {
        let side = |graph: &mut OnnxGraph, p: &str| match of_attacks {
            true => p.to_owned(),
            false => graph.node("Sub", &[&one, p]),
        };
        let (before, after) = (side(graph, before), side(graph, after));
        let marks = marks(classes, of_attacks);
        let count: f64 = marks.iter().sum();
        let even = graph.row(marks.iter().map(|mark| mark / count.max(1.0)));
        let marks = graph.row(marks);
        let share = graph.node("Div", &[p, &before]);
        let share = graph.node("Mul", &[&share, &marks]);
        let has_some = graph.node("Greater", &[&before, &zero]);
        let share = graph.node("Where", &[&has_some, &share, &even]);
        sides.push(graph.node("Mul", &[&share, &after]));
    }
    graph.node("Add", &[&sides[0], &sides[1]])
}

/// Returns the number of the class that each row is told to be: of a row that raises an alarm the
/// likeliest attack, of another the likeliest of the other classes.
pub(crate) fn told_class(graph: &mut OnnxGraph, p: &str, alarm: &str, classes: &Classes) -> String {
    // A class of the other side is less likely than any.
    let mut likeliest = |of_attacks: bool| {
        let aside = marks(classes, !of_attacks);
        let aside = graph.row(aside.into_iter().map(|mark| -2.0 * mark));
        let scores = graph.node("Add", &[p, &aside]);
        graph.with(
            "ArgMax",
            &[&scores],
            vec![int("axis", 1), int("keepdims", 0)],
        )
    };
    let (attack, other) = (likeliest(true), likeliest(false));
    let alarm = graph.with("Cast", &[alarm], vec![int("to", 9)]);
    graph.node("Where", &[&alarm, &attack, &other])
}
