//! The steps of preprocessing as nodes of ONNX.

use crate::export::error::ExportError;
use crate::export::onnx::graph::{OnnxGraph, int};
use crate::prep::cells::CellKind;
use crate::prep::derive::PairOp;
use crate::prep::encode::{OneHot, UnknownCategory, of_category, of_rare};
use crate::prep::impute::{ColumnFill, FillMethod, Imputer, indicator};
use crate::prep::knn::{DonorWeights, KnnImputer};
use crate::prep::pca;
use crate::prep::quantile::QuantileScaler;
use crate::prep::step::FittedStep;

/// Where a column stands: in which matrix, at which place, of how many.
#[derive(Clone, Debug)]
struct ColumnPlace {
    name: String,
    kind: CellKind,
    matrix: String,
    at: usize,
    width: usize,
}

/// The columns on their way, and the graph that they are made in.
#[derive(Debug, Default)]
pub struct ColumnFlow {
    /// The graph.
    pub graph: OnnxGraph,
    places: Vec<ColumnPlace>,
}

impl ColumnFlow {
    /// Adds columns of a matrix.
    pub fn push(&mut self, names: &[String], kind: CellKind, matrix: &str) {
        for (at, name) in names.iter().enumerate() {
            let (name, matrix, width) = (name.clone(), matrix.to_owned(), names.len());
            self.places.push(ColumnPlace {
                name,
                kind,
                matrix,
                at,
                width,
            });
        }
    }

    /// Says that columns stand in a matrix from now on.
    fn set(&mut self, names: &[String], matrix: &str) {
        for (at, name) in names.iter().enumerate() {
            for place in self.places.iter_mut().filter(|place| place.name == *name) {
                (place.matrix, place.at, place.width) = (matrix.to_owned(), at, names.len());
            }
        }
    }

    fn remove(&mut self, names: &[String]) {
        self.places.retain(|place| !names.contains(&place.name));
    }

    /// Puts columns side by side, in this order.
    pub fn matrix(&mut self, names: &[String]) -> Result<String, ExportError> {
        let find = |name: &String| {
            self.places
                .iter()
                .find(|place| place.name == *name)
                .cloned()
        };
        let places: Vec<ColumnPlace> = names
            .iter()
            .map(|name| find(name).ok_or_else(|| ExportError::NoColumn(name.clone())))
            .collect::<Result<_, _>>()?;
        let mut parts = Vec::new();
        for run in places.chunk_by(|a, b| a.matrix == b.matrix) {
            let at: Vec<usize> = run.iter().map(|place| place.at).collect();
            let is_whole = at.len() == run[0].width && at.iter().copied().eq(0..run[0].width);
            parts.push(if is_whole {
                run[0].matrix.clone()
            } else {
                self.graph.columns(&run[0].matrix, &at)
            });
        }
        Ok(self.graph.beside(&parts))
    }

    /// Keeps what is missing missing, whatever else was made of it.
    fn unless_missing(&mut self, before: &str, after: &str) -> String {
        let missing = self.graph.node("IsNaN", &[before]);
        self.graph.node("Where", &[&missing, before, after])
    }

    /// Which of some words a column of text is: a column of zeros and ones each.
    fn words(&mut self, name: &String, words: &[String]) -> Result<String, ExportError> {
        let column = self.matrix(std::slice::from_ref(name))?;
        let words = self.graph.texts(&[1, words.len()], words);
        let is = self.graph.node("Equal", &[&column, &words]);
        Ok(self.graph.cast(&is))
    }

    /// Where a column is missing, as zeros and ones.
    fn missing(&mut self, name: &String) -> Result<String, ExportError> {
        let column = self.matrix(std::slice::from_ref(name))?;
        let is_text = self
            .places
            .iter()
            .any(|place| place.name == *name && place.kind == CellKind::Text);
        let is = match is_text {
            true => {
                let empty = self.graph.texts(&[1], &[String::new()]);
                self.graph.node("Equal", &[&column, &empty])
            }
            false => self.graph.node("IsNaN", &[&column]),
        };
        Ok(self.graph.cast(&is))
    }

