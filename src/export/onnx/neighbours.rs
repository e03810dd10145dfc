//! Cells filled from the nearest rows, as nodes of ONNX.
//!
//! How: the rows with missing cells are gathered; their squared distances to all donors are summed
//! column by column over the cells that both have, and scaled up to all columns. Then each column is
//! filled by itself, from the nearest donors that have it, and the rows are put back.

use crate::export::onnx::graph::{OnnxGraph, int};
use crate::prep::knn::{DonorWeights, KnnImputer};

/// The rows with missing cells.
struct IncompleteRows {
    /// Their places, one below the other.
    places: String,
    /// Where a cell is missing.
    missing: String,
    /// Where one is there, as zeros and ones.
    present: String,
    /// The cells, zero where they are missing.
    known: String,
}

impl IncompleteRows {
    fn of(graph: &mut OnnxGraph, x: &str) -> Self {
        let is_missing = graph.node("IsNaN", &[x]);
        let flags = graph.cast(&is_missing);
        let any = graph.sum(&flags);
        let any = graph.with("Cast", &[&any], vec![int("to", 9)]);
        let axis = graph.ints(&[1]);
        let any = graph.node("Squeeze", &[&any, &axis]);
        let places = graph.node("NonZero", &[&any]);
        let places = graph.node("Transpose", &[&places]);
        let mine = graph.node("GatherND", &[x, &places]);
        let missing = graph.node("IsNaN", &[&mine]);
        let zero = graph.double(0.0);
        let known = graph.node("Where", &[&missing, &zero, &mine]);
        let present = graph.node("Not", &[&missing]);
        let present = graph.cast(&present);
        Self {
            places,
            missing,
            present,
            known,
        }
    }
}

/// Of a column of the donors, which have a cell, as zeros and ones.
fn marks(imputer: &KnnImputer, column: usize) -> Vec<f64> {
    let cells = imputer.rows.column(column);
    let mark = |cell: &f64| f64::from(u8::from(!cell.is_nan()));
    cells.iter().map(mark).collect()
}

/// The cells of a column of the donors, zero where they are missing.
fn cells(imputer: &KnnImputer, column: usize) -> Vec<f64> {
    let cells = imputer.rows.column(column);
    let known = |cell: &f64| if cell.is_nan() { 0.0 } else { *cell };
    cells.iter().map(known).collect()
}

/// Rows with their missing cells filled from the nearest of the training rows. Only rows with
/// missing cells are compared, and differences are summed column by column, in the order in which
/// training sums them.
pub(crate) fn knn(graph: &mut OnnxGraph, x: &str, imputer: &KnnImputer) -> String {
    let rows = IncompleteRows::of(graph, x);
    let distance = distances(graph, imputer, &rows);
    let mut filled = Vec::new();
    for column in 0..imputer.rows.ncols() {
        let value = neighbours_value(graph, imputer, &distance, column);
        let cell = graph.columns(&rows.known, &[column]);
        let lacks = graph.columns(&rows.missing, &[column]);
        filled.push(graph.node("Where", &[&lacks, &value, &cell]));
    }
    let filled = graph.beside(&filled);
    graph.node("ScatterND", &[x, &rows.places, &filled])
}

/// The squared distance of each row to each donor; infinite where they have no cell in common.
fn distances(graph: &mut OnnxGraph, imputer: &KnnImputer, rows: &IncompleteRows) -> String {
    let (count, width) = imputer.rows.dim();
    let theirs = (0..width).flat_map(|column| marks(imputer, column));
    let theirs = graph.doubles(&[width, count], theirs);
    let both = graph.node("MatMul", &[&rows.present, &theirs]);
    let mut sum: Option<String> = None;
    for column in 0..width {
        let part = squares(graph, imputer, rows, column);
        sum = Some(match sum {
            None => part,
            Some(sum) => graph.node("Add", &[&sum, &part]),
        });
    }
    let all = graph.double(width as f64);
    let sum = graph.node("Mul", &[&sum.unwrap_or_default(), &all]);
    let distance = graph.node("Div", &[&sum, &both]);
    let zero = graph.double(0.0);
    let infinite = graph.double(f64::INFINITY);
    let none = graph.node("Equal", &[&both, &zero]);
    graph.node("Where", &[&none, &infinite, &distance])
}

/// What a column adds to the squared distances: nothing where either lacks it.
fn squares(
    graph: &mut OnnxGraph,
    imputer: &KnnImputer,
    rows: &IncompleteRows,
    column: usize,
) -> String {
    let cell = graph.columns(&rows.known, &[column]);
    let mark = graph.columns(&rows.present, &[column]);
    let donors = graph.row(cells(imputer, column));
    let marks = graph.row(marks(imputer, column));
    let apart = graph.node("Sub", &[&cell, &donors]);
    let square = graph.node("Mul", &[&apart, &apart]);
    let marks = graph.node("Mul", &[&mark, &marks]);
    graph.node("Mul", &[&square, &marks])
}

/// What the nearest donors that have a column say of it; its mean where none is near.
fn neighbours_value(
    graph: &mut OnnxGraph,
    imputer: &KnnImputer,
    distance: &str,
    column: usize,
) -> String {
    let count = imputer.rows.nrows();
    let zero = graph.double(0.0);
    let infinite = graph.double(f64::INFINITY);
    let marks = graph.row(marks(imputer, column));
    let lacks = graph.node("Equal", &[&marks, &zero]);
    let to_donors = graph.node("Where", &[&lacks, &infinite, distance]);
    let most = graph.ints(&[imputer.neighbours.min(count) as i64]);
    let asked = [to_donors.as_str(), most.as_str()];
    let near = graph.many(("", "TopK"), &asked, vec![int("largest", 0)], 2);
    let donors = graph.doubles(&[count], cells(imputer, column));
    let values = graph.with("Gather", &[&donors, &near[1]], vec![int("axis", 0)]);
    let weights = weights(graph, &near[0], imputer.weights == DonorWeights::Distance);
    let is_out = graph.node("Equal", &[&near[0], &infinite]);
    let weights = graph.node("Where", &[&is_out, &zero, &weights]);
    let whole = graph.sum(&weights);
    let weighted = graph.node("Mul", &[&weights, &values]);
    let weighted = graph.sum(&weighted);
    let value = graph.node("Div", &[&weighted, &whole]);
    let nobody = graph.node("Equal", &[&whole, &zero]);
    let mean = graph.double(imputer.means[column]);
    graph.node("Where", &[&nobody, &mean, &value])
}

/// What neighbours at these squared distances, the nearest first, weigh: all the same, or one over
/// the distance; where some are at none, those alone.
pub fn weights(graph: &mut OnnxGraph, squares: &str, by_distance: bool) -> String {
    if !by_distance {
        // Ones, as many.
        let all = graph.node("Equal", &[squares, squares]);
        return graph.cast(&all);
    }
    let (zero, one) = (graph.double(0.0), graph.double(1.0));
    let nearest = graph.columns(squares, &[0]);
    let has_equal = graph.node("Equal", &[&nearest, &zero]);
    let is_equal = graph.node("Equal", &[squares, &zero]);
    let is_equal = graph.cast(&is_equal);
    let root = graph.node("Sqrt", &[squares]);
    let over = graph.node("Div", &[&one, &root]);
    graph.node("Where", &[&has_equal, &is_equal, &over])
}