    /// Carries a step out.
    ///
    /// # Errors
    /// ONNX has no operators for it.
    pub fn carry_out(&mut self, step: &FittedStep) -> Result<(), ExportError> {
        match step {
            FittedStep::Finite(step) => {
                let names: Vec<String> =
                    step.columns.iter().map(|(name, ..)| name.clone()).collect();
                self.row_by_row(&names, |graph, x| {
                    let lows = graph.doubles(
                        &[1, names.len()],
                        step.columns.iter().map(|(_, low, _)| *low),
                    );
                    let highs = graph.doubles(
                        &[1, names.len()],
                        step.columns.iter().map(|(.., high)| *high),
                    );
                    let above = graph.with("IsInf", &[x], vec![int("detect_negative", 0)]);
                    let below = graph.with("IsInf", &[x], vec![int("detect_positive", 0)]);
                    let x = graph.node("Where", &[&above, &highs, x]);
                    graph.node("Where", &[&below, &lows, &x])
                })?;
            }
            FittedStep::Impute(step) => self.impute(step)?,
            FittedStep::Scale(step) => {
                let names: Vec<String> =
                    step.columns.iter().map(|(name, ..)| name.clone()).collect();
                self.row_by_row(&names, |graph, x| {
                    let width = names.len();
                    let shifts =
                        graph.doubles(&[1, width], step.columns.iter().map(|(_, shift, _)| *shift));
                    let factors =
                        graph.doubles(&[1, width], step.columns.iter().map(|(.., factor)| *factor));
                    let x = graph.node("Sub", &[x, &shifts]);
                    graph.node("Div", &[&x, &factors])
                })?;
            }
            FittedStep::Quantile(step) => self.quantile(step)?,
            FittedStep::Log1p(step) => {
                let names: Vec<String> =
                    step.columns.iter().map(|(name, _)| name.clone()).collect();
                self.row_by_row(&names, |graph, x| {
                    let least = graph.doubles(
                        &[1, names.len()],
                        step.columns.iter().map(|(_, least)| *least),
                    );
                    let one = graph.double(1.0);
                    let x = graph.node("Max", &[x, &least]);
                    let x = graph.node("Add", &[&x, &one]);
                    graph.node("Log", &[&x])
                })?;
            }
            FittedStep::Clip(step) => {
                let names: Vec<String> =
                    step.columns.iter().map(|(name, ..)| name.clone()).collect();
                self.row_by_row(&names, |graph, x| {
                    let low = graph.doubles(
                        &[1, names.len()],
                        step.columns.iter().map(|(_, low, _)| *low),
                    );
                    let high = graph.doubles(
                        &[1, names.len()],
                        step.columns.iter().map(|(.., high)| *high),
                    );
                    let x = graph.node("Max", &[x, &low]);
                    graph.node("Min", &[&x, &high])
                })?;
            }
            FittedStep::OneHot(step) => self.onehot(step)?,
            FittedStep::Ordinal(step) => {
                for (name, categories) in &step.columns {
                    let values = (0..categories.len()).map(|at| at as f64).collect();
                    self.valued(name, categories, values, -1.0)?;
                }
            }
            FittedStep::Target(step) => {
                for (name, known) in &step.columns {
                    let words: Vec<String> = known.keys().cloned().collect();
                    self.valued(name, &words, known.values().copied().collect(), step.prior)?;
                }
            }
            FittedStep::Hash(_) => {
                return Err(ExportError::NoOperator("the step `hash`"));
            }
            FittedStep::Drop(step) => self.remove(&step.columns),
            FittedStep::Pca(step) => {
                let x = self.matrix(&step.columns)?;
                let (width, count) = step.directions.dim();
                let means = self.graph.doubles(&[1, width], step.means.iter().copied());
                let directions = self
                    .graph
                    .doubles(&[width, count], step.directions.iter().copied());
                let x = self.graph.node("Sub", &[&x, &means]);
                let x = self.graph.node("MatMul", &[&x, &directions]);
                self.remove(&step.columns);
                self.push(
                    &(0..count).map(pca::named).collect::<Vec<_>>(),
                    CellKind::Number,
                    &x,
                );
            }
            FittedStep::Derive(step) => {
                let a = self.matrix(std::slice::from_ref(&step.first))?;
                let b = self.matrix(std::slice::from_ref(&step.second))?;
                let made = match step.how {
                    PairOp::Difference => self.graph.node("Sub", &[&a, &b]),
                    PairOp::Ratio => {
                        let (zero, missing) = (self.graph.double(0.0), self.graph.double(f64::NAN));
                        let is_zero = self.graph.node("Equal", &[&b, &zero]);
                        let ratio = self.graph.node("Div", &[&a, &b]);
                        self.graph.node("Where", &[&is_zero, &missing, &ratio])
                    }
                };
                self.push(std::slice::from_ref(&step.name), CellKind::Number, &made);
            }
        }
        Ok(())
    }

    /// Replaces columns of numbers by what is made of each cell; what is missing stays so.
    fn row_by_row(
        &mut self,
        names: &[String],
        make: impl Fn(&mut OnnxGraph, &str) -> String,
    ) -> Result<(), ExportError> {
        if names.is_empty() {
            return Ok(());
        }
        let before = self.matrix(names)?;
        let after = make(&mut self.graph, &before);
        let after = self.unless_missing(&before, &after);
        self.set(names, &after);
        Ok(())
    }

    /// Replaces a column of text by a number for each word, and another for all others.
    fn valued(
        &mut self,
        name: &String,
        words: &[String],
        values: Vec<f64>,
        other: f64,
    ) -> Result<(), ExportError> {
        let value = match words.is_empty() {
            true => {
                let missing = self.missing(name)?;
                let (zero, other) = (self.graph.double(0.0), self.graph.double(other));
                let none = self.graph.node("Mul", &[&missing, &zero]);
                self.graph.node("Add", &[&none, &other])
            }
            false => {
                let is = self.words(name, words)?;
                let values = self.graph.doubles(
                    &[values.len(), 1],
                    values.into_iter().map(|value| value - other),
                );
                let (value, other) = (
                    self.graph.node("MatMul", &[&is, &values]),
                    self.graph.double(other),
                );
                self.graph.node("Add", &[&value, &other])
            }
        };
        self.remove(std::slice::from_ref(name));
        self.push(std::slice::from_ref(name), CellKind::Number, &value);
        Ok(())
    }

    fn onehot(&mut self, step: &OneHot) -> Result<(), ExportError> {
        for (name, categories, rare) in &step.columns {
            let mut parts = Vec::new();
            let mut names: Vec<String> = categories
                .iter()
                .map(|category| of_category(name, category))
                .collect();
            if !categories.is_empty() {
                parts.push(self.words(name, categories)?);
            }
            if step.has_rare(rare) {
                names.push(of_rare(name));
                let one = self.graph.double(1.0);
                parts.push(match (step.unknown, parts.first().cloned()) {
                    (UnknownCategory::Rare, known) => {
                        let missing = self.missing(name)?;
                        let other = self.graph.node("Sub", &[&one, &missing]);
                        match known {
                            Some(known) => {
                                let known = self.graph.sum(&known);
                                self.graph.node("Sub", &[&other, &known])
                            }
                            None => other,
                        }
                    }
                    (..) => {
                        let is = self.words(name, rare)?;
                        self.graph.sum(&is)
                    }
                });
            }
            if !parts.is_empty() {
                let whole = self.graph.beside(&parts);
                self.push(&names, CellKind::Number, &whole);
            }
            self.remove(std::slice::from_ref(name));
        }
        Ok(())
    }

    /// Of every value the place among quantiles: a table by how many different quantiles are not
    /// above it.
    fn quantile(&mut self, step: &QuantileScaler) -> Result<(), ExportError> {
        if step.normal {
            let what = "a normal distribution, as `quantile: {to: normal}` needs";
            return Err(ExportError::NoOperator(what));
        }
        for (name, quantiles) in &step.columns {
            let last = quantiles.len() - 1;
            let of = |at: usize| at as f64 / last as f64;
            let mut runs: Vec<(f64, f64, f64)> = Vec::new();
            let mut place = 0;
            for run in quantiles.chunk_by(|a, b| a == b) {
                runs.push((run[0], of(place), of(place + run.len() - 1)));
                place += run.len();
            }
            // By number of runs not above: the value of the last, what is told there, what is told
            // above it, and its slope.
            let mut table = vec![(0.0, 0.0, 0.0, 0.0)];
            for (at, (value, low, high)) in runs.iter().enumerate() {
                let there = if at == 0 {
                    0.0
                } else if at + 1 == runs.len() {
                    1.0
                } else {
                    f64::midpoint(*low, *high)
                };
                let slope = runs
                    .get(at + 1)
                    .map_or(0.0, |(next, share, _)| (share - high) / (next - value));
                table.push((
                    *value,
                    there,
                    if at + 1 == runs.len() { 1.0 } else { *high },
                    slope,
                ));
            }
            self.row_by_row(std::slice::from_ref(name), |graph, x| {
                let borders: Vec<f64> = runs.iter().map(|(value, ..)| *value).collect();
                let column = |of: fn(&(f64, f64, f64, f64)) -> f64| {
                    table.iter().map(of).collect::<Vec<f64>>()
                };
                let tables = [
                    column(|t| t.0),
                    column(|t| t.1),
                    column(|t| t.2),
                    column(|t| t.3),
                ];
                let [value, there, high, slope] = graph.looked_up(x, &borders, tables);
                let is_there = graph.node("Equal", &[x, &value]);
                let beyond = graph.node("Sub", &[x, &value]);
                let beyond = graph.node("Mul", &[&beyond, &slope]);
                let beyond = graph.node("Add", &[&beyond, &high]);
                graph.node("Where", &[&is_there, &there, &beyond])
            })?;
        }
        Ok(())
    }

    fn impute(&mut self, step: &Imputer) -> Result<(), ExportError> {
        for name in &step.indicated {
            let missing = self.missing(name)?;
            self.push(&[indicator(name)], CellKind::Number, &missing);
        }
        match &step.fill {
            FillMethod::Knn(imputer) if !step.columns.is_empty() => {
                let x = self.matrix(&step.columns)?;
                let filled = knn(&mut self.graph, &x, imputer);
                self.set(&step.columns, &filled);
            }
            FillMethod::Knn(_) => {}
            FillMethod::Each(fillings) => {
                for (name, filling) in step.columns.iter().zip(fillings) {
                    let x = self.matrix(std::slice::from_ref(name))?;
                    let (missing, fill) = match filling {
                        ColumnFill::Number(number) => {
                            (self.graph.node("IsNaN", &[&x]), self.graph.double(*number))
                        }
                        ColumnFill::Text(text) => {
                            let empty = self.graph.texts(&[1], &[String::new()]);
                            (
                                self.graph.node("Equal", &[&x, &empty]),
                                self.graph.texts(&[1], std::slice::from_ref(text)),
                            )
                        }
                    };
                    let filled = self.graph.node("Where", &[&missing, &fill, &x]);
                    self.set(std::slice::from_ref(name), &filled);
                }
            }
        }
        Ok(())
    }
}

/// Rows with their missing cells filled from the nearest of the training rows. Only rows with
/// missing cells are compared, and differences are summed column by column, in the order in which
/// training sums them.
fn knn(graph: &mut OnnxGraph, x: &str, imputer: &KnnImputer) -> String {
    let (count, width) = imputer.rows.dim();
    let is_missing = graph.node("IsNaN", &[x]);
    let flags = graph.cast(&is_missing);
    let any = graph.sum(&flags);
    let any = graph.with("Cast", &[&any], vec![int("to", 9)]);
    let axis = graph.ints(&[1]);
    let any = graph.node("Squeeze", &[&any, &axis]);
    let rows = graph.node("NonZero", &[&any]);
    // The places of rows with missing cells, one below the other.
    let rows = graph.node("Transpose", &[&rows]);
    let mine = graph.node("GatherND", &[x, &rows]);
    let missing = graph.node("IsNaN", &[&mine]);
    let (zero, infinite) = (graph.double(0.0), graph.double(f64::INFINITY));
    let known = graph.node("Where", &[&missing, &zero, &mine]);
    let present = graph.node("Not", &[&missing]);
    let present = graph.cast(&present);
    let has = |at: usize| {
        imputer
            .rows
            .column(at)
            .to_vec()
            .into_iter()
            .map(|cell| f64::from(u8::from(!cell.is_nan())))
    };
    let cells = |at: usize| {
        imputer
            .rows
            .column(at)
            .to_vec()
            .into_iter()
            .map(|cell| if cell.is_nan() { 0.0 } else { cell })
    };
    let theirs = graph.doubles(&[width, count], (0..width).flat_map(has));
    let both = graph.node("MatMul", &[&present, &theirs]);
    let mut sum: Option<String> = None;
    for at in 0..width {
        let (cell, mark) = (graph.columns(&known, &[at]), graph.columns(&present, &[at]));
        let (donors, marks) = (
            graph.doubles(&[1, count], cells(at)),
            graph.doubles(&[1, count], has(at)),
        );
        let apart = graph.node("Sub", &[&cell, &donors]);
        let square = graph.node("Mul", &[&apart, &apart]);
        let marks = graph.node("Mul", &[&mark, &marks]);
        let part = graph.node("Mul", &[&square, &marks]);
        sum = Some(match sum {
            None => part,
            Some(sum) => graph.node("Add", &[&sum, &part]),
        });
    }
    let width_of = graph.double(width as f64);
    let sum = graph.node("Mul", &[&sum.unwrap_or_default(), &width_of]);
    let distance = graph.node("Div", &[&sum, &both]);
    let none = graph.node("Equal", &[&both, &zero]);
    let distance = graph.node("Where", &[&none, &infinite, &distance]);
    let most = graph.ints(&[imputer.neighbours.min(count) as i64]);
    let mut filled = Vec::new();
    for at in 0..width {
        let marks = graph.doubles(&[1, count], has(at));
        let is_donor = graph.node("Equal", &[&marks, &zero]);
        let to_donors = graph.node("Where", &[&is_donor, &infinite, &distance]);
        let near = graph.many(
            ("", "TopK"),
            &[&to_donors, &most],
            vec![int("largest", 0)],
            2,
        );
        let donors = graph.doubles(&[count], cells(at));
        let values = graph.with("Gather", &[&donors, &near[1]], vec![int("axis", 0)]);
        let weights = weights(graph, &near[0], imputer.weights == DonorWeights::Distance);
        let is_out = graph.node("Equal", &[&near[0], &infinite]);
        let weights = graph.node("Where", &[&is_out, &zero, &weights]);
        let whole = graph.sum(&weights);
        let weighted = graph.node("Mul", &[&weights, &values]);
        let weighted = graph.sum(&weighted);
        let value = graph.node("Div", &[&weighted, &whole]);
        let nobody = graph.node("Equal", &[&whole, &zero]);
        let mean = graph.double(imputer.means[at]);
        let value = graph.node("Where", &[&nobody, &mean, &value]);
        let (cell, lacks) = (graph.columns(&known, &[at]), graph.columns(&missing, &[at]));
        filled.push(graph.node("Where", &[&lacks, &value, &cell]));
    }
    let filled = graph.beside(&filled);
    graph.node("ScatterND", &[x, &rows, &filled])
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
